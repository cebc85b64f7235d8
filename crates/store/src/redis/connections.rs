//! Connections to one server: who holds one has it alone, and a doubtful one is not used again.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Durability;
use super::scripts::Script;
use crate::{Condition, StoreError};

/// The most connections for calls; tails have their own besides.
pub(crate) const CONNECTIONS_MAX: usize = 32;
/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_millis(1_000);
/// How long anything may take, connecting and waiting for a connection included.
const CALL_PATIENCE: Duration = Duration::from_millis(1_500);
/// How long replicas may take to confirm, in milliseconds.
const REPLICAS_PATIENCE_MS: u64 = 1_000;
/// Between two looks at the server.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Why a Redis store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL, or what it asks for, is wrong.
    #[error("the address of the Redis server is wrong")]
    Address(#[source] RedisError),
    /// The server answers, and cannot promise what was asked for.
    #[error("{0}")]
    Durability(String),
}

/// Why a connection could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("no connection to the Redis server")]
    Away(#[source] RedisError),
    #[error("the Redis server does not answer")]
    Silent,
    #[error("the Redis server is a replica: it takes no writes")]
    Replica,
    #[error("{0}")]
    Durability(String),
}

/// Why a script has no answer.
#[derive(Debug)]
enum Failure {
    /// Nothing was asked.
    NotAsked(DialError),
    /// The server refused, before the script changed anything.
    Refused(RedisError),
    /// It was asked, and there is no answer; `broken` when the connection was closed.
    Unanswered { why: Box<dyn Error + Send + Sync>, broken: bool },
}

/// The way to a server.
pub(crate) struct Connections {
    client: Client,
    durability: Durability,
    permits: Semaphore,
    idle: Mutex<Vec<MultiplexedConnection>>,
    /// Why the server could not write when it was looked at last; `None` when it could.
    trouble: Mutex<Option<String>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the client: it knows the password.
        f.debug_struct("Connections").field("durability", &self.durability).finish_non_exhaustive()
    }
}

impl Connections {
    pub(crate) fn new(url: &str, password: Option<&str>, durability: Durability) -> Result<Self, OpenError> {
        let info = url.into_connection_info().map_err(OpenError::Address)?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let mut redis = info.redis_settings().clone();
        if let Some(password) = password {
            redis = redis.set_password(password);
        }
        let info = info.set_tcp_settings(tcp).set_redis_settings(redis);
        let client = Client::open(info).map_err(OpenError::Address)?;
        Ok(Self {
            client,
            durability,
            permits: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::default(),
            trouble: Mutex::default(),
        })
    }

    /// Tries to reach the server; an error only when it answers and will not do.
    pub(crate) async fn first_contact(&self) -> Result<(), OpenError> {
        match self.look().await {
            Err(DialError::Durability(why)) => Err(OpenError::Durability(why)),
            looked => {
                self.note(looked.err().map(|error| describe(&error)));
                Ok(())
            }
        }
    }

    /// Looks at the server every second, for [`Connections::condition`]. Never ends.
    pub(crate) async fn watch(&self) {
        loop {
            sleep(WATCH_INTERVAL).await;
            self.note(self.look().await.err().map(|error| describe(&error)));
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Condition::Writable,
            Some(why) => Condition::ReadOnly(why.clone()),
        }
    }

    /// A connection of one's own for reading, on which nothing is limited in time.
    pub(crate) async fn dial(&self) -> Result<MultiplexedConnection, DialError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_PATIENCE))
            .set_response_timeout(None);
        let dial = self.client.get_multiplexed_async_connection_with_config(&config);
        timeout(CALL_PATIENCE, dial).await.map_err(|_| DialError::Silent)?.map_err(DialError::Away)
    }

    /// A connection that hears what is published.
    pub(crate) async fn subscription(&self) -> Result<PubSub, RedisError> {
        self.client.get_async_pubsub().await
    }

    /// Runs a script that changes nothing.
    pub(crate) async fn read(
        &self,
        script: &Script,
        key: &str,
        arguments: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.run(script, key, arguments, None, true).await.map_err(|failure| match failure {
            Failure::NotAsked(error) => StoreError::Unavailable(error.into()),
            Failure::Refused(error) => StoreError::Unavailable(error.into()),
            Failure::Unanswered { why, .. } => StoreError::Unavailable(why),
        })
    }

    /// Runs a script that writes, and waits for what the durability asks. One that is `repeatable`
    /// does no harm when it runs twice.
    pub(crate) async fn write(
        &self,
        script: &Script,
        key: &str,
        arguments: &[Vec<u8>],
        repeatable: bool,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let replicas = match self.durability {
            Durability::Replicated(count) => Some(count),
            Durability::AsConfigured | Durability::Fsync => None,
        };
        self.run(script, key, arguments, replicas, repeatable).await.map_err(|failure| match failure {
            Failure::NotAsked(error) => StoreError::Unavailable(error.into()),
            Failure::Refused(error) => StoreError::Unavailable(error.into()),
            Failure::Unanswered { why, .. } => StoreError::Unknown(why),
        })
    }

    /// Runs one command that is no script: for what lies outside any canvas.
    pub(crate) async fn command<T: redis::FromRedisValue>(
        &self,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        let ask = async {
            let mut connection = self.take().await.map_err(|error| StoreError::Unavailable(error.into()))?.0;
            let answer = command.query_async(&mut connection).await;
            let answer = answer.map_err(|error| StoreError::Unavailable(error.into()))?;
            self.give_back(connection);
            Ok(answer)
        };
        timeout(CALL_PATIENCE, ask).await.unwrap_or(Err(StoreError::Unavailable(DialError::Silent.into())))
    }

    async fn run(
        &self,
        script: &Script,
        key: &str,
        arguments: &[Vec<u8>],
        replicas: Option<u32>,
        repeatable: bool,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let mut asked = false;
        let run = async {
            let _permit = self.permits.acquire().await.expect("it is never closed");
            loop {
                let (connection, used_before) = self.take().await.map_err(Failure::NotAsked)?;
                asked = true;
                match self.run_on(connection, script, key, arguments, replicas).await {
                    // It may have been broken long since: the server was restarted, say.
                    Err(Failure::Unanswered { broken: true, .. }) if repeatable && used_before => {}
                    answered => return answered,
                }
            }
        };
        match timeout(CALL_PATIENCE, run).await {
            Ok(answered) => answered,
            Err(_) => {
                self.drop_idle();
                Err(if asked {
                    Failure::Unanswered { why: DialError::Silent.into(), broken: false }
                } else {
                    Failure::NotAsked(DialError::Silent)
                })
            }
        }
    }

    async fn run_on(
        &self,
        mut connection: MultiplexedConnection,
        script: &Script,
        key: &str,
        arguments: &[Vec<u8>],
        replicas: Option<u32>,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let unanswered = |error: RedisError| {
            self.drop_idle();
            Failure::Unanswered { broken: error.is_connection_dropped(), why: error.into() }
        };
        let answer = match script.run(&mut connection, key, arguments).await {
            Ok(answer) => answer,
            Err(error) if is_from_server(&error) => {
                self.give_back(connection);
                return Err(Failure::Refused(error));
            }
            Err(error) => return Err(unanswered(error)),
        };
        if let Some(wanted) = replicas {
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
    fn drop_idle(&self) {
        self.lock_idle().clear();
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server answers, takes writes and promises the durability asked for.
    async fn look(&self) -> Result<(), DialError> {
        let look = async {
            loop {
                let (connection, used_before) = self.take().await?;
                match self.look_on(connection).await {
                    // It may have been broken long since.
                    Err(DialError::Away(_)) if used_before => self.drop_idle(),
                    looked => return looked,
                }
            }
        };
        timeout(CALL_PATIENCE, look).await.unwrap_or(Err(DialError::Silent))
    }

    async fn look_on(&self, mut connection: MultiplexedConnection) -> Result<(), DialError> {
        let mut ask = redis::cmd("INFO");
        ask.arg("replication");
        let replication: String = ask.query_async(&mut connection).await.map_err(DialError::Away)?;
        if !replication.contains("role:master") {
            return Err(DialError::Replica);
        }
        self.check_durability(&mut connection).await?;
        self.give_back(connection);
        Ok(())
    }

    /// Under `fsync`, whether the server syncs each write before it answers.
    async fn check_durability(&self, connection: &mut MultiplexedConnection) -> Result<(), DialError> {
        if self.durability != Durability::Fsync {
            return Ok(());
        }
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("appendonly").arg("appendfsync");
        let settings: HashMap<String, String> = ask.query_async(connection).await.map_err(DialError::Away)?;
        let is = |name: &str, wanted: &str| settings.get(name).is_some_and(|value| value == wanted);
        if is("appendonly", "yes") && is("appendfsync", "always") {
            return Ok(());
        }
        let why = "the Redis server does not promise fsync: set appendonly yes and appendfsync always";
        Err(DialError::Durability(why.into()))
    }

    /// Remembers how the server was found, and says so when that changed.
    fn note(&self, found: Option<String>) {
        if found.is_some() {
            self.drop_idle();
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, &found) {
            (None, Some(why)) => warn!(why, "the store cannot be written: {why}"),
            (Some(_), None) => info!("the store can be written again"),
            _ => {}
        }
        *trouble = found;
    }
}

/// Whether the server itself said no: it did not begin, or a script ended before its first write.
fn is_from_server(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// An error with its causes, in one line.
fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
