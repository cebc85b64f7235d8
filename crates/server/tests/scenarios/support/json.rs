//! A client of the JSON dialect, as the original's clients are.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tungstenite::Message;

use super::Server;
use super::socket::{Ending, Opening, Socket};

/// One client.
pub struct Json {
    socket: Socket,
    /// What it was greeted with.
    pub connected: Value,
}

impl Json {
    /// A client of the default canvas.
    pub fn open(server: &Server) -> Self {
        Self::open_at(server.gateway(), &Opening::at("/")).expect("the gateway takes clients")
    }

    /// A client of any canvas, with any headers; or the status it was refused with.
    pub fn open_at(gateway: SocketAddr, opening: &Opening) -> Result<Self, u16> {
        Self::greeted(Socket::open(gateway, opening)?)
    }

    /// A client on an open socket.
    pub fn greeted(mut socket: Socket) -> Result<Self, u16> {
        let greeting = socket.hear().map_err(|_| 0_u16)?;
        let connected = parse(greeting.to_text().map_err(|_| 0_u16)?);
        assert_eq!(connected["type"], "connected", "the greeting comes first");
        Ok(Self { socket, connected })
    }

    pub fn epoch(&self) -> &str {
        self.connected["epoch"].as_str().expect("an epoch")
    }

    pub fn sequence(&self) -> u64 {
        self.connected["sequence"].as_u64().expect("a sequence")
    }

    pub fn say(&mut self, message: &Value) -> bool {
        self.say_text(&message.to_string())
    }

    pub fn say_text(&mut self, text: &str) -> bool {
        self.socket.say(Message::text(text))
    }

    pub fn paint(&mut self, x: u16, y: u16, color: &str) -> bool {
        self.say(&json!({"type": "pixel_update", "x": x, "y": y, "color": color}))
    }

    /// Asks for an answer under this number.
    pub fn paint_as(&mut self, x: u16, y: u16, color: &str, reference: u64) -> bool {
        self.say(&json!({"type": "pixel_update", "x": x, "y": y, "color": color, "ref": reference}))
    }

    pub fn resume(&mut self, epoch: &str, sequence: u64) -> bool {
        self.say(&json!({"type": "resume", "epoch": epoch, "sequence": sequence}))
    }

    /// The next message's text, presence left out, or how it ended.
    pub fn try_hear_text(&mut self) -> Result<String, Ending> {
        loop {
            let message = self.socket.hear()?;
            let text = message.to_text().expect("the JSON dialect is text").to_owned();
            if !matches!(parse(&text)["type"].as_str(), Some("stats" | "user_list")) {
                return Ok(text);
            }
        }
    }

    pub fn try_hear(&mut self) -> Result<Value, Ending> {
        self.try_hear_text().map(|text| parse(&text))
    }

    /// The next message, presence left out.
    pub fn hear(&mut self) -> Value {
        self.try_hear().unwrap_or_else(|ending| panic!("the connection ended: {ending:?}"))
    }

    /// The next message of this type, whatever else comes.
    pub fn hear_any(&mut self, kind: &str) -> Value {
        loop {
            let message =
                self.socket.hear().unwrap_or_else(|ending| panic!("no {kind}: it ended: {ending:?}"));
            let message = parse(message.to_text().expect("the JSON dialect is text"));
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// What it is told of what it asked under this number, whatever else comes.
    pub fn answer_to(&mut self, reference: u64) -> Value {
        loop {
            let message = self.hear();
            if message["ref"] == reference {
                return message;
            }
        }
    }

    /// The next message, which is a `pixel_updated`, as it came.
    pub fn update_text(&mut self) -> String {
        let text = self.try_hear_text().unwrap_or_else(|ending| panic!("no update: it ended: {ending:?}"));
        assert_eq!(parse(&text)["type"], "pixel_updated", "{text}");
        text
    }

    pub fn update(&mut self) -> Value {
        parse(&self.update_text())
    }

    /// The next message, which is an `error`.
    pub fn error(&mut self) -> Value {
        let message = self.hear();
        assert_eq!(message["type"], "error", "{message}");
        assert!(!message["message"].as_str().expect("a sentence").is_empty());
        message
    }

    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
}
