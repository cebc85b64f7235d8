//! The WebSocket gateway: takes upgrades in, follows each canvas' log, and sweeps it out to sockets.
//!
//! Data flows one way: the store's log → [`broadcast`] ([`encode`]s once) → every thread's
//! [`audience`] and its [`fanout`] logs → [`sweep`] (one vectored write a connection).
//! What clients say goes through their [`session`] into calls to the api.

mod audience;
mod broadcast;
mod channel;
mod connection;
mod encode;
mod fanout;
mod fatal;
mod handshake;
mod news;
mod others;
mod pace;
mod presence;
mod session;
mod sweep;
mod upgrade;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use pixel_canvas::{CanvasId, Epoch, Sequence};
use pixel_protocol::PEOPLE_MAX;
use pixel_store::{Position, Store, StoreError};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use self::broadcast::Broadcast;
use self::channel::Channel;
use self::fanout::Bounds;
use self::fatal::EndWithPanic;
pub(crate) use self::handshake::{Door, shortcut};
pub(crate) use self::others::Line;
use self::presence::Roster;
use self::sweep::{Inbox, Tools};
use crate::address::{AddressConnections, TrustedProxies};
use crate::clock::Clock;
use crate::identity::Identities;
use crate::origin::Origins;
use crate::placing::Placer;
use crate::telemetry::GatewayMetrics;

/// The one path of the gateway's port that opens no socket.
const HEALTH_PATH: &str = "/health";
/// The one path that opens a socket where other things are served too.
const SOCKET_PATH: &str = "/ws";
/// How long closes are spread when the gateway drains.
const DRAIN_WINDOW: Duration = Duration::from_secs(2);
/// How long a drain waits for the last connections.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the last word to other gateways has to go out.
const LAST_WORD: Duration = Duration::from_millis(100);
/// How long an upgrade waits for the canvas' log to be read.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a canvas that nobody is at is followed, so that who comes back can resume.
const DESERTED_KEPT: Duration = Duration::from_secs(600);
/// Who holds a channel besides upgrades and one audience a thread: its place here, and its broadcast.
const HOLDERS: usize = 2;
/// How often deserted canvases are looked for.
const DESERTED_LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// What the gateway needs.
pub(crate) struct Needs {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) placer: Placer,
    pub(crate) identities: Arc<Identities>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) proxies: Arc<TrustedProxies>,
    pub(crate) addresses: AddressConnections,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) clock: Clock,
    /// Least time between two sweeps while updates keep coming.
    pub(crate) sweep_interval: Duration,
    /// Threads that sweep; one a core.
    pub(crate) threads: usize,
}

/// How this gateway speaks with those of other processes.
struct Voice {
    /// The number that it gave itself.
    number: u64,
    publish: mpsc::Sender<Vec<u8>>,
}

/// The running gateway.
pub(crate) struct Gateway {
    needs: Needs,
    inboxes: Arc<[Inbox]>,
    channels: Mutex<HashMap<CanvasId, Followed>>,
    broadcasts: Mutex<JoinSet<()>>,
    last_number: AtomicU32,
    draining: AtomicBool,
    /// `None` where there are no other processes.
    voice: Option<Voice>,
    /// The last canvas that was asked for could not be read, and the log says so: those who come back
    /// must not fill the disk.
    unreadable: AtomicBool,
    started: Instant,
}

/// A canvas whose log is followed.
struct Followed {
    channel: Arc<Channel>,
    broadcast: AbortHandle,
    /// Since when nobody is at it, as far as was looked.
    deserted: Option<Instant>,
}

/// Starts the sweeping threads; `others` is the line to gateways of other processes.
pub(crate) fn start(needs: Needs, others: Option<Line>) -> io::Result<Arc<Gateway>> {
    let tools = tools(&needs);
    let inboxes = (0..needs.threads)
        .map(|index| sweep::start(format!("gateway-{index}"), tools.clone(), rand::random()))
        .collect::<io::Result<_>>()?;
    Ok(over(inboxes, needs, others, rand::random()))
}

/// What a sweeping thread works with.
fn tools(needs: &Needs) -> Tools {
    Tools {
        placer: needs.placer.clone(),
        store: Arc::clone(&needs.store),
        identities: Arc::clone(&needs.identities),
        runtime: tokio::runtime::Handle::current(),
        clock: needs.clock,
        metrics: needs.metrics.clone(),
        bounds: Bounds::default(),
    }
}

/// A gateway over threads that sweep; `number` is what others know it by.
fn over(inboxes: Arc<[Inbox]>, needs: Needs, others: Option<Line>, number: u64) -> Arc<Gateway> {
    let gateway = Arc::new(Gateway {
        voice: others.as_ref().map(|line| Voice { number, publish: line.publish.clone() }),
        started: needs.clock.now(),
        needs,
        inboxes,
        channels: Mutex::default(),
        broadcasts: Mutex::default(),
        last_number: AtomicU32::new(0),
        draining: AtomicBool::new(false),
        unreadable: AtomicBool::new(false),
    });
    tokio::spawn(leave_deserted(Arc::downgrade(&gateway)));
    if let Some(line) = others {
        tokio::spawn(others::run(Arc::downgrade(&gateway), number, line));
    }
    gateway
}

/// Lets go of canvases that nobody is at, for as long as the gateway lives.
async fn leave_deserted(gateway: Weak<Gateway>) {
    loop {
        tokio::time::sleep(DESERTED_LOOK_INTERVAL).await;
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.leave_deserted(gateway.needs.clock.now());
    }
}

/// `GET /health`; every other path upgrades.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().route(HEALTH_PATH, get(health)).fallback(upgrade::upgrade).with_state(gateway)
}

/// The upgrade at one path, for an origin that serves other things too.
pub(crate) fn socket_router(gateway: Arc<Gateway>) -> Router {
    Router::new().route(SOCKET_PATH, axum::routing::any(upgrade::upgrade)).with_state(gateway)
}

impl Gateway {
    /// Refuses upgrades and closes every connection with 1012, spread over a short window.
    pub(crate) async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.inboxes.iter().for_each(|inbox| inbox.drain(DRAIN_WINDOW));
        let deadline = self.needs.clock.now() + DRAIN_TIMEOUT;
        while self.connections() > 0 && self.needs.clock.now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if let Some(Voice { number, publish }) = &self.voice {
            others::say(self, *number, publish);
            // The last word may be lost; then the others wait until it no longer counts.
            tokio::time::sleep(LAST_WORD).await;
        }
        // Nobody listens any more, and the store is about to close.
        self.broadcasts().abort_all();
    }

    fn connections(&self) -> usize {
        self.inboxes.iter().map(Inbox::connections).sum()
    }

    /// The thread with the fewest connections.
    fn least_busy(&self) -> &Inbox {
        self.inboxes.iter().min_by_key(|inbox| inbox.connections()).expect("there is at least one thread")
    }

    /// A canvas' channel, its log read; opened at the first call. `None`: there is no such canvas.
    async fn channel(self: &Arc<Self>, id: &CanvasId) -> Result<Option<Arc<Channel>>, StoreError> {
        let known = self.channels().get(id).map(|followed| Arc::clone(&followed.channel));
        let channel = match known {
            Some(channel) => channel,
            None => match self.needs.store.canvas(id).await? {
                Some(canvas) => self.open(canvas),
                None => return Ok(None),
            },
        };
        let mut ready = channel.ready.clone();
        match tokio::time::timeout(READY_TIMEOUT, ready.wait_for(|ready| *ready)).await {
            Ok(Ok(_)) => Ok(Some(channel)),
            Ok(Err(_closed)) => Ok(None),
            Err(late) => Err(StoreError::Unavailable(Box::new(late))),
        }
    }

    /// A canvas' channel, where it can be had without waiting.
    fn ready_channel(&self, id: &CanvasId) -> Option<Arc<Channel>> {
        let channels = self.channels();
        let channel = &channels.get(id)?.channel;
        let is_ready = *channel.ready.borrow();
        is_ready.then(|| Arc::clone(channel))
    }

    fn open(self: &Arc<Self>, canvas: Arc<pixel_canvas::Canvas>) -> Arc<Channel> {
        let mut channels = self.channels();
        if let Some(followed) = channels.get(&canvas.id) {
            return Arc::clone(&followed.channel);
        }
        let id = canvas.id.clone();
        let (canvas_sender, canvas) = watch::channel(canvas);
        let (ready_sender, ready) = watch::channel(false);
        let channel = Arc::new(Channel {
            number: self.last_number.fetch_add(1, Ordering::Relaxed),
            canvas,
            ready,
            roster: Mutex::new(Roster::default()),
            roster_changed: Notify::new(),
        });
        let nowhere = Position { epoch: Epoch(0), sequence: Sequence::ZERO };
        self.inboxes.iter().for_each(|inbox| inbox.open(Arc::clone(&channel), nowhere));
        let broadcast = Broadcast {
            channel: Arc::clone(&channel),
            store: Arc::clone(&self.needs.store),
            inboxes: Arc::clone(&self.inboxes),
            clock: self.needs.clock,
            sweep_interval: self.needs.sweep_interval,
            canvas: canvas_sender,
            ready: ready_sender,
        };
        let (gateway, number, key) = (Arc::downgrade(self), channel.number, id.clone());
        let mut broadcasts = self.broadcasts();
        // Forgets those that have ended.
        while broadcasts.try_join_next().is_some() {}
        let broadcast = broadcasts.spawn(async move {
            let _end = EndWithPanic;
            broadcast.run().await;
            if let Some(gateway) = gateway.upgrade() {
                let mut channels = gateway.channels();
                if channels.get(&id).is_some_and(|followed| followed.channel.number == number) {
                    channels.remove(&id);
                }
            }
        });
        drop(broadcasts);
        channels.insert(key, Followed { channel: Arc::clone(&channel), broadcast, deserted: None });
        channel
    }

    /// Lets go of canvases that nobody has been at for long enough: of their logs, and of their place
    /// in every thread.
    fn leave_deserted(&self, now: Instant) {
        let holders = HOLDERS + self.inboxes.len();
        self.channels().retain(|_, followed| {
            // Under the lock nobody finds it any more; whoever found it before still holds it.
            let deserted = Arc::strong_count(&followed.channel) == holders
                && followed.channel.roster_quietly(|roster| roster.is_empty());
            if !deserted {
                followed.deserted = None;
                return true;
            }
            let since = *followed.deserted.get_or_insert(now);
            if now.saturating_duration_since(since) < DESERTED_KEPT {
                return true;
            }
            followed.broadcast.abort();
            self.inboxes.iter().for_each(|inbox| inbox.close(followed.channel.number));
            false
        });
    }

    fn broadcasts(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.broadcasts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channels(&self) -> std::sync::MutexGuard<'_, HashMap<CanvasId, Followed>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gateway's health, without waiting on anything.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: &'static str,
    connections: usize,
    messages: u64,
    users: Vec<String>,
    uptime_seconds: u64,
}

async fn health(State(gateway): State<Arc<Gateway>>) -> Json<Health> {
    let mut users = Vec::new();
    for followed in gateway.channels().values() {
        let roster = followed.channel.roster.lock().unwrap_or_else(PoisonError::into_inner);
        users.extend(roster.newest().map(|name| name.as_str().to_owned()));
    }
    users.truncate(PEOPLE_MAX);
    Json(Health {
        status: "ok",
        connections: gateway.connections(),
        messages: gateway.needs.metrics.received.get(),
        users,
        uptime_seconds: gateway.needs.clock.now().duration_since(gateway.started).as_secs(),
    })
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use self::simulation::time as simulated_time;
