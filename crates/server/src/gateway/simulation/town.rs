//! Where everything stands: gateways as processes that live and die, and the ways to reach them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::http::{Request, header};
use bytes::Bytes;
use pixel_canvas::{CanvasId, ChunkId, Epoch, Sequence};
use pixel_protocol::{binary, json};
use pixel_store::Store;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::apis::Apis;
use super::store::{Link, Storage};
use super::voices::Voices;
use super::wire::Line;
use super::world::World;
use crate::address::{AddressConnections, TrustedProxies};
use crate::clock::Clock;
use crate::gateway::connection::Socket;
use crate::gateway::fanout::Bounds;
use crate::gateway::session::Dialect;
use crate::gateway::sweep::{Inbox, READ_BUFFER_BYTES, Sweeper, Tools, Wake};
use crate::gateway::{Gateway, Needs, over, tools, upgrade};
use crate::identity::{HostToken, Identities, IdentityKey};
use crate::origin::Origins;
use crate::placing::Placer;
use crate::telemetry::Metrics;

/// How long a read of a chunk waits for the sequence that it must have, as the api does.
const SINCE_WAIT: Duration = Duration::from_secs(2);
/// How old a copy may be that a cache on the way still gives out.
const EDGE_KEPT: Duration = Duration::from_secs(10);
/// How often one does, in percent.
const EDGE_PERCENT: u64 = 30;
/// Where everybody comes from.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// One gateway's process.
pub(super) struct Process {
    pub(super) gateway: Arc<Gateway>,
    pub(super) link: Link,
    pub(super) lines: Arc<Mutex<Vec<Line>>>,
    wake: Arc<Notify>,
    /// One upgrade at a time: whose turn is next when a canvas is ready is not to be left to chance.
    door: Arc<tokio::sync::Mutex<()>>,
    /// It is about to end: nobody is let in.
    drains: bool,
    sweeping: AbortHandle,
}

/// One chunk as somebody loaded it.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) epoch: Epoch,
    pub(super) sequence: Sequence,
    pub(super) pixels: Arc<Vec<u8>>,
}

/// A copy that a cache on the way keeps, by what was asked for.
struct Kept {
    chunk: ChunkId,
    since: Sequence,
    at: Instant,
    loaded: Loaded,
}

/// Everything but the clients.
pub(super) struct Town {
    pub(super) world: Arc<World>,
    pub(super) storage: Arc<Storage>,
    pub(super) identities: Arc<Identities>,
    pub(super) processes: Mutex<Vec<Option<Process>>>,
    /// Between gateways and the store; none where all of it is one process.
    pub(super) apis: Option<Arc<Apis>>,
    voices: Voices,
    bounds: Bounds,
    metrics: Metrics,
    edge: Mutex<Vec<Kept>>,
    /// The api's own way to the store, for what clients load.
    api: Link,
}

impl Town {
    /// So many gateways, over so many apis; without any, each gateway is a process with an api of its own.
    pub(super) fn new(storage: Arc<Storage>, gateways: usize, apis: usize, bounds: Bounds) -> Arc<Self> {
        let world = Arc::clone(&storage.world);
        let identities = Arc::new(Identities::new(IdentityKey([7; 32]), HostToken::new(None)));
        let start = || Apis::new(Arc::clone(&storage), Arc::clone(&identities), apis);
        let town = Arc::new(Self {
            api: Link::new(Arc::clone(&storage)),
            apis: (apis > 0).then(start),
            voices: Voices::new(Arc::clone(&world)),
            bounds,
            identities,
            processes: Mutex::default(),
            metrics: Metrics::new("simulated", Clock.unix()),
            edge: Mutex::default(),
            world,
            storage,
        });
        let all = (0..gateways).map(|_| Some(town.start())).collect();
        *town.processes() = all;
        town
    }

    pub(super) fn processes(&self) -> MutexGuard<'_, Vec<Option<Process>>> {
        self.processes.lock().expect("no run goes on after a panic")
    }

    /// Starts a gateway.
    pub(super) fn start(&self) -> Process {
        let link = Link::new(Arc::clone(&self.storage));
        let store: Arc<dyn Store> = Arc::new(link.clone());
        let metrics = self.metrics.placing.clone();
        let placer = match &self.apis {
            Some(apis) => Placer::over(Arc::new(apis.way()), metrics, Clock),
            None => Placer::new(Arc::clone(&store), metrics, Clock),
        };
        let needs = Needs {
            placer,
            store,
            identities: Arc::clone(&self.identities),
            origins: Arc::new(Origins::default()),
            proxies: Arc::new(TrustedProxies::default()),
            addresses: AddressConnections::new(1_000),
            metrics: self.metrics.gateway.clone(),
            clock: Clock,
            sweep_interval: Duration::from_millis(16),
            threads: 1,
        };
        let wake = Arc::new(Notify::new());
        let inbox = Inbox::new(Wake::Simulated(Arc::clone(&wake)));
        let poll = mio::Poll::new().expect("the machine has descriptors left");
        let registry = poll.registry().try_clone().expect("the machine has descriptors left");
        let sweeper = Sweeper::new(
            registry,
            inbox.clone(),
            Tools { bounds: self.bounds, ..tools(&needs) },
            self.world.number(),
        );
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sweeping = tokio::spawn(sweep(sweeper, Arc::clone(&lines), Arc::clone(&wake))).abort_handle();
        let gateway = over(Arc::new([inbox]), needs, Some(self.voices.join()), self.world.number());
        Process { gateway, link, lines, wake, door: Arc::default(), drains: false, sweeping }
    }

    /// Kills a gateway: its connections break, or, where the whole machine goes, fall silent.
    pub(super) fn kill(&self, index: usize) {
        let Some(process) = self.processes()[index].take() else { return };
        let silently = self.world.chance(30);
        self.world.note(format_args!("gateway {index} is killed, silently: {silently}"));
        process.link.dead.store(true, Ordering::Relaxed);
        if silently {
            process.lines().iter().for_each(Line::silence);
        }
        process.sweeping.abort();
        process.gateway.broadcasts().abort_all();
    }

    /// Asks a gateway to end: it closes its connections, and is gone then.
    pub(super) async fn drain(&self, index: usize) {
        let gateway = {
            let mut processes = self.processes();
            let Some(process) = processes[index].as_mut().filter(|process| !process.drains) else { return };
            process.drains = true;
            Arc::clone(&process.gateway)
        };
        self.world.note(format_args!("gateway {index} drains"));
        gateway.drain().await;
        let mut processes = self.processes();
        // It may have been killed, and another started in its place.
        if processes[index].as_ref().is_some_and(|process| process.drains) {
            let process = processes[index].take().expect("it was looked at");
            process.link.dead.store(true, Ordering::Relaxed);
            process.sweeping.abort();
            self.world.note(format_args!("gateway {index} has drained"));
        }
    }

    /// Opens a socket at some gateway.
    pub(super) async fn connect(&self, dialect: Dialect, token: &str) -> Option<Line> {
        sleep(self.world.ms(1..20)).await;
        let (gateway, lines, wake, door) = {
            let processes = self.processes();
            let index = self.world.below(processes.len() as u64) as usize;
            let process = processes[index].as_ref()?;
            let Process { gateway, lines, wake, door, .. } = process;
            (Arc::clone(gateway), Arc::clone(lines), Arc::clone(wake), Arc::clone(door))
        };
        let subprotocol = match dialect {
            Dialect::Binary => binary::SUBPROTOCOL,
            Dialect::Json => json::SUBPROTOCOL,
        };
        let request = Request::get("/ws")
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(header::SEC_WEBSOCKET_PROTOCOL, subprotocol)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(())
            .expect("its parts are plain");
        let admitted = upgrade::admit(&gateway, HOME, &request).ok()?;
        let _turn = door.lock().await;
        let channel = gateway.channel(&admitted.canvas).await.ok().flatten()?;
        let capacity = 1 << (10 + self.world.below(8));
        let least = self.world.below(30);
        let latency_ms = (least, least + self.world.below(60));
        let line = Line::new(wake, capacity, latency_ms, self.world.dice_of_its_own());
        lines.lock().expect("no run goes on after a panic").push(line.clone());
        let socket = Socket::Simulated(line.near());
        gateway.least_busy().adopt(admitted.newcomer(socket, Vec::new(), Bytes::new(), channel));
        Some(line)
    }

    /// A chunk at `since` or later, perhaps one that a cache on the way kept.
    pub(super) async fn load(&self, chunk: ChunkId, since: Sequence) -> Option<Loaded> {
        sleep(self.world.ms(1..40)).await;
        let now = Clock.tokio();
        if self.world.chance(2) {
            return None;
        }
        if let Some(copy) = self.copy(chunk, since, now) {
            return Some(copy);
        }
        let canvas = CanvasId::default_canvas();
        loop {
            let view = self.api.view(&canvas, &[chunk]).await.ok().flatten()?;
            if view.position.sequence >= since {
                let pixels = Arc::clone(&view.chunks.first()?.pixels);
                let loaded = Loaded { epoch: view.position.epoch, sequence: view.position.sequence, pixels };
                let copy = Kept { chunk, since, at: now, loaded: loaded.clone() };
                self.edge.lock().expect("no run goes on after a panic").push(copy);
                return Some(loaded);
            }
            if Clock.tokio().duration_since(now) > SINCE_WAIT {
                return None;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Town {
    /// What a cache on the way gives out, where it does.
    fn copy(&self, chunk: ChunkId, since: Sequence, now: Instant) -> Option<Loaded> {
        let mut kept = self.edge.lock().expect("no run goes on after a panic");
        kept.retain(|copy| now.duration_since(copy.at) < EDGE_KEPT);
        let known: Vec<&Loaded> = kept
            .iter()
            .filter(|copy| (copy.chunk, copy.since) == (chunk, since))
            .map(|copy| &copy.loaded)
            .collect();
        let given = !known.is_empty() && self.world.chance(EDGE_PERCENT);
        given.then(|| known[self.world.below(known.len() as u64) as usize].clone())
    }
}

impl Process {
    pub(super) fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().expect("no run goes on after a panic")
    }
}

/// What a sweeping thread's loop is in a simulation: turns, whenever there is something to do.
async fn sweep(mut sweeper: Sweeper, lines: Arc<Mutex<Vec<Line>>>, wake: Arc<Notify>) {
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        let now = Clock.tokio();
        let ready: Vec<_> = {
            let mut lines = lines.lock().expect("no run goes on after a panic");
            let ready = lines.iter().filter_map(|line| line.ready(now)).collect();
            lines.retain(|line| !line.is_over());
            ready
        };
        sweeper.turn(ready.into_iter(), &mut buffer);
        tokio::task::yield_now().await;
        let next_up = {
            let lines = lines.lock().expect("no run goes on after a panic");
            lines.iter().filter_map(Line::next_up).min()
        };
        let timeout = now + sweeper.timeout();
        tokio::select! {
            biased;
            () = wake.notified() => {}
            () = sleep_until(next_up.map_or(timeout, |next| next.min(timeout))) => {}
        }
    }
}
