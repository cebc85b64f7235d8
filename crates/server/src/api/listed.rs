//! The list of canvases: what cannot be read just now is told as it was known last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pixel_canvas::{Canvas, CanvasId};
use pixel_store::{Listed, StoreError};

/// The canvases as they were read last; no more than the store lists.
#[derive(Default)]
pub(super) struct LastList(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    canvases: BTreeMap<CanvasId, Arc<Canvas>>,
    /// When all of them were read.
    whole_at: Option<Instant>,
}

/// What can be told of the canvases.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) canvases: Vec<Arc<Canvas>>,
    /// How old it may be, where some of it could not be read; zero where it never was whole.
    pub(super) stale: Option<Duration>,
}

impl LastList {
    pub(super) fn ids(&self) -> Vec<CanvasId> {
        self.lock().canvases.keys().cloned().collect()
    }

    /// What to tell when the store lists this; an error where nothing is known.
    pub(super) fn tell(&self, listed: Listed, now: Instant) -> Result<Told, StoreError> {
        let Listed { canvases, unread, unlisted } = listed;
        let mut memory = self.lock();
        let mut before = std::mem::take(&mut memory.canvases);
        let remembered = unread.iter().filter_map(|id| before.remove(id));
        memory.canvases =
            canvases.into_iter().chain(remembered).map(|canvas| (canvas.id.clone(), canvas)).collect();
        let is_whole = unread.is_empty() && unlisted.is_none();
        if let Some(failure) = unlisted
            && memory.canvases.is_empty()
        {
            return Err(failure);
        }
        if is_whole {
            memory.whole_at = Some(now);
        }
        let age = memory.whole_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        Ok(Told { canvases: memory.canvases.values().cloned().collect(), stale: (!is_whole).then_some(age) })
    }

    // std Mutex: held for map operations, never across .await.
    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pixel_canvas::CanvasSpec;
    use pixel_store::Trouble;

    use super::*;
    use crate::clock::Clock;

    fn canvas(id: &str) -> Arc<Canvas> {
        let spec = CanvasSpec { id: id.into(), width: 50, height: 50, ..CanvasSpec::default() };
        Arc::new(Canvas::parse(&spec).expect("a canvas"))
    }

    fn listed(canvases: &[&str], unread: &[&str], unlisted: bool) -> Listed {
        Listed {
            canvases: canvases.iter().map(|id| canvas(id)).collect(),
            unread: unread.iter().filter_map(|id| CanvasId::parse(id)).collect(),
            unlisted: unlisted.then(|| StoreError::Unavailable(Trouble::Away.into())),
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_as_it_was_and_what_is_gone_is_not() {
        let (last, now, second) = (LastList::default(), Clock.now(), Duration::from_secs(1));
        let tell = |listed: Listed, seconds: u32| {
            let told = last.tell(listed, now + second * seconds).expect("something is known");
            let ids: Vec<String> = told.canvases.iter().map(|canvas| canvas.id.to_string()).collect();
            (ids.join(" "), told.stale.map(|age| age.as_secs()))
        };
        assert!(last.tell(listed(&[], &[], true), now).is_err(), "nothing is known");
        // Never known: left out.
        assert_eq!(tell(listed(&["a"], &["b"], false), 0), ("a".into(), Some(0)));
        assert_eq!(tell(listed(&["a", "b"], &[], false), 1), ("a b".into(), None));
        assert_eq!(tell(listed(&["a", "c"], &["b"], false), 3), ("a b c".into(), Some(2)));
        assert_eq!(tell(listed(&["c"], &["a", "b"], true), 4), ("a b c".into(), Some(3)));
        // The host deleted one that can be read.
        assert_eq!(tell(listed(&["c"], &["b"], true), 5), ("b c".into(), Some(4)));
        assert_eq!(tell(listed(&["c"], &[], false), 6), ("c".into(), None));
    }
}
