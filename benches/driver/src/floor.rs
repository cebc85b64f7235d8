//! The floor: whatever number comes goes out to every socket with one bare `send(2)` each, and nothing else is done.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::wire::WELCOME;

const LISTENER: Token = Token(usize::MAX);
/// Connections that wait to be accepted.
const BACKLOG_CONNECTIONS: i32 = 4_096;
/// Bytes of a number.
const NUMBER_BYTES: usize = 4;
/// Numbers that are read at a time.
const READ_BYTES_MAX: usize = 64 * 1_024;

struct Client {
    stream: TcpStream,
    /// The other end went away.
    gone: bool,
    /// What the kernel did not take.
    backlog: Vec<u8>,
}

/// Serves until it is killed.
pub(crate) fn serve(address: SocketAddr, message_bytes: usize) -> Result<()> {
    let mut poll = Poll::new()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG_CONNECTIONS)?;
    let mut listener = TcpListener::from_std(socket.into());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1_024);
    let mut sockets: Vec<Client> = Vec::new();
    let mut numbers = vec![0; READ_BYTES_MAX];
    let mut message = vec![b'.'; message_bytes];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(sockets.len());
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    let mut socket = Client { stream, gone: false, backlog: Vec::new() };
                    message[..NUMBER_BYTES].copy_from_slice(&WELCOME.to_le_bytes());
                    socket.send(&message);
                    sockets.push(socket);
                }
                continue;
            }
            let index = event.token().0;
            if event.is_writable() {
                sockets[index].flush();
            }
            if !event.is_readable() {
                continue;
            }
            // A sender's few numbers come whole: they are far smaller than a segment.
            let read = match sockets[index].stream.read(&mut numbers) {
                Ok(0) => {
                    sockets[index].gone = true;
                    continue;
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // Who goes away before reading all that was sent resets the connection.
                Err(_) => {
                    sockets[index].gone = true;
                    continue;
                }
            };
            for number in numbers[..read].chunks_exact(NUMBER_BYTES) {
                message[..NUMBER_BYTES].copy_from_slice(number);
                for socket in sockets.iter_mut().filter(|socket| !socket.gone) {
                    socket.send(&message);
                }
            }
        }
    }
}

impl Client {
    fn send(&mut self, message: &[u8]) {
        if self.backlog.is_empty() {
            match self.stream.write(message) {
                Ok(written) => self.backlog.extend_from_slice(&message[written..]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.backlog.extend_from_slice(message);
                }
                Err(_) => self.gone = true,
            }
        } else {
            self.backlog.extend_from_slice(message);
        }
    }

    fn flush(&mut self) {
        while !self.gone && !self.backlog.is_empty() {
            match self.stream.write(&self.backlog) {
                Ok(written) => drop(self.backlog.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.gone = true,
            }
        }
    }
}
