//! Reads of the same thing: whoever comes while one is under way shares the next one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// Reads under way and those that wait for them, by what is read. A reader never gets what was
/// read before it came, so it sees whatever was acknowledged by then; and a crowd costs the store
/// one read after the other. Nothing is kept that nobody waits for.
#[derive(Debug)]
pub(crate) struct SharedReads<K, V> {
    // std Mutex: held for map operations, never across .await.
    queues: Mutex<HashMap<K, Queue<V>>>,
}

/// Who reads the same thing.
#[derive(Debug)]
struct Queue<V> {
    /// Under way or waiting; the queue goes with the last of them.
    readers: usize,
    /// Held by the read that is under way.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The read that did not begin yet.
    next: Arc<OnceCell<V>>,
}

/// One reader, until it has its answer or gives up.
struct Reader<'a, K: Eq + Hash, V> {
    reads: &'a SharedReads<K, V>,
    key: K,
    turn: Arc<tokio::sync::Mutex<()>>,
    read: Arc<OnceCell<V>>,
}

impl<K, V> Default for SharedReads<K, V> {
    fn default() -> Self {
        Self { queues: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> SharedReads<K, V> {
    /// What `read` answers, or what another's did that began after this was called. Safe to
    /// cancel: another of those who wait reads then.
    pub(crate) async fn get(&self, key: K, read: impl Future<Output = V>) -> V {
        let reader = self.join(key);
        let in_turn = || async {
            let _turn = reader.turn.lock().await;
            reader.begin();
            read.await
        };
        reader.read.get_or_init(in_turn).await.clone()
    }

    fn join(&self, key: K) -> Reader<'_, K, V> {
        let mut queues = self.lock();
        let new = || Queue { readers: 0, turn: Arc::default(), next: Arc::default() };
        let queue = queues.entry(key.clone()).or_insert_with(new);
        queue.readers += 1;
        let (turn, read) = (Arc::clone(&queue.turn), Arc::clone(&queue.next));
        Reader { reads: self, key, turn, read }
    }
}

impl<K, V> SharedReads<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Queue<V>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Reader<'_, K, V> {
    /// Who comes from now on waits for the read after this one.
    fn begin(&self) {
        if let Some(queue) = self.reads.lock().get_mut(&self.key) {
            // Begun before by one who gave up: the next is another already.
            if Arc::ptr_eq(&queue.next, &self.read) {
                queue.next = Arc::default();
            }
        }
    }
}

impl<K: Eq + Hash, V> Drop for Reader<'_, K, V> {
    fn drop(&mut self) {
        let mut queues = self.reads.lock();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.readers -= 1;
            if queue.readers == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::task::yield_now;

    use super::*;

    /// A store that answers how much was written when it was read, once it is let.
    struct Store {
        reads: SharedReads<&'static str, u64>,
        written: AtomicU64,
        begun: AtomicU64,
        let_through: Semaphore,
    }

    impl Store {
        fn new() -> Arc<Self> {
            let (reads, written, begun) = Default::default();
            Arc::new(Self { reads, written, begun, let_through: Semaphore::new(0) })
        }

        async fn get(self: Arc<Self>, key: &'static str) -> u64 {
            let read = async {
                self.begun.fetch_add(1, Ordering::SeqCst);
                let seen = self.written.load(Ordering::SeqCst);
                self.let_through.acquire().await.expect("it is never closed").forget();
                seen
            };
            self.reads.get(key, read).await
        }

        fn begun(&self) -> u64 {
            self.begun.load(Ordering::SeqCst)
        }
    }

    async fn settle() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_crowd_that_comes_during_a_read_shares_the_next_and_sees_what_was_written_meanwhile() {
        let store = Store::new();
        let first = tokio::spawn(Arc::clone(&store).get("a"));
        settle().await;
        store.written.store(1, Ordering::SeqCst);
        let crowd: Vec<_> = (0..1_000).map(|_| tokio::spawn(Arc::clone(&store).get("a"))).collect();
        settle().await;
        assert_eq!(store.begun(), 1);
        store.let_through.add_permits(2);
        assert_eq!(first.await.unwrap(), 0);
        for seen in join_all(crowd).await {
            assert_eq!(seen.unwrap(), 1, "what was written before it came is in it");
        }
        assert_eq!(store.begun(), 2);
        assert!(store.reads.lock().is_empty());
    }

    #[tokio::test]
    async fn what_is_not_the_same_is_not_waited_for() {
        let store = Store::new();
        let both = [tokio::spawn(Arc::clone(&store).get("a")), tokio::spawn(Arc::clone(&store).get("b"))];
        settle().await;
        assert_eq!(store.begun(), 2);
        store.let_through.add_permits(2);
        join_all(both).await;
    }

    #[tokio::test]
    async fn who_waits_reads_where_the_one_who_did_gave_up() {
        let store = Store::new();
        let mut crowd: Vec<_> = (0..4).map(|_| tokio::spawn(Arc::clone(&store).get("a"))).collect();
        settle().await;
        assert_eq!(store.begun(), 1);
        for reader in crowd.drain(..2) {
            reader.abort();
            settle().await;
        }
        assert_eq!(store.begun(), 3);
        store.written.store(1, Ordering::SeqCst);
        let late = tokio::spawn(Arc::clone(&store).get("a"));
        settle().await;
        store.let_through.add_permits(9);
        for seen in join_all(crowd).await {
            assert_eq!(seen.unwrap(), 0);
        }
        assert_eq!(late.await.unwrap(), 1);
        assert!(store.reads.lock().is_empty());
    }
}
