//! A real process, killed with -9 under load, again and again: what it acknowledged is there.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pixel_canvas::{Canvas, Change, Key, Sequence};
use pixel_store::embedded::{Embedded, Options};
use pixel_store::{Store, Tailed};
use tokio::task::JoinSet;

use crate::{Outside, accepted, bytes_of, long, main_canvas, numbered, submission, variable};

/// Where the child finds its folder.
const FOLDER_VARIABLE: &str = "PIXEL_STORE_TEST_FOLDER";
/// How many kills; the long form has more.
const KILLS: u64 = 15;
const KILLS_LONG: u64 = 1_000;
/// How many painters the child runs.
const PAINTERS: u64 = 16;

/// As in earnest, but for more checkpoints and a start in which each kill finds another moment.
fn options() -> Options {
    Options { checkpoint_bytes: 20_000, ..Outside::default().options() }
}

/// Not a test: what the child runs until it is killed. It prints "key sequence" for each
/// acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below"]
async fn child() {
    let Some(folder) = variable(FOLDER_VARIABLE) else {
        return;
    };
    let store = Arc::new(Embedded::open(Path::new(&folder), options()).expect("the folder opens"));
    store.create(Canvas::default_canvas()).await.expect("the disk is whole");
    let begun = store.position(&main_canvas()).await.unwrap().unwrap().sequence.0;
    let mut painters = JoinSet::new();
    for painter in 0..PAINTERS {
        let store = Arc::clone(&store);
        painters.spawn(async move {
            for round in 0.. {
                // Keys that no earlier child used.
                let key = (begun << 20) + (painter << 40) + round;
                let call = vec![submission(person(key), key, vec![numbered(key)])];
                let outcomes = store.place(&main_canvas(), call).await.expect("the disk is whole");
                let line = format!("{key} {}\n", accepted(&outcomes[0]).first);
                std::io::stdout().write_all(line.as_bytes()).expect("the parent listens");
            }
        });
    }
    painters.join_all().await;
}

/// Who paints under a key: somebody else in each child, since one person may only have so many keys.
fn person(key: u64) -> u64 {
    key >> 20
}

/// Kills it also when the test panics.
struct Painting(Child);

impl Drop for Painting {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path) -> Painting {
    let this: PathBuf = env::current_exe().expect("a test knows its file");
    let child = Command::new(this)
        .args(["kill::child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER_VARIABLE, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test starts itself");
    Painting(child)
}

/// Reads acknowledgements until there are `count`, kills, and reads what was on its way.
fn kill_after(folder: &Path, count: usize) -> Vec<(u64, u64)> {
    let mut painting = start(folder);
    let mut lines = BufReader::new(painting.0.stdout.take().expect("it is piped")).lines();
    let mut acknowledged = Vec::new();
    let mut read = |acknowledged: &mut Vec<(u64, u64)>| {
        let Some(Ok(line)) = lines.next() else {
            return false;
        };
        // A line cut in the middle was not said; the harness' own lines are no numbers.
        let parsed =
            line.split_once(' ').and_then(|(key, first)| Some((key.parse().ok()?, first.parse().ok()?)));
        acknowledged.extend(parsed);
        true
    };
    while acknowledged.len() < count && read(&mut acknowledged) {}
    painting.0.kill().expect("it was painting");
    let whole = acknowledged.len();
    while read(&mut acknowledged) {}
    // The last line may have been cut inside its number.
    if acknowledged.len() > whole {
        acknowledged.pop();
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let kills = if long() { KILLS_LONG } else { KILLS };
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<u64, u64> = HashMap::new();
    for kill in 0..kills {
        let count = 1 + (kill * 137 % 400) as usize;
        let told = kill_after(folder.path(), count);
        assert!(told.len() >= count.min(2), "the child painted");
        acknowledged.extend(told);
    }
    let store = Embedded::open(folder.path(), options()).unwrap();
    let start = store.tail_start(&main_canvas(), u64::MAX).await.unwrap().unwrap();
    assert_eq!(start.sequence, Sequence::ZERO);
    let end = store.position(&main_canvas()).await.unwrap().unwrap();
    assert_eq!(start.epoch, end.epoch, "a kill is no reason to forget");
    let mut tail = store.tail(&main_canvas(), start).await.unwrap().unwrap();
    let mut logged: HashMap<Key, u64> = HashMap::new();
    let mut last = Sequence::ZERO;
    while last < end.sequence {
        let Tailed::Entry(entry) = tail.next().await.unwrap() else { panic!("the log is whole") };
        assert_eq!(entry.after(), last, "the log is dense");
        last = entry.last;
        let Change::Painted(painted) = &entry.change else { panic!("only paint") };
        for (painted, sequence) in painted.iter().zip(entry.first.0..) {
            let twice = logged.insert(painted.key.expect("all have keys"), sequence);
            assert_eq!(twice, None, "placed once");
        }
    }
    let lost =
        acknowledged.iter().filter(|(key, first)| logged.get(&Key(bytes_of(**key))) != Some(first)).count();
    println!(
        "{kills} kills, {} acknowledged, {} in the log, lost = {lost}",
        acknowledged.len(),
        logged.len()
    );
    assert_eq!(lost, 0);
    // And each is answered the same when it is asked for again.
    for (key, first) in acknowledged.iter().take(200) {
        let call = vec![submission(person(*key), *key, vec![numbered(*key)])];
        assert_eq!(accepted(&store.place(&main_canvas(), call).await.unwrap()[0]).first, Sequence(*first));
    }
}
