//! Backups in files: whole under their name, or not there.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use pixel_canvas::Timestamp;
use pixel_store::Store;
use pixel_store::backup::{self, Backup, BackupError, Summary};
use pixel_store::files::{open_private, rename_for_good};

mod ask;
mod command;
mod schedule;
mod serve;

pub(crate) use command::{BackupFatal, back_up, restore};
pub(crate) use schedule::{Schedule, keep_schedule};
pub(crate) use serve::{Backups, router};

/// Bytes that are written and read together.
const BUFFER_BYTES: usize = 256 << 10;

/// A backup's file could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{} is there already: name another file, or remove it", .0.display())]
    Exists(PathBuf),
    #[error("{} is being written by another process", .0.display())]
    InUse(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Content { path: PathBuf, source: BackupError },
}

/// Makes a backup of a store. Blocks between the store's answers: for a thread of its own.
async fn make(store: &dyn Store, made_at: Timestamp, path: &Path) -> Result<Summary, FileError> {
    make_with(path, async |file| {
        backup::take(store, made_at, BufWriter::with_capacity(BUFFER_BYTES, file)).await.map(drop)
    })
    .await
}

/// Takes a backup that somebody else makes.
async fn receive(from: &mut (impl Read + Send), path: &Path) -> Result<Summary, FileError> {
    make_with(path, async |mut file| Ok(io::copy(from, &mut file).map(drop)?)).await
}

/// Makes a file that has another name until it was read back and is on the disk: what a kill leaves
/// never looks whole.
async fn make_with(
    path: &Path,
    write: impl AsyncFnOnce(&File) -> Result<(), BackupError>,
) -> Result<Summary, FileError> {
    let failed = |source| FileError::Io { path: path.into(), source };
    let no_backup = |source| FileError::Content { path: path.into(), source };
    if path.try_exists().map_err(failed)? {
        return Err(FileError::Exists(path.into()));
    }
    let unfinished = unfinished(path);
    // It holds who painted.
    let file = open_private(&unfinished).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(FileError::InUse(path.into())),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    let made = match write(&file).await {
        Ok(()) => Backup::read(BufReader::with_capacity(BUFFER_BYTES, &file)),
        Err(error) => Err(error),
    };
    let summary = match made {
        Ok(backup) => backup.summary().clone(),
        Err(error) => {
            // It is no backup whether or not it can be removed.
            let _ = fs::remove_file(&unfinished);
            return Err(no_backup(error));
        }
    };
    file.sync_all().and_then(|()| rename_for_good(&unfinished, path)).map_err(failed)?;
    Ok(summary)
}

/// What a backup is called until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    name.into()
}

/// What a backup holds, for who asked for it.
fn describe(summary: &Summary) -> String {
    let mut text = String::new();
    for kept in &summary.canvases {
        let (canvas, size) = (&kept.canvas, kept.canvas.size);
        text +=
            &format!("  {}: {}×{} at sequence {}\n", canvas.id, size.width(), size.height(), kept.sequence);
    }
    text
}

/// Writes to standard output; who closed it does not want to know.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
