//! A history walks back and forth over a person's own steps, and never over anybody else's.

use std::collections::HashMap;

use pixel_canvas::history::HISTORY_STEPS_MAX;
use pixel_canvas::{Color, History, Point, Sequence, State, Step, Turn};
use proptest::collection::vec;
use proptest::prelude::*;

/// What somebody does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Place { who: usize, x: u16, color: u8 },
    Retrace { who: usize, turn: Turn, count: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let place = (0..2_usize, 0..4_u16, any::<u8>()).prop_map(|(who, x, color)| Act::Place { who, x, color });
    let turn = prop_oneof![3 => Just(Turn::Undo), 2 => Just(Turn::Redo)];
    let retrace =
        (0..2_usize, turn, 1..4_usize).prop_map(|(who, turn, count)| Act::Retrace { who, turn, count });
    vec(prop_oneof![place, retrace], 0..80)
}

/// A row of pixels that two people paint, with who painted each last.
#[derive(Clone, Debug, Default, PartialEq)]
struct Board {
    pixels: HashMap<Point, (State, usize)>,
    sequence: Sequence,
    histories: [History; 2],
}

const BLANK: State = State { color: Color::WHITE, sequence: Sequence::ZERO };

impl Board {
    fn state(&self, at: Point) -> State {
        self.pixels.get(&at).map_or(BLANK, |(state, _)| *state)
    }

    fn paint(&mut self, who: usize, at: Point, color: Color) -> State {
        self.sequence = self.sequence.next();
        let state = State { color, sequence: self.sequence };
        self.pixels.insert(at, (state, who));
        state
    }

    fn place(&mut self, who: usize, x: u16, color: u8) {
        let at = Point { x, y: 0 };
        let before = self.state(at);
        let after = self.paint(who, at, Color([color; 3]));
        self.histories[who].placed(Step { at, before, after });
    }

    /// Walks, and says how many steps it were and whether all pixels painted over were the person's own.
    fn retrace(&mut self, who: usize, turn: Turn, count: usize) -> (usize, bool) {
        let plan = self.histories[who].plan(turn, count, |at| Some(self.state(at).sequence));
        self.histories[who].walk(&plan, self.sequence.next());
        let mut own = true;
        for placement in &plan.placements {
            own &= self.pixels.get(&placement.at).is_some_and(|(_, painter)| *painter == who);
            self.paint(who, placement.at, placement.color);
        }
        (plan.placements.len(), own)
    }

    fn colors(&self) -> Vec<Color> {
        (0..4).map(|x| self.state(Point { x, y: 0 }).color).collect()
    }

    fn take(&mut self, act: Act) -> bool {
        match act {
            Act::Place { who, x, color } => {
                self.place(who, x, color);
                true
            }
            Act::Retrace { who, turn, count } => self.retrace(who, turn, count).1,
        }
    }
}

proptest! {
    #[test]
    fn only_pixels_that_are_still_ones_own_are_painted(acts in acts()) {
        let mut board = Board::default();
        for act in acts {
            prop_assert!(board.take(act), "{act:?} painted over somebody else");
            for history in &board.histories {
                prop_assert!(history.done() <= history.steps().len());
            }
        }
    }

    /// Whoever is left alone finds every picture of before again, back and forth, on whatever way.
    #[test]
    fn alone_one_finds_every_picture_again(
        strokes in vec((0..4_u16, any::<u8>()), 1..30), walks in vec((any::<bool>(), 1..6_usize), 0..30),
    ) {
        let mut board = Board::default();
        let mut pictures = vec![board.colors()];
        for (x, color) in &strokes {
            board.place(0, *x, *color);
            pictures.push(board.colors());
        }
        let mut shown = strokes.len();
        for (back, count) in walks {
            let (turn, expected) = match back {
                true => (Turn::Undo, count.min(shown)),
                false => (Turn::Redo, count.min(strokes.len() - shown)),
            };
            prop_assert_eq!(board.retrace(0, turn, count), (expected, true));
            shown = if back { shown - expected } else { shown + expected };
            prop_assert_eq!(&board.colors(), &pictures[shown]);
        }
    }

    #[test]
    fn many_steps_at_once_are_the_same_steps_one_by_one(acts in acts(), undo in any::<bool>(), count in 1..20_usize) {
        let mut board = Board::default();
        for act in acts {
            board.take(act);
        }
        let turn = if undo { Turn::Undo } else { Turn::Redo };
        let mut one_by_one = board.clone();
        let walked = (0..count).map(|_| one_by_one.retrace(0, turn, 1).0).sum::<usize>();
        prop_assert_eq!(board.retrace(0, turn, count).0, walked);
        prop_assert_eq!(&board.pixels, &one_by_one.pixels);
        // And one can go back the way that one came.
        let back = if undo { Turn::Redo } else { Turn::Undo };
        prop_assert_eq!(board.retrace(0, back, walked).0, one_by_one.retrace(0, back, walked).0);
        prop_assert_eq!(board.colors(), one_by_one.colors());
    }

    /// What a log says of a walk, which pixels it found how, is enough to walk again without the pixels.
    #[test]
    fn a_walk_can_be_repeated_from_what_it_found(acts in acts(), count in 1..6_usize) {
        let mut board = Board::default();
        for act in acts {
            board.take(act);
        }
        for turn in [Turn::Undo, Turn::Redo] {
            let history = &board.histories[0];
            let plan = history.plan(turn, count, |at| Some(board.state(at).sequence));
            let found: HashMap<Point, Sequence> =
                plan.placements.iter().map(|made| (made.at, board.state(made.at).sequence)).collect();
            prop_assert_eq!(history.plan(turn, count, |at| found.get(&at).copied()), plan);
        }
    }
}

#[test]
fn the_oldest_steps_leave() {
    let mut board = Board::default();
    for number in 0..HISTORY_STEPS_MAX + 7 {
        board.place(0, (number % 4) as u16, number as u8);
    }
    assert_eq!(board.histories[0].steps().len(), HISTORY_STEPS_MAX);
    assert_eq!(board.retrace(0, Turn::Undo, usize::MAX), (HISTORY_STEPS_MAX, true));
    assert_eq!(board.retrace(0, Turn::Undo, 1).0, 0);
    assert_eq!(board.retrace(0, Turn::Redo, usize::MAX), (HISTORY_STEPS_MAX, true));
}

#[test]
fn a_placement_ends_what_could_be_repeated() {
    let mut board = Board::default();
    board.place(0, 0, 1);
    board.place(0, 1, 2);
    assert_eq!(board.retrace(0, Turn::Undo, 1).0, 1);
    board.place(0, 2, 3);
    assert_eq!(board.retrace(0, Turn::Redo, 1).0, 0);
    assert_eq!(board.retrace(0, Turn::Undo, 9).0, 2);
    assert_eq!(board.colors(), [Color::WHITE; 4]);
}
