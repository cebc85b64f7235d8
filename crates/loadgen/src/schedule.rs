//! Open-loop load: every placement has its moment, whether or not the server keeps up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pixel_canvas::{Canvas, Color, Palette, Placement, Point};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::socket::Why;
use crate::work::{AfterRefusal, Next, Work};

/// One client's moments, evenly spaced, and random placements for them.
pub struct Schedule {
    canvas: Arc<Canvas>,
    rng: SmallRng,
    /// From one placement to the next; `None` for a client that only watches.
    interval: Option<Duration>,
    /// From the beginning to the first placement.
    offset: Duration,
    duration: Duration,
    start: Option<Instant>,
    made: u32,
}

impl Schedule {
    /// The schedules of `clients` that place `rate` a second together, for `duration`.
    #[must_use]
    pub fn share(
        canvas: &Arc<Canvas>,
        clients: usize,
        rate: f64,
        duration: Duration,
        seed: u64,
    ) -> Vec<Self> {
        let interval = (rate > 0.0).then(|| Duration::from_secs_f64(clients as f64 / rate));
        let one = |index: usize| Self {
            canvas: Arc::clone(canvas),
            rng: SmallRng::seed_from_u64(seed.wrapping_add(index as u64)),
            interval,
            offset: interval.unwrap_or_default().mul_f64(index as f64 / clients as f64),
            duration,
            start: None,
            made: 0,
        };
        (0..clients).map(one).collect()
    }
}

impl Work for Schedule {
    fn begin(&mut self, start: Instant) {
        self.start = Some(start);
    }

    fn next(&mut self, now: Instant, _placements_max: usize) -> Next {
        let start = self.start.expect("work begins before it is asked for");
        let end = start + self.duration;
        let due = self.interval.map_or(end, |interval| start + self.offset + interval * self.made);
        if due >= end {
            return if now >= end { Next::Done } else { Next::At(end) };
        }
        if due > now {
            return Next::At(due);
        }
        self.made += 1;
        Next::Submit { placements: vec![random_placement(&self.canvas, &mut self.rng)], intended: due }
    }

    fn accepted(&mut self, _placements: &[Placement]) {}

    // Later placements do not wait for a refused one.
    fn refused(&mut self, _why: Why) -> AfterRefusal {
        AfterRefusal::Drop
    }

    fn unanswered(&mut self) -> AfterRefusal {
        AfterRefusal::Drop
    }
}

/// Any pixel, any colour of the canvas.
pub fn random_placement(canvas: &Canvas, rng: &mut impl Rng) -> Placement {
    let x = rng.random_range(0..canvas.size.width()) as u16;
    let y = rng.random_range(0..canvas.size.height()) as u16;
    Placement { at: Point { x, y }, color: random_color(canvas, rng) }
}

/// Any colour of the canvas.
pub fn random_color(canvas: &Canvas, rng: &mut impl Rng) -> Color {
    match &canvas.palette {
        Palette::TrueColor => Color(rng.random()),
        Palette::Indexed(colors) => colors[rng.random_range(0..colors.len())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_keeps_its_moment() {
        let canvas = Arc::new(Canvas::default_canvas());
        let second = Duration::from_secs(1);
        let mut schedules = Schedule::share(&canvas, 2, 4.0, second, 1);
        let start = Instant::now();
        let intended = |schedule: &mut Schedule, now: Instant| match schedule.next(now, 1) {
            Next::Submit { intended, .. } => Some(intended - start),
            _ => None,
        };
        schedules.iter_mut().for_each(|schedule| schedule.begin(start));
        let late = start + 2 * second;
        let millis = Duration::from_millis;
        assert_eq!(
            [0, 1, 2].map(|_| intended(&mut schedules[0], late)),
            [Some(millis(0)), Some(millis(500)), None]
        );
        assert!(matches!(schedules[0].next(late, 1), Next::Done));
        assert!(matches!(schedules[1].next(start, 1), Next::At(moment) if moment == start + millis(250)));
        assert_eq!(intended(&mut schedules[1], late), Some(millis(250)));
    }
}
