//! Kept-alive HTTP connections to every address of every api, each for 30 s at most.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rand::RngExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::wire;
use crate::clock::Clock;
use crate::config::Url;
use crate::telemetry::HopMetrics;

/// How long a connection is used; some live shorter, so that they do not all end together.
const LIFETIME: Duration = Duration::from_secs(30);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the names of the apis are looked up.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(5);
/// Connections that wait to be used again.
const IDLE_MAX: usize = 64;
/// An answer's body, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing was asked.
    NotAsked(String),
    /// It was asked, and may have been done.
    NoAnswer(String),
}

/// One connection on which nothing is under way.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    until: Instant,
}

pub(super) struct Connections {
    urls: Vec<Url>,
    /// Every address of every URL, as it was found last.
    addresses: Mutex<Vec<SocketAddr>>,
    idle: Mutex<Vec<Kept>>,
    turn: AtomicUsize,
    metrics: HopMetrics,
    clock: Clock,
}

impl Connections {
    /// Opens none yet; looks the names up for as long as somebody holds it.
    pub(super) fn open(urls: Vec<Url>, metrics: HopMetrics, clock: Clock) -> Arc<Self> {
        let connections = Arc::new(Self {
            urls,
            addresses: Mutex::default(),
            idle: Mutex::default(),
            turn: AtomicUsize::new(0),
            metrics,
            clock,
        });
        tokio::spawn(keep_looking_up(Arc::downgrade(&connections)));
        connections
    }

    /// Asks the api whose turn it is.
    pub(super) async fn ask(
        &self,
        body: Bytes,
        seal: &str,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), Trouble> {
        let mut kept = self.take().await.map_err(Trouble::NotAsked)?;
        let request = Request::post(wire::PATH)
            .header("host", kept.address.to_string())
            .header(wire::SEAL, seal)
            .body(Full::new(body))
            .expect("its parts are plain");
        let began = self.clock.now();
        let exchange = async {
            let response = kept.sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok::<_, hyper::Error>((status, body))
        };
        let answered = timeout(patience, exchange).await;
        self.metrics.seconds.observe(self.clock.now().duration_since(began).as_secs_f64());
        match answered {
            Ok(Ok((status, Ok(body)))) => {
                self.give_back(kept);
                Ok((status, body.to_bytes()))
            }
            Ok(Ok((_, Err(broken)))) => Err(Trouble::NoAnswer(broken.to_string())),
            Ok(Err(broken)) => {
                self.drop_idle(kept.address);
                // A request that never left the process was not asked.
                let why = broken.to_string();
                Err(if broken.is_canceled() { Trouble::NotAsked(why) } else { Trouble::NoAnswer(why) })
            }
            Err(_) => Err(Trouble::NoAnswer(format!("{} does not answer", kept.address))),
        }
    }

    /// A connection to the address whose turn it is, or to another where that one is away.
    async fn take(&self) -> Result<Kept, String> {
        let addresses = self.addresses().clone();
        if addresses.is_empty() {
            let found = self.look_up().await;
            if found == 0 {
                return Err("no name of --api-url has an address".into());
            }
            return Box::pin(self.take()).await;
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut why = String::new();
        for step in 0..addresses.len() {
            let address = addresses[(first + step) % addresses.len()];
            if let Some(kept) = self.take_idle(address) {
                return Ok(kept);
            }
            match self.dial(address).await {
                Ok(kept) => return Ok(kept),
                Err(failure) => why = format!("{address}: {failure}"),
            }
        }
        Err(why)
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

    /// Looks every name up; how many addresses there are.
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
        let mut addresses = self.addresses();
        if found.is_empty() {
            // What was found before is better than nothing.
            return addresses.len();
        }
        if *addresses != found {
            debug!(apis = found.len(), "the apis are at {found:?}");
            *addresses = found;
        }
        self.metrics.addresses.set(i64::try_from(addresses.len()).unwrap_or(i64::MAX));
        addresses.len()
    }

    fn addresses(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
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
        drop(connections);
        sleep(LOOK_UP_INTERVAL).await;
    }
}
