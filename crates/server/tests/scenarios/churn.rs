//! Thousands come and go, well-behaved or not: nothing of them is left.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket as RawSocket, Type};

use crate::support::json::Json;
use crate::support::socket::{Opening, Socket};
use crate::support::{Server, eventually, long};

/// In all, and at a time: a process may have 20,000 descriptors, and both ends of other scenarios' are open, too.
const CONNECTIONS: usize = 10_000;
const AT_ONCE: usize = 2_500;
const AT_ONCE_LONG: usize = 9_000;
const WAVES_LONG: usize = 10;
/// Who connects at the same time, each from an address of its own.
const VISITORS: usize = 4;
/// What a connection that only looks on may cost, in bytes of memory: the server's own, not the kernel's.
const CONNECTION_BYTES_MAX: usize = 8 << 10;

/// A viewer from one of several addresses, since one alone may only have so many.
fn visit(server: &Server, visitor: usize) -> Socket {
    let raw = RawSocket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 1, visitor as u8 + 1), 0));
    raw.bind(&from.into()).expect("every loopback address is ours");
    raw.connect(&server.gateway().into()).expect("the gateway listens");
    Socket::over(TcpStream::from(raw), server.gateway(), &Opening::at("/")).expect("it takes viewers")
}

/// One says goodbye, one is gone at once, one resets its connection.
fn leave(number: usize, mut socket: Socket) {
    match number % 3 {
        0 => drop(socket.say(tungstenite::Message::Close(None))),
        1 => drop(socket),
        _ => {
            let raw = RawSocket::from(socket.stream().try_clone().expect("a second handle"));
            raw.set_linger(Some(Duration::ZERO)).expect("a socket takes its options");
        }
    }
}

#[test]
fn thousands_who_come_and_go_leave_nothing_behind() {
    let (waves, at_once) = if long() { (WAVES_LONG, AT_ONCE_LONG) } else { (CONNECTIONS / AT_ONCE, AT_ONCE) };
    let server = Server::start();
    let mut watches = Json::open(&server);
    let mut wave = |memory: bool| {
        let (open_before, bytes_before) = (server.descriptors(), server.memory_bytes());
        let sockets: Vec<Socket> = thread::scope(|scope| {
            let server = &server;
            let come =
                |visitor| move || (0..at_once / VISITORS).map(|_| visit(server, visitor)).collect::<Vec<_>>();
            let visitors: Vec<_> = (0..VISITORS).map(|visitor| scope.spawn(come(visitor))).collect();
            visitors.into_iter().flat_map(|visitor| visitor.join().expect("they are let in")).collect()
        });
        let count = sockets.len();
        while watches.hear_any("stats")["activeUsers"] != count + 1 {}
        let each = server.memory_bytes().saturating_sub(bytes_before) as usize / count;
        assert!(!memory || each < CONNECTION_BYTES_MAX, "{each} bytes of memory for each of {count}");
        sockets.into_iter().enumerate().for_each(|(number, socket)| leave(number, socket));
        while watches.hear_any("stats")["activeUsers"] != 1 {}
        eventually("their descriptors are closed", || server.descriptors() <= open_before);
        each
    };
    // The first wave fills what later ones find: only its memory is of its connections.
    let first = wave(true);
    for _ in 1..waves {
        wave(false);
    }
    watches.paint(1, 1, "#010203");
    assert_eq!(watches.hear_any("pixel_updated")["sequence"], 1);
    println!(
        "{} connections, {at_once} at a time, a third each closed, dropped and reset: {first} bytes of memory each, \
         descriptors left 0",
        waves * at_once
    );
}
