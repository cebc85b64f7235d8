//! Machines of a scenario's own on one switch: network namespaces, between which any traffic can be cut.

use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::stores::server::Host;
use super::{leftovers, skip};

/// Where `ip netns` keeps what it made.
pub const NAMESPACES: &str = "/run/netns";

/// Some machines. They know each other by address, and nobody else.
pub struct Machines {
    /// How the namespaces of these machines are called, up to a number; the switch is number 0.
    prefix: String,
    count: u8,
}

impl Machines {
    /// So many machines; `None`, said aloud, where this machine does not let us have them.
    pub fn start(what: &str, count: u8) -> Option<Self> {
        static LAST: AtomicU16 = AtomicU16::new(0);
        leftovers::remove();
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let machines = Self { prefix: format!("{}{number}-", leftovers::own_prefix()), count };
        match machines.connect() {
            Ok(()) => Some(machines),
            Err(why) => {
                skip(what, &why.to_string());
                None
            }
        }
    }

    fn connect(&self) -> io::Result<()> {
        let switch = self.name(0);
        let mut lines = format!("netns add {switch}\n");
        for machine in 1..=self.count {
            lines += &format!("netns add {}\n", self.name(machine));
        }
        run("ip", &["-batch", "-"], &lines)?;
        let mut lines = "link add switch type bridge\nlink set switch up\n".to_owned();
        for machine in 1..=self.count {
            let name = self.name(machine);
            lines += &format!("link add port{machine} type veth peer name cable netns {name}\n");
            lines += &format!("link set port{machine} master switch up\n");
        }
        run("ip", &["-netns", &switch, "-batch", "-"], &lines)?;
        for machine in 1..=self.count {
            let [first, second] = [0, 1].map(|place| address(machine, place));
            let lines = format!(
                "addr add {first}/16 dev cable\naddr add {second}/16 dev cable\nlink set cable up\nlink set lo up\n"
            );
            run("ip", &["-netns", &self.name(machine), "-batch", "-"], &lines)?;
        }
        self.filter(
            "add table bridge cut\nadd chain bridge cut forward { type filter hook forward priority 0; }\n",
        )
    }

    /// Where something runs that is put on a machine, from 1.
    pub fn host(&self, machine: u8) -> Host {
        self.place_on(machine, 0)
    }

    /// The same machine by another address, for a second one that listens at the same ports.
    pub fn beside(&self, machine: u8) -> Host {
        self.place_on(machine, 1)
    }

    fn place_on(&self, machine: u8, place: u8) -> Host {
        let net = format!("--net={NAMESPACES}/{}", self.name(machine));
        Host { ip: address(machine, place), under: vec!["nsenter".to_owned(), net] }
    }

    /// Does it on a machine: threads that begin meanwhile are there, too.
    pub fn within<T: Send>(&self, machine: u8, act: impl FnOnce() -> T + Send) -> T {
        let there = File::open(format!("{NAMESPACES}/{}", self.name(machine))).expect("it was made");
        thread::scope(|scope| {
            let acted = scope.spawn(|| {
                move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("who made it may enter it");
                act()
            });
            acted.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// From now on nothing of what these machines send reaches those, nor the other way round.
    pub fn cut(&self, these: &[u8], those: &[u8]) {
        let set = |machines: &[u8]| {
            let all: Vec<String> = machines.iter().map(|machine| format!("port{machine}")).collect();
            format!("{{ {} }}", all.join(", "))
        };
        let rule = |from: &[u8], to: &[u8]| {
            format!("add rule bridge cut forward iifname {} oifname {} drop\n", set(from), set(to))
        };
        self.filter(&(rule(these, those) + &rule(those, these))).expect("the filter takes rules");
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.filter("flush chain bridge cut forward\n").expect("the filter takes rules");
    }

    fn filter(&self, rules: &str) -> io::Result<()> {
        let net = format!("--net={NAMESPACES}/{}", self.name(0));
        run("nsenter", &[&net, "nft", "-f", "-"], rules)
    }

    fn name(&self, number: u8) -> String {
        format!("{}{number}", self.prefix)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        (0..=self.count).for_each(|machine| leftovers::remove_namespace(&self.name(machine)));
    }
}

fn address(machine: u8, place: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, place, machine)
}

/// Runs it and tells it these lines; what it complained about where it fails.
fn run(program: &str, arguments: &[&str], lines: &str) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{program}: {error}"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(named)?;
    // It may end before it has read everything, and says why.
    let _ = child.stdin.take().expect("it is piped").write_all(lines.as_bytes());
    let output = child.wait_with_output().map_err(named)?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program} {}: {why}", arguments.join(" "))))
}
