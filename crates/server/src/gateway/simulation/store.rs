//! The modelled store as a service sees it: over a network, and away now and then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use pixel_canvas::{
    Amendment, Canvas, CanvasId, Chunk, ChunkId, Color, Epoch, Identity, InvalidCanvas, Name, Point, Refusal,
};
use pixel_store::{
    Condition, Created, Outcome, Overview, Pixel, Position, Provenance, Restoration, Store, StoreError,
    Submission, Tail, Tailed, View,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::picture;
use super::machine::Machine;
use super::world::World;
use crate::clock::Clock;

/// How long nothing is heard before a connection to the store is given up.
const SILENCE: Duration = Duration::from_millis(700);
/// How often somebody is told that the store is busy, in percent.
const BUSY_PERCENT: u64 = 1;

/// The store's machine and its disk.
pub(super) struct Storage {
    pub(super) world: Arc<World>,
    machine: Mutex<Machine>,
    sync_ms: (u64, u64),
}

impl Storage {
    pub(super) fn new(world: Arc<World>, machine: Machine, sync_ms: (u64, u64)) -> Arc<Self> {
        let storage = Arc::new(Self { world, machine: Mutex::new(machine), sync_ms });
        tokio::spawn(Arc::clone(&storage).keep_syncing());
        storage
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().expect("no run goes on after a panic")
    }

    /// What is in the log now is durable a while later, all of it together.
    async fn keep_syncing(self: Arc<Self>) {
        loop {
            let change = self.world.change();
            let (unsynced, generation, length) = {
                let machine = self.machine();
                (machine.unsynced(), machine.generation, machine.log.len())
            };
            if unsynced > 0 {
                let (least, most) = self.sync_ms;
                sleep(self.world.ms(least..most)).await;
                let mut machine = self.machine();
                if machine.generation == generation {
                    machine.sync(length);
                    drop(machine);
                    self.world.stir();
                }
            } else {
                change.await;
            }
        }
    }

    /// Decides a call, and answers when what it needs is shown.
    async fn place(&self, call: Vec<Submission>) -> Result<Vec<Outcome>, StoreError> {
        let (outcomes, needs, generation) = {
            let mut machine = self.machine();
            if !machine.running {
                return Err(unavailable());
            }
            if self.world.chance(BUSY_PERCENT) {
                return Ok(vec![Outcome::Refused(Refusal::Busy { wait_ms: 50 }); call.len()]);
            }
            let (outcomes, needs) = machine.place(call, Clock.unix());
            (outcomes, needs, machine.generation)
        };
        self.world.note(format_args!("store: {outcomes:?}"));
        self.world.stir();
        loop {
            let change = self.world.change();
            {
                let machine = self.machine();
                if machine.generation != generation {
                    return Err(unknown());
                }
                if machine.shown() >= needs {
                    return Ok(outcomes);
                }
            }
            change.await;
        }
    }
}

/// A process' way to the store.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) storage: Arc<Storage>,
    /// The process was killed: nothing reaches it, and it asks for nothing.
    pub(super) dead: Arc<AtomicBool>,
    /// The network between the two is cut.
    pub(super) cut: Arc<AtomicBool>,
}

impl Link {
    pub(super) fn new(storage: Arc<Storage>) -> Self {
        Self { storage, dead: Arc::default(), cut: Arc::default() }
    }

    /// One way over the network; an error where nothing arrives.
    pub(super) async fn travel(&self) -> Result<(), StoreError> {
        let world = &self.storage.world;
        sleep(world.ms(0..8)).await;
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if !self.cut.load(Ordering::Relaxed) {
            return Ok(());
        }
        sleep(world.ms(50..1_500)).await;
        Err(unavailable())
    }

    /// Asks the machine something that it knows at once.
    async fn ask<T>(&self, question: impl FnOnce(&mut Machine) -> T) -> Result<T, StoreError> {
        self.travel().await?;
        let answer = {
            let mut machine = self.storage.machine();
            machine.running.then(|| question(&mut machine))
        };
        self.travel().await?;
        answer.ok_or_else(unavailable)
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

pub(super) fn unavailable() -> StoreError {
    StoreError::Unavailable("the store is away".into())
}

fn unknown() -> StoreError {
    StoreError::Unknown("the store went away".into())
}

/// Where one reader of the log is.
struct LogTail {
    link: Link,
    generation: u64,
    /// The next entry; `None` where it cannot go on.
    next: Option<usize>,
    amended: u32,
    /// When what is there next has come over the network.
    due: Option<Instant>,
}

#[async_trait]
impl Tail for LogTail {
    async fn next(&mut self) -> Result<Tailed, StoreError> {
        let world = Arc::clone(&self.link.storage.world);
        loop {
            let change = world.change();
            if self.link.dead.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if self.link.is_cut() {
                sleep(SILENCE).await;
                if self.link.is_cut() {
                    return Err(unavailable());
                }
            }
            let there = {
                let machine = self.link.storage.machine();
                if machine.generation != self.generation {
                    return Err(unavailable());
                }
                let Some(next) = self.next else { return Ok(Tailed::Lost) };
                next < machine.shown() || self.amended < machine.amended
            };
            if !there {
                change.await;
                continue;
            }
            // It goes on with this where it was cancelled.
            let due = *self.due.get_or_insert_with(|| Clock.tokio() + world.ms(0..6));
            sleep_until(due).await;
            self.due = None;
            let machine = self.link.storage.machine();
            if machine.generation != self.generation || self.link.is_cut() {
                continue;
            }
            if self.amended < machine.amended {
                self.amended = machine.amended;
                return Ok(Tailed::Amended(Arc::clone(&machine.ledger.canvas)));
            }
            if let Some(next) = self.next
                && next < machine.shown()
            {
                self.next = Some(next + 1);
                return Ok(Tailed::Entry(Arc::clone(&machine.log[next].entry)));
            }
        }
    }
}

#[async_trait]
impl Store for Link {
    async fn canvases(&self) -> Result<Vec<Arc<Canvas>>, StoreError> {
        self.ask(|machine| vec![Arc::clone(&machine.ledger.canvas)]).await
    }

    async fn canvas(&self, id: &CanvasId) -> Result<Option<Arc<Canvas>>, StoreError> {
        self.ask(|machine| Some(Arc::clone(&machine.ledger.canvas)).filter(|canvas| canvas.id == *id)).await
    }

    async fn place(&self, _: &CanvasId, call: Vec<Submission>) -> Result<Vec<Outcome>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let link = self.clone();
        // Who waits may stop waiting: what is under way goes on all the same.
        tokio::spawn(async move {
            let placed = async {
                link.travel().await?;
                let placed = link.storage.place(call).await?;
                // It happened: nobody may say that it did not.
                link.travel().await.map_err(|_| unknown())?;
                Ok(placed)
            };
            drop(answer.send(placed.await));
        });
        answered.await.unwrap_or_else(|_| Err(unknown()))
    }

    async fn position(&self, _: &CanvasId) -> Result<Option<Position>, StoreError> {
        self.ask(|machine| Some(machine.position())).await
    }

    async fn view(&self, _: &CanvasId, chunks: &[ChunkId]) -> Result<Option<View>, StoreError> {
        self.ask(|machine| Some(View { position: machine.position(), chunks: machine.view(chunks) })).await
    }

    async fn pixel(&self, _: &CanvasId, at: Point) -> Result<Option<Pixel>, StoreError> {
        let pixel = |machine: &mut Machine| {
            let shown = &machine.log[..machine.shown()];
            let found = picture(shown.iter().map(|logged| &logged.entry)).remove(&(at.x, at.y));
            let (color, sequence) = found?;
            let entry = &shown.iter().find(|logged| logged.entry.last >= sequence)?.entry;
            let (_, _, name) = entry.placements().find(|(known, _, _)| *known == sequence)?;
            let painted = Some(Provenance { name: name.cloned(), at: entry.at, sequence });
            Some(Pixel { color, painted })
        };
        self.ask(|machine| Some(pixel(machine).unwrap_or(Pixel { color: Color::WHITE, painted: None }))).await
    }

    async fn overview(&self, _: &CanvasId) -> Result<Option<Overview>, StoreError> {
        self.ask(|machine| Some(machine.overview())).await
    }

    async fn tail(&self, _: &CanvasId, after: Position) -> Result<Option<Box<dyn Tail>>, StoreError> {
        let link = self.clone();
        let tail = |machine: &mut Machine| LogTail {
            generation: machine.generation,
            next: machine.seek(after),
            amended: machine.amended,
            link,
            due: None,
        };
        let tail = self.ask(tail).await?;
        self.storage.world.note(format_args!("tail after {after:?}: {:?}", tail.next));
        Ok(Some(Box::new(tail)))
    }

    async fn tail_start(&self, _: &CanvasId, _: u64) -> Result<Option<Position>, StoreError> {
        self.ask(|machine| Some(machine.tail_start())).await
    }

    fn condition(&self) -> Condition {
        Condition::Writable
    }

    async fn create(&self, _: Canvas) -> Result<Created, StoreError> {
        unreachable!("no gateway makes canvases")
    }

    async fn amend(
        &self,
        _: &CanvasId,
        amendment: Amendment,
    ) -> Result<Option<Result<Arc<Canvas>, InvalidCanvas>>, StoreError> {
        unreachable!("no gateway changes canvases: {amendment:?}")
    }

    async fn delete(&self, _: &CanvasId) -> Result<bool, StoreError> {
        unreachable!("no gateway deletes canvases")
    }

    async fn reset(&self, _: &CanvasId) -> Result<Option<Position>, StoreError> {
        unreachable!("no gateway resets canvases")
    }

    async fn copy(&self, _: &CanvasId, _: ChunkId) -> Result<Option<(Position, Option<Chunk>)>, StoreError> {
        unreachable!("no gateway makes backups")
    }

    async fn authors(&self, _: &CanvasId) -> Result<Option<Vec<(Identity, Name)>>, StoreError> {
        unreachable!("no gateway makes backups")
    }

    async fn restore(&self, _: Restoration<'_>) -> Result<Created, StoreError> {
        unreachable!("no gateway restores backups")
    }
}

impl Storage {
    /// The host puts every pixel back.
    pub(super) fn reset(&self) {
        let epoch = Epoch(self.world.number());
        self.machine().reset(epoch, Clock.unix());
        self.world.note(format_args!("the canvas is reset: {epoch}"));
        self.world.stir();
    }

    /// The host lets people paint, or does not.
    pub(super) fn freeze(&self, frozen: bool) {
        self.machine().amend(&Amendment { frozen: Some(frozen), ..Amendment::default() });
        self.world.note(format_args!("the canvas is frozen: {frozen}"));
        self.world.stir();
    }

    /// Power is lost, or another server takes over.
    pub(super) fn crash(&self) {
        let unsynced = self.machine().unsynced();
        let kept = self.world.below(unsynced as u64 + 1) as usize;
        self.machine().crash(kept);
        self.world.note(format_args!("the store crashes: {kept} of {unsynced} unsynced entries are kept"));
        self.world.stir();
    }

    /// It is there again.
    pub(super) fn restart(&self, other_epoch: bool) {
        let epoch = other_epoch.then(|| Epoch(self.world.number()));
        self.machine().restart(epoch);
        self.world.note(format_args!("the store is there again: {epoch:?}"));
        self.world.stir();
    }
}
