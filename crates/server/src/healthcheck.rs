//! `healthcheck`: asks a running process how it is, for containers without a shell.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long the process may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Exit 0 when `/livez` of the ops port answers 200, else 1 and why.
pub(crate) fn run(ops: SocketAddr) -> ExitCode {
    let address = SocketAddr::new(reachable(ops.ip()), ops.port());
    match ask(address) {
        Ok(head) if head.starts_with("HTTP/1.1 200") => ExitCode::SUCCESS,
        Ok(head) => fail(address, head.lines().next().unwrap_or("nothing")),
        Err(failure) => fail(address, &failure.to_string()),
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1_024).read_to_string(&mut answer)?;
    Ok(answer)
}

fn fail(address: SocketAddr, why: &str) -> ExitCode {
    eprintln!("{address} does not answer as it should: {why}");
    ExitCode::FAILURE
}

/// A process that listens everywhere is asked over loopback.
pub(crate) fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
