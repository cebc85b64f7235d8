//! The subcommands `backup` and `restore`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pixel_canvas::{CanvasId, Sequence};
use pixel_store::backup::{Backup, BackupError};
use pixel_store::embedded::{Embedded, OpenError, Options};
use pixel_store::redis::{Access, Redis};
use pixel_store::{Condition, Created, Store};

use super::{BUFFER_BYTES, FileError, ask, describe, make, receive, say};
use crate::clock::Clock;
use crate::config::{Config, StoreAt};
use crate::process::{self, Fatal};
use crate::secrets;

/// A subcommand did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupFatal {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the data folder {} is in use, and its process gives no backup: {why}", folder.display())]
    NotGiven { folder: PathBuf, why: String },
    #[error("there is no store in {}: --store says where it is", .0.display())]
    NoStore(PathBuf),
    #[error("the store is away: {0}")]
    Away(String),
    #[error("{}: {source}", path.display())]
    Content { path: PathBuf, source: BackupError },
    #[error("{}: it holds no canvas {id}", path.display())]
    NotInIt { path: PathBuf, id: String },
    #[error(
        "canvas {0} is there and was painted on: --replace puts the backup's in its place. Nothing was restored"
    )]
    Exists(String),
}

impl BackupFatal {
    /// 65 data, 69 unavailable, 73 cannot create, 74 input or output.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Content { source: BackupError::Store(_), .. }
            | Self::File(FileError::InUse(_) | FileError::Content { source: BackupError::Store(_), .. })
            | Self::NotGiven { .. }
            | Self::Away(_) => 69,
            Self::Content { source: BackupError::Io(_), .. }
            | Self::File(FileError::Io { .. } | FileError::Content { source: BackupError::Io(_), .. }) => 74,
            Self::Content { .. } | Self::File(FileError::Content { .. }) | Self::NotInIt { .. } => 65,
            Self::NoStore(_) => 64,
            Self::File(FileError::Exists(_)) | Self::Exists(_) => 73,
        }
    }
}

/// `backup FILE`.
pub(crate) async fn back_up(config: &Config, clock: Clock) -> Result<(), Fatal> {
    let path = Path::new(&config.operands[0]);
    let summary = match &config.store {
        StoreAt::None => return Err(no_store()),
        StoreAt::Redis(_) => {
            let store = reach(config, Access::Read).await?;
            make(&store, clock.unix(), path).await
        }
        StoreAt::Folder(folder) => match open_folder(config, folder, clock) {
            Ok(store) => {
                let made = make(&store, clock.unix(), path).await;
                store.close().await;
                made
            }
            Err(Fatal::Open(OpenError::InUse { .. })) => take_from_running(config, folder, path).await?,
            Err(other) => return Err(other),
        },
    };
    let summary = summary.map_err(BackupFatal::from)?;
    say(&format!("{} holds\n{}", path.display(), describe(&summary)));
    Ok(())
}

async fn take_from_running(
    config: &Config,
    folder: &Path,
    path: &Path,
) -> Result<Result<pixel_store::backup::Summary, FileError>, Fatal> {
    let token = config.admin_token_file.clone().unwrap_or_else(|| folder.join("admin-token"));
    let token = token.try_exists()?.then(|| secrets::admin_token(&token, false)).transpose()?;
    let not_given = |why: String| BackupFatal::NotGiven { folder: folder.into(), why };
    let answer = ask::ask(config.ops_listen, token.as_deref()).map_err(|error| {
        not_given(format!("{} (--ops-listen) does not answer: {error}", config.ops_listen))
    })?;
    let mut body = answer.map_err(not_given)?;
    Ok(receive(&mut body, path).await)
}

/// `restore FILE [CANVAS…] [--replace]`.
pub(crate) async fn restore(config: &Config, clock: Clock) -> Result<(), Fatal> {
    let path = Path::new(&config.operands[0]);
    let content = |source| BackupFatal::Content { path: path.into(), source };
    let file = File::open(path).map_err(|error| content(error.into()))?;
    let mut backup = Backup::read(BufReader::with_capacity(BUFFER_BYTES, file)).map_err(content)?;
    let held: Vec<CanvasId> = backup.summary().canvases.iter().map(|kept| kept.canvas.id.clone()).collect();
    let mut wanted = held.clone();
    if config.operands.len() > 1 {
        wanted.clear();
        for id in &config.operands[1..] {
            let found = held.iter().find(|held| held.as_str() == id);
            let missing = || BackupFatal::NotInIt { path: path.into(), id: id.clone() };
            let found = found.ok_or_else(missing)?;
            // Named twice it is still put back once.
            if !wanted.contains(found) {
                wanted.push(found.clone());
            }
        }
    }
    match &config.store {
        StoreAt::None => Err(no_store()),
        StoreAt::Redis(_) => {
            let store = reach(config, Access::Write(config.durability)).await?;
            put_back(&store, &mut backup, &wanted, config.replace, path).await
        }
        StoreAt::Folder(folder) => {
            let store = Embedded::open(folder, options(config, clock))?;
            let done = put_back(&store, &mut backup, &wanted, config.replace, path).await;
            store.close().await;
            done
        }
    }
}

async fn put_back(
    store: &dyn Store,
    backup: &mut Backup<BufReader<File>>,
    wanted: &[CanvasId],
    replace: bool,
    path: &Path,
) -> Result<(), Fatal> {
    let content = |source| BackupFatal::Content { path: path.into(), source };
    // All of them, or none.
    for id in wanted {
        let position = store.position(id).await.map_err(|error| content(error.into()))?;
        if !replace && position.is_some_and(|position| position.sequence > Sequence::ZERO) {
            return Err(BackupFatal::Exists(id.to_string()).into());
        }
    }
    for id in wanted {
        match backup.restore(store, id, replace).await.map_err(content)? {
            Some(Created::Made(canvas)) => say(&format!("canvas {} is back\n", canvas.id)),
            // Somebody was faster.
            Some(Created::Exists(canvas)) => return Err(BackupFatal::Exists(canvas.id.to_string()).into()),
            None => return Err(BackupFatal::NotInIt { path: path.into(), id: id.to_string() }.into()),
        }
    }
    Ok(())
}

fn no_store() -> Fatal {
    let problem = "a frontend alone has no store: leave --target out".to_owned();
    Fatal::Config { key: "--target", problem }
}

fn options(config: &Config, clock: Clock) -> Options {
    let mut options = Options::new(process::limits(config), Arc::new(move || clock.unix()));
    options.retention_bytes = config.log_retention_bytes;
    options.retention_seconds = config.log_retention_seconds;
    options
}

/// A folder that is there.
fn open_folder(config: &Config, folder: &Path, clock: Clock) -> Result<Embedded, Fatal> {
    if !folder.join("canvas.redb").try_exists()? {
        return Err(BackupFatal::NoStore(folder.into()).into());
    }
    Ok(Embedded::open(folder, options(config, clock))?)
}

async fn reach(config: &Config, access: Access) -> Result<Redis, Fatal> {
    let StoreAt::Redis(address) = &config.store else { return Err(no_store()) };
    let store = process::reach_redis(config, address, access).await?;
    match store.condition() {
        Condition::Away(trouble, why) => Err(BackupFatal::Away(format!("{trouble}: {why}")).into()),
        Condition::Writable | Condition::ReadOnly(..) => Ok(store),
    }
}
