//! A disk in memory that remembers every write since its file was synced, and can fail.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use pixel_store::embedded::{Embedded, OpenError, Options};
use redb::StorageBackend;

/// What a write did.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Length(u64),
    Bytes { at: u64, bytes: Vec<u8> },
}

/// The files of a store: its database and its journal.
pub(crate) type Files = [Vec<u8>; 2];
pub(crate) const DATABASE: usize = 0;
pub(crate) const JOURNAL: usize = 1;

/// A write to one of the files, and what was acknowledged to clients before what follows it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) file: usize,
    pub(crate) write: Write,
    pub(crate) acknowledged: u64,
}

/// The time between two syncs: writes that may be lost, on top of what was synced before them. Those to
/// the file that was not synced last are there again.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) synced: Files,
    pub(crate) writes: Vec<Written>,
}

/// A disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<(Mutex<Inside>, Condvar)>);

#[derive(Debug, Default)]
struct Inside {
    now: Files,
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
    pub(crate) fn holding(content: Files) -> Self {
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

    /// Opens the store on it.
    pub(crate) fn open(&self, options: Options) -> Result<Embedded, OpenError> {
        let file = |file| DiskFile { disk: self.clone(), file };
        Embedded::open_with_backends(file(DATABASE), file(JOURNAL), options)
    }

    /// Its database alone, to look into.
    pub(crate) fn database(&self) -> DiskFile {
        DiskFile { disk: self.clone(), file: DATABASE }
    }

    /// Notes what clients were told. From here on it holds whichever of the writes under way are lost.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        let mut inside = self.inside();
        inside.acknowledged = sequence;
        let stretch = inside.recording.as_mut().and_then(|stretches| stretches.last_mut());
        stretch
            .into_iter()
            .flat_map(|stretch| &mut stretch.writes)
            .for_each(|written| written.acknowledged = sequence);
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
    pub(crate) fn content(&self) -> Files {
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

    fn write(&mut self, file: usize, write: Write) -> io::Result<()> {
        if let Err(full) = self.spend() {
            // A disk that is full takes what still fits.
            if let Write::Bytes { at, bytes } = write {
                let half = bytes[..bytes.len() / 2].to_vec();
                apply(&mut self.now[file], &Write::Bytes { at, bytes: half });
            }
            return Err(full);
        }
        apply(&mut self.now[file], &write);
        let acknowledged = self.acknowledged;
        if let Some(stretch) = self.recording.as_mut().and_then(|stretches| stretches.last_mut()) {
            stretch.writes.push(Written { file, write, acknowledged });
        }
        Ok(())
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

/// One of a disk's files.
#[derive(Debug)]
pub(crate) struct DiskFile {
    disk: Disk,
    file: usize,
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.inside().now[self.file].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inside = self.disk.inside();
        let from = offset as usize;
        let stored = inside.now[self.file].get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(stored);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.inside().write(self.file, Write::Length(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inside = self.disk.inside();
        while inside.held {
            inside.waiting = true;
            inside = self.disk.0.1.wait(inside).expect("no holder of this lock panics");
        }
        inside.waiting = false;
        inside.spend()?;
        inside.syncs += 1;
        let now = inside.now[self.file].clone();
        let acknowledged = inside.acknowledged;
        if let Some(stretches) = &mut inside.recording {
            let Stretch { mut synced, mut writes } = stretches.last().cloned().expect("there is a first");
            synced[self.file] = now;
            writes.retain(|written| written.file != self.file);
            writes.iter_mut().for_each(|written| written.acknowledged = acknowledged);
            stretches.push(Stretch { synced, writes });
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.inside().write(self.file, Write::Bytes { at: offset, bytes: data.to_vec() })
    }
}
