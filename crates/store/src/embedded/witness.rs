//! What speaks for the database and its journal from outside them: how much was acknowledged, and where they lie.
//!
//! After a crash the database goes back to its last commit that is whole. One that was synced is: where it is not
//! any more, what the crash left was damaged since, and acknowledged placements would vanish in silence. So the
//! number of every acknowledged commit is written into a file of its own, unsynced: at the next start the
//! database must not end before it. And what lies in a folder that was moved or removed is found by nobody, so
//! the folder is looked at before anything is acknowledged.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::folder::OpenError;
use crate::files::open_private;

/// The file that holds the number of the last acknowledged commit.
const ACKNOWLEDGED_FILE: &str = "acknowledged";
/// The number, and its complement: what else lies there says nothing.
const ACKNOWLEDGED_BYTES: usize = 16;

/// The witness of a database in a folder.
#[derive(Debug)]
pub(crate) struct Witness {
    folder: PathBuf,
    /// The database and its journal, as they were opened.
    opened: [(PathBuf, Metadata); 2],
    file: File,
}

impl Witness {
    /// Of the database and the journal in these files, which are there.
    pub(crate) fn of(folder: &Path, [database, journal]: [PathBuf; 2]) -> io::Result<Self> {
        let opened = |path: PathBuf| fs::metadata(&path).map(|metadata| (path, metadata));
        Ok(Self {
            folder: folder.into(),
            opened: [opened(database)?, opened(journal)?],
            file: open_private(&folder.join(ACKNOWLEDGED_FILE))?,
        })
    }

    /// Whether a folder without a database had one from which something was acknowledged.
    pub(crate) fn misses_database(folder: &Path) -> io::Result<bool> {
        match File::open(folder.join(ACKNOWLEDGED_FILE)) {
            Ok(file) => Ok(acknowledged(&file)?.is_some_and(|commits| commits > 0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Refuses a database that ends after `commits` and lacks acknowledged ones.
    pub(crate) fn check(&self, commits: u64) -> Result<(), OpenError> {
        let read = acknowledged(&self.file);
        let acknowledged = read.map_err(|error| OpenError::Write { path: self.folder.clone(), error })?;
        if acknowledged.is_none() && self.file.metadata().is_ok_and(|there| there.len() > 0) {
            // It is not synced, so a power cut may do this; then the journal kept what was.
            warn!(
                "{} is damaged: whether the database lacks what was acknowledged cannot be told",
                self.folder.join(ACKNOWLEDGED_FILE).display()
            );
        }
        match acknowledged.unwrap_or(0).saturating_sub(commits) {
            0 => Ok(()),
            lost => Err(OpenError::Damaged {
                what: format!("it lacks the last {lost} commits that were acknowledged"),
            }),
        }
    }

    /// This many commits may be acknowledged, as they are synced where the next start looks for them.
    pub(crate) fn note(&self, commits: u64) -> io::Result<()> {
        self.look()?;
        let mut bytes = [0; ACKNOWLEDGED_BYTES];
        bytes[..8].copy_from_slice(&commits.to_le_bytes());
        bytes[8..].copy_from_slice(&(!commits).to_le_bytes());
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&bytes)
    }

    /// An error where the database and its journal do not lie any more where they were opened.
    pub(crate) fn look(&self) -> io::Result<()> {
        let is_there = |(path, opened): &(PathBuf, Metadata)| {
            fs::metadata(path).is_ok_and(|there| is_same(&there, opened))
        };
        let there = self.opened.iter().all(is_there);
        let gone = || format!("the data folder {} was moved, replaced or removed", self.folder.display());
        if there { Ok(()) } else { Err(io::Error::new(io::ErrorKind::NotFound, gone())) }
    }
}

/// What the file says.
fn acknowledged(mut file: &File) -> io::Result<Option<u64>> {
    let mut bytes = Vec::with_capacity(ACKNOWLEDGED_BYTES);
    file.seek(SeekFrom::Start(0))?;
    file.take(ACKNOWLEDGED_BYTES as u64).read_to_end(&mut bytes)?;
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Ok(number(0).filter(|commits| number(8) == Some(!commits)))
}

#[cfg(unix)]
fn is_same(there: &Metadata, opened: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (there.dev(), there.ino()) == (opened.dev(), opened.ino())
}

/// Where files have no number, one is as good as another.
#[cfg(not(unix))]
fn is_same(_there: &Metadata, _opened: &Metadata) -> bool {
    true
}
