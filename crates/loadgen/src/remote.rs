//! The canvas on the server, as HTTP shows it: snapshots, the exported picture, creation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use hyper::{Method, StatusCode};
use pixel_canvas::{Canvas, ChunkId, Epoch, Sequence};

use crate::http::{Answer, request};
use crate::target::Target;

/// One chunk as the server keeps it.
#[derive(Clone)]
pub struct Snapshot {
    /// The epoch it belongs to.
    pub epoch: Epoch,
    /// Exact up to here.
    pub sequence: Sequence,
    /// Row by row.
    pub pixels: Arc<Vec<u8>>,
}

/// A canvas on a server.
pub struct Remote {
    target: Target,
    sockets: Target,
    canvas: String,
    /// The last snapshot of each chunk, which all clients of this process share.
    snapshots: Mutex<HashMap<ChunkId, Snapshot>>,
    /// One client at a time loads a chunk; the others find it loaded.
    loading: tokio::sync::Mutex<()>,
}

impl Remote {
    /// The canvas of this id; `sockets` is where WebSockets are, when that is elsewhere.
    #[must_use]
    pub fn new(target: Target, sockets: Option<Target>, canvas: &str) -> Self {
        Self {
            sockets: sockets.unwrap_or_else(|| target.clone()),
            target,
            canvas: canvas.to_owned(),
            snapshots: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    /// Where WebSockets are.
    #[must_use]
    pub fn sockets(&self) -> &Target {
        &self.sockets
    }

    /// The canvas' id.
    #[must_use]
    pub fn canvas(&self) -> &str {
        &self.canvas
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        request(&self.target, Method::GET, path, None, None).await?.success(path)
    }

    /// A chunk of this epoch, at `since` or later; perhaps one that another client loaded.
    pub async fn snapshot(&self, chunk: ChunkId, epoch: Epoch, since: Sequence) -> Result<Snapshot> {
        let known = || {
            let snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
            snapshots.get(&chunk).filter(|s| s.epoch == epoch && s.sequence >= since).cloned()
        };
        if let Some(snapshot) = known() {
            return Ok(snapshot);
        }
        let _turn = self.loading.lock().await;
        if let Some(snapshot) = known() {
            return Ok(snapshot);
        }
        let snapshot = self.load(chunk, since).await?;
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.insert(chunk, snapshot.clone());
        Ok(snapshot)
    }

    /// A chunk at `since` or later; perhaps one that a cache on the way kept.
    pub async fn load(&self, chunk: ChunkId, since: Sequence) -> Result<Snapshot> {
        let ChunkId { cx, cy } = chunk;
        let path = format!("/api/canvases/{}/chunks/{cx}/{cy}?since={since}", self.canvas);
        let answer = self.get(&path).await?;
        let header = |name: &str| {
            answer.header(name).with_context(|| format!("{path}: the answer has no {name} header"))
        };
        let epoch = Epoch::parse(header("epoch")?).with_context(|| format!("{path}: no epoch"))?;
        let sequence = Sequence(header("sequence")?.parse().with_context(|| format!("{path}: no sequence"))?);
        Ok(Snapshot { epoch, sequence, pixels: Arc::new(answer.body.to_vec()) })
    }

    /// The exported picture of the canvas' upper left corner, at `since` or later.
    pub async fn png(&self, width: u32, height: u32, since: Sequence) -> Result<Vec<u8>> {
        let path = format!("/api/canvases/{}.png?x=0&y=0&w={width}&h={height}&since={since}", self.canvas);
        Ok(self.get(&path).await?.body.to_vec())
    }

    /// Makes the canvas, white and of any colour, unless it is there already.
    pub async fn create(&self, width: u32, height: u32, admin_token: &str) -> Result<()> {
        let body = serde_json::json!({
            "id": self.canvas, "name": self.canvas, "width": width, "height": height, "background": "#FFFFFF",
        });
        let path = "/api/canvases";
        let answer =
            request(&self.target, Method::POST, path, Some(admin_token), Some(body.to_string())).await?;
        if answer.status == StatusCode::CONFLICT {
            return Ok(());
        }
        answer.success("creating the canvas").map(drop)
    }

    /// Fails when the picture does not fit on the canvas.
    pub fn check_fits(&self, canvas: &Canvas, width: u32, height: u32) -> Result<()> {
        let (wide, high) = (canvas.size.width(), canvas.size.height());
        if width > wide || height > high {
            bail!(
                "the picture has {width}×{height} pixels, the canvas {:?} only {wide}×{high}: \
                 name a larger one with --canvas, or make one with --create",
                self.canvas
            );
        }
        Ok(())
    }
}
