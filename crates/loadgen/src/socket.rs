//! One WebSocket in either dialect: requests out, events in.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use pixel_canvas::{Canvas, ChunkId, Color, Epoch, Frame, Placement, Sequence};
use pixel_protocol::binary::{self, Hello, Reason};
use pixel_protocol::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::remote::Remote;
use crate::target::Connection;

/// The largest message taken from the server: a frame of a whole chunk has 320 KiB.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Memory that each socket reads into.
const READ_BUFFER_BYTES: usize = 8 * 1_024;
/// What may wait for a server that does not read.
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1_024;
/// How long the handshake and the first message may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Which of the two dialects a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `pixels.v1.bin`
    Binary,
    /// `pixels.v1.json`
    Json,
}

/// What the server said first.
pub enum Greeting {
    /// In the binary dialect.
    Hello(Hello),
    /// In the JSON dialect.
    Connected {
        /// The epoch that holds.
        epoch: Epoch,
        /// Updates begin right after it.
        sequence: Sequence,
    },
}

/// What the server said later.
#[derive(Debug)]
pub enum Event {
    /// Changes of a chunk (binary).
    Frame(Frame),
    /// One placement (JSON).
    Update(Placement, Sequence),
    /// Exact up to here (binary).
    Progress(Epoch, Sequence),
    /// A submission is durable; the key is JSON's `ref`.
    Accepted {
        /// The submission's.
        key: u64,
        /// The sequence of its first placement.
        first: Sequence,
        /// How many placements.
        count: u16,
    },
    /// A submission was refused.
    Refused {
        /// The submission's.
        key: u64,
        /// Why.
        why: Why,
        /// When trying again makes sense; `None`: never as it is.
        retry_after: Option<Duration>,
        /// Why, for people.
        sentence: String,
    },
    /// Chunks to load afresh; none: everything.
    Resync(Epoch, Vec<(ChunkId, Sequence)>),
    /// Load afresh; updates go on after this (JSON).
    ResyncUpdates(Epoch, Sequence),
    /// The answer to a ping with this number (binary).
    Pong(u64),
    /// The server did not understand something.
    NotUnderstood(String),
    /// People, pongs and what else does not matter here.
    Other,
}

/// Why a submission was refused: JSON tells it in words only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// As binary says.
    Reason(Reason),
    /// As JSON says.
    Words,
}

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<Connection>,
    dialect: Dialect,
    canvas: Option<std::sync::Arc<Canvas>>,
}

impl Socket {
    /// Connects and waits for the greeting. `token` says who the client was before.
    pub async fn open(remote: &Remote, dialect: Dialect, token: Option<&str>) -> Result<(Self, Greeting)> {
        let opening = async {
            let mut socket = Self::connect(remote, dialect, token).await?;
            let greeting = socket.greeting().await?;
            Ok((socket, greeting))
        };
        tokio::time::timeout(GREETING_TIMEOUT, opening).await.context("no greeting within 10 s").flatten()
    }

    async fn connect(remote: &Remote, dialect: Dialect, token: Option<&str>) -> Result<Self> {
        let connection = remote.sockets().connect().await?;
        let url = format!("ws://{}/ws?canvas={}", remote.sockets().authority(), remote.canvas());
        let mut request = url.into_client_request()?;
        let headers = request.headers_mut();
        let subprotocol = match dialect {
            Dialect::Binary => binary::SUBPROTOCOL,
            Dialect::Json => json::SUBPROTOCOL,
        };
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.parse()?);
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, format!("Bearer {token}").parse()?);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let upgraded = tokio_tungstenite::client_async_with_config(request, connection, Some(config)).await;
        let (stream, _) = upgraded.map_err(explain)?;
        Ok(Self { stream, dialect, canvas: None })
    }

    async fn greeting(&mut self) -> Result<Greeting> {
        loop {
            match self.message().await? {
                Message::Binary(bytes) => {
                    let palette = pixel_canvas::Palette::TrueColor;
                    if let Some(binary::ToClient::Hello(hello)) = binary::ToClient::decode(&bytes, &palette)?
                    {
                        self.canvas = Some(hello.canvas.clone());
                        return Ok(Greeting::Hello(hello));
                    }
                }
                Message::Text(text) => {
                    if let json::ToClient::Connected { epoch, sequence, .. } = serde_json::from_str(&text)? {
                        return Ok(Greeting::Connected {
                            epoch: parse_epoch(&epoch)?,
                            sequence: Sequence(sequence),
                        });
                    }
                }
                _ => {}
            }
        }
    }

    async fn message(&mut self) -> Result<Message> {
        match self.stream.next().await {
            Some(Ok(Message::Close(Some(close)))) => {
                bail!("closed by the server with {} {}", u16::from(close.code), close.reason)
            }
            Some(Ok(Message::Close(None))) | None => bail!("closed by the server"),
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Waits for what the server says next. Safe to cancel.
    pub async fn next(&mut self) -> Result<Event> {
        match self.message().await? {
            Message::Binary(bytes) => self.binary_event(&bytes),
            Message::Text(text) => json_event(&text),
            _ => Ok(Event::Other),
        }
    }

    fn binary_event(&mut self, bytes: &[u8]) -> Result<Event> {
        let palette = &self.canvas.as_ref().context("a binary message in the JSON dialect")?.palette;
        let Some(message) = binary::ToClient::decode(bytes, palette)? else { return Ok(Event::Other) };
        Ok(match message {
            binary::ToClient::Hello(hello) => {
                self.canvas = Some(hello.canvas);
                Event::Other
            }
            binary::ToClient::Frame(frame) => Event::Frame(frame),
            binary::ToClient::Progress { epoch, sequence } => Event::Progress(epoch, sequence),
            binary::ToClient::Accepted { key, first, count, .. } => Event::Accepted { key, first, count },
            binary::ToClient::Refused { key, reason, retry_after_ms, sentence } => {
                let retry_after = retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
                Event::Refused { key, why: Why::Reason(reason), retry_after, sentence }
            }
            binary::ToClient::Resync { epoch, chunks } => Event::Resync(epoch, chunks),
            binary::ToClient::Pong { echo, .. } => Event::Pong(u64::from_le_bytes(echo)),
            binary::ToClient::Error(sentence) => Event::NotUnderstood(sentence),
            _ => Event::Other,
        })
    }

    async fn send(&mut self, message: &binary::ToServer<'_>, canvas: &Canvas) -> Result<()> {
        let mut bytes = Vec::new();
        message.encode(canvas, &mut bytes);
        Ok(self.stream.send(Message::Binary(bytes.into())).await?)
    }

    /// Submits placements under a key. In the JSON dialect there is exactly one.
    pub async fn submit(&mut self, canvas: &Canvas, key: u64, placements: &[Placement]) -> Result<()> {
        match self.dialect {
            Dialect::Binary => {
                let placements = Ok(placements.to_vec());
                self.send(&binary::ToServer::Submit { key, placements }, canvas).await
            }
            Dialect::Json => {
                let &[Placement { at, color }] = placements else {
                    bail!("the JSON dialect places one pixel at a time");
                };
                let (x, y) = (at.x, at.y);
                let text =
                    format!(r#"{{"type":"pixel_update","x":{x},"y":{y},"color":"{color}","ref":{key}}}"#);
                Ok(self.stream.send(Message::text(text)).await?)
            }
        }
    }

    /// Views chunks from where they are held (binary).
    pub async fn subscribe(
        &mut self,
        canvas: &Canvas,
        epoch: Epoch,
        held: &[(ChunkId, Sequence)],
    ) -> Result<()> {
        for chunks in held.chunks(pixel_protocol::SUBSCRIBE_CHUNKS_MAX) {
            let chunks = chunks.to_vec();
            self.send(&binary::ToServer::Subscribe { epoch, chunks }, canvas).await?;
        }
        Ok(())
    }

    /// Asks for what came after a position (JSON).
    pub async fn resume(&mut self, epoch: Epoch, sequence: Sequence) -> Result<()> {
        let text = format!(r#"{{"type":"resume","epoch":"{epoch}","sequence":{sequence}}}"#);
        Ok(self.stream.send(Message::text(text)).await?)
    }

    /// Shows that this side lives, and makes the other show it.
    pub async fn ping(&mut self, canvas: &Canvas, number: u64) -> Result<()> {
        match self.dialect {
            Dialect::Binary => self.send(&binary::ToServer::Ping(number.to_le_bytes()), canvas).await,
            Dialect::Json => Ok(self.stream.send(Message::text(r#"{"type":"ping"}"#)).await?),
        }
    }

    /// Says goodbye; does not wait for the answer.
    pub async fn close(mut self) {
        // The server may be gone already: there is nobody left to tell.
        let _ = self.stream.close(None).await;
    }
}

fn json_event(text: &str) -> Result<Event> {
    let message: json::ToClient =
        serde_json::from_str(text).with_context(|| format!("not understood: {text}"))?;
    Ok(match message {
        json::ToClient::PixelUpdated { x, y, color, sequence, .. } => {
            let color = Color::parse(&color).with_context(|| format!("{color:?} is no colour"))?;
            Event::Update(Placement { at: pixel_canvas::Point { x, y }, color }, Sequence(sequence))
        }
        json::ToClient::Accepted { reference, sequence } => {
            let key = reference.as_u64().context("an answer to a ref that was not sent")?;
            Event::Accepted { key, first: Sequence(sequence), count: 1 }
        }
        json::ToClient::Resync { epoch, sequence } => {
            Event::ResyncUpdates(parse_epoch(&epoch)?, Sequence(sequence))
        }
        json::ToClient::Error { message, reference, retry_after } => {
            match reference.as_ref().and_then(serde_json::Value::as_u64) {
                Some(key) => {
                    let retry_after = retry_after.and_then(|s| Duration::try_from_secs_f64(s).ok());
                    Event::Refused { key, why: Why::Words, retry_after, sentence: message }
                }
                // The server's own trouble, told to everybody.
                None if retry_after.is_some() => Event::Other,
                None => Event::NotUnderstood(message),
            }
        }
        _ => Event::Other,
    })
}

fn parse_epoch(text: &str) -> Result<Epoch> {
    Epoch::parse(text).with_context(|| format!("{text:?} is no epoch"))
}

/// A refused upgrade says in its body why.
fn explain(error: tungstenite::Error) -> anyhow::Error {
    match error {
        tungstenite::Error::Http(answer) => {
            let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            anyhow!(
                "the upgrade was answered with {}: {}",
                answer.status(),
                body.chars().take(300).collect::<String>()
            )
        }
        other => other.into(),
    }
}
