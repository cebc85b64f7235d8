//! Kept-alive HTTP connections to every address of every api, each for 30 s at most.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use pixel_store::Trouble;
use rand::RngExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::wire;
use crate::clock::Clock;
use crate::config::Url;
use crate::telemetry::HopMetrics;
use crate::turns::Turns;

/// How long a connection is used at most; each lives shorter by chance, so that they do not all end together.
const LIFETIME: Duration = Duration::from_secs(30);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the names of the apis are looked up, and the silent ones asked whether they answer again.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(5);
/// How long a silent api has for its answer to a call of nothing.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Connections that wait to be used again.
const IDLE_MAX: usize = 64;
/// An answer's body, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A call as it is sent, to whichever api.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) body: Bytes,
    pub(super) seal: Arc<str>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nothing was asked.
    NotAsked(String),
    /// It was asked, and may have been done.
    NoAnswer(String),
}

/// An answer as it came.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// What keeps the api from placing, where it says so.
    pub(crate) trouble: Option<Trouble>,
}

/// One connection on which nothing is under way.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    until: Instant,
}

/// Where the apis are.
#[derive(Default)]
struct Known {
    /// Every address of every URL, as it was found last.
    addresses: Vec<SocketAddr>,
    /// Those of them that could not be connected to, or did not answer what another did: asked last,
    /// until they answer again.
    silent: HashSet<SocketAddr>,
}

pub(super) struct Connections {
    urls: Vec<Url>,
    known: Mutex<Known>,
    idle: Mutex<Vec<Kept>>,
    turns: Turns,
    /// A call of nothing.
    probe: Call,
    metrics: HopMetrics,
    clock: Clock,
}

impl Connections {
    /// Opens none yet; looks the names up for as long as somebody holds it.
    pub(super) fn open(urls: Vec<Url>, probe: Call, metrics: HopMetrics, clock: Clock) -> Arc<Self> {
        let connections = Arc::new(Self {
            urls,
            known: Mutex::default(),
            idle: Mutex::default(),
            turns: Turns::default(),
            probe,
            metrics,
            clock,
        });
        tokio::spawn(keep_looking_up(Arc::downgrade(&connections)));
        connections
    }

    /// Every address, in the order in which they are to be asked; none where no name has one.
    pub(super) async fn in_turn(&self) -> Vec<SocketAddr> {
        if self.known().addresses.is_empty() {
            self.look_up().await;
        }
        let known = self.known();
        let order = self.turns.order(&known.addresses, |address| known.silent.contains(address));
        order.into_iter().copied().collect()
    }

    /// Asks the api at this address, for as long as the caller waits.
    pub(super) async fn ask(&self, address: SocketAddr, call: &Call) -> Result<Answered, Unanswered> {
        let mut kept = match self.take_idle(address) {
            Some(kept) => kept,
            None => self.dial(address).await.map_err(|failure| {
                self.note_silent(address);
                Unanswered::NotAsked(format!("{address}: {failure}"))
            })?,
        };
        let request = Request::post(wire::PATH)
            .header("host", address.to_string())
            .header(wire::SEAL, &*call.seal)
            .body(Full::new(call.body.clone()))
            .expect("its parts are plain");
        let began = self.clock.now();
        let exchange = async {
            let response = kept.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let word = head.headers.get(wire::TROUBLE).and_then(|word| word.to_str().ok());
            let trouble = word.and_then(Trouble::from_word);
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok::<_, hyper::Error>((head.status, trouble, body))
        };
        let answered = exchange.await;
        self.metrics.seconds.observe(self.clock.now().duration_since(began).as_secs_f64());
        match answered {
            Ok((status, trouble, Ok(body))) => {
                self.give_back(kept);
                self.note_answered(address);
                Ok(Answered { status, body: body.to_bytes(), trouble })
            }
            Ok((_, _, Err(broken))) => Err(Unanswered::NoAnswer(broken.to_string())),
            Err(broken) => {
                self.drop_idle(address);
                // A request that never left the process was not asked.
                let why = broken.to_string();
                Err(if broken.is_canceled() { Unanswered::NotAsked(why) } else { Unanswered::NoAnswer(why) })
            }
        }
    }

    /// Another answered what this one did not, or it cannot be reached: it is asked last from now on.
    pub(super) fn note_silent(&self, address: SocketAddr) {
        // What is open to it may wait for ever, too.
        self.drop_idle(address);
        let mut known = self.known();
        if known.silent.insert(address) {
            warn!("the api at {address} does not answer: it is asked last until it does");
            self.count(&known);
        }
    }

    fn note_answered(&self, address: SocketAddr) {
        let mut known = self.known();
        if known.silent.remove(&address) {
            info!("the api at {address} answers again");
            self.count(&known);
        }
    }

    /// Asks those that are silent whether they answer again, so that no placement has to.
    async fn probe(&self) {
        let silent: Vec<SocketAddr> = self.known().silent.iter().copied().collect();
        for address in silent {
            if timeout(PROBE_TIMEOUT, self.ask(address, &self.probe)).await.is_err() {
                debug!("the api at {address} is still silent");
            }
        }
    }

    fn take_idle(&self, address: SocketAddr) -> Option<Kept> {
        let now = self.clock.tokio();
        let mut idle = self.idle();
        idle.retain(|kept| kept.until > now && !kept.sender.is_closed());
        let place = idle.iter().position(|kept| kept.address == address && kept.sender.is_ready())?;
        Some(idle.swap_remove(place))
    }

    async fn dial(&self, address: SocketAddr) -> Result<Kept, String> {
        let dial = async {
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())
        };
        let (mut sender, connection) =
            timeout(CONNECT_TIMEOUT, dial).await.map_err(|_| "it does not answer".to_owned())??;
        tokio::spawn(async move {
            if let Err(broken) = connection.await {
                debug!(error = %broken, "a connection to an api ended");
            }
        });
        sender.ready().await.map_err(|error| error.to_string())?;
        let lifetime = LIFETIME.mul_f64(rand::rng().random_range(0.5..1.0));
        Ok(Kept { sender, address, until: self.clock.tokio() + lifetime })
    }

    fn give_back(&self, kept: Kept) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(kept);
        }
    }

    /// One connection broke: the others to that address did too, most likely.
    fn drop_idle(&self, address: SocketAddr) {
        self.idle().retain(|kept| kept.address != address);
    }

    /// Looks every name up; how many addresses are known.
    async fn look_up(&self) -> usize {
        let mut found = Vec::new();
        for url in &self.urls {
            match tokio::net::lookup_host((url.host.as_str(), url.port)).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => debug!(%error, "{} has no address", url.host),
            }
        }
        found.sort_unstable();
        found.dedup();
        let mut known = self.known();
        // What was found before is better than nothing.
        if !found.is_empty() && known.addresses != found {
            debug!(apis = found.len(), "the apis are at {found:?}");
            known.silent.retain(|address| found.contains(address));
            known.addresses = found;
        }
        self.count(&known);
        known.addresses.len()
    }

    fn count(&self, known: &Known) {
        self.metrics.addresses.set(i64::try_from(known.addresses.len()).unwrap_or(i64::MAX));
        self.metrics.silent.set(i64::try_from(known.silent.len()).unwrap_or(i64::MAX));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_looking_up(connections: Weak<Connections>) {
    let mut missing = false;
    loop {
        let Some(connections) = connections.upgrade() else { return };
        let found = connections.look_up().await;
        if found == 0 && !missing {
            warn!("no name of --api-url has an address: placements are refused until one has");
        }
        missing = found == 0;
        connections.probe().await;
        drop(connections);
        sleep(LOOK_UP_INTERVAL).await;
    }
}
