//! Backups at intervals, the newest few of which are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pixel_canvas::Timestamp;
use pixel_store::Store;
use tokio::runtime::Handle;
use tracing::{error, info};

use super::{Backups, FileError, make, unfinished};
use crate::telemetry::BackupMetrics;

/// What files of the schedule are called: between these, the date and time that they were begun.
const PREFIX: &str = "pixels-";
const SUFFIX: &str = ".backup";
/// Wait after one that failed.
const RETRY: Duration = Duration::from_secs(60);

/// When backups are made, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) folder: PathBuf,
    pub(crate) interval: Duration,
    /// How many there are at most.
    pub(crate) kept: usize,
}

/// Makes backups until the process ends. The first is due at once, unless the folder has a newer one than
/// the interval.
pub(crate) async fn keep_schedule(
    schedule: Schedule,
    store: Arc<dyn Store>,
    backups: Backups,
    metrics: BackupMetrics,
) {
    loop {
        let now = backups.clock.unix();
        let wait = next_due(&schedule, now);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
            continue;
        }
        let Ok(making) = Arc::clone(&backups.making).acquire_owned().await else { return };
        let (store, runtime, of) = (Arc::clone(&store), Handle::current(), schedule.clone());
        let made = tokio::task::spawn_blocking(move || {
            let made = runtime.block_on(make_next(&of, store.as_ref(), now));
            drop(making);
            made
        });
        match made.await {
            Ok(Ok(path)) => {
                metrics.made.inc();
                metrics.newest.set(now.0 as f64 / 1_000.0);
                info!("the store was backed up to {}", path.display());
            }
            Ok(Err(error)) => {
                metrics.failed.inc();
                error!(%error, "the store was not backed up: {error}");
                tokio::time::sleep(RETRY).await;
            }
            // The process ends.
            Err(_) => return,
        }
    }
}

/// Makes one and removes those that are too many.
async fn make_next(schedule: &Schedule, store: &dyn Store, now: Timestamp) -> Result<PathBuf, FileError> {
    let failed = |source| FileError::Io { path: schedule.folder.clone(), source };
    fs::create_dir_all(&schedule.folder).map_err(failed)?;
    let path = schedule.folder.join(format!("{PREFIX}{}{SUFFIX}", date_and_time(now)));
    // Those that were cut short: this process is the only one that makes any here.
    for begun in files(&schedule.folder, &unfinished(Path::new(SUFFIX)).to_string_lossy()).map_err(failed)? {
        fs::remove_file(begun).map_err(failed)?;
    }
    make(store, now, &path).await?;
    let made = files(&schedule.folder, SUFFIX).map_err(failed)?;
    for old in &made[..made.len().saturating_sub(schedule.kept)] {
        fs::remove_file(old).map_err(failed)?;
    }
    Ok(path)
}

/// How long until the next one.
fn next_due(schedule: &Schedule, now: Timestamp) -> Duration {
    let newest = files(&schedule.folder, SUFFIX).ok().and_then(|files| files.last().cloned());
    let made = newest.and_then(|file| fs::metadata(file).ok()?.modified().ok());
    let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
    let age = made.map(|made| Duration::from_millis(now.0).saturating_sub(made));
    age.map_or(Duration::ZERO, |age| schedule.interval.saturating_sub(age))
}

/// Files of the schedule, the oldest first.
fn files(folder: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(suffix))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.extend(Some(entry?.path()).filter(is_one));
    }
    files.sort_unstable();
    Ok(files)
}

/// `20261127T103931.123Z`, which sorts as time does.
fn date_and_time(at: Timestamp) -> String {
    let (days, millis) = (at.0 / 86_400_000, at.0 % 86_400_000);
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    // Years begin in March, so that a leap day is the last of its year; eras have 400 of them.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_by_its_date() {
        for (millis, expected) in [
            (0, "19700101T000000.000Z"),
            (951_782_399_999, "20000228T235959.999Z"),
            (951_782_400_000, "20000229T000000.000Z"),
            (951_868_800_000, "20000301T000000.000Z"),
            (1_795_775_971_042, "20261127T103931.042Z"),
            (4_107_542_400_000, "21000301T000000.000Z"),
        ] {
            assert_eq!(date_and_time(Timestamp(millis)), expected);
        }
    }
}
