//! Reading a canvas: each answer is exact at one position.

use std::sync::Arc;

use futures_util::future::join_all;
use pixel_canvas::chunk::{Blank, MARK_BYTES};
use pixel_canvas::{Canvas, CanvasId, ChunkId, Mark, Name, Point, Sequence};

use super::answer::{Answer, Status, Unreadable, number, read};
use super::call::index_in_chunk;
use super::scripts::{OVERVIEW, PIXEL, START, VIEW};
use super::server::CONNECTIONS_MAX;
use super::shared_reads::SharedReads;
use super::{Known, Shared, TRIES_MAX, canvas_key};
use crate::embedded::tables::{chunk_key, chunk_of_key, read_canvas};
use crate::{Condition, Listed, Overview, Pixel, Position, Provenance, Snapshot, StoreError, View};

/// Every id that ever had a canvas: a canvas is there if its hash is. Nothing is taken out, so
/// that making and deleting at the same time never hides one.
pub(crate) const CANVASES: &str = "pp:canvases";
/// More than any log has: what a number of bytes is cut to, so that scripts' numbers hold it.
const LOG_BYTES_MAX: u64 = 1 << 52;

/// Canvases that are looked up together for the list: half of the connections for calls.
const LISTED_TOGETHER: usize = CONNECTIONS_MAX / 2;

/// A canvas and some of its chunks, read together.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(super) known: Arc<Known>,
    pub(super) view: View,
}

/// Views that are shared by all who ask for the same chunks.
pub(crate) type Views = SharedReads<(CanvasId, Vec<ChunkId>), Result<Option<Seen>, Arc<StoreError>>>;

impl Shared {
    /// A canvas as it is now.
    pub(super) async fn look_up(&self, id: &CanvasId) -> Result<Option<Arc<Known>>, StoreError> {
        Ok(self.look(id, &[]).await?.map(|seen| seen.known))
    }

    pub(super) async fn canvases(&self) -> Result<Vec<Arc<Canvas>>, StoreError> {
        let mut canvases = Vec::new();
        for id in self.ids().await? {
            if let Some(known) = self.look_up(&id).await? {
                canvases.push(Arc::clone(&known.canvas));
            }
        }
        Ok(canvases)
    }

    /// What ever had a canvas.
    async fn ids(&self) -> Result<Vec<CanvasId>, StoreError> {
        let mut members = redis::cmd("SMEMBERS");
        members.arg(CANVASES);
        let mut ids: Vec<String> = self.servers.command(CANVASES, &members).await?;
        ids.sort_unstable();
        Ok(ids.iter().filter_map(|id| CanvasId::parse(id)).collect())
    }

    /// Every canvas as far as its master can be read.
    pub(super) async fn list(&self, known: &[CanvasId]) -> Listed {
        let ids = match self.servers.condition_of(CANVASES) {
            Condition::Away(trouble, _) => Err(StoreError::Unavailable(trouble.into())),
            Condition::Writable | Condition::ReadOnly(..) => self.ids().await,
        };
        let (ids, unlisted) = match ids {
            Ok(ids) => (ids, None),
            Err(failure) => (known.to_vec(), Some(failure)),
        };
        let read = async |id: &CanvasId| match self.servers.condition_of(&canvas_key(id)) {
            Condition::Away(..) => Err(id.clone()),
            Condition::Writable | Condition::ReadOnly(..) => self.look_up(id).await.map_err(|_| id.clone()),
        };
        let (mut canvases, mut unread) = (Vec::with_capacity(ids.len()), Vec::new());
        for some in ids.chunks(LISTED_TOGETHER) {
            for found in join_all(some.iter().map(read)).await {
                match found {
                    Ok(known) => canvases.extend(known.map(|known| Arc::clone(&known.canvas))),
                    Err(id) => unread.push(id),
                }
            }
        }
        Listed { canvases, unread, unlisted }
    }

    pub(super) async fn view(&self, id: &CanvasId, chunks: &[ChunkId]) -> Result<Option<View>, StoreError> {
        Ok(self.look(id, chunks).await?.map(|seen| seen.view))
    }

    /// A canvas and some of its chunks; many who ask for the same share a read.
    pub(super) async fn look(&self, id: &CanvasId, chunks: &[ChunkId]) -> Result<Option<Seen>, StoreError> {
        let what = (id.clone(), chunks.to_vec());
        let read = async { self.look_alone(id, chunks).await.map_err(Arc::new) };
        // A read that failed changed nothing.
        self.views.get(what, read).await.map_err(|shared| StoreError::Unavailable(shared.into()))
    }

    async fn look_alone(&self, id: &CanvasId, chunks: &[ChunkId]) -> Result<Option<Seen>, StoreError> {
        let keys: Vec<Vec<u8>> = chunks.iter().map(|id| chunk_key(*id).to_string().into_bytes()).collect();
        let answer = self.servers.read(&VIEW, &canvas_key(id), &keys).await?;
        let (Status::Done, mut answer) = Answer::parse(answer)? else {
            return Ok(None);
        };
        let (known, position) = read_known(&mut answer)?;
        let canvas = &known.canvas;
        let mut snapshots = Vec::with_capacity(chunks.len());
        for id in chunks {
            let (changed, pixels) = (answer.bytes()?, answer.bytes()?);
            let size = canvas.size.chunk_size(*id);
            snapshots.push(if changed.is_empty() {
                let pixels = Blank::new(size, &canvas.palette, canvas.background).pixels();
                Snapshot { id: *id, changed: Sequence::ZERO, pixels }
            } else {
                if pixels.len() as u64 != size.pixels() * canvas.palette.bytes_per_pixel() as u64 {
                    return Err(Unreadable::Answer.into());
                }
                Snapshot { id: *id, changed: Sequence(number(&changed)?), pixels: Arc::new(pixels) }
            });
        }
        Ok(Some(Seen { known: Arc::new(known), view: View { position, chunks: snapshots } }))
    }

    pub(super) async fn pixel(&self, id: &CanvasId, at: Point) -> Result<Option<Pixel>, StoreError> {
        for _ in 0..TRIES_MAX {
            let Some(known) = self.known(id).await? else {
                break;
            };
            let canvas = &known.canvas;
            let index = usize::from(index_in_chunk(canvas, at));
            let pixel_bytes = canvas.palette.bytes_per_pixel();
            let first = index * pixel_bytes;
            let numbers =
                [usize::from(chunk_key(at.chunk())), first, first + pixel_bytes - 1, index * MARK_BYTES];
            let mut arguments = vec![known.life.clone()];
            arguments.extend(numbers.map(|number| number.to_string().into_bytes()));
            let answer = self.servers.read(&PIXEL, &canvas_key(id), &arguments).await?;
            let (Status::Done, mut answer) = Answer::parse(answer)? else {
                self.forget(id);
                continue;
            };
            let (stored, mark, name) = (answer.bytes()?, answer.bytes()?, answer.bytes()?);
            if stored.is_empty() {
                return Ok(Some(Pixel { color: canvas.background, painted: None }));
            }
            let color = canvas.palette.load(&stored).ok_or(Unreadable::Answer)?;
            let mark = <[u8; MARK_BYTES]>::try_from(mark).ok().and_then(Mark::from_bytes);
            let name = std::str::from_utf8(&name).ok().and_then(Name::parse);
            let painted = mark.map(|Mark { sequence, at, .. }| Provenance { name, at, sequence });
            return Ok(Some(Pixel { color, painted }));
        }
        Ok(None)
    }

    /// Where a canvas stands, and its painted chunks if `with_chunks`.
    pub(super) async fn overview(
        &self,
        id: &CanvasId,
        with_chunks: bool,
    ) -> Result<Option<Overview>, StoreError> {
        let what: &[u8] = if with_chunks { b"chunks" } else { b"" };
        let answer = self.servers.read(&OVERVIEW, &canvas_key(id), &[what.to_vec()]).await?;
        let (Status::Done, mut answer) = Answer::parse(answer)? else {
            return Ok(None);
        };
        let position = Position { epoch: answer.epoch()?, sequence: answer.sequence()? };
        let mut changed = Vec::new();
        while let Some(key) = answer.next() {
            let key = u16::try_from(number(&key)?).map_err(|_| Unreadable::Answer)?;
            changed.push((chunk_of_key(key), answer.sequence()?));
        }
        Ok(Some(Overview { position, changed }))
    }

    pub(super) async fn tail_start(&self, id: &CanvasId, bytes: u64) -> Result<Option<Position>, StoreError> {
        let bytes = bytes.min(LOG_BYTES_MAX).to_string().into_bytes();
        let answer = self.servers.read(&START, &canvas_key(id), &[bytes]).await?;
        let (Status::Done, mut answer) = Answer::parse(answer)? else {
            return Ok(None);
        };
        Ok(Some(Position { epoch: answer.epoch()?, sequence: answer.sequence()? }))
    }
}

pub(super) fn read_known(answer: &mut Answer) -> Result<(Known, Position), Unreadable> {
    let canvas = Arc::new(read(&answer.bytes()?, read_canvas)?);
    let life = answer.bytes()?;
    let position = Position { epoch: answer.epoch()?, sequence: answer.sequence()? };
    Ok((Known { life, canvas }, position))
}
