//! Connections to one server: who holds one has it alone, and a doubtful one is not used again.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, FromRedisValue, RedisError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::address::Node;
use super::scripts::{PROBE, Script};
use super::{Access, Durability};
use crate::Trouble;

/// The most connections for calls; tails have their own besides.
pub(crate) const CONNECTIONS_MAX: usize = 32;
/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_millis(1_000);
/// How long replicas may take to confirm, in milliseconds.
const REPLICAS_PATIENCE_MS: u64 = 1_000;

/// Why a server cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("no connection to the Redis server at {0}{1}")]
    Away(Arc<Node>, Hint, #[source] RedisError),
    #[error("the Redis server does not answer")]
    Silent,
    #[error("the Redis server at {0} is a replica: it takes no writes")]
    Replica(Arc<Node>),
    #[error("the Redis server at {0} takes no writes")]
    Refuses(Arc<Node>, #[source] RedisError),
    #[error("the Redis server at {node} has {online} of the {wanted} replicas that have to confirm")]
    FewReplicas { node: Arc<Node>, online: u32, wanted: u32 },
    #[error("{0}")]
    Durability(&'static str),
    #[error("nobody says which Redis server to ask: {0}")]
    NotFound(String, #[source] Option<RedisError>),
}

impl Unusable {
    /// What it comes from, where its source does not know better.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Away(..) | Self::NotFound(..) => Some(Trouble::Away),
            Self::Silent => Some(Trouble::Silent),
            Self::Replica(_) => Some(Trouble::Replica),
            Self::FewReplicas { .. } => Some(Trouble::FewReplicas),
            Self::Durability(_) => Some(Trouble::Durability),
            Self::Refuses(..) => None,
        }
    }
}

/// What an operator may look at first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hint {
    Nothing,
    /// A plain server waits for the end of a line that never comes.
    IsPlain,
    /// A server with TLS hangs up on who does not greet it so.
    WantsTls,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "",
            Self::IsPlain => " (does it speak TLS? rediss:// is for those that do)",
            Self::WantsTls => " (does it want TLS? then write rediss://)",
        })
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was asked.
    NotAsked(Unusable),
    /// The server refused, before anything changed.
    Refused(RedisError),
    /// It was asked, and there is no answer; `broken` when the connection was closed.
    Unanswered { why: Box<dyn Error + Send + Sync>, broken: bool },
}

/// What is asked of a server in one go.
pub(crate) enum Question<'a> {
    /// To run a script on a key.
    Script { script: &'a Script, key: &'a str, arguments: &'a [Vec<u8>] },
    /// One command.
    Command(&'a redis::Cmd),
}

/// How an answer is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// Whether something is written, and has to be as durable as an acknowledgement.
    pub(crate) writes: bool,
    /// Whether it does no harm when it runs twice.
    pub(crate) repeatable: bool,
}

/// One server.
pub(crate) struct Server {
    node: Arc<Node>,
    client: Client,
    access: Access,
    permits: Semaphore,
    idle: Mutex<Vec<Kept>>,
    /// Raised whenever connections become doubtful: those of before are not used again.
    breaks: AtomicU64,
    /// Replicas online at the last look; at first as many as anybody may want.
    online: AtomicU32,
}

/// A connection on which nothing is under way.
struct Kept {
    connection: MultiplexedConnection,
    /// Where [`Server::breaks`] stood when it was made.
    made: u64,
    /// Whether the server promised the durability asked for.
    promised: bool,
    used_before: bool,
}

impl Server {
    pub(crate) fn new(node: Node, client: Client, access: Access) -> Self {
        Self {
            node: Arc::new(node),
            client,
            access,
            permits: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::default(),
            breaks: AtomicU64::new(0),
            online: AtomicU32::new(u32::MAX),
        }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// A connection of one's own for reading, on which nothing is limited in time.
    pub(crate) async fn dial(&self) -> Result<MultiplexedConnection, Unusable> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_PATIENCE))
            .set_response_timeout(None);
        let dial = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(CONNECT_PATIENCE, dial).await.map_err(|_| Unusable::Silent)?;
        connection.map_err(|error| Unusable::Away(Arc::clone(&self.node), self.hint(&error), error))
    }

    /// What a connection that could not be made may come from.
    fn hint(&self, error: &RedisError) -> Hint {
        let tls = matches!(self.client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
        if tls && error.is_timeout() {
            Hint::IsPlain
        } else if !tls && error.is_connection_dropped() && !error.is_connection_refusal() {
            Hint::WantsTls
        } else {
            Hint::Nothing
        }
    }

    /// A connection that hears what is published.
    pub(crate) async fn subscription(&self) -> Result<PubSub, Unusable> {
        let dial = self.client.get_async_pubsub();
        let subscription = timeout(CONNECT_PATIENCE, dial).await.map_err(|_| Unusable::Silent)?;
        subscription.map_err(|error| self.away(error))
    }

    /// Asks, on a connection that nobody else uses meanwhile. `asked` turns true when it may be
    /// under way or may have happened, and stays so unless the server says that it did not: who
    /// stops waiting looks there.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        question: &Question<'_>,
        terms: Terms,
        asked: &mut bool,
    ) -> Result<T, Failure> {
        let _permit = self.permits.acquire().await.expect("it is never closed");
        if terms.writes {
            // Nobody should see what nobody may acknowledge.
            self.check_replicas().map_err(Failure::NotAsked)?;
        }
        loop {
            let mut kept = self.take().await.map_err(Failure::NotAsked)?;
            if terms.writes {
                self.check_durability(&mut kept).await.map_err(Failure::NotAsked)?;
            }
            let (used_before, before) = (kept.used_before, *asked);
            *asked = true;
            match self.ask_on(kept, question, terms).await {
                // It may have been broken long since: the server was restarted, say.
                Err(Failure::Unanswered { broken: true, .. }) if terms.repeatable && used_before => {}
                Err(refused @ Failure::Refused(_)) => {
                    *asked = before;
                    return Err(refused);
                }
                answered => return answered,
            }
        }
    }

    async fn ask_on<T: FromRedisValue>(
        &self,
        mut kept: Kept,
        question: &Question<'_>,
        terms: Terms,
    ) -> Result<T, Failure> {
        let unanswered = |error: RedisError| {
            self.drop_idle();
            Failure::Unanswered { broken: error.is_connection_dropped(), why: error.into() }
        };
        let connection = &mut kept.connection;
        let answer = match question {
            Question::Script { script, key, arguments } => script.run(connection, key, arguments).await,
            Question::Command(command) => command.query_async(connection).await,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_from_server(&error) => {
                self.give_back(kept);
                return Err(if terms.writes && ended_inside_a_script(&error) {
                    Failure::Unanswered { why: error.into(), broken: false }
                } else {
                    Failure::Refused(error)
                });
            }
            Err(error) => return Err(unanswered(error)),
        };
        if let Some(wanted) = self.replicas_wanted().filter(|_| terms.writes) {
            // On the connection that wrote: WAIT counts replicas that have what it wrote.
            let mut wait = redis::cmd("WAIT");
            wait.arg(wanted).arg(REPLICAS_PATIENCE_MS);
            let confirmed: u32 = wait.query_async(connection).await.map_err(unanswered)?;
            if confirmed < wanted {
                self.give_back(kept);
                let why = format!("{confirmed} of {wanted} replicas confirmed it in time");
                return Err(Failure::Unanswered { why: why.into(), broken: false });
            }
        }
        self.give_back(kept);
        Ok(answer)
    }

    async fn take(&self) -> Result<Kept, Unusable> {
        let idle = self.lock_idle().pop();
        match idle {
            Some(kept) => Ok(kept),
            None => {
                let made = self.breaks.load(Ordering::SeqCst);
                let connection = self.dial().await?;
                Ok(Kept { connection, made, promised: false, used_before: false })
            }
        }
    }

    fn give_back(&self, kept: Kept) {
        let mut idle = self.lock_idle();
        if kept.made == self.breaks.load(Ordering::SeqCst) {
            idle.push(Kept { used_before: true, ..kept });
        }
    }

    /// One connection broke: the others did too, most likely.
    pub(crate) fn drop_idle(&self) {
        let mut idle = self.lock_idle();
        self.breaks.fetch_add(1, Ordering::SeqCst);
        idle.clear();
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it answers, takes writes and promises the durability asked for; answers with how
    /// many replicas it has.
    pub(crate) async fn look(&self) -> Result<u32, Unusable> {
        loop {
            let kept = self.take().await?;
            let used_before = kept.used_before;
            match self.look_on(kept).await {
                // It may have been broken long since.
                Err(Unusable::Away(..)) if used_before => self.drop_idle(),
                looked => return looked,
            }
        }
    }

    async fn look_on(&self, mut kept: Kept) -> Result<u32, Unusable> {
        let mut ask = redis::cmd("INFO");
        ask.arg("replication");
        let info: redis::RedisResult<String> = ask.query_async(&mut kept.connection).await;
        let replication = info.map_err(|error| self.away(error))?;
        if let Access::Write(_) = self.access {
            if !replication.contains("role:master") {
                return Err(Unusable::Replica(Arc::clone(&self.node)));
            }
            // Again, though it promised before: settings change.
            kept.promised = false;
            self.check_durability(&mut kept).await?;
            match PROBE.run::<redis::Value>(&mut kept.connection, "", &[]).await {
                Ok(_) => {}
                Err(error) if is_from_server(&error) => {
                    self.give_back(kept);
                    return Err(Unusable::Refuses(Arc::clone(&self.node), error));
                }
                Err(error) => return Err(self.away(error)),
            }
        }
        self.give_back(kept);
        let online = replication.matches("state=online").count().try_into().unwrap_or(u32::MAX);
        self.online.store(online, Ordering::SeqCst);
        self.check_replicas()?;
        let connected = replication.lines().find_map(|line| line.strip_prefix("connected_slaves:"));
        Ok(connected.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
    }

    /// Under `replicated:N`, whether so many replicas were there at the last look.
    fn check_replicas(&self) -> Result<(), Unusable> {
        let (online, wanted) = (self.online.load(Ordering::SeqCst), self.replicas_wanted().unwrap_or(0));
        if online >= wanted {
            return Ok(());
        }
        Err(Unusable::FewReplicas { node: Arc::clone(&self.node), online, wanted })
    }

    /// How many replicas must have what is written.
    fn replicas_wanted(&self) -> Option<u32> {
        match self.access {
            Access::Write(Durability::Replicated(count)) => Some(count),
            Access::Write(Durability::AsConfigured | Durability::Fsync) | Access::Read => None,
        }
    }

    /// Under `fsync`, whether the server syncs each write before it answers.
    async fn check_durability(&self, kept: &mut Kept) -> Result<(), Unusable> {
        if self.access != Access::Write(Durability::Fsync) || kept.promised {
            return Ok(());
        }
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("appendonly").arg("appendfsync");
        let settings: redis::RedisResult<HashMap<String, String>> =
            ask.query_async(&mut kept.connection).await;
        let settings = settings.map_err(|error| self.away(error))?;
        let is = |name: &str, wanted: &str| settings.get(name).is_some_and(|value| value == wanted);
        kept.promised = is("appendonly", "yes") && is("appendfsync", "always");
        if kept.promised {
            return Ok(());
        }
        self.drop_idle();
        Err(Unusable::Durability(
            "the Redis server does not promise fsync: set appendonly yes and appendfsync always",
        ))
    }

    fn away(&self, error: RedisError) -> Unusable {
        Unusable::Away(Arc::clone(&self.node), Hint::Nothing, error)
    }
}

impl Failure {
    /// Whether another server may hold the key by now.
    pub(crate) fn may_be_elsewhere(&self) -> bool {
        match self {
            Self::NotAsked(error) => {
                matches!(
                    error,
                    Unusable::Away(..) | Unusable::Silent | Unusable::Replica(_) | Unusable::NotFound(..)
                )
            }
            Self::Refused(error) => matches!(
                error.code(),
                Some("MOVED" | "ASK" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "TRYAGAIN")
            ),
            Self::Unanswered { .. } => false,
        }
    }
}

/// Whether the server itself said no.
fn is_from_server(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether a script began and did not end well: the server then names the script. There is no rollback.
fn ended_inside_a_script(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("script: "))
}
