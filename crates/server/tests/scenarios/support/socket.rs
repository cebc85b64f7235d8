//! A WebSocket to a server, with whatever headers a scenario wants.

use std::net::{SocketAddr, TcpStream};

use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::PATIENCE;

/// One WebSocket.
pub struct Socket {
    inner: WebSocket<TcpStream>,
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
        match tungstenite::client(request, stream) {
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
        loop {
            match self.inner.read() {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
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
        self.inner.get_mut()
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
