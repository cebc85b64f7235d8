//! A crowd that reads one chunk while somebody paints on it: a handful of reads, each new enough for all who share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pixel_canvas::{ChunkId, Sequence};
use pixel_store::Store;
use redis::Connection;

use crate::server::Server;
use crate::world::{PATIENCE, main_canvas, paint, with_canvas};

const CROWD: u64 = 10_000;
/// Each read answers this many at least; the server's own looks are counted with them.
const READS_MAX: u64 = CROWD / 100;

/// Scripts that only read, since the server began.
fn reads(connection: &mut Connection) -> u64 {
    let info: String = redis::cmd("INFO").arg("commandstats").query(connection).expect("figures");
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    info.lines()
        .filter(|line| line.starts_with("cmdstat_eval") && line.contains("_ro:"))
        .filter_map(calls)
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_who_load_a_chunk_cost_a_handful_of_reads_and_nobody_sees_less_than_was_acknowledged() {
    let server = Server::start(&[]);
    let store = Arc::new(with_canvas(&server).await);
    let (acknowledged, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let painter = tokio::spawn({
        let (store, acknowledged, over) = (Arc::clone(&store), Arc::clone(&acknowledged), Arc::clone(&over));
        async move {
            for number in 0.. {
                acknowledged.store(paint(&store, number).await.last().0, Ordering::SeqCst);
                if over.load(Ordering::SeqCst) {
                    return number;
                }
            }
            unreachable!("numbers do not end");
        }
    });
    let mut connection = server.connection();
    let before = reads(&mut connection);
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let (store, acknowledged) = (Arc::clone(&store), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let least = Sequence(acknowledged.load(Ordering::SeqCst));
                let view = store.view(&main_canvas(), &[ChunkId { cx: 0, cy: 0 }]).await;
                let seen = view.expect("the store works").expect("the canvas is there").position.sequence;
                assert!(seen >= least, "{least} was acknowledged before it asked, and it got {seen}");
            })
        })
        .collect();
    for reader in crowd {
        tokio::time::timeout(PATIENCE, reader).await.expect("an answer").expect("a new one");
    }
    let reads = reads(&mut connection) - before;
    over.store(true, Ordering::SeqCst);
    let painted = painter.await.expect("it painted");
    println!("{CROWD} loads of a chunk: {reads} reads, {painted} pixels painted meanwhile");
    assert!(reads <= READS_MAX, "{reads} reads");
}
