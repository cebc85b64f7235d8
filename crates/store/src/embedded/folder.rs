//! The data folder: private, of one process at a time, and whole or not there.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableTable, WriteTransaction};

use super::tables::{AUTHORS, CHECKPOINTS, CHUNKS, COOLDOWNS, HISTORIES, MARKS, RECORDS, RUBBISH};
use super::tables::{
    CANVASES, CanvasRow, FORMAT_VERSION, FORMAT_WITH_LAYERED_AUTHORS, LOG, META, META_VERSION,
};
use super::witness::Witness;
use crate::files::{open_private, rename_for_good, sync_names};

/// The file that holds everything but the last rows of the log.
const DATABASE_FILE: &str = "canvas.redb";
/// The rows that are not in it yet.
const JOURNAL_FILE: &str = "journal";
/// The file of a folder that is just being made.
const UNFINISHED_FILE: &str = "canvas.redb.new";
/// Whoever holds its lock owns the folder.
const LOCK_FILE: &str = "lock";

/// How much of the file the database keeps in memory, in bytes. Chunks are in memory anyway.
const DATABASE_CACHE_BYTES: usize = 64 << 20;

/// Why a store could not be opened: a sentence for who starts the server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is not there and cannot be made.
    #[error("the data folder {} cannot be created: {error}", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The folder, or a file in it, cannot be written.
    #[error("the data folder {} cannot be written: {error}", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Another process holds it.
    #[error("the data folder {} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "the data is of format {found}, this program knows formats up to {FORMAT_VERSION}: use the newer program"
    )]
    Newer {
        /// The format found.
        found: u64,
    },
    /// What lies there is not what was written.
    #[error("the data is damaged ({what}): restore a copy, or start with an empty folder")]
    Damaged {
        /// Where.
        what: String,
    },
    /// Reading or writing failed on the way.
    #[error("the data could not be read or written: {0}")]
    Storage(#[source] redb::Error),
}

impl<E: Into<redb::Error>> From<E> for OpenError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Corrupted(what) => Self::Damaged { what },
            error => Self::Storage(error),
        }
    }
}

impl OpenError {
    /// Says which folder's data it is.
    pub(crate) fn in_folder(self, folder: &Path) -> Self {
        match self {
            Self::Damaged { what } => Self::Damaged { what: format!("{}: {what}", folder.display()) },
            other => other,
        }
    }
}

/// What is held for as long as a folder is used.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) witness: Witness,
    _lock: File,
}

/// Opens the folder's database and the file of its journal, made when there is none.
pub(crate) fn open(path: &Path) -> Result<(Database, FileBackend, Held), OpenError> {
    create_private_folder(path).map_err(|error| OpenError::Create { path: path.into(), error })?;
    let write = |error| OpenError::Write { path: path.into(), error };
    let lock = open_private(&path.join(LOCK_FILE)).map_err(write)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.into() }),
        Err(TryLockError::Error(error)) => return Err(write(error)),
    }
    let at = path.join(DATABASE_FILE);
    if !at.try_exists().map_err(write)? {
        if Witness::misses_database(path).map_err(write)? {
            return Err(OpenError::Damaged { what: format!("{DATABASE_FILE} is missing") });
        }
        make_database(path)?;
    }
    let file = open_private(&at).map_err(write)?;
    // It got its name when it was whole: an empty one lost what was in it, and is not filled anew.
    if file.metadata().map_err(write)?.len() == 0 {
        return Err(OpenError::Damaged { what: format!("{DATABASE_FILE} is empty") });
    }
    let backend = FileBackend::new(file).map_err(|error| in_folder(error, path))?;
    let database = open_database(backend).map_err(|error| match error {
        OpenError::Storage(redb::Error::Io(error))
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            OpenError::Damaged { what: error.to_string() }
        }
        OpenError::Storage(redb::Error::Io(error)) => write(error),
        OpenError::Storage(redb::Error::DatabaseAlreadyOpen) => OpenError::InUse { path: path.into() },
        other => other,
    })?;
    let journal_at = path.join(JOURNAL_FILE);
    let journal =
        open_private(&journal_at).and_then(|file| sync_names(path).map(|()| file)).map_err(write)?;
    let journal = FileBackend::new(journal).map_err(|error| in_folder(error, path))?;
    let witness = Witness::of(path, [at, journal_at]).map_err(write)?;
    Ok((database, journal, Held { witness, _lock: lock }))
}

/// Opens a database in any storage, made where it is empty, and checks its version.
pub(crate) fn open_database(backend: impl redb::StorageBackend) -> Result<Database, OpenError> {
    let database = Builder::new().set_cache_size(DATABASE_CACHE_BYTES).create_with_backend(backend)?;
    let transaction = database.begin_write()?;
    let found = {
        let mut meta = transaction.open_table(META)?;
        let found = meta.get(META_VERSION)?.map(|found| found.value());
        if found.is_none_or(|found| found < u64::from(FORMAT_VERSION)) {
            meta.insert(META_VERSION, u64::from(FORMAT_VERSION))?;
        }
        found
    };
    match found {
        Some(found) if found > u64::from(FORMAT_VERSION) => return Err(OpenError::Newer { found }),
        Some(found) if found == u64::from(FORMAT_VERSION) => {}
        Some(found) => {
            if found < u64::from(FORMAT_WITH_LAYERED_AUTHORS) {
                layer_authors(&transaction)?;
            }
            transaction.open_table(HISTORIES)?;
            transaction.commit()?;
        }
        None => {
            // Readers find every table from the beginning.
            transaction.open_table(CANVASES)?;
            transaction.open_table(LOG)?;
            transaction.open_table(CHECKPOINTS)?;
            transaction.open_table(CHUNKS)?;
            transaction.open_table(MARKS)?;
            transaction.open_table(AUTHORS)?;
            transaction.open_table(RECORDS)?;
            transaction.open_table(COOLDOWNS)?;
            transaction.open_table(HISTORIES)?;
            transaction.open_table(RUBBISH)?;
            transaction.commit()?;
        }
    }
    Ok(database)
}

/// Puts authors under their canvas' layer. Chunks of that version are read as they are, and written
/// anew when they are painted.
fn layer_authors(transaction: &WriteTransaction) -> Result<(), OpenError> {
    let canvases = transaction.open_table(CANVASES)?;
    let mut authors = transaction.open_table(AUTHORS)?;
    for row in canvases.iter()? {
        let (number, value) = row?;
        let number = number.value();
        let damaged = || OpenError::Damaged { what: format!("canvas {number}") };
        let layer = CanvasRow::decode(value.value()).ok_or_else(damaged)?.layer;
        let rows = (number, 0)..=(number, u32::MAX);
        let moved = authors.extract_from_if(rows, |_, _| true)?;
        let moved: Vec<(u32, Vec<u8>)> = moved
            .map(|row| row.map(|(key, value)| (key.value().1, value.value().to_vec())))
            .collect::<Result<_, _>>()?;
        for (author, value) in moved {
            authors.insert((layer, author), value.as_slice())?;
        }
    }
    Ok(())
}

/// Makes the database under another name and renames it when it is whole: a folder whose making
/// was cut short is made again.
fn make_database(folder: &Path) -> Result<(), OpenError> {
    let unfinished = folder.join(UNFINISHED_FILE);
    let write = |error| OpenError::Write { path: folder.into(), error };
    let file = open_private(&unfinished).map_err(write)?;
    file.set_len(0).map_err(write)?;
    let backend = FileBackend::new(file).map_err(|error| in_folder(error, folder))?;
    let database = open_database(backend).map_err(|error| match error {
        OpenError::Storage(redb::Error::Io(error)) => write(error),
        other => other,
    })?;
    drop(database);
    rename_for_good(&unfinished, &folder.join(DATABASE_FILE)).map_err(write)
}

fn in_folder(error: DatabaseError, path: &Path) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.into() },
        other => other.into(),
    }
}

fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
