//! The data folder: private, of one process, of this version, or a clear sentence.

use std::fs;
use std::path::Path;

use pixel_canvas::{Canvas, Color, Refusal, Sequence, Turn};
use pixel_store::embedded::{Embedded, FORMAT_VERSION, OpenError, Options};
use pixel_store::{Act, Created, Outcome, Store, Submission};
use redb::backends::FileBackend;
use redb::{Database, ReadableTable, TableDefinition};

use crate::{Outside, accepted, main_canvas, numbered, submission};

fn open(folder: &Path) -> Result<Embedded, OpenError> {
    Embedded::open(folder, Outside::default().options())
}

#[tokio::test]
async fn a_folder_of_folders_is_made_and_is_private() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("a").join("b");
    let store = open(&folder).unwrap();
    assert!(matches!(store.create(Canvas::default_canvas()).await.unwrap(), Created::Made(_)));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for file in fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }
}

#[test]
fn a_folder_in_use_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().ends_with("is in use by another process"), "{error}");
    drop(store);
    open(folder.path()).unwrap();
}

#[test]
fn a_file_where_the_folder_should_be_says_so() {
    let outer = tempfile::tempdir().unwrap();
    let file = outer.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Create { .. }), "{error}");
        assert!(error.to_string().contains("cannot be created"), "{error}");
    }
}

/// As root every folder can be written, but not this one.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_says_so() {
    let error = open(Path::new("/proc/self")).unwrap_err();
    assert!(matches!(error, OpenError::Write { .. }), "{error}");
    assert!(error.to_string().starts_with("the data folder /proc/self cannot be written"), "{error}");
}

#[tokio::test]
async fn a_folder_that_was_never_finished_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    for rubbish in [&b""[..], b"half a header", &[0xFF; 10_000]] {
        fs::write(folder.path().join("canvas.redb.new"), rubbish).unwrap();
        let store = open(folder.path()).unwrap();
        assert!(matches!(store.create(Canvas::default_canvas()).await.unwrap(), Created::Made(_)));
        drop(store);
        for file in ["canvas.redb", "acknowledged"] {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_newer_version_says_so_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let file = folder.path().join("canvas.redb");
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let write = |version: u64| {
        let options = fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
        let backend = FileBackend::new(options).unwrap();
        let database = Database::builder().create_with_backend(backend).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(meta).unwrap().insert("format_version", version).unwrap();
        transaction.commit().unwrap();
    };
    let newer = u64::from(FORMAT_VERSION) + 1;
    write(newer);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found } if found == newer), "{error}");
    write(FORMAT_VERSION.into());
    open(folder.path()).unwrap();
}

/// What the version before kept: rows that end with their placements, and no histories.
fn as_the_version_before(file: &Path, placements: u64) {
    let log: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("log");
    let histories: TableDefinition<'_, (u32, u128), &[u8]> = TableDefinition::new("histories");
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let options = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let database = Database::builder().create_with_backend(FileBackend::new(options).unwrap()).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut log = transaction.open_table(log).unwrap();
        let rows: Vec<_> = log
            .iter()
            .unwrap()
            .map(|row| row.map(|(key, value)| (key.value(), value.value().to_vec())).unwrap())
            .collect();
        for (key, mut row) in rows {
            // Each is one submission: its turn, what each placement covered, and the checksum go.
            row.truncate(row.len() - 4 - 1 - 9 * placements as usize);
            row[0] = 1;
            row.extend_from_slice(&crc32fast::hash(&row).to_le_bytes());
            log.insert(key, row.as_slice()).unwrap();
        }
        transaction.open_table(meta).unwrap().insert("format_version", 2).unwrap();
    }
    transaction.delete_table(histories).unwrap();
    transaction.commit().unwrap();
    fs::remove_file(file.with_file_name("journal")).unwrap();
}

#[tokio::test]
async fn the_format_before_is_read_and_what_is_placed_from_then_on_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let no_checkpoint = Options {
        checkpoint_bytes: u64::MAX,
        checkpoint_interval_ms: u64::MAX,
        ..Outside::default().options()
    };
    let store = Embedded::open(folder.path(), no_checkpoint.clone()).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    let call = |key, from| vec![submission(1, key, (from..from + 3).map(numbered).collect())];
    let first = store.place(&main_canvas(), call(1, 1)).await.unwrap();
    drop(store);
    // The next start lets the database have it.
    drop(Embedded::open(folder.path(), no_checkpoint).unwrap());
    as_the_version_before(&folder.path().join("canvas.redb"), 3);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.figures().replayed_entries, 1);
    assert_eq!(store.place(&main_canvas(), call(1, 1)).await.unwrap(), first, "it is a retry");
    let undo = |key| {
        let act = Act::Retrace { turn: Turn::Undo, count: 9 };
        vec![Submission { act, ..submission(1, key, Vec::new()) }]
    };
    let nothing = [Outcome::Refused(Refusal::NothingToUndo)];
    assert_eq!(store.place(&main_canvas(), undo(2)).await.unwrap(), nothing);
    store.place(&main_canvas(), call(3, 2)).await.unwrap();
    assert_eq!(accepted(&store.place(&main_canvas(), undo(4)).await.unwrap()[0]).count, 3);
    // And again after a start from a log of both versions.
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.place(&main_canvas(), undo(5)).await.unwrap(), nothing);
    for number in 1..=4 {
        let pixel = store.pixel(&main_canvas(), numbered(number).at).await.unwrap().unwrap();
        let below = if number == 4 { Color::WHITE } else { numbered(number).color };
        assert_eq!(pixel.color, below);
    }
}

#[test]
fn rubbish_in_place_of_the_data_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("canvas.redb"), vec![0x55; 100_000]).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_clean_end_leaves_nothing_to_replay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    let call = vec![submission(1, 1, (0..300).map(numbered).collect())];
    accepted(&store.place(&main_canvas(), call.clone()).await.unwrap()[0]);
    store.close().await;
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.figures().replayed_entries, 0);
    assert_eq!(accepted(&store.place(&main_canvas(), call).await.unwrap()[0]).first, Sequence(1));
    assert_eq!(store.position(&main_canvas()).await.unwrap().unwrap().sequence, Sequence(300));
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_damaged_and_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    store.close().await;
    drop(store);
    let file = folder.path().join("canvas.redb");
    let whole = fs::read(&file).unwrap();
    for left in [0, 1, 100, 4_096, whole.len() / 2] {
        fs::write(&file, &whole[..left]).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{left} bytes left: {error:?}");
    }
}
