//! The way to whichever server holds a key, through failovers; and whether there is one.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::{MultiplexedConnection, PubSub};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::address::{Address, InvalidAddress, Kind, Node, Peer};
use super::finding::find;
use super::map::{Map, Told};
use super::scripts::Script;
use super::server::{DialError, Failure, Question, Server, Terms};
use super::{Access, Durability};
use crate::{Condition, StoreError, Trouble};

/// How long anything may take: finding the server, connecting and waiting for a connection included.
const CALL_PATIENCE: Duration = Duration::from_millis(1_500);
/// How often a call follows a key to where it is held now.
const MOVES_MAX: usize = 4;
/// Between two looks at the servers.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// The same while no master is found: so often that a promotion is noticed soon.
const SEARCH_INTERVAL: Duration = Duration::from_millis(250);

/// Why a Redis store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL, or what it asks for, is wrong.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The certificate authority cannot be used.
    #[error("the store's certificate authority is no PEM certificate: write one, or several")]
    Authority,
    /// The server answers, and cannot promise what was asked for.
    #[error("{0}")]
    Durability(&'static str),
}

/// The servers of a store.
pub(crate) struct Servers {
    address: Address,
    /// The authority that is trusted in place of the system's, in PEM.
    ca: Option<Vec<u8>>,
    access: Access,
    /// Held while somebody asks who holds what.
    finding: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
    health: Mutex<Health>,
}

/// Who holds what, as far as is known.
struct Known {
    /// Raised whenever the map changes.
    generation: u64,
    map: Option<Arc<Map>>,
    servers: HashMap<Node, Arc<Server>>,
}

/// How the servers were found when they were looked at last.
struct Health {
    condition: Condition,
    /// How many replicas a master has that could follow it.
    replicas: Option<u32>,
    /// Whether that is more than an acknowledgement waits for.
    risky: bool,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (address, access) = (&self.address, &self.access);
        f.debug_struct("Servers").field("address", address).field("access", access).finish_non_exhaustive()
    }
}

impl Servers {
    pub(crate) fn new(address: Address, ca: Option<Vec<u8>>, access: Access) -> Result<Self, OpenError> {
        // The client library takes the process' cryptography; one that is installed already stays.
        let _ = ring::default_provider().install_default();
        if let Some(pem) = &ca {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            certificates.ok().filter(|all| !all.is_empty()).ok_or(OpenError::Authority)?;
        }
        let known = Known { generation: 0, map: None, servers: HashMap::new() };
        let health = Health { condition: Condition::Writable, replicas: None, risky: false };
        let (known, health) = (Mutex::new(known), Mutex::new(health));
        Ok(Self { address, ca, access, finding: tokio::sync::Mutex::new(()), known, health })
    }

    /// Tries to reach the servers; an error only when one answers and will not do.
    pub(crate) async fn first_contact(&self) -> Result<(), OpenError> {
        match self.look().await {
            Err(DialError::Durability(why)) => Err(OpenError::Durability(why)),
            looked => {
                self.note(looked);
                Ok(())
            }
        }
    }

    /// Looks at the servers again and again, for [`Servers::condition`]. Never ends.
    pub(crate) async fn watch(&self) {
        loop {
            let lost = matches!(self.condition(), Condition::Away(..)) && !self.is_fixed();
            sleep(if lost { SEARCH_INTERVAL } else { WATCH_INTERVAL }).await;
            self.note(self.look().await);
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        self.lock_health().condition.clone()
    }

    /// How many replicas could follow a master; `None` before the first look.
    pub(crate) fn replicas(&self) -> Option<u32> {
        self.lock_health().replicas
    }

    /// What can be lost though everything works.
    pub(crate) fn caution(&self) -> Option<String> {
        let Health { replicas, risky, .. } = *self.lock_health();
        let (Some(could), Access::Write(Durability::Replicated(waits_for)), true) =
            (replicas, self.access, risky)
        else {
            return None;
        };
        Some(format!(
            "{could} replicas could be promoted and {waits_for} confirm a placement: \
             where another one is promoted, acknowledged placements are lost"
        ))
    }

    /// A connection of one's own for reading a key, on which nothing is limited in time.
    pub(crate) async fn dial(&self, key: &str) -> Result<(MultiplexedConnection, Node), DialError> {
        let (server, seen) = self.server(key).await?;
        match server.dial().await {
            Ok(connection) => Ok((connection, server.node().clone())),
            Err(error) => {
                self.find_again(seen).await;
                Err(error)
            }
        }
    }

    /// Whether this node still holds the key, as far as is known.
    pub(crate) fn holds(&self, node: &Node, key: &str) -> bool {
        self.lock_known().map.as_ref().is_some_and(|map| map.master(key) == Some(node))
    }

    /// A connection that hears what is published on any of the servers.
    pub(crate) async fn subscription(&self, topic: &str) -> Result<PubSub, DialError> {
        self.server(topic).await?.0.subscription().await
    }

    /// Runs a script that changes nothing.
    pub(crate) async fn read(
        &self,
        script: &Script,
        key: &str,
        arguments: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let question = Question::Script { script, key, arguments };
        let terms = Terms { replicas: None, repeatable: true };
        self.ask(key, &question, terms).await.map_err(|failure| StoreError::Unavailable(failure.into_cause()))
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
        let replicas = match self.access {
            Access::Write(Durability::Replicated(count)) => Some(count),
            Access::Write(Durability::AsConfigured | Durability::Fsync) | Access::Read => None,
        };
        let question = Question::Script { script, key, arguments };
        self.ask(key, &question, Terms { replicas, repeatable }).await.map_err(|failure| match failure {
            Failure::Unanswered { why, .. } => StoreError::Unknown(why),
            failure => StoreError::Unavailable(failure.into_cause()),
        })
    }

    /// Runs one command that is no script, and that does no harm when it runs twice: for what lies
    /// outside any canvas.
    pub(crate) async fn command<T: redis::FromRedisValue>(
        &self,
        key: &str,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        let terms = Terms { replicas: None, repeatable: true };
        let answer = self.ask(key, &Question::Command(command), terms).await;
        answer.map_err(|failure| StoreError::Unavailable(failure.into_cause()))
    }

    /// Asks who holds the key; where that is another by now, the next one. Each is asked again only
    /// when the one before did nothing.
    async fn ask<T: redis::FromRedisValue>(
        &self,
        key: &str,
        question: &Question<'_>,
        terms: Terms,
    ) -> Result<T, Failure> {
        let (mut asked, mut whom) = (false, None);
        let ask = async {
            let mut moves = 0;
            loop {
                let (server, seen) = self.server(key).await.map_err(Failure::NotAsked)?;
                whom = Some(Arc::clone(&server));
                let failure = match server.ask(question, terms, &mut asked).await {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                };
                moves += 1;
                if moves > MOVES_MAX || !failure.may_be_elsewhere() {
                    return Err(failure);
                }
                asked = false;
                if !self.find_again(seen).await {
                    return Err(failure);
                }
            }
        };
        match timeout(CALL_PATIENCE, ask).await {
            Ok(answered) => answered,
            Err(_) => {
                if let Some(server) = whom {
                    server.drop_idle();
                }
                Err(if asked {
                    Failure::Unanswered { why: DialError::Silent.into(), broken: false }
                } else {
                    Failure::NotAsked(DialError::Silent)
                })
            }
        }
    }

    /// Who holds the key, and the generation of the map that says so.
    async fn server(&self, key: &str) -> Result<(Arc<Server>, u64), DialError> {
        let mut found = self.held(key);
        if found.is_none() {
            let seen = self.lock_known().generation;
            self.find(seen).await?;
            found = self.held(key);
        }
        found.ok_or_else(|| DialError::NotFound("no node of the cluster holds its slot".into()))
    }

    fn held(&self, key: &str) -> Option<(Arc<Server>, u64)> {
        let known = self.lock_known();
        let node = known.map.as_ref()?.master(key)?;
        known.servers.get(node).map(|server| (Arc::clone(server), known.generation))
    }

    /// Asks who holds what, unless somebody did since `seen`. Says whether it changed.
    async fn find_again(&self, seen: u64) -> bool {
        !self.is_fixed() && matches!(self.find(seen).await, Ok(true))
    }

    async fn find(&self, seen: u64) -> Result<bool, DialError> {
        let _alone = self.finding.lock().await;
        let masters: Vec<Node> = {
            let known = self.lock_known();
            if known.generation != seen {
                return Ok(true);
            }
            known.map.iter().flat_map(|map| map.masters()).cloned().collect()
        };
        let Told { map, replicas, .. } = find(&self.address, &masters, self.ca.as_deref()).await?;
        if !self.is_fixed() {
            self.lock_health().replicas = Some(replicas);
        }
        self.learn(map)
    }

    /// Goes by this map from now on. Says whether it is another.
    fn learn(&self, map: Map) -> Result<bool, DialError> {
        let mut known = self.lock_known();
        if known.map.as_deref() == Some(&map) {
            return Ok(false);
        }
        let mut servers = HashMap::new();
        for node in map.masters() {
            let server = match known.servers.get(node) {
                Some(server) => Arc::clone(server),
                None => {
                    let client = self.address.client(node, Peer::Server, self.ca.as_deref());
                    let client = client.map_err(|error| DialError::Away(Arc::new(node.clone()), error))?;
                    Arc::new(Server::new(node.clone(), client, self.access))
                }
            };
            servers.insert(node.clone(), server);
        }
        if !self.is_fixed() {
            let masters = map.masters().iter().map(|node| node.to_string()).collect::<Vec<_>>().join(", ");
            info!("the store's masters are at {masters}");
        }
        *known = Known { generation: known.generation + 1, map: Some(Arc::new(map)), servers };
        Ok(true)
    }

    /// Whether one server holds everything for ever.
    fn is_fixed(&self) -> bool {
        self.address.kind == Kind::Single
    }

    /// Whether every master answers, takes writes and promises the durability asked for; answers
    /// with the most replicas that one of them has.
    async fn look(&self) -> Result<u32, DialError> {
        let seen = self.lock_known().generation;
        if !self.is_fixed() || seen == 0 {
            self.find(seen).await?;
        }
        let servers: Vec<_> = self.lock_known().servers.values().cloned().collect();
        let look = async |server: &Arc<Server>| {
            let looked = timeout(CALL_PATIENCE, server.look()).await.unwrap_or(Err(DialError::Silent));
            if looked.is_err() {
                server.drop_idle();
            }
            looked
        };
        let mut most = 0;
        for replicas in join_all(servers.iter().map(look)).await {
            most = most.max(replicas?);
        }
        Ok(most)
    }

    /// Remembers how the servers were found, and says so when that changed.
    fn note(&self, looked: Result<u32, DialError>) {
        let mut health = self.lock_health();
        let found = match looked {
            Ok(connected) => {
                // Sentinels and clusters also know of those that are away for now.
                let known = if self.is_fixed() { 0 } else { health.replicas.unwrap_or(0) };
                health.replicas = Some(known.max(connected));
                Condition::Writable
            }
            Err(error) => {
                let (trouble, why) = (Trouble::of(&error), describe(&error));
                if trouble.hides_everything() {
                    Condition::Away(trouble, why)
                } else {
                    Condition::ReadOnly(trouble, why)
                }
            }
        };
        match (health.condition.trouble(), found.trouble()) {
            (before, Some((trouble, why))) if before.is_none_or(|(before, _)| before != trouble) => {
                warn!(why, "{trouble}: {why}");
            }
            (Some(_), None) => info!("the store is as it should be again"),
            _ => {}
        }
        health.condition = found;
        let risky = match self.access {
            Access::Write(Durability::Replicated(waits_for)) => health.replicas > Some(waits_for),
            Access::Write(_) | Access::Read => false,
        };
        let began = risky && !health.risky;
        health.risky = risky;
        drop(health);
        if let Some(caution) = self.caution().filter(|_| began) {
            warn!("{caution}");
        }
    }

    fn lock_known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    fn into_cause(self) -> Box<dyn Error + Send + Sync> {
        match self {
            Self::NotAsked(error) => error.into(),
            Self::Refused(error) => error.into(),
            Self::Unanswered { why, .. } => why,
        }
    }
}

/// An error with its causes, in one line.
fn describe(error: &DialError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let of_cause = error.to_string();
        if !text.ends_with(&of_cause) {
            text.push_str(": ");
            text.push_str(&of_cause);
        }
        cause = error.source();
    }
    text
}
