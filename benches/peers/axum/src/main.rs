//! A gateway as one writes it with axum: a task and a broadcast receiver for each connection, a frame for each pixel.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Pixels on a side of its canvas.
const CANVAS_SIDE: usize = 256;
/// Frames that a slow connection may be behind.
const CHANNEL_FRAMES: usize = 4_096;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToServer {
    PixelUpdate { x: u16, y: u16, color: String, username: Option<String> },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToClient<'a> {
    Connected { message: &'a str },
    PixelUpdated { x: u16, y: u16, color: &'a str, username: &'a str, timestamp: u64 },
}

struct Shared {
    canvas: Mutex<Vec<String>>,
    frames: broadcast::Sender<Utf8Bytes>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("which address to listen on?")?;
    let shared = Shared {
        canvas: Mutex::new(vec!["#FFFFFF".to_owned(); CANVAS_SIDE * CANVAS_SIDE]),
        frames: broadcast::channel(CHANNEL_FRAMES).0,
    };
    let router = Router::new().route("/ws", any(upgrade)).with_state(Arc::new(shared));
    axum::serve(TcpListener::bind(address).await?, router).await?;
    Ok(())
}

async fn upgrade(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        // The client went away: nothing is left to do for it.
        let _ = converse(socket, &shared).await;
    })
}

async fn converse(mut socket: WebSocket, shared: &Shared) -> Result<()> {
    let mut frames = shared.frames.subscribe();
    socket.send(Message::Text(text(&ToClient::Connected { message: "welcome" })?)).await?;
    loop {
        tokio::select! {
            message = socket.recv() => match message.transpose()? {
                Some(Message::Text(text)) => place(shared, serde_json::from_str(&text)?)?,
                Some(_) => {}
                None => return Ok(()),
            },
            frame = frames.recv() => match frame {
                Ok(frame) => socket.send(Message::Text(frame)).await?,
                // What it missed is gone: it has to come back.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return Ok(()),
            },
        }
    }
}

fn place(shared: &Shared, message: ToServer) -> Result<()> {
    let ToServer::PixelUpdate { x, y, color, username } = message;
    let frame = text(&ToClient::PixelUpdated {
        x,
        y,
        color: &color,
        username: username.as_deref().unwrap_or("Anonymous"),
        timestamp: unix_ms(),
    })?;
    let mut canvas = shared.canvas.lock().unwrap_or_else(PoisonError::into_inner);
    *canvas.get_mut(usize::from(y) * CANVAS_SIDE + usize::from(x)).context("outside the canvas")? = color;
    // An error says only that nobody listens.
    let _ = shared.frames.send(frame);
    Ok(())
}

fn text(message: &ToClient<'_>) -> Result<Utf8Bytes> {
    Ok(serde_json::to_string(message)?.into())
}

#[expect(clippy::disallowed_methods, reason = "the time goes into the frame")]
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
