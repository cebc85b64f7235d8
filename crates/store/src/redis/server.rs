//! Connections to one server: who holds one has it alone, and a doubtful one is not used again.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError};
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

/// Why a server cannot be asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("no connection to the Redis server at {0}")]
    Away(Arc<Node>, #[source] RedisError),
    #[error("the Redis server does not answer")]
    Silent,
    #[error("the Redis server at {0} is a replica: it takes no writes")]
    Replica(Arc<Node>),
    #[error("the Redis server at {0} takes no writes")]
    Refuses(Arc<Node>, #[source] RedisError),
    #[error("{0}")]
    Durability(&'static str),
    #[error("nobody says which Redis server to ask: {0}")]
    NotFound(String),
}

impl DialError {
    /// What it comes from, where its source does not know better.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Away(..) | Self::NotFound(_) => Some(Trouble::Away),
            Self::Silent => Some(Trouble::Silent),
            Self::Replica(_) => Some(Trouble::Replica),
            Self::Durability(_) => Some(Trouble::Durability),
            Self::Refuses(..) => None,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was asked.
    NotAsked(DialError),
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
    /// How many replicas must have what was written.
    pub(crate) replicas: Option<u32>,
    /// Whether it does no harm when it runs twice.
    pub(crate) repeatable: bool,
}

/// One server.
pub(crate) struct Server {
    node: Arc<Node>,
    client: Client,
    access: Access,
    permits: Semaphore,
    idle: Mutex<Vec<MultiplexedConnection>>,
}

impl Server {
    pub(crate) fn new(node: Node, client: Client, access: Access) -> Self {
        let permits = Semaphore::new(CONNECTIONS_MAX);
        Self { node: Arc::new(node), client, access, permits, idle: Mutex::default() }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// A connection of one's own for reading, on which nothing is limited in time.
    pub(crate) async fn dial(&self) -> Result<MultiplexedConnection, DialError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_PATIENCE))
            .set_response_timeout(None);
        let dial = self.client.get_multiplexed_async_connection_with_config(&config);
        let away = |error| DialError::Away(Arc::clone(&self.node), error);
        timeout(CONNECT_PATIENCE, dial).await.map_err(|_| DialError::Silent)?.map_err(away)
    }

    /// A connection that hears what is published.
    pub(crate) async fn subscription(&self) -> Result<PubSub, DialError> {
        let away = |error| DialError::Away(Arc::clone(&self.node), error);
        let dial = self.client.get_async_pubsub();
        timeout(CONNECT_PATIENCE, dial).await.map_err(|_| DialError::Silent)?.map_err(away)
    }

    /// Asks, on a connection that nobody else uses meanwhile. `asked` turns true when it may be
    /// under way: who stops waiting looks there.
    pub(crate) async fn ask<T: redis::FromRedisValue>(
        &self,
        question: &Question<'_>,
        terms: Terms,
        asked: &mut bool,
    ) -> Result<T, Failure> {
        let _permit = self.permits.acquire().await.expect("it is never closed");
        loop {
            let (connection, used_before) = self.take().await.map_err(Failure::NotAsked)?;
            *asked = true;
            match self.ask_on(connection, question, terms).await {
                // It may have been broken long since: the server was restarted, say.
                Err(Failure::Unanswered { broken: true, .. }) if terms.repeatable && used_before => {}
                answered => return answered,
            }
        }
    }

    async fn ask_on<T: redis::FromRedisValue>(
        &self,
        mut connection: MultiplexedConnection,
        question: &Question<'_>,
        terms: Terms,
    ) -> Result<T, Failure> {
        let unanswered = |error: RedisError| {
            self.drop_idle();
            Failure::Unanswered { broken: error.is_connection_dropped(), why: error.into() }
        };
        let answer = match question {
            Question::Script { script, key, arguments } => script.run(&mut connection, key, arguments).await,
            Question::Command(command) => command.query_async(&mut connection).await,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_from_server(&error) => {
                self.give_back(connection);
                return Err(Failure::Refused(error));
            }
            Err(error) => return Err(unanswered(error)),
        };
        if let Some(wanted) = terms.replicas {
            // On the connection that wrote: WAIT counts replicas that have what it wrote.
            let mut wait = redis::cmd("WAIT");
            wait.arg(wanted).arg(REPLICAS_PATIENCE_MS);
            let confirmed: u32 = wait.query_async(&mut connection).await.map_err(unanswered)?;
            if confirmed < wanted {
                self.give_back(connection);
                let why = format!("{confirmed} of {wanted} replicas confirmed it in time");
                return Err(Failure::Unanswered { why: why.into(), broken: false });
            }
        }
        self.give_back(connection);
        Ok(answer)
    }

    /// A connection, and whether it was used before.
    async fn take(&self) -> Result<(MultiplexedConnection, bool), DialError> {
        let idle = self.lock_idle().pop();
        match idle {
            Some(connection) => Ok((connection, true)),
            None => {
                let mut connection = self.dial().await?;
                self.check_durability(&mut connection).await?;
                Ok((connection, false))
            }
        }
    }

    /// Takes back a connection on which nothing is under way.
    fn give_back(&self, connection: MultiplexedConnection) {
        self.lock_idle().push(connection);
    }

    /// One connection broke: the others did too, most likely.
    pub(crate) fn drop_idle(&self) {
        self.lock_idle().clear();
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it answers, takes writes and promises the durability asked for; answers with how
    /// many replicas it has.
    pub(crate) async fn look(&self) -> Result<u32, DialError> {
        loop {
            let (connection, used_before) = self.take().await?;
            match self.look_on(connection).await {
                // It may have been broken long since.
                Err(DialError::Away(..)) if used_before => self.drop_idle(),
                looked => return looked,
            }
        }
    }

    async fn look_on(&self, mut connection: MultiplexedConnection) -> Result<u32, DialError> {
        let away = |error| DialError::Away(Arc::clone(&self.node), error);
        let mut ask = redis::cmd("INFO");
        ask.arg("replication");
        let replication: String = ask.query_async(&mut connection).await.map_err(away)?;
        if let Access::Write(_) = self.access {
            if !replication.contains("role:master") {
                return Err(DialError::Replica(Arc::clone(&self.node)));
            }
            self.check_durability(&mut connection).await?;
            match PROBE.run::<redis::Value>(&mut connection, "", &[]).await {
                Ok(_) => {}
                Err(error) if is_from_server(&error) => {
                    self.give_back(connection);
                    return Err(DialError::Refuses(Arc::clone(&self.node), error));
                }
                Err(error) => return Err(away(error)),
            }
        }
        self.give_back(connection);
        let replicas = replication.lines().find_map(|line| line.strip_prefix("connected_slaves:"));
        Ok(replicas.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
    }

    /// Under `fsync`, whether the server syncs each write before it answers.
    async fn check_durability(&self, connection: &mut MultiplexedConnection) -> Result<(), DialError> {
        if self.access != Access::Write(Durability::Fsync) {
            return Ok(());
        }
        let away = |error| DialError::Away(Arc::clone(&self.node), error);
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("appendonly").arg("appendfsync");
        let settings: HashMap<String, String> = ask.query_async(connection).await.map_err(away)?;
        let is = |name: &str, wanted: &str| settings.get(name).is_some_and(|value| value == wanted);
        if is("appendonly", "yes") && is("appendfsync", "always") {
            return Ok(());
        }
        Err(DialError::Durability(
            "the Redis server does not promise fsync: set appendonly yes and appendfsync always",
        ))
    }
}

impl Failure {
    /// Whether another server may hold the key by now.
    pub(crate) fn may_be_elsewhere(&self) -> bool {
        match self {
            Self::NotAsked(error) => matches!(
                error,
                DialError::Away(..) | DialError::Silent | DialError::Replica(_) | DialError::NotFound(_)
            ),
            Self::Refused(error) => matches!(
                error.code(),
                Some("MOVED" | "ASK" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "TRYAGAIN")
            ),
            Self::Unanswered { .. } => false,
        }
    }
}

/// Whether the server itself said no: it did not begin, or a script ended before its first write.
fn is_from_server(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}
