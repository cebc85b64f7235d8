//! A disk in memory that remembers every write since the last sync, and can fail.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use redb::StorageBackend;

/// What a write did.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Length(u64),
    Bytes { at: u64, bytes: Vec<u8> },
}

/// The writes between two syncs, on top of what was synced before them.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) synced: Vec<u8>,
    /// Each with what was acknowledged to clients before it.
    pub(crate) writes: Vec<(Write, u64)>,
}

/// A disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<(Mutex<Inside>, Condvar)>);

#[derive(Debug, Default)]
struct Inside {
    now: Vec<u8>,
    acknowledged: u64,
    recording: Option<Vec<Stretch>>,
    /// How many writes and syncs still succeed.
    good_for: Option<u64>,
    syncs: u64,
    /// Whether syncs wait.
    held: bool,
    waiting: bool,
}

impl Disk {
    /// A disk with this content.
    pub(crate) fn holding(content: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.inside().now = content;
        disk
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.0.lock().expect("no holder of this lock panics")
    }

    /// Remembers writes from now on.
    pub(crate) fn record(&self) {
        let mut inside = self.inside();
        let stretch = Stretch { synced: inside.now.clone(), writes: Vec::new() };
        inside.recording = Some(vec![stretch]);
    }

    /// What was recorded.
    pub(crate) fn stretches(&self) -> Vec<Stretch> {
        self.inside().recording.take().unwrap_or_default()
    }

    /// Notes what clients were told.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        self.inside().acknowledged = sequence;
    }

    /// After so many more writes and syncs, all fail.
    pub(crate) fn fail_after(&self, operations: u64) {
        self.inside().good_for = Some(operations);
    }

    /// Lets syncs wait until [`Disk::release`].
    pub(crate) fn hold(&self) {
        self.inside().held = true;
    }

    /// Whether a sync waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.inside().waiting
    }

    /// Lets the waiting sync go on.
    pub(crate) fn release(&self) {
        self.inside().held = false;
        self.0.1.notify_all();
    }

    /// What lies on the disk.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.inside().now.clone()
    }

    /// How often it was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.inside().syncs
    }
}

impl Inside {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.good_for {
            None => Ok(()),
            Some(0) => Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn note(&mut self, write: Write) {
        let acknowledged = self.acknowledged;
        if let Some(stretch) = self.recording.as_mut().and_then(|stretches| stretches.last_mut()) {
            stretch.writes.push((write, acknowledged));
        }
    }
}

/// Does to `content` what a write did.
pub(crate) fn apply(content: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Length(length) => content.resize(*length as usize, 0),
        Write::Bytes { at, bytes } => {
            let at = *at as usize;
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inside().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inside = self.inside();
        let from = offset as usize;
        let stored = inside.now.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(stored);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inside = self.inside();
        inside.spend()?;
        let write = Write::Length(len);
        apply(&mut inside.now, &write);
        inside.note(write);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inside = self.inside();
        while inside.held {
            inside.waiting = true;
            inside = self.0.1.wait(inside).expect("no holder of this lock panics");
        }
        inside.waiting = false;
        inside.spend()?;
        inside.syncs += 1;
        let synced = inside.now.clone();
        if let Some(stretches) = &mut inside.recording {
            stretches.push(Stretch { synced, writes: Vec::new() });
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inside = self.inside();
        inside.spend()?;
        let write = Write::Bytes { at: offset, bytes: data.to_vec() };
        apply(&mut inside.now, &write);
        inside.note(write);
        Ok(())
    }
}
