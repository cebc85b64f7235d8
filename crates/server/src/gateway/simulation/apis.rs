//! The apis between gateways and the store: processes that answer calls late, twice over, or never.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use http_body_util::BodyExt;
use pixel_store::Store;
use tokio::time::sleep;
use tower::ServiceExt;

use super::store::{Link, Storage};
use super::world::World;
use crate::api;
use crate::clock::Clock;
use crate::hop::{Answered, Hop, Unanswered, wire};
use crate::identity::Identities;
use crate::origin::Origins;
use crate::placing::Placer;
use crate::telemetry::Metrics;

/// How often a call gets lost on its way to an api, and how often its answer does, in percent.
const LOST_PERCENT: u64 = 3;

/// One api's process.
struct Process {
    port: Router,
    link: Link,
}

/// All of them, and the network in front of them.
pub(super) struct Apis {
    world: Arc<World>,
    storage: Arc<Storage>,
    identities: Arc<Identities>,
    metrics: Metrics,
    processes: Mutex<Vec<Option<Process>>>,
    turn: AtomicU64,
}

impl Apis {
    pub(super) fn new(storage: Arc<Storage>, identities: Arc<Identities>, count: usize) -> Arc<Self> {
        let apis = Arc::new(Self {
            world: Arc::clone(&storage.world),
            storage,
            identities,
            metrics: Metrics::new("simulated", Clock.unix()),
            processes: Mutex::default(),
            turn: AtomicU64::new(0),
        });
        *apis.processes() = (0..count).map(|_| Some(apis.start())).collect();
        apis
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Option<Process>>> {
        self.processes.lock().expect("no run goes on after a panic")
    }

    fn start(&self) -> Process {
        let link = Link::new(Arc::clone(&self.storage));
        let store: Arc<dyn Store> = Arc::new(link.clone());
        let api = api::start(api::Needs {
            placer: Placer::new(Arc::clone(&store), self.metrics.placing.clone(), Clock),
            store,
            identities: Arc::clone(&self.identities),
            origins: Arc::new(Origins::default()),
            proxies: Arc::default(),
            metrics: self.metrics.http.clone(),
            clock: Clock,
            shared_store: true,
        });
        Process { port: api::port_router(api), link }
    }

    /// The way that a gateway's calls take.
    pub(super) fn way(self: &Arc<Self>) -> Hop {
        let apis = Arc::clone(self);
        let carry = Box::new(move |body, seal| {
            let apis = Arc::clone(&apis);
            let carried: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(async move { apis.carry(body, seal).await });
            carried
        });
        Hop::simulated(carry, Arc::clone(&self.identities), self.metrics.hop.clone(), Clock)
    }

    /// Asks the api whose turn it is.
    async fn carry(&self, body: Bytes, seal: String) -> Result<Answered, Unanswered> {
        sleep(self.world.ms(0..6)).await;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let asked = {
            let processes = self.processes();
            let all = processes.len();
            let alive = (0..all).find_map(|step| processes[(turn + step) % all].as_ref());
            alive.map(|process| (process.port.clone(), process.link.clone()))
        };
        let Some((port, link)) = asked else { return Err(Unanswered::NotAsked("no api is there".into())) };
        if self.world.chance(LOST_PERCENT) {
            std::future::pending::<()>().await;
        }
        let request = Request::post(wire::PATH).header(wire::SEAL, seal).body(Body::from(body));
        let request = request.expect("its parts are plain");
        // Whoever gives up does not stop what an api has begun.
        let answering = tokio::spawn(async move {
            let response = port.oneshot(request).await.expect("routers do not fail");
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            Answered { status: head.status, body, trouble: None }
        });
        let abort = answering.abort_handle();
        let answer = tokio::select! {
            biased;
            answer = answering => answer.map_err(|_| Unanswered::NoAnswer("the api broke off".into()))?,
            () = self.died(&link) => {
                abort.abort();
                return Err(Unanswered::NoAnswer("the api is gone".into()));
            }
        };
        if self.world.chance(LOST_PERCENT) {
            std::future::pending::<()>().await;
        }
        sleep(self.world.ms(0..6)).await;
        Ok(answer)
    }

    async fn died(&self, link: &Link) {
        loop {
            let change = self.world.change();
            if link.dead.load(Ordering::Relaxed) {
                return;
            }
            change.await;
        }
    }

    /// Kills one of them, where it runs.
    pub(super) fn kill(&self, choice: u64) -> usize {
        let mut processes = self.processes();
        let index = choice as usize % processes.len();
        if let Some(process) = processes[index].take() {
            self.world.note(format_args!("api {index} is killed"));
            process.link.dead.store(true, Ordering::Relaxed);
        }
        drop(processes);
        self.world.stir();
        index
    }

    /// Starts one of them, where it does not run.
    pub(super) fn restart(&self, index: usize) {
        let mut processes = self.processes();
        if processes[index].is_none() {
            self.world.note(format_args!("api {index} starts"));
            processes[index] = Some(self.start());
        }
    }

    /// All of them run.
    pub(super) fn mend(&self) {
        let all = self.processes().len();
        (0..all).for_each(|index| self.restart(index));
    }
}
