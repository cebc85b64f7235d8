//! What a host reads when the server has started.

use std::fmt::Write;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// A code's blocks are its paper: white on black, whatever the terminal's own colours are, since a
/// phone does not read every code that is printed the other way round.
const BLACK_ON_WHITE: &str = "\x1b[97;40m";
const USUAL_COLORS: &str = "\x1b[0m";

/// What the text tells.
pub(crate) struct Facts<'a> {
    pub(crate) frontend: Option<SocketAddr>,
    /// Whether the page is served over TLS.
    pub(crate) secure: bool,
    pub(crate) folder: Option<&'a Path>,
    /// Where the host's token lies.
    pub(crate) admin_token: Option<&'a Path>,
}

/// Prints the text to standard output.
pub(crate) fn greet(facts: &Facts<'_>) {
    print!("{}", text(facts, lan_address(), std::io::stdout().is_terminal()));
}

/// The same for programs, which keep one line of it.
pub(crate) fn sentence(facts: &Facts<'_>) -> String {
    let mut sentence = String::from("ready");
    let mut part = |what: &str, value: String| {
        write!(sentence, "{what}{value}").expect("a String takes everything written to it");
    };
    if let Some(frontend) = facts.frontend {
        let scheme = if facts.secure { "https" } else { "http" };
        part(", the page is at ", format!("{scheme}://{frontend}"));
    }
    if let Some(folder) = facts.folder {
        part(", kept in ", folder.display().to_string());
    }
    if let Some(file) = facts.admin_token {
        part(", the host's token is in ", file.display().to_string());
    }
    sentence
}

fn text(facts: &Facts<'_>, lan: Option<IpAddr>, with_code: bool) -> String {
    let mut text = String::from("\n  Pixel Playground\n\n");
    let mut line = |label: &str, value: &str| {
        writeln!(text, "  {label:<14}{value}").expect("a String takes everything written to it");
    };
    let scheme = if facts.secure { "https" } else { "http" };
    let mut invitation = None;
    if let Some(frontend) = facts.frontend {
        let port = frontend.port();
        let localhost = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let local = localhost.contains(&frontend.ip()) || frontend.ip().is_unspecified();
        let host = if local { "localhost".to_owned() } else { host_of(frontend.ip()) };
        line("Paint at", &format!("{scheme}://{host}:{port}"));
        let reachable = if frontend.ip().is_unspecified() { lan } else { Some(frontend.ip()) };
        match reachable.filter(|ip| !ip.is_loopback()) {
            Some(ip) => {
                let url = format!("{scheme}://{}:{port}", host_of(ip));
                line("Invite with", &url);
                invitation = Some(url);
            }
            None => line("Invite with", &format!("--frontend-listen 0.0.0.0:{port}")),
        }
    }
    if let Some(folder) = facts.folder {
        line("Kept in", &folder.display().to_string());
    }
    if let Some(file) = facts.admin_token {
        line("Host's token", &file.display().to_string());
    }
    line("Stop with", "Ctrl-C");
    if let Some(code) = invitation.filter(|_| with_code).and_then(|url| QrCode::new(url).ok()) {
        let picture =
            code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
        text.push('\n');
        text.extend(picture.lines().flat_map(|row| ["  ", BLACK_ON_WHITE, row, USUAL_COLORS, "\n"]));
    }
    text.push('\n');
    text
}

/// An address as a URL writes it.
fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// This machine's address in its network: the one it would send from. Nothing is sent.
fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(frontend: &str) -> Facts<'static> {
        Facts {
            frontend: Some(frontend.parse().expect("an address")),
            secure: false,
            folder: Some(Path::new("./data")),
            admin_token: Some(Path::new("./data/admin-token")),
        }
    }

    #[test]
    fn at_home_it_says_how_to_invite() {
        let text = text(&facts("127.0.0.1:3000"), None, true);
        for part in ["http://localhost:3000", "--frontend-listen 0.0.0.0:3000", "./data/admin-token"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn programs_are_told_in_one_line() {
        let sentence = sentence(&facts("0.0.0.0:3000"));
        let told = "ready, the page is at http://0.0.0.0:3000, kept in ./data, the host's token is in ./data/admin-token";
        assert_eq!(sentence, told);
    }

    #[test]
    fn on_an_address_that_localhost_does_not_mean_it_says_the_address() {
        for (frontend, url) in [
            ("127.0.0.5:3000", "http://127.0.0.5:3000"),
            ("[::1]:3000", "http://localhost:3000"),
            ("192.168.1.20:3000", "http://192.168.1.20:3000"),
        ] {
            let text = text(&facts(frontend), None, false);
            assert!(text.contains(&format!("Paint at      {url}\n")), "{text}");
        }
    }

    #[test]
    fn in_the_network_it_shows_the_address_and_its_code() {
        let lan = Some(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 20)));
        let shown = text(&facts("0.0.0.0:3000"), lan, true);
        assert!(shown.contains("http://192.168.1.20:3000"), "{shown}");
        let codes: Vec<&str> = shown.lines().filter(|line| line.contains('█')).collect();
        assert!(codes.len() > 10, "{shown}");
        assert!(codes.iter().all(|row| row.contains("\x1b[97;40m") && row.ends_with("\x1b[0m")), "{shown}");
        assert!(!text(&facts("0.0.0.0:3000"), lan, false).contains('█'));
    }
}
