//! Everybody wants the same few pixels at once: in the end there is one order, and one canvas.

use std::sync::Arc;
use std::time::Instant;

use pixel_canvas::{Canvas, Placement, Point};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::schedule::{random_color, random_placement};
use crate::socket::Why;
use crate::work::{AfterRefusal, Next, Work};

/// One of those who race.
pub struct Racer {
    canvas: Arc<Canvas>,
    points: Arc<[Point]>,
    rng: SmallRng,
    left: usize,
}

impl Racer {
    /// So many racers that write `writes` times together, to the same `pixels` pixels.
    #[must_use]
    pub fn share(canvas: &Arc<Canvas>, clients: usize, pixels: usize, writes: usize, seed: u64) -> Vec<Self> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let points: Arc<[Point]> = (0..pixels).map(|_| random_placement(canvas, &mut rng).at).collect();
        let one = |index: usize| Self {
            canvas: Arc::clone(canvas),
            points: Arc::clone(&points),
            rng: SmallRng::seed_from_u64(seed.wrapping_add(1 + index as u64)),
            left: writes / clients + usize::from(index < writes % clients),
        };
        (0..clients).map(one).collect()
    }
}

impl Work for Racer {
    fn begin(&mut self, _start: Instant) {}

    fn next(&mut self, now: Instant, _placements_max: usize) -> Next {
        let Some(left) = self.left.checked_sub(1) else { return Next::Done };
        self.left = left;
        let at = self.points[self.rng.random_range(0..self.points.len())];
        let color = random_color(&self.canvas, &mut self.rng);
        Next::Submit { placements: vec![Placement { at, color }], intended: now }
    }

    fn accepted(&mut self, _placements: &[Placement]) {}

    fn refused(&mut self, _why: Why) -> AfterRefusal {
        AfterRefusal::Retry
    }

    fn unanswered(&mut self) -> AfterRefusal {
        AfterRefusal::Drop
    }
}
