//! A WebSocket to a server, with whatever headers a scenario wants.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::PATIENCE;

/// One WebSocket.
pub struct Socket {
    inner: WebSocket<Steady>,
}

/// How a conversation ended: the close code, or `None` when the connection just broke.
pub type Ending = Option<u16>;

/// What an upgrade asks for.
#[derive(Clone, Debug)]
pub struct Opening {
    path: String,
    headers: Vec<(&'static str, String)>,
}

impl Opening {
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned(), headers: Vec::new() }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn dialect(self, subprotocol: &str) -> Self {
        self.header("sec-websocket-protocol", subprotocol)
    }
}

impl Socket {
    /// Opens it, or says with which status it was refused; 0 when nobody answered.
    pub fn open(server: SocketAddr, opening: &Opening) -> Result<Self, u16> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE).map_err(|_| 0_u16)?;
        Self::over(stream, server, opening)
    }

    /// The same over a connection that the scenario made.
    pub fn over(stream: TcpStream, server: SocketAddr, opening: &Opening) -> Result<Self, u16> {
        let prepare = || {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)
        };
        prepare().map_err(|_| 0_u16)?;
        let mut request = format!("ws://{server}{}", opening.path).into_client_request().expect("a path");
        for (name, value) in &opening.headers {
            request.headers_mut().append(*name, value.parse().expect("a header's value"));
        }
        match tungstenite::client(request, Steady(stream)) {
            Ok((inner, _)) => Ok(Self { inner }),
            Err(HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(_) => Err(0),
        }
    }

    /// Sends a message; `false` when the connection is gone.
    pub fn say(&mut self, message: Message) -> bool {
        self.inner.send(message).is_ok()
    }

    /// The next message that is not a ping or pong, or how it ended.
    pub fn hear(&mut self) -> Result<Message, Ending> {
        let began = Instant::now();
        loop {
            match self.inner.read() {
                // A server that only sees whether we are there has nothing to say either.
                Ok(Message::Ping(_) | Message::Pong(_)) => {
                    assert!(began.elapsed() < PATIENCE, "heard nothing but pings for {PATIENCE:?}");
                }
                Ok(Message::Close(frame)) => return Err(frame.map(|frame| frame.code.into())),
                Ok(message) => return Ok(message),
                Err(Error::Io(error)) if is_timeout(&error) => panic!("heard nothing for {PATIENCE:?}"),
                Err(error) => {
                    // Shown where a scenario fails.
                    eprintln!("a connection broke: {error}");
                    return Err(None);
                }
            }
        }
    }

    /// Hears everything there is until the end.
    pub fn ending(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.hear() {
                return ending;
            }
        }
    }

    /// The connection below, to write what no client would.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.inner.get_mut().0
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A connection that a signal does not break: reads with a timeout are not begun again by themselves.
struct Steady(TcpStream);

impl Read for Steady {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        retried(|| self.0.read(bytes))
    }
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retried(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn retried<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
