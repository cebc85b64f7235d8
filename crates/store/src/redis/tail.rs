//! A reader of one canvas' log, on a connection of its own.
//!
//! It sleeps in a blocking read of the stream for at most a second, and takes nothing from that
//! but the news that there is some: what it tells comes from a script that checks in one step that
//! the canvas still is the one it reads, that history still holds its position, and what follows.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pixel_canvas::{Canvas, CanvasId, Epoch, Sequence};
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use super::address::Node;
use super::answer::{Answer, Status, Unreadable, number, read};
use super::entry::decode;
use super::losses::History;
use super::scripts::FOLLOW;
use super::{Shared, canvas_key};
use crate::embedded::picture::{Era, stood_at};
use crate::embedded::tables::read_canvas;
use crate::{Position, StoreError, Tail, Tailed};

/// The most entries that are read ahead.
const READ_ENTRIES: usize = 32;
/// How long a tail sleeps at most before it checks where it stands, in milliseconds.
const CHECK_INTERVAL_MS: u64 = 1_000;
/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// More than any canvas has.
const LAST_SEQUENCE: Sequence = Sequence(u64::MAX >> 11);
/// A second's sleep and an answer.
const SLEEP_PATIENCE: Duration = Duration::from_millis(CHECK_INTERVAL_MS + 1_500);

/// A tail from `after`; `None` where there is no such canvas.
pub(super) async fn open(
    shared: Arc<Shared>,
    id: &CanvasId,
    after: Position,
) -> Result<Option<Box<dyn Tail>>, StoreError> {
    let answer = shared.servers.read(&FOLLOW, &canvas_key(id), &after_arguments(after.sequence)).await?;
    let (Status::Done, answer) = Answer::parse(answer)? else {
        return Ok(None);
    };
    let Followed { life, revision, .. } = Followed::read(answer)?;
    let reader = Reader { shared, id: id.clone(), life, revision, position: after, connection: None };
    Ok(Some(Box::new(StreamTail { state: State::Idle(reader), ahead: VecDeque::new() })))
}

/// The tail: what it read and has not told yet, and a read that may be under way.
struct StreamTail {
    state: State,
    ahead: VecDeque<Tailed>,
}

type Reading = Pin<Box<dyn Future<Output = (Reader, Result<Vec<Tailed>, StoreError>)> + Send>>;

enum State {
    Idle(Reader),
    /// Who asked may have stopped waiting; who asks next goes on with it.
    Reading(Reading),
    /// Only between the two.
    Turning,
}

#[async_trait]
impl Tail for StreamTail {
    async fn next(&mut self) -> Result<Tailed, StoreError> {
        loop {
            if let Some(tailed) = self.ahead.pop_front() {
                return Ok(tailed);
            }
            self.state = match std::mem::replace(&mut self.state, State::Turning) {
                State::Idle(reader) => State::Reading(Box::pin(reader.read())),
                reading => reading,
            };
            let State::Reading(reading) = &mut self.state else {
                unreachable!("nothing is awaited while the state turns");
            };
            let (reader, read) = reading.await;
            self.state = State::Idle(reader);
            self.ahead.extend(read?);
        }
    }
}

/// What reads for a tail.
struct Reader {
    shared: Arc<Shared>,
    id: CanvasId,
    /// Whose log this is: a canvas made later under this id is another.
    life: Vec<u8>,
    /// The amendment that was told last.
    revision: u64,
    /// Up to where was read.
    position: Position,
    /// To the server at that node.
    connection: Option<(MultiplexedConnection, Node)>,
}

impl Reader {
    /// Waits for what comes next. After an error the next read begins on a new connection.
    async fn read(mut self) -> (Self, Result<Vec<Tailed>, StoreError>) {
        let (mut connection, node) = match self.connection.take() {
            Some(connection) => connection,
            None => match self.shared.servers.dial(&canvas_key(&self.id)).await {
                Ok(connection) => connection,
                Err(error) => return (self, Err(StoreError::Unavailable(error.into()))),
            },
        };
        let read = self.read_on(&mut connection, &node).await;
        if read.is_ok() {
            self.connection = Some((connection, node));
        }
        (self, read)
    }

    async fn read_on(
        &mut self,
        connection: &mut MultiplexedConnection,
        node: &Node,
    ) -> Result<Vec<Tailed>, StoreError> {
        loop {
            let key = canvas_key(&self.id);
            // One that was cut off goes on answering, and knows of nothing new.
            if !self.shared.servers.holds(node, &key) {
                return Err(StoreError::Unavailable(format!("{node} does not hold it any more").into()));
            }
            let arguments = after_arguments(self.position.sequence);
            let answer = within(PATIENCE, FOLLOW.run::<Vec<Vec<u8>>>(connection, &key, &arguments)).await?;
            let followed = match Answer::parse(answer)? {
                (Status::Done, answer) => Some(Followed::read(answer)?),
                _ => None,
            };
            let Some(followed) = followed.filter(|followed| followed.life == self.life) else {
                return Ok(vec![match self.shared.history(&self.id, &self.life).await? {
                    History::Deleted => Tailed::Deleted,
                    History::Stands(..) | History::Replaced | History::Vanished => Tailed::Lost,
                }]);
            };
            let news = followed.news.clone();
            let told = self.tell(followed)?;
            if !told.is_empty() {
                return Ok(told);
            }
            let life = String::from_utf8_lossy(&self.life);
            let mut sleep = redis::cmd("XREAD");
            sleep.arg("COUNT").arg(1).arg("BLOCK").arg(CHECK_INTERVAL_MS).arg("STREAMS");
            sleep.arg(format!("{key}:{life}:log")).arg(format!("{key}:{life}:news"));
            sleep.arg(format!("{}-0", self.position.sequence)).arg(news);
            within(SLEEP_PATIENCE, sleep.query_async::<redis::Value>(connection)).await?;
        }
    }

    /// What to tell of what was found; nothing when all is told.
    fn tell(&mut self, followed: Followed) -> Result<Vec<Tailed>, StoreError> {
        if followed.revision != self.revision {
            self.revision = followed.revision;
            return Ok(vec![Tailed::Amended(Arc::new(followed.canvas))]);
        }
        if !stood_at(&followed.eras, followed.sequence, self.position) {
            return Ok(vec![Tailed::Lost]);
        }
        if self.position.sequence == followed.sequence {
            return Ok(Vec::new());
        }
        let mut told = Vec::with_capacity(followed.entries.len());
        for (id, bytes) in followed.entries {
            // One that this program cannot read: whoever follows loads afresh behind it.
            let Ok(entry) = decode(&id, &bytes) else {
                break;
            };
            let follows = if told.is_empty() {
                entry.after() <= self.position.sequence
            } else {
                entry.after() == self.position.sequence
            };
            if !follows {
                break;
            }
            self.position = Position { epoch: entry.epoch, sequence: entry.last };
            told.push(Tailed::Entry(Arc::new(entry)));
        }
        if told.is_empty() {
            told.push(Tailed::Lost);
        }
        Ok(told)
    }
}

impl Shared {
    /// What a canvas is and where it stands; `None` where there is no such canvas.
    pub(super) async fn stand(&self, id: &CanvasId) -> Result<Option<Followed>, StoreError> {
        let nothing_of_the_log = after_arguments(LAST_SEQUENCE);
        let answer = self.servers.read(&FOLLOW, &canvas_key(id), &nothing_of_the_log).await?;
        let (Status::Done, answer) = Answer::parse(answer)? else {
            return Ok(None);
        };
        Ok(Some(Followed::read(answer)?))
    }
}

/// What `follow.lua` found.
pub(super) struct Followed {
    pub(super) life: Vec<u8>,
    pub(super) revision: u64,
    pub(super) canvas: Canvas,
    pub(super) sequence: Sequence,
    pub(super) eras: Vec<Era>,
    /// The ID of the last news, which wakes who waits for the next.
    news: Vec<u8>,
    /// IDs and entries, not read yet.
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Followed {
    fn read(mut answer: Answer) -> Result<Self, Unreadable> {
        let life = answer.bytes()?;
        let revision = number(&answer.bytes()?)?;
        let canvas = read(&answer.bytes()?, read_canvas)?;
        let sequence = answer.sequence()?;
        let eras = read(&answer.bytes()?, |input| {
            let count = input.0.len() / 16;
            let era = |_| Some(Era { epoch: Epoch(input.u64()?), from: Sequence(input.u64()?) });
            (0..count).map(era).collect::<Option<Vec<Era>>>()
        })?;
        let news = answer.bytes()?;
        let mut entries = Vec::new();
        while let Some(id) = answer.next() {
            entries.push((id, answer.bytes()?));
        }
        Ok(Self { life, revision, canvas, sequence, eras, news, entries })
    }
}

fn after_arguments(sequence: Sequence) -> [Vec<u8>; 2] {
    [sequence.to_string().into_bytes(), READ_ENTRIES.to_string().into_bytes()]
}

/// An answer in time, or why there is none.
async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, StoreError> {
    match timeout(patience, answer).await {
        Ok(answer) => answer.map_err(|error| StoreError::Unavailable(error.into())),
        Err(late) => Err(StoreError::Unavailable(late.into())),
    }
}
