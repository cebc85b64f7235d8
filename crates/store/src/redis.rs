//! The store that many processes share: a Redis server, with everything decided in its scripts.
//!
//! A canvas is a hash, a stream that is its log, and a string for each painted chunk's pixels and
//! marks; `redis/common.lua` names the keys. One script decides a whole call and paints it
//! ([`call`], `place.lua`); readers run scripts too, so that what they get is exact at one position.
//! [`servers`] finds the server that holds a canvas and follows it through failovers. Nothing is kept
//! here but connections, what never changes in a canvas' life, and what was acknowledged lately
//! ([`losses`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pixel_canvas::{
    Amendment, Canvas, CanvasId, Chunk, ChunkId, Epoch, Identity, InvalidCanvas, Name, Point, Refusal,
    Timestamp,
};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::{
    Condition, Created, Limits, Listed, Outcome, Overview, Pixel, Position, Restoration, Store, StoreError,
    Submission, Tail, View,
};

mod address;
mod answer;
mod backup;
mod call;
mod entry;
mod essentials;
mod finding;
mod host;
mod identity;
mod line;
mod losses;
mod map;
mod read;
mod scripts;
mod server;
mod servers;
mod shared_reads;
mod tail;

pub use address::{Address, InvalidAddress};
pub use essentials::Essentials;
pub use identity::IDENTITY_KEY_BYTES;
pub use line::{LINE_MESSAGES_MAX, Line};
pub(crate) use server::Unusable;
pub use servers::OpenError;

use answer::{Answer, Status};
use call::Call;
use essentials::Upkeep;
use losses::{History, Losses};
use read::Views;
use scripts::PLACE;
use servers::Servers;
use tail::Followed;

/// How far back a canvas' log reaches, in bytes of entries, unless told otherwise.
pub const RETENTION_BYTES: u64 = 64 << 20;
/// How often something is tried again that another process keeps getting ahead of.
const TRIES_MAX: usize = 16;
/// Between two looks whether what was acknowledged, and what has to be there, still is.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Whatever the server's own persistence gives.
    AsConfigured,
    /// The server's disk: refused by a server that does not sync each write before it answers.
    Fsync,
    /// So many replicas.
    Replicated(u32),
}

/// What a process may do with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read canvases and the identity key, publish and hear what is published: a gateway's rights.
    Read,
    /// Everything; an acknowledgement waits for so much.
    Write(Durability),
}

/// What a Redis store is told when it is opened.
#[derive(Clone)]
pub struct Options {
    /// How often one may place.
    pub limits: Limits,
    /// What this process may do.
    pub access: Access,
    /// In place of the URL's.
    pub password: Option<String>,
    /// The certificate authority to trust with TLS, in PEM; the system's where there is none.
    pub ca: Option<Vec<u8>>,
    /// How far back each canvas' log reaches, in bytes of entries. It is trimmed in steps of a
    /// sixteenth, by the lowest ID to keep, in whole nodes of the stream (`MINID ~`).
    pub retention_bytes: u64,
    /// Where new epochs come from: random, never the same twice.
    pub epochs: Arc<dyn Fn() -> Epoch + Send + Sync>,
    /// For tests alone: the time, in place of the server's clock.
    pub test_clock: Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>,
}

impl Options {
    /// The usual options.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            access: Access::Write(Durability::AsConfigured),
            password: None,
            ca: None,
            retention_bytes: RETENTION_BYTES,
            epochs: Arc::new(|| Epoch(rand::random())),
            test_clock: None,
        }
    }
}

/// A store on a Redis server, shared with every other process that opens it.
#[derive(Debug)]
pub struct Redis {
    shared: Arc<Shared>,
    watch: JoinHandle<()>,
}

/// What the store and its tails share.
pub(crate) struct Shared {
    options: Options,
    servers: Servers,
    losses: Losses,
    /// What this process sees to that it is there; nothing until it says so.
    upkeep: tokio::sync::Mutex<Option<Upkeep>>,
    /// Only what holds for a canvas' whole life, so that it is wrong only when the canvas is gone.
    known: Mutex<HashMap<CanvasId, Arc<Known>>>,
    views: Views,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// A canvas between being made and being deleted.
pub(crate) struct Known {
    /// Tells it from others of the same id.
    life: Vec<u8>,
    /// Name, rules and freeze may have been amended since.
    canvas: Arc<Canvas>,
}

impl Redis {
    /// Opens the store at an address.
    ///
    /// Servers that do not answer yet are waited for in the background: meanwhile whatever is
    /// asked is [`StoreError::Unavailable`]. One that answers, but cannot promise the durability
    /// asked for, is an error where no canvas was ever made; where one was, it is read.
    pub async fn open(address: Address, options: Options) -> Result<Self, OpenError> {
        let address = address.with_password(options.password.clone());
        let servers = Servers::new(address, options.ca.clone(), options.access)?;
        servers.first_contact().await?;
        let shared = Arc::new(Shared {
            options,
            servers,
            losses: Losses::default(),
            upkeep: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            views: Views::default(),
        });
        let watched = Arc::clone(&shared);
        let watch = tokio::spawn(async move {
            tokio::join!(watched.servers.watch(), watched.look_after());
        });
        Ok(Self { shared, watch })
    }

    /// What this store counted.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { lost_placements: self.shared.losses.lost(), replicas: self.shared.servers.replicas() }
    }
}

/// What a Redis store counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Placements that this process acknowledged and that a server restarted or promoted since lacks.
    pub lost_placements: u64,
    /// Replicas that could be promoted; of a cluster, the most that one master has. `None` before a
    /// server was reached.
    pub replicas: Option<u32>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// The hash of a canvas, which every other key of it begins with.
pub(crate) fn canvas_key(id: &CanvasId) -> String {
    format!("pp:{{{id}}}")
}

impl Shared {
    /// What is known of a canvas; asked for once in its life.
    async fn known(&self, id: &CanvasId) -> Result<Option<Arc<Known>>, StoreError> {
        let known = self.remembered().get(id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(known) = self.look_up(id).await? else {
            return Ok(None);
        };
        Ok(Some(self.remembered().entry(id.clone()).or_insert(known).clone()))
    }

    /// Looks every second whether what was acknowledged, and what has to be there, still is. Never ends.
    async fn look_after(&self) {
        loop {
            sleep(LOOK_INTERVAL).await;
            self.compare_what_was_acknowledged().await;
            if let Some(upkeep) = &mut *self.upkeep.lock().await {
                upkeep.look(self).await;
            }
        }
    }

    async fn compare_what_was_acknowledged(&self) {
        for (of, acknowledged) in self.losses.take() {
            match self.history(&of.canvas, &of.life).await {
                Ok(history) => self.losses.compare(of, acknowledged, &history),
                // Said by who looks at the servers.
                Err(_) => self.losses.put_back(of, acknowledged),
            }
        }
    }

    /// What became of a canvas between being made and being deleted.
    async fn history(&self, id: &CanvasId, life: &[u8]) -> Result<History, StoreError> {
        if let Some(Followed { life: now, eras, sequence, .. }) = self.stand(id).await?
            && now == life
        {
            return Ok(History::Stands(eras, sequence));
        }
        let key = canvas_key(id);
        let mut how = redis::cmd("GET");
        how.arg(format!("{key}:{}:deleted", String::from_utf8_lossy(life)));
        let how: Option<Vec<u8>> = self.servers.command(&key, &how).await?;
        Ok(match how.as_deref() {
            Some(b"replaced") => History::Replaced,
            Some(_) => History::Deleted,
            None => History::Vanished,
        })
    }

    /// The canvas is not what it was known to be.
    fn forget(&self, id: &CanvasId) {
        self.remembered().remove(id);
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<CanvasId, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock that scripts go by: empty, for the server's own.
    fn clock(&self) -> Vec<u8> {
        self.options.test_clock.as_ref().map_or(Vec::new(), |clock| clock().0.to_string().into_bytes())
    }

    fn fresh_epoch(&self) -> Vec<u8> {
        (self.options.epochs)().0.to_le_bytes().to_vec()
    }

    /// Places in one run of the script.
    async fn place_call(
        &self,
        id: &CanvasId,
        submissions: &[Submission],
    ) -> Result<Vec<Outcome>, StoreError> {
        for _ in 0..TRIES_MAX {
            let Some(known) = self.known(id).await? else {
                break;
            };
            let call = Call::new(&known.canvas, submissions);
            let mut arguments = vec![
                known.life.clone(),
                self.fresh_epoch(),
                self.clock(),
                self.options.retention_bytes.to_string().into_bytes(),
            ];
            call.put_arguments(&self.options.limits, &mut arguments);
            // With a key for each, it can be sent again when a connection breaks.
            let repeatable = submissions.iter().all(|submission| submission.key.is_some());
            let answer = self.servers.write(&PLACE, &canvas_key(id), &arguments, repeatable).await?;
            match Answer::parse(answer)? {
                (Status::Done, answer) => {
                    let outcomes = call.outcomes(answer)?;
                    self.losses.acknowledge(id, &known.life, outcomes.iter().filter_map(Outcome::accepted));
                    return Ok(outcomes);
                }
                (Status::Moved | Status::Gone, _) => self.forget(id),
            }
        }
        Ok(vec![Outcome::Refused(Refusal::NoCanvas); submissions.len()])
    }
}

#[async_trait]
impl Store for Redis {
    async fn canvases(&self) -> Result<Vec<Arc<Canvas>>, StoreError> {
        self.shared.canvases().await
    }

    async fn list(&self, known: &[CanvasId]) -> Listed {
        self.shared.list(known).await
    }

    async fn canvas(&self, id: &CanvasId) -> Result<Option<Arc<Canvas>>, StoreError> {
        Ok(self.shared.look_up(id).await?.map(|known| Arc::clone(&known.canvas)))
    }

    async fn create(&self, canvas: Canvas) -> Result<Created, StoreError> {
        self.shared.create(canvas).await
    }

    async fn amend(
        &self,
        id: &CanvasId,
        amendment: Amendment,
    ) -> Result<Option<Result<Arc<Canvas>, InvalidCanvas>>, StoreError> {
        self.shared.amend(id, &amendment).await
    }

    async fn delete(&self, id: &CanvasId) -> Result<bool, StoreError> {
        self.shared.delete(id).await
    }

    async fn reset(&self, id: &CanvasId) -> Result<Option<Position>, StoreError> {
        self.shared.reset(id).await
    }

    async fn place(&self, id: &CanvasId, call: Vec<Submission>) -> Result<Vec<Outcome>, StoreError> {
        self.shared.place_call(id, &call).await
    }

    async fn position(&self, id: &CanvasId) -> Result<Option<Position>, StoreError> {
        Ok(self.shared.overview(id, false).await?.map(|overview| overview.position))
    }

    async fn view(&self, id: &CanvasId, chunks: &[ChunkId]) -> Result<Option<View>, StoreError> {
        self.shared.view(id, chunks).await
    }

    async fn pixel(&self, id: &CanvasId, at: Point) -> Result<Option<Pixel>, StoreError> {
        self.shared.pixel(id, at).await
    }

    async fn overview(&self, id: &CanvasId) -> Result<Option<Overview>, StoreError> {
        self.shared.overview(id, true).await
    }

    async fn tail(&self, id: &CanvasId, after: Position) -> Result<Option<Box<dyn Tail>>, StoreError> {
        tail::open(Arc::clone(&self.shared), id, after).await
    }

    async fn tail_start(&self, id: &CanvasId, bytes: u64) -> Result<Option<Position>, StoreError> {
        self.shared.tail_start(id, bytes).await
    }

    async fn copy(
        &self,
        id: &CanvasId,
        chunk: ChunkId,
    ) -> Result<Option<(Position, Option<Chunk>)>, StoreError> {
        self.shared.copy(id, chunk).await
    }

    async fn authors(&self, id: &CanvasId) -> Result<Option<Vec<(Identity, Name)>>, StoreError> {
        self.shared.authors(id).await
    }

    async fn restore(&self, restoration: Restoration<'_>) -> Result<Created, StoreError> {
        self.shared.restore(restoration).await
    }

    fn condition(&self) -> Condition {
        self.shared.servers.condition()
    }

    fn condition_of(&self, id: &CanvasId) -> Condition {
        self.shared.servers.condition_of(&canvas_key(id))
    }

    fn caution(&self) -> Option<String> {
        self.shared.servers.caution()
    }
}
