//! The server's log cut short at any byte of its last writes: what was acknowledged before the cut is there, over two
//! restarts, and what the cut took is counted.

use std::fs;
use std::path::{Path, PathBuf};

use pixel_store::redis::Durability;

use crate::server::Server;
use crate::world::{ALWAYS, long, make_canvas, open_as, paint, paint_at_last, position, until};

/// Acknowledged in all; cuts are made in the writes of the last of them.
const PLACEMENTS: u64 = 30;
const TORN: u64 = 6;
/// So many bytes from one cut to the next in the short form, which meets all parts of a write in turn.
const STRIDE: usize = 97;

/// The file that grows with each write.
fn log_of(server: &Server) -> PathBuf {
    let files = fs::read_dir(server.folder().join("appendonlydir")).expect("it keeps a log").flatten();
    let mut paths = files.map(|file| file.path());
    paths.find(|path| path.to_string_lossy().ends_with(".incr.aof")).expect("it grows")
}

fn length(path: &Path) -> usize {
    fs::metadata(path).expect("it is there").len() as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_torn_at_any_byte_keeps_what_was_acknowledged_before() {
    let mut server = Server::start(&ALWAYS);
    let store = open_as(&server, Durability::Fsync).await;
    make_canvas(&store).await;
    let log = log_of(&server);
    // Where the log ended when each was acknowledged.
    let mut ends = vec![length(&log)];
    for number in 0..PLACEMENTS {
        paint(&store, number).await;
        ends.push(length(&log));
    }
    server.kill();
    let whole = fs::read(&log).expect("it is there");
    assert_eq!(whole.len(), ends[PLACEMENTS as usize], "each was on disk when it was acknowledged");
    let from = ends[(PLACEMENTS - TORN) as usize];
    let stride = if long() { 1 } else { STRIDE };
    let mut cuts = 0;
    for cut in (from..whole.len()).step_by(stride) {
        let acknowledged = ends.iter().filter(|end| **end <= cut).count() as u64 - 1;
        fs::write(&log, &whole[..cut]).expect("ours");
        server.restart();
        let there = position(&store).await.sequence.0;
        assert!(there >= acknowledged, "cut at byte {cut}: {there} of {acknowledged} acknowledged");
        // What is painted on a log that was torn is as safe as any.
        let after = paint_at_last(&store, PLACEMENTS + cuts).await;
        assert_eq!(after.first.0, there + 1, "cut at byte {cut}");
        server.kill();
        server.restart();
        let again = position(&store).await.sequence.0;
        assert_eq!(again, there + 1, "cut at byte {cut}: the second start lacks what the first one had");
        server.kill();
        cuts += 1;
    }
    println!(
        "a Redis log cut at {cuts} bytes of its last {TORN} writes, started twice each: acknowledged before the cut and \
         lost 0"
    );
}

/// What the cut took from who had it acknowledged is counted, not passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_torn_log_lacks_is_counted() {
    let mut server = Server::start(&ALWAYS);
    let store = open_as(&server, Durability::Fsync).await;
    make_canvas(&store).await;
    let log = log_of(&server);
    let mut ends = Vec::new();
    for number in 0..PLACEMENTS {
        paint(&store, number).await;
        ends.push(length(&log));
    }
    server.kill();
    let whole = fs::read(&log).expect("it is there");
    // In the middle of the third from the end: three are gone.
    let kept = PLACEMENTS as usize - 4;
    fs::write(&log, &whole[..(ends[kept] + ends[kept + 1]) / 2]).expect("ours");
    server.restart();
    until("the three are counted", || store.figures().lost_placements == 3).await;
    println!("a Redis log cut before its last 3 writes: counted as {}", store.figures().lost_placements);
}
