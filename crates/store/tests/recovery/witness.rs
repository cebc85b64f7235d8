//! What speaks for the database from outside it: acknowledged placements do not vanish in silence, neither from a
//! damaged database nor with a folder that went away.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pixel_canvas::{Canvas, CanvasId, Sequence};
use pixel_store::embedded::{Embedded, OpenError, Options};
use pixel_store::{Condition, Store, StoreError};
use tokio::task::JoinSet;

use crate::{Outside, accepted, main_canvas, numbered, submission};

/// Placements that are acknowledged, each in a commit of its own.
const PLACEMENTS: u64 = 40;
/// Bytes of a page of the database.
const PAGE: usize = 4_096;
/// Long enough that only a defect takes it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Without checkpoints. Rows go from the journal to the database every few placements, the last of them do not.
fn open(folder: &Path) -> Result<Embedded, OpenError> {
    let options = Outside::default().options();
    Embedded::open(
        folder,
        Options { checkpoint_bytes: u64::MAX, checkpoint_interval_ms: u64::MAX, ..options },
    )
}

async fn place(store: &Embedded, number: u64) -> Result<Sequence, StoreError> {
    paint(store, &main_canvas(), number).await
}

/// A store that acknowledged [`PLACEMENTS`] and is still open.
async fn painted(folder: &Path) -> Embedded {
    let store = open(folder).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    for number in 1..=PLACEMENTS {
        assert_eq!(place(&store, number).await.unwrap(), Sequence(number));
    }
    store
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn what_a_crash_left_and_was_damaged_since_is_never_taken_for_less() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let damaged_since = tempfile::tempdir().unwrap();
    let store = painted(folder.path()).await;
    // These are the files that a kill -9 would leave now.
    copy(folder.path(), killed.path());
    drop(store);
    for file in ["canvas.redb", "journal"] {
        let whole = fs::read(killed.path().join(file)).unwrap();
        let (mut whole_again, mut refused, mut fell_back) = (0, 0, 0);
        for page in 0..whole.len().div_ceil(PAGE) {
            let mut damaged = whole.clone();
            damaged[page * PAGE..whole.len().min((page + 1) * PAGE)].fill(0);
            if damaged == whole {
                continue;
            }
            copy(killed.path(), damaged_since.path());
            fs::write(damaged_since.path().join(file), &damaged).unwrap();
            match open(damaged_since.path()) {
                Ok(store) => {
                    let position = store.position(&main_canvas()).await.unwrap();
                    let position = position.expect("the canvas was there");
                    assert_eq!(position.sequence, Sequence(PLACEMENTS), "page {page} of {file}");
                    whole_again += 1;
                }
                Err(OpenError::Damaged { what }) => {
                    refused += 1;
                    fell_back += usize::from(what.contains("commits that were acknowledged"));
                    assert!(what.contains(&damaged_since.path().display().to_string()), "{what}");
                }
                Err(error) => panic!("page {page} of {file}: {error}"),
            }
        }
        // Without the witness these would have started, with less.
        assert!(fell_back > 0, "{file}: {refused} refused, {whole_again} whole");
    }
}

#[tokio::test]
async fn a_database_put_back_from_before_is_refused() {
    let (folder, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = painted(folder.path()).await;
    store.close().await;
    drop(store);
    copy(folder.path(), before.path());
    let store = open(folder.path()).unwrap();
    place(&store, PLACEMENTS + 1).await.unwrap();
    drop(store);
    let put_back = |file| fs::copy(before.path().join(file), folder.path().join(file)).unwrap();
    put_back("canvas.redb");
    // The journal has what came since: nothing is lost.
    let store = open(folder.path()).unwrap();
    assert_eq!(place(&store, PLACEMENTS + 2).await.unwrap(), Sequence(PLACEMENTS + 2));
    drop(store);
    put_back("canvas.redb");
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("it lacks the last 2 commits that were acknowledged"), "{error}");
    put_back("journal");
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("it lacks the last 2 commits that were acknowledged"), "{error}");
    // All of the folder from before is what it was.
    open(before.path()).unwrap();
}

fn canvas(number: u64) -> CanvasId {
    CanvasId::parse(&format!("canvas-{number}")).unwrap()
}

async fn paint(store: &Embedded, id: &CanvasId, number: u64) -> Result<Sequence, StoreError> {
    let outcomes = store.place(id, vec![submission(1, number, vec![numbered(number)])]).await?;
    Ok(accepted(&outcomes[0]).first)
}

/// A chunk of a checkpoint under way may hold what only the journal has.
#[tokio::test]
async fn a_database_that_is_taken_from_its_journal_says_so() {
    let (folder, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = || Options { journal_bytes: u64::MAX, ..Outside::default().options() };
    let paint = async |store: &Embedded, id: &CanvasId, number| {
        store
            .place(id, vec![submission(1, number, vec![numbered(number)])])
            .await
            .map(|told| accepted(&told[0]))
    };
    let mut refused = 0;
    for round in 0..30 {
        let store = Arc::new(Embedded::open(folder.path(), options()).unwrap());
        let mut painters = JoinSet::new();
        for painter in 0..8 {
            let store = Arc::clone(&store);
            painters.spawn(async move {
                store.create(Canvas { id: canvas(painter), ..Canvas::default_canvas() }).await.unwrap();
                for number in round * 20..(round + 1) * 20 {
                    paint(&store, &canvas(painter), number).await.unwrap();
                }
            });
        }
        painters.join_all().await;
        drop(store);
        fs::copy(folder.path().join("canvas.redb"), alone.path().join("canvas.redb")).unwrap();
        match Embedded::open(alone.path(), options()) {
            Err(OpenError::Damaged { what }) => refused += usize::from(what.contains("chunks hold")),
            Err(error) => panic!("{error}"),
            Ok(store) => {
                // It is what it was a while ago: what is acknowledged from here on is painted.
                for painter in 0..8 {
                    let number = 1_000 + round;
                    paint(&store, &canvas(painter), number).await.unwrap();
                    let pixel = store.pixel(&canvas(painter), numbered(number).at).await.unwrap().unwrap();
                    assert_eq!(pixel.color, numbered(number).color);
                }
            }
        }
        for file in fs::read_dir(alone.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    assert!(refused > 0, "no chunk was ahead of the log");
}

#[tokio::test]
async fn a_journal_that_is_missing_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    drop(painted(folder.path()).await);
    fs::remove_file(folder.path().join("journal")).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("commits that were acknowledged"), "{error}");
}

#[tokio::test]
async fn nothing_is_acknowledged_whose_journal_went_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = painted(folder.path()).await;
    fs::remove_file(folder.path().join("journal")).unwrap();
    assert!(place(&store, PLACEMENTS + 1).await.is_err());
    let Condition::ReadOnly(_, why) = store.condition() else { panic!("it goes on") };
    assert!(why.contains("was moved, replaced or removed"), "{why}");
}

#[tokio::test]
async fn a_database_that_is_missing_is_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    drop(painted(folder.path()).await);
    fs::remove_file(folder.path().join("canvas.redb")).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("canvas.redb is missing"), "{error}");
}

#[tokio::test]
async fn nothing_is_acknowledged_in_a_folder_that_went_away() {
    let outer = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (outer.path().join("data"), outer.path().join("moved"));
    let store = painted(&folder).await;
    fs::rename(&folder, &elsewhere).unwrap();
    // Whether somebody finds it there is not known.
    assert!(place(&store, PLACEMENTS + 1).await.is_err());
    let Condition::ReadOnly(_, why) = store.condition() else { panic!("it goes on") };
    assert!(why.contains("was moved, replaced or removed"), "{why}");
    drop(store);
    // Everything acknowledged went with it.
    let store = open(&elsewhere).unwrap();
    assert!(
        store.position(&main_canvas()).await.unwrap().expect("it is there").sequence >= Sequence(PLACEMENTS)
    );
}

#[tokio::test]
async fn a_folder_that_is_removed_is_noticed_without_a_placement() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("data");
    let store = painted(&folder).await;
    fs::remove_dir_all(&folder).unwrap();
    let noticed = async {
        while matches!(store.condition(), Condition::Writable) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.expect("it is noticed");
}
