//! A picture painted by many: everybody takes the next pixels from one easel.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pixel_canvas::{Placement, Point};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::picture::Picture;
use crate::socket::Why;
use crate::work::{AfterRefusal, Next, Work};

/// In which order the pixels are painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Any pixel after any other.
    Random,
    /// From the middle outwards, with a ragged edge.
    Center,
    /// Row by row.
    Rows,
}

/// What is left to paint.
pub struct Easel {
    left: Mutex<Vec<Placement>>,
}

impl Easel {
    /// Puts a picture up.
    #[must_use]
    pub fn new(picture: &Picture, order: Order, seed: u64) -> Arc<Self> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let placement = |(index, &color)| {
            let (x, y) = (index as u32 % picture.width, index as u32 / picture.width);
            Placement { at: Point { x: x as u16, y: y as u16 }, color }
        };
        let mut left: Vec<Placement> = picture.pixels.iter().enumerate().map(placement).collect();
        match order {
            Order::Random => left.shuffle(&mut rng),
            Order::Center => {
                let (middle_x, middle_y) = (f64::from(picture.width) / 2.0, f64::from(picture.height) / 2.0);
                let ragged = 0.05 * middle_x.hypot(middle_y);
                left.sort_by_cached_key(|Placement { at, .. }| {
                    let distance = (f64::from(at.x) - middle_x).hypot(f64::from(at.y) - middle_y);
                    (1_000.0 * (distance + ragged * rng.random::<f64>())) as u64
                });
                left.reverse();
            }
            Order::Rows => left.reverse(),
        }
        Arc::new(Self { left: Mutex::new(left) })
    }

    /// Takes the next pixels, at most so many; none when the picture is done.
    fn take(&self, most: usize) -> Vec<Placement> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = left.len().saturating_sub(most);
        let mut taken = left.split_off(keep);
        taken.reverse();
        taken
    }
}

/// One of those who paint.
pub struct Painter {
    easel: Arc<Easel>,
}

impl Painter {
    /// So many painters at one easel.
    #[must_use]
    pub fn share(easel: &Arc<Easel>, clients: usize) -> Vec<Self> {
        (0..clients).map(|_| Self { easel: Arc::clone(easel) }).collect()
    }
}

impl Work for Painter {
    fn begin(&mut self, _start: Instant) {}

    fn next(&mut self, now: Instant, placements_max: usize) -> Next {
        let placements = self.easel.take(placements_max);
        if placements.is_empty() { Next::Done } else { Next::Submit { placements, intended: now } }
    }

    fn accepted(&mut self, _placements: &[Placement]) {}

    fn refused(&mut self, _why: Why) -> AfterRefusal {
        AfterRefusal::Retry
    }

    // Nobody else paints these pixels: painting them twice is the same as once.
    fn unanswered(&mut self) -> AfterRefusal {
        AfterRefusal::Retry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pixel_canvas::Color;

    #[test]
    fn every_pixel_is_taken_once_in_every_order() {
        let pixels: Vec<Color> = (0..35).map(|value| Color([value; 3])).collect();
        let picture = Picture { width: 7, height: 5, pixels };
        for order in [Order::Random, Order::Center, Order::Rows] {
            let easel = Easel::new(&picture, order, 1);
            let mut taken: Vec<Placement> =
                std::iter::repeat_with(|| easel.take(4)).take(10).flatten().collect();
            if order == Order::Rows {
                assert!(taken.is_sorted_by_key(|placement| (placement.at.y, placement.at.x)));
            }
            taken.sort_by_key(|placement| (placement.at.y, placement.at.x));
            let colors: Vec<Color> = taken.iter().map(|placement| placement.color).collect();
            assert_eq!(colors, picture.pixels, "{order:?}");
        }
    }
}
