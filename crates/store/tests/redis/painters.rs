//! People who paint while servers fail, and what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pixel_canvas::{CanvasId, ChunkId};
use pixel_store::redis::Redis;
use pixel_store::{Accepted, Outcome, Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::world::{PATIENCE, color_of, now, numbered, position_of};

const PAINTERS: u64 = 8;
/// Who is refused tries again after so long.
const RETRY: Duration = Duration::from_millis(5);

/// What painters were told. A pixel whose answer is not known is left to chance.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) acknowledged: Vec<(u64, Accepted)>,
    /// Numbers of which it was said that nothing happened.
    unavailable: Vec<u64>,
}

/// Everyone paints pixels of their own, each once, until told to stop; and remembers the answers.
pub(crate) struct Painters {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    /// When the last one was.
    last: Arc<std::sync::Mutex<Instant>>,
    people: JoinSet<Answers>,
}

impl Painters {
    /// They take their pixels from `next`.
    pub(crate) fn start(store: &Arc<Redis>, canvas: &CanvasId, next: &Arc<AtomicU64>) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let last = Arc::new(std::sync::Mutex::new(now()));
        let mut people = JoinSet::new();
        for _ in 0..PAINTERS {
            let (store, next, stop) = (Arc::clone(store), Arc::clone(next), Arc::clone(&stop));
            let (canvas, acknowledged, last) = (canvas.clone(), Arc::clone(&acknowledged), Arc::clone(&last));
            people.spawn(async move {
                let mut told = Answers::default();
                while !stop.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let outcomes = match store.place(&canvas, vec![numbered(number)]).await {
                        Ok(outcomes) => outcomes,
                        Err(failure) => {
                            if let StoreError::Unavailable(_) = failure {
                                told.unavailable.push(number);
                            }
                            sleep(RETRY).await;
                            continue;
                        }
                    };
                    if let [Outcome::Accepted(accepted)] = outcomes[..] {
                        told.acknowledged.push((number, accepted));
                        acknowledged.fetch_add(1, Ordering::SeqCst);
                        *last.lock().expect("nobody panics") = now();
                    }
                }
                told
            });
        }
        Self { stop, acknowledged, last, people }
    }

    /// Waits until so many more were acknowledged.
    pub(crate) async fn paint(&self, more: u64) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + more;
        let painted = async {
            while self.acknowledged.load(Ordering::SeqCst) < goal {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, painted).await.expect("they go on painting");
    }

    /// When somebody was acknowledged last.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock().expect("nobody panics")
    }

    /// Ends the painting; what all were told.
    pub(crate) async fn stop(self) -> Answers {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Answers::default();
        self.people.join_all().await.into_iter().for_each(|answers| all.extend(answers));
        all
    }
}

impl Answers {
    pub(crate) fn extend(&mut self, more: Self) {
        self.acknowledged.extend(more.acknowledged);
        self.unavailable.extend(more.unavailable);
    }

    /// How many acknowledgements a canvas of 256×256 lacks. What was said not to have happened did not.
    pub(crate) async fn lost(&self, store: &Redis, canvas: &CanvasId) -> usize {
        let position = position_of(store, canvas).await;
        let view = store.view(canvas, &[ChunkId { cx: 0, cy: 0 }]).await;
        let view = view.expect("the store answers").expect("the canvas is there");
        let is_painted = |number: &u64| {
            let at = *number as usize * 3;
            view.chunks[0].pixels[at..at + 3] == color_of(*number).0
        };
        let happened = self.unavailable.iter().filter(|number| is_painted(number)).count();
        assert_eq!(happened, 0, "it was said that nothing happened");
        let is_lost = |(number, accepted): &&(u64, Accepted)| {
            accepted.last() > position.sequence || !is_painted(number)
        };
        self.acknowledged.iter().filter(is_lost).count()
    }
}
