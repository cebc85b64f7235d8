//! What a backup reads of a canvas, and how one is put back: under a life of its own, chunk by chunk,
//! until one script makes that life the canvas. Until then its keys expire: what a kill leaves goes.

use std::collections::HashMap;
use std::sync::Arc;

use pixel_canvas::chunk::{Blank, MARK_BYTES};
use pixel_canvas::{Canvas, CanvasId, Chunk, ChunkId, Identity, Name, Sequence};

use super::answer::{Answer, Status, Unreadable, number, read};
use super::call::{Chunks, index_in_chunk};
use super::host::put_rules;
use super::read::{CANVASES, read_known};
use super::scripts::{COPY, REPAINT, RESTORE};
use super::{Known, Shared, canvas_key};
use crate::embedded::tables::{chunk_key, read_canvas};
use crate::{Created, Kept, Position, Repaint, Restoration, StoreError};

/// Until when a canvas has to be put back whole, in seconds since its last part was written.
const ARRIVAL_S: u64 = 24 * 60 * 60;
/// How many pixels one script paints again.
const REPAINT_PIXELS_MAX: usize = 4_096;
/// How many fields of a hash are read or written together.
const FIELDS_MAX: usize = 1_024;
/// Bytes of an identity, before the name that it painted under.
const IDENTITY_BYTES: usize = 16;

impl Shared {
    pub(super) async fn copy(
        &self,
        id: &CanvasId,
        chunk: ChunkId,
    ) -> Result<Option<(Position, Option<Chunk>)>, StoreError> {
        let key = chunk_key(chunk).to_string().into_bytes();
        let answer = self.servers.read(&COPY, &canvas_key(id), &[key]).await?;
        let (Status::Done, mut answer) = Answer::parse(answer)? else {
            return Ok(None);
        };
        let (Known { canvas, .. }, position) = read_known(&mut answer)?;
        let (changed, pixels, marks) = (answer.bytes()?, answer.bytes()?, answer.bytes()?);
        if changed.is_empty() {
            return Ok(Some((position, None)));
        }
        let blank = Blank::new(canvas.size.chunk_size(chunk), &canvas.palette, canvas.background);
        let changed = Sequence(number(&changed)?);
        let chunk = Chunk::from_whole(&blank, &canvas.palette, changed, pixels, &marks);
        Ok(Some((position, Some(chunk.ok_or(Unreadable::Answer)?))))
    }

    pub(super) async fn authors(&self, id: &CanvasId) -> Result<Option<Vec<(Identity, Name)>>, StoreError> {
        let Some(known) = self.look_up(id).await? else {
            return Ok(None);
        };
        let key = canvas_key(id);
        let of_life = format!("{key}:{}:authors", String::from_utf8_lossy(&known.life));
        let mut count = redis::cmd("HLEN");
        count.arg(&of_life);
        let count: usize = self.servers.command(&key, &count).await?;
        let mut authors = vec![None; count];
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&of_life).arg(cursor).arg("COUNT").arg(FIELDS_MAX);
            let (next, some): (u64, Vec<(Vec<u8>, usize)>) = self.servers.command(&key, &scan).await?;
            for (who, number) in some {
                // Those who came since have higher numbers.
                if let Some(place) = number.checked_sub(1).and_then(|index| authors.get_mut(index)) {
                    *place = Some(read_author(&who)?);
                }
            }
            cursor = next;
            if cursor == 0 {
                // One is missing where the canvas was deleted meanwhile.
                return Ok(authors.into_iter().collect());
            }
        }
    }

    pub(super) async fn restore(&self, restoration: Restoration<'_>) -> Result<Created, StoreError> {
        let Restoration { canvas, sequence, replace, kept } = restoration;
        if let Some(there) = self.look(&canvas.id, &[]).await?
            && there.view.position.sequence > Sequence::ZERO
            && !replace
        {
            return Ok(Created::Exists(Arc::clone(&there.known.canvas)));
        }
        let life = (self.options.epochs)().to_string();
        let mut arriving = Arriving::new(self, &canvas, life);
        for part in kept {
            match part? {
                Kept::Chunk(id, chunk) => arriving.write_chunk(id, &chunk).await?,
                Kept::Later(pixels) => arriving.repaint(&pixels).await?,
                Kept::Authors(authors) => arriving.write_authors(&authors).await?,
            }
        }
        arriving.write_changes().await?;
        // Before there is a canvas, as for one that is made.
        let mut list = redis::cmd("SADD");
        list.arg(CANVASES).arg(canvas.id.as_str());
        self.servers.write_command(CANVASES, &list).await?;
        let mut arguments = vec![arriving.life.clone().into_bytes(), self.fresh_epoch()];
        put_rules(&canvas, &mut arguments);
        arguments.extend([
            sequence.to_string().into_bytes(),
            u8::from(replace).to_string().into_bytes(),
            arriving.changed.len().to_string().into_bytes(),
        ]);
        let answer = self.servers.write(&RESTORE, &canvas_key(&canvas.id), &arguments, false).await?;
        let answered = Answer::parse(answer)?;
        self.forget(&canvas.id);
        match answered {
            (Status::Done, _) => {
                self.losses.forget(&canvas.id);
                Ok(Created::Made(canvas.into()))
            }
            (Status::Moved, mut answer) => Ok(Created::Exists(read(&answer.bytes()?, read_canvas)?.into())),
            (Status::Gone, _) => {
                Err(StoreError::Unavailable("the server dropped what was written so far: try again".into()))
            }
        }
    }
}

fn read_author(who: &[u8]) -> Result<(Identity, Name), Unreadable> {
    let (identity, name) = who.split_first_chunk::<IDENTITY_BYTES>().ok_or(Unreadable::Answer)?;
    let name = Name::from(std::str::from_utf8(name).map_err(|_| Unreadable::Answer)?.to_owned());
    Ok((Identity(*identity), name))
}

/// A canvas that is being put back.
struct Arriving<'a> {
    shared: &'a Shared,
    canvas: &'a Canvas,
    key: String,
    life: String,
    /// The last change of each chunk.
    changed: HashMap<ChunkId, Sequence>,
    authors: usize,
}

impl<'a> Arriving<'a> {
    fn new(shared: &'a Shared, canvas: &'a Canvas, life: String) -> Self {
        let key = canvas_key(&canvas.id);
        Self { shared, canvas, key, life, changed: HashMap::new(), authors: 0 }
    }

    fn key_of(&self, what: &str) -> String {
        format!("{}:{}:{what}", self.key, self.life)
    }

    async fn write_chunk(&mut self, id: ChunkId, chunk: &Chunk) -> Result<(), StoreError> {
        for (kind, bytes) in [("c", chunk.pixels().to_vec()), ("m", chunk.whole_marks())] {
            let mut set = redis::cmd("SET");
            set.arg(self.key_of(&format!("{kind}:{}", chunk_key(id)))).arg(bytes).arg("EX").arg(ARRIVAL_S);
            self.shared.servers.write_command(&self.key, &set).await?;
        }
        self.changed.insert(id, chunk.changed());
        Ok(())
    }

    async fn repaint(&mut self, pixels: &[Repaint]) -> Result<(), StoreError> {
        let palette = &self.canvas.palette;
        let mut packed = vec![0; palette.bytes_per_pixel()];
        palette.store(self.canvas.background, &mut packed);
        let (blank, pixel_bytes) = (packed.clone(), packed.len());
        for pixels in pixels.chunks(REPAINT_PIXELS_MAX) {
            let mut chunks = Chunks::new(self.canvas);
            let mut painted = Vec::with_capacity(pixels.len() * (4 + pixel_bytes + MARK_BYTES));
            for Repaint { at, color, mark } in pixels {
                painted.extend_from_slice(&chunks.number(at.chunk()).to_le_bytes());
                painted.extend_from_slice(&index_in_chunk(self.canvas, *at).to_le_bytes());
                palette.store(*color, &mut packed);
                painted.extend_from_slice(&packed);
                painted.extend_from_slice(&mark.to_bytes());
                self.changed.insert(at.chunk(), mark.sequence);
            }
            let arguments = [
                self.life.clone().into_bytes(),
                pixel_bytes.to_string().into_bytes(),
                blank.clone(),
                ARRIVAL_S.to_string().into_bytes(),
                chunks.described,
                painted,
            ];
            let answer = self.shared.servers.write(&REPAINT, &self.key, &arguments, true).await?;
            Answer::parse(answer)?;
        }
        Ok(())
    }

    async fn write_authors(&mut self, authors: &[(Identity, Name)]) -> Result<(), StoreError> {
        for authors in authors.chunks(FIELDS_MAX) {
            let numbered = || authors.iter().zip(self.authors + 1..);
            let numbers = numbered().map(|((identity, name), number)| {
                ([&identity.0[..], name.as_str().as_bytes()].concat(), number)
            });
            let names =
                numbered().map(|((_, name), number)| (number.to_string().into_bytes(), name.as_str()));
            self.write_fields("authors", numbers).await?;
            self.write_fields("names", names).await?;
            self.authors += authors.len();
        }
        Ok(())
    }

    async fn write_changes(&self) -> Result<(), StoreError> {
        let changed: Vec<(u16, u64)> =
            self.changed.iter().map(|(id, sequence)| (chunk_key(*id), sequence.0)).collect();
        for changed in changed.chunks(FIELDS_MAX) {
            self.write_fields("changed", changed.iter().copied()).await?;
        }
        Ok(())
    }

    async fn write_fields(
        &self,
        hash: &str,
        fields: impl Iterator<Item = (impl redis::ToRedisArgs, impl redis::ToRedisArgs)>,
    ) -> Result<(), StoreError> {
        let hash = self.key_of(hash);
        let mut set = redis::cmd("HSET");
        set.arg(&hash);
        for (field, value) in fields {
            set.arg(field).arg(value);
        }
        self.shared.servers.write_command(&self.key, &set).await?;
        let mut expire = redis::cmd("EXPIRE");
        expire.arg(&hash).arg(ARRIVAL_S);
        self.shared.servers.write_command(&self.key, &expire).await
    }
}
