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
use super::map::{Age, Map, Told};
use super::read::CANVASES;
use super::scripts::Script;
use super::server::{Failure, Hint, Question, Server, Terms, Unusable};
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

/// How often in a row something older than what is believed has to be told before it counts.
const OLDER_FINDS_MAX: u32 = 10;

/// Why a Redis store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL, or what it asks for, is wrong.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The certificate authority cannot be used.
    #[error("the store's certificate authority is no PEM certificate: write one, or several")]
    Authority,
    /// The server answers, holds nothing yet, and cannot promise what was asked for.
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
#[derive(Default)]
struct Known {
    /// Raised whenever the map changes.
    generation: u64,
    /// Raised whenever somebody asked.
    finds: u64,
    map: Option<Arc<Map>>,
    servers: HashMap<Node, Arc<Server>>,
    /// Of what is believed.
    age: Option<Age>,
    /// How often in a row something older was told.
    older: u32,
}

/// Each master with how many replicas it has, or why it cannot be used.
type Looks = Vec<(Node, Result<u32, Unusable>)>;

/// How the servers were found when they were looked at last.
#[derive(Default)]
struct Health {
    /// What keeps each master from doing its work; empty when nothing does.
    troubles: HashMap<Node, Condition>,
    /// Why no master is known; `None` when they are.
    lost: Option<Condition>,
    /// How many replicas a master has that could follow it.
    replicas: Option<u32>,
    /// What was said in the log last.
    said: Option<Trouble>,
    /// Whether more could be promoted than an acknowledgement waits for.
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
        let (finding, known, health) = (tokio::sync::Mutex::new(()), Mutex::default(), Mutex::default());
        Ok(Self { address, ca, access, finding, known, health })
    }

    /// Tries to reach the servers; an error only when one answers, will not do, and nothing was ever kept
    /// there. Where something is kept its readers are served, whatever became of the server's settings.
    pub(crate) async fn first_contact(&self) -> Result<(), OpenError> {
        let looked = self.look().await;
        let refused = looked.iter().flatten().find_map(|(_, looked)| match looked {
            Err(Unusable::Durability(why)) => Some(*why),
            _ => None,
        });
        if let Some(why) = refused
            && self.is_unused().await
        {
            return Err(OpenError::Durability(why));
        }
        self.note(looked);
        Ok(())
    }

    /// Whether a canvas was never made here; `false` where that cannot be seen.
    async fn is_unused(&self) -> bool {
        let mut count = redis::cmd("SCARD");
        count.arg(CANVASES);
        matches!(self.command(CANVASES, &count).await, Ok(0_u64))
    }

    /// Looks at the servers again and again, for [`Servers::condition`]. Never ends.
    pub(crate) async fn watch(&self) {
        loop {
            let searching = self.lock_health().is_troubled() && !self.is_fixed();
            sleep(if searching { SEARCH_INTERVAL } else { WATCH_INTERVAL }).await;
            self.note(self.look().await);
        }
    }

    /// Whether anything can be done: with one master of several, something can.
    pub(crate) fn condition(&self) -> Condition {
        let masters = self.lock_known().servers.len();
        let health = self.lock_health();
        if let Some(lost) = &health.lost {
            return lost.clone();
        }
        let worst = health.troubles.values().max_by_key(|found| matches!(found, Condition::Away(..)));
        worst.filter(|_| health.troubles.len() >= masters).cloned().unwrap_or(Condition::Writable)
    }

    /// What can be done with what this key names.
    pub(crate) fn condition_of(&self, key: &str) -> Condition {
        let master = self.held(key).map(|(server, _)| server.node().clone());
        let health = self.lock_health();
        let found = master.and_then(|node| health.troubles.get(&node).cloned());
        found.or_else(|| health.lost.clone()).unwrap_or(Condition::Writable)
    }

    /// How many replicas could follow a master; `None` before the first look.
    pub(crate) fn replicas(&self) -> Option<u32> {
        self.lock_health().replicas
    }

    /// What can be lost though everything works, and which masters do not.
    pub(crate) fn caution(&self) -> Option<String> {
        let masters = self.lock_known().servers.len();
        let health = self.lock_health();
        let mut cautions = Vec::new();
        if health.troubles.len() < masters {
            let explain =
                |found: &Condition| found.trouble().map(|(trouble, why)| format!("{trouble}: {why}"));
            cautions.extend(health.troubles.values().filter_map(explain));
        }
        if let (Some(could), Access::Write(Durability::Replicated(waits_for)), true) =
            (health.replicas, self.access, health.risky)
        {
            cautions.push(format!(
                "{could} replicas could be promoted and {waits_for} confirm a placement: \
                 where another one is promoted, acknowledged placements are lost"
            ));
        }
        (!cautions.is_empty()).then(|| cautions.join("; "))
    }

    /// A connection of one's own for reading a key, on which nothing is limited in time.
    pub(crate) async fn dial(&self, key: &str) -> Result<(MultiplexedConnection, Node), Unusable> {
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
    pub(crate) async fn subscription(&self, topic: &str) -> Result<PubSub, Unusable> {
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
        let terms = Terms { writes: false, repeatable: true };
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
        let question = Question::Script { script, key, arguments };
        self.ask(key, &question, Terms { writes: true, repeatable }).await.map_err(unknown_if_asked)
    }

    /// Runs one command that writes, and that does no harm when it runs twice.
    pub(crate) async fn write_command(&self, key: &str, command: &redis::Cmd) -> Result<(), StoreError> {
        let terms = Terms { writes: true, repeatable: true };
        let answer: Result<redis::Value, Failure> = self.ask(key, &Question::Command(command), terms).await;
        answer.map(drop).map_err(unknown_if_asked)
    }

    /// Runs one command that changes nothing.
    pub(crate) async fn command<T: redis::FromRedisValue>(
        &self,
        key: &str,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        let terms = Terms { writes: false, repeatable: true };
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
                if moves > MOVES_MAX || !failure.may_be_elsewhere() || !self.find_again(seen).await {
                    return Err(failure);
                }
            }
        };
        let failure = match timeout(CALL_PATIENCE, ask).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => {
                if let Some(server) = whom {
                    server.drop_idle();
                }
                Failure::NotAsked(Unusable::Silent)
            }
        };
        // A try that broke off may have happened, whatever became of the ones after it.
        Err(if asked { Failure::Unanswered { why: failure.into_cause(), broken: false } } else { failure })
    }

    /// Who holds the key, and the generation of the map that says so.
    async fn server(&self, key: &str) -> Result<(Arc<Server>, u64), Unusable> {
        let mut found = self.held(key);
        if found.is_none() {
            let seen = self.lock_known().generation;
            self.find(seen).await?;
            found = self.held(key);
        }
        found.ok_or_else(|| Unusable::NotFound("no node of the cluster holds its slot".into(), None))
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

    async fn find(&self, seen: u64) -> Result<bool, Unusable> {
        let finds = self.lock_known().finds;
        let _alone = self.finding.lock().await;
        let masters: Vec<Node> = {
            let known = self.lock_known();
            if known.generation != seen {
                return Ok(true);
            }
            if known.finds != finds {
                // Somebody asked while this one waited for its turn: it would hear the same.
                return match known.map {
                    Some(_) => Ok(false),
                    None => Err(Unusable::NotFound("they were asked just now".into(), None)),
                };
            }
            known.map.iter().flat_map(|map| map.masters()).cloned().collect()
        };
        let found = find(&self.address, &masters, self.ca.as_deref()).await;
        self.lock_known().finds += 1;
        let Told { age, map, replicas } = found?;
        if !age.whole {
            return Err(Unusable::NotFound("the cluster does not hold every slot".into(), None));
        }
        if !self.believes(age) {
            return Ok(false);
        }
        if !self.is_fixed() {
            self.lock_health().replicas = Some(replicas);
        }
        self.learn(map)
    }

    /// Whether what is of this age is to be gone by. Older than what was told before may come from
    /// who was cut off, while the others are slow; when nobody tells the newer for long, it counts.
    fn believes(&self, age: Age) -> bool {
        let mut known = self.lock_known();
        if known.age.is_some_and(|before| age < before) && known.older < OLDER_FINDS_MAX {
            known.older += 1;
            return false;
        }
        known.age = Some(age);
        known.older = 0;
        true
    }

    /// Goes by this map from now on. Says whether it is another.
    fn learn(&self, map: Map) -> Result<bool, Unusable> {
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
                    let client = client
                        .map_err(|error| Unusable::Away(Arc::new(node.clone()), Hint::Nothing, error))?;
                    Arc::new(Server::new(node.clone(), client, self.access))
                }
            };
            servers.insert(node.clone(), server);
        }
        if !self.is_fixed() {
            let masters = map.masters().iter().map(|node| node.to_string()).collect::<Vec<_>>().join(", ");
            info!("the store's masters are at {masters}");
        }
        known.generation += 1;
        known.map = Some(Arc::new(map));
        known.servers = servers;
        Ok(true)
    }

    /// Whether one server holds everything for ever.
    fn is_fixed(&self) -> bool {
        self.address.kind == Kind::Single
    }

    /// How each master is; or why none is known.
    async fn look(&self) -> Result<Looks, Unusable> {
        let (seen, is_known) = {
            let known = self.lock_known();
            (known.generation, known.map.is_some())
        };
        if !self.is_fixed() || !is_known {
            timeout(CALL_PATIENCE, self.find(seen)).await.unwrap_or(Err(Unusable::Silent))?;
        }
        let servers: Vec<_> = self.lock_known().servers.values().cloned().collect();
        let look = async |server: &Arc<Server>| {
            let looked = timeout(CALL_PATIENCE, server.look()).await.unwrap_or(Err(Unusable::Silent));
            if looked.is_err() {
                server.drop_idle();
            }
            (server.node().clone(), looked)
        };
        Ok(join_all(servers.iter().map(look)).await)
    }

    /// Remembers how the servers were found, and says so when that changed.
    fn note(&self, looked: Result<Looks, Unusable>) {
        let mut health = self.lock_health();
        health.lost = None;
        match looked {
            Ok(masters) => {
                health.troubles.clear();
                for (node, looked) in masters {
                    match looked {
                        // Sentinels and clusters know best: also of those that are away, and that may not.
                        Ok(connected) if self.is_fixed() => health.replicas = Some(connected),
                        Ok(_) => {}
                        Err(error) => drop(health.troubles.insert(node, condition_of(&error))),
                    }
                }
            }
            // What was known of the masters is no news.
            Err(error) => health.lost = Some(condition_of(&error)),
        }
        let found = health.lost.as_ref().or_else(|| health.troubles.values().next()).cloned();
        let found = found.as_ref().and_then(Condition::trouble);
        let trouble = found.map(|(trouble, _)| trouble);
        match found {
            Some((trouble, why)) if !health.said.is_some_and(|said| said.is_like(trouble)) => {
                warn!(why, "{trouble}: {why}");
            }
            None if health.said.is_some() => info!("the store is as it should be again"),
            _ => {}
        }
        health.said = trouble;
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

impl Health {
    fn is_troubled(&self) -> bool {
        self.lost.is_some() || !self.troubles.is_empty()
    }
}

/// What can be done with a server that is unusable like this.
fn condition_of(error: &Unusable) -> Condition {
    let (trouble, why) = (Trouble::of(error), describe(error));
    if trouble.hides_everything() { Condition::Away(trouble, why) } else { Condition::ReadOnly(trouble, why) }
}

fn unknown_if_asked(failure: Failure) -> StoreError {
    match failure {
        Failure::Unanswered { why, .. } => StoreError::Unknown(why),
        failure => StoreError::Unavailable(failure.into_cause()),
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
fn describe(error: &Unusable) -> String {
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
