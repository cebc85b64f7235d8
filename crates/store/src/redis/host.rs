//! What only a host asks for: making, amending, resetting and deleting canvases.

use std::sync::Arc;

use pixel_canvas::entry::RESET_PLACEMENTS_MAX;
use pixel_canvas::{Amendment, Canvas, CanvasId, InvalidCanvas, Placement, Point};

use super::answer::{Answer, Status, read};
use super::entry::reset_body;
use super::read::CANVASES;
use super::scripts::{AMEND, CREATE, DELETE, RESET};
use super::tail::Followed;
use super::{Shared, TRIES_MAX, canvas_key};
use crate::embedded::tables::{put_canvas, read_canvas};
use crate::{Condition, Created, Overview, Position, StoreError};

/// How many chunks are read together on the way to a reset: some 3 MiB.
const RESET_CHUNKS: usize = 16;

impl Shared {
    pub(super) async fn create(&self, canvas: Canvas) -> Result<Created, StoreError> {
        for key in [CANVASES, &canvas_key(&canvas.id)] {
            // Nobody waits for a server that is known to be away.
            if let Condition::Away(trouble, _) = self.servers.condition_of(key) {
                return Err(StoreError::Unavailable(trouble.into()));
            }
        }
        // Before there is a canvas: an id without one is no harm, a canvas that is not listed is.
        let mut list = redis::cmd("SADD");
        list.arg(CANVASES).arg(canvas.id.as_str());
        self.servers.write_command(CANVASES, &list).await?;
        let life = (self.options.epochs)().to_string().into_bytes();
        let mut arguments = vec![life, self.fresh_epoch()];
        put_rules(&canvas, &mut arguments);
        let answer = self.servers.write(&CREATE, &canvas_key(&canvas.id), &arguments, false).await?;
        match Answer::parse(answer)? {
            (Status::Done, _) => Ok(Created::Made(Arc::new(canvas))),
            (_, mut answer) => Ok(Created::Exists(Arc::new(read(&answer.bytes()?, read_canvas)?))),
        }
    }

    pub(super) async fn amend(
        &self,
        id: &CanvasId,
        amendment: &Amendment,
    ) -> Result<Option<Result<Arc<Canvas>, InvalidCanvas>>, StoreError> {
        for _ in 0..TRIES_MAX {
            let Some(Followed { life, revision, mut canvas, .. }) = self.stand(id).await? else {
                return Ok(None);
            };
            if let Err(invalid) = canvas.amend(amendment) {
                return Ok(Some(Err(invalid)));
            }
            let mut arguments = vec![life, revision.to_string().into_bytes()];
            put_rules(&canvas, &mut arguments);
            let answer = self.servers.write(&AMEND, &canvas_key(id), &arguments, false).await?;
            match Answer::parse(answer)?.0 {
                Status::Done => return Ok(Some(Ok(Arc::new(canvas)))),
                Status::Gone => return Ok(None),
                Status::Moved => {}
            }
        }
        Err(StoreError::Unavailable("the canvas is amended by others all the time".into()))
    }

    pub(super) async fn delete(&self, id: &CanvasId) -> Result<bool, StoreError> {
        let answer = self.servers.write(&DELETE, &canvas_key(id), &[], false).await?;
        self.forget(id);
        let deleted = Answer::parse(answer)?.0 == Status::Done;
        if deleted {
            self.losses.forget(id);
        }
        Ok(deleted)
    }

    pub(super) async fn reset(&self, id: &CanvasId) -> Result<Option<Position>, StoreError> {
        for tried in 0..TRIES_MAX {
            let (Some(known), Some(overview)) = (self.known(id).await?, self.overview(id, true).await?)
            else {
                return Ok(None);
            };
            let placements = match self.unpainted(&known.canvas, &overview).await? {
                Some(placements) => placements,
                // Painted all the time: then the reset lists nothing, which says "too many".
                None if tried + 1 == TRIES_MAX => Vec::new(),
                None => continue,
            };
            let taken = (placements.len() as u64).max(1);
            // A list is right only where it was read; none is right anywhere.
            let read_at = match placements.len() {
                0 => String::new(),
                _ => overview.position.sequence.to_string(),
            };
            let arguments = vec![
                known.life.clone(),
                read_at.into_bytes(),
                self.fresh_epoch(),
                self.clock(),
                self.options.retention_bytes.to_string().into_bytes(),
                taken.to_string().into_bytes(),
                reset_body(&placements),
            ];
            let answer = self.servers.write(&RESET, &canvas_key(id), &arguments, false).await?;
            match Answer::parse(answer)? {
                (Status::Done, mut answer) => {
                    let position = Position { epoch: answer.epoch()?, sequence: answer.sequence()? };
                    return Ok(Some(position));
                }
                (Status::Gone, _) => return Ok(None),
                (Status::Moved, _) => self.forget(id),
            }
        }
        Err(StoreError::Unavailable("the canvas is made anew all the time".into()))
    }

    /// The placements that put every pixel back to the background, row by row of each chunk; the
    /// first pixel alone where none differs, nothing when they are more than a reset lists. `None`
    /// when the canvas has moved on from the overview meanwhile.
    async fn unpainted(
        &self,
        canvas: &Canvas,
        overview: &Overview,
    ) -> Result<Option<Vec<Placement>>, StoreError> {
        let mut ids: Vec<_> = overview.changed.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable_by_key(|id| (id.cy, id.cx));
        let mut back = vec![0; canvas.palette.bytes_per_pixel()];
        canvas.palette.store(canvas.background, &mut back);
        let mut placements = Vec::new();
        for ids in ids.chunks(RESET_CHUNKS) {
            let view = self.view(&canvas.id, ids).await?;
            let Some(view) = view.filter(|view| view.position == overview.position) else {
                return Ok(None);
            };
            for chunk in view.chunks {
                let width = canvas.size.chunk_size(chunk.id).width() as usize;
                for (index, pixel) in chunk.pixels.chunks_exact(back.len()).enumerate() {
                    if pixel != back {
                        if placements.len() == RESET_PLACEMENTS_MAX {
                            return Ok(Some(Vec::new()));
                        }
                        let offset = (index / width * 256 + index % width) as u16;
                        placements.push(Placement { at: chunk.id.point(offset), color: canvas.background });
                    }
                }
            }
        }
        if placements.is_empty() {
            placements.push(Placement { at: Point { x: 0, y: 0 }, color: canvas.background });
        }
        Ok(Some(placements))
    }
}

/// The canvas, and what scripts decide by.
pub(super) fn put_rules(canvas: &Canvas, arguments: &mut Vec<Vec<u8>>) {
    let mut described = Vec::new();
    put_canvas(&mut described, canvas);
    arguments.push(described);
    let rules = [canvas.cooldown_ms * 1_000, u64::from(canvas.charges_max), u64::from(canvas.frozen)];
    arguments.extend(rules.map(|rule| rule.to_string().into_bytes()));
}
