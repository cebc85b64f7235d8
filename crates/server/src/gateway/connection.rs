//! One connection as its thread keeps it: socket, conversation, cursors.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use pixel_protocol::MESSAGE_BYTES_MAX;
use pixel_protocol::websocket::Decoder;

use super::fanout::Reader;
use super::session::Session;
use crate::address::AddressGuard;

/// A socket that was upgraded: the client's own, or the near end of a bridge to one that speaks TLS.
pub(crate) enum Socket {
    Tcp(mio::net::TcpStream),
    Bridge(mio::net::UnixStream),
    #[cfg(test)]
    Simulated(super::simulation::Near),
}

/// Calls the same method of whichever stream it is.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Bridge($stream) => $call,
            #[cfg(test)]
            Socket::Simulated($stream) => $call,
        }
    };
}

impl Socket {
    /// Takes a connected socket over; it becomes non-blocking.
    pub(crate) fn tcp(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::Tcp(mio::net::TcpStream::from_std(stream)))
    }

    /// Takes the near end of a bridge over; it becomes non-blocking.
    pub(crate) fn bridge(near: OwnedFd) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::from(near);
        stream.set_nonblocking(true)?;
        Ok(Self::Bridge(mio::net::UnixStream::from_std(stream)))
    }

    /// Events come when there is something to read.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        either!(self, stream => stream.register(registry, token, Interest::READABLE))
    }

    /// From here on they come when it takes more to write, too.
    pub(crate) fn register_writes(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        either!(self, stream => stream.reregister(registry, token, both))
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        either!(self, stream => stream.deregister(registry))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.read(buffer))
    }

    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // The usual case, for which the kernel has less to look at.
            [one] => either!(self, stream => stream.write(one)),
            _ => either!(self, stream => stream.write_vectored(slices)),
        }
    }

    /// Says that nothing more will be written; a failure means that the other end is gone anyway.
    pub(crate) fn finish_writing(&self) {
        let _ = either!(self, stream => stream.shutdown(Shutdown::Write));
    }
}

/// How a connection that is closed from here ends.
pub(crate) struct Goodbye {
    /// Dropped at the latest then.
    pub(crate) by: Instant,
    /// The metric's label.
    pub(crate) reason: &'static str,
    /// The close frame is out; it waits for the other end.
    pub(crate) sent: bool,
}

/// What few connections have, and none for long.
#[derive(Default)]
struct Rare {
    /// Received but not looked at: reading is paused. At most one read buffer.
    unread: Vec<u8>,
    /// It is being closed from here.
    goodbye: Option<Goodbye>,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) serial: u64,
    pub(crate) canvas: u32,
    pub(crate) socket: Socket,
    pub(crate) session: Session,
    pub(crate) decoder: Decoder,
    pub(crate) reader: Reader,
    /// The socket may have more to read.
    pub(crate) readable: bool,
    /// Nothing comes after what it has.
    pub(crate) read_closed: bool,
    /// The socket takes no more until it says so.
    pub(crate) blocked: bool,
    /// It stands in the line of connections to write to.
    pub(crate) queued: bool,
    /// It stands in the line of connections to read from.
    pub(crate) unfinished: bool,
    /// When something was heard of it, in seconds since its thread began.
    pub(crate) heard_s: u32,
    pub(crate) pinged: bool,
    /// Boxed, for nearly none has it.
    rare: Option<Box<Rare>>,
    /// Counts this connection against its address; freed when dropped.
    pub(crate) _guard: AddressGuard,
}

impl Connection {
    /// One that was just upgraded.
    pub(crate) fn new(
        serial: u64,
        canvas: u32,
        socket: Socket,
        session: Session,
        reader: Reader,
        heard_s: u32,
        guard: AddressGuard,
    ) -> Self {
        Self {
            serial,
            canvas,
            socket,
            session,
            decoder: Decoder::new(MESSAGE_BYTES_MAX),
            reader,
            // What the socket has already is an event like all that comes.
            readable: false,
            read_closed: false,
            blocked: false,
            queued: false,
            unfinished: false,
            heard_s,
            pinged: false,
            rare: None,
            _guard: guard,
        }
    }

    /// Keeps what was received but may not be looked at yet.
    pub(crate) fn keep_unread(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.rare.get_or_insert_default().unread = bytes.to_vec();
        }
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.unread.is_empty())
    }

    pub(crate) fn take_unread(&mut self) -> Option<Vec<u8>> {
        let rare = self.rare.as_mut().filter(|rare| !rare.unread.is_empty())?;
        let unread = std::mem::take(&mut rare.unread);
        if rare.goodbye.is_none() {
            self.rare = None;
        }
        Some(unread)
    }

    /// Closes it from here: what it sent and nobody looked at is not looked at any more.
    pub(crate) fn begin_goodbye(&mut self, goodbye: Goodbye) {
        self.rare = Some(Box::new(Rare { unread: Vec::new(), goodbye: Some(goodbye) }));
    }

    /// How it is being closed from here, where it is.
    pub(crate) fn goodbye(&self) -> Option<&Goodbye> {
        self.rare.as_ref()?.goodbye.as_ref()
    }

    pub(crate) fn goodbye_mut(&mut self) -> Option<&mut Goodbye> {
        self.rare.as_mut()?.goodbye.as_mut()
    }

    /// Why it ends, should the other end close it now.
    pub(crate) fn end_reason(&self) -> &'static str {
        self.goodbye().map_or("client", |goodbye| goodbye.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand of them are swept: whoever adds a field sees here what it costs.
    #[test]
    fn a_connection_stays_small() {
        assert!(size_of::<Connection>() <= 240, "{} bytes", size_of::<Connection>());
    }
}
