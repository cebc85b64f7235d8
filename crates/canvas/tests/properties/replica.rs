//! A client that loads, follows, loses and resumes holds what the server holds, or knows that it
//! does not.

use pixel_canvas::{ChunkId, Color, Epoch, Frame, Palette, Replica, Sequence, Size, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;

const CHUNK: ChunkId = ChunkId { cx: 1, cy: 0 };
const EPOCH: Epoch = Epoch(7);
const BACKGROUND: u8 = 0xFF;

/// A canvas whose second chunk is narrower than a chunk.
fn size() -> Size {
    Size::new(256 + 30, 40).expect("a size")
}

fn replica() -> Replica {
    Replica::new(size(), Palette::TrueColor, EPOCH)
}

/// The server's history of the chunk: the pixel painted by each sequence from 1 on, `None` when it
/// was another chunk's.
type History = Vec<Option<(u16, Color)>>;

fn history() -> impl Strategy<Value = History> {
    let pixel = (0..30_u16, 0..40_u16, any::<[u8; 3]>()).prop_map(|(x, y, rgb)| (y << 8 | x, Color(rgb)));
    vec(prop::option::weighted(0.8, pixel), 1..60)
}

/// The chunk after the first `count` sequences.
fn pixels(history: &History, count: usize) -> Vec<u8> {
    let mut pixels = vec![BACKGROUND; 30 * 40 * 3];
    for (offset, color) in history[..count].iter().flatten() {
        let index = usize::from(offset >> 8) * 30 + usize::from(offset & 0xFF);
        pixels[index * 3..index * 3 + 3].copy_from_slice(&color.0);
    }
    pixels
}

/// The frame of the sequences in `(after, to]`.
fn frame(history: &History, after: usize, to: usize) -> Frame {
    let pixels = history[after..to].iter().flatten().copied().collect();
    Frame { epoch: EPOCH, chunk: CHUNK, after: Sequence(after as u64), to: Sequence(to as u64), pixels }
}

/// Frames that cut a history into pieces.
fn cut(history: &History, cuts: &[prop::sample::Index]) -> Vec<Frame> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(history.len() + 1)).collect();
    ends.extend([0, history.len()]);
    ends.sort_unstable();
    ends.dedup();
    ends.windows(2).map(|ends| frame(history, ends[0], ends[1])).collect()
}

proptest! {
    #[test]
    fn a_snapshot_and_the_frames_after_it_are_the_server(
        history in history(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
        loaded: prop::sample::Index,
    ) {
        let mut replica = replica();
        let loaded = loaded.index(history.len() + 1);
        prop_assert!(replica.load(CHUNK, EPOCH, Sequence(loaded as u64), pixels(&history, loaded)));
        // All frames of the log, those from before the snapshot too: what a client that buffered
        // while it was loading gets. A frame that straddles the snapshot is applied whole.
        for frame in cut(&history, &cuts) {
            let expected = if frame.to <= Sequence(loaded as u64) { Verdict::Dropped } else { Verdict::Applied };
            prop_assert_eq!(replica.apply(&frame), expected);
        }
        let held = replica.chunk(CHUNK).expect("it is held");
        prop_assert_eq!(held.sequence, Sequence(history.len() as u64).max(Sequence(loaded as u64)));
        prop_assert_eq!(&held.pixels, &pixels(&history, history.len()));
    }

    #[test]
    fn frames_may_come_twice(history in history(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let mut replica = replica();
        replica.load(CHUNK, EPOCH, Sequence::ZERO, pixels(&history, 0));
        for frame in cut(&history, &cuts) {
            prop_assert_eq!(replica.apply(&frame), Verdict::Applied);
            prop_assert_eq!(replica.apply(&frame), Verdict::Dropped);
        }
        prop_assert_eq!(&replica.chunk(CHUNK).expect("it is held").pixels, &pixels(&history, history.len()));
    }

    #[test]
    fn a_lost_frame_is_a_gap_until_the_chunk_is_loaded_again(
        history in history(),
        cuts in vec(any::<prop::sample::Index>(), 1..8),
        lost: prop::sample::Index,
    ) {
        let mut replica = replica();
        replica.load(CHUNK, EPOCH, Sequence::ZERO, pixels(&history, 0));
        let frames = cut(&history, &cuts);
        let lost = lost.index(frames.len());
        for (index, frame) in frames.iter().enumerate().filter(|(index, _)| *index != lost) {
            let before = replica.chunk(CHUNK).cloned();
            let verdict = replica.apply(frame);
            prop_assert_eq!(verdict, if index < lost { Verdict::Applied } else { Verdict::Gap });
            if verdict == Verdict::Gap {
                prop_assert_eq!(replica.chunk(CHUNK).cloned(), before, "nothing of it is applied");
            }
        }
        let end = Sequence(history.len() as u64);
        prop_assert!(replica.load(CHUNK, EPOCH, end, pixels(&history, history.len())));
        prop_assert_eq!(replica.apply(frames.last().expect("there is one")), Verdict::Dropped);
    }

    #[test]
    fn an_older_snapshot_never_replaces_a_newer_copy(history in history(), older: prop::sample::Index) {
        let mut replica = replica();
        let end = history.len();
        replica.load(CHUNK, EPOCH, Sequence(end as u64), pixels(&history, end));
        let older = older.index(end);
        prop_assert!(!replica.load(CHUNK, EPOCH, Sequence(older as u64), pixels(&history, older)));
        prop_assert_eq!(&replica.chunk(CHUNK).expect("it is held").pixels, &pixels(&history, end));
    }

    #[test]
    fn progress_moves_forward_only(to in 0..100_u64, progress in 0..100_u64) {
        let mut replica = replica();
        replica.load(CHUNK, EPOCH, Sequence(to), pixels(&vec![], 0));
        replica.progress(Epoch(8), Sequence(1_000));
        replica.progress(EPOCH, Sequence(progress));
        prop_assert_eq!(replica.chunk(CHUNK).expect("it is held").sequence, Sequence(to.max(progress)));
    }

    #[test]
    fn a_frame_with_a_pixel_outside_is_not_applied_at_all(offset: u16) {
        let mut replica = replica();
        replica.load(CHUNK, EPOCH, Sequence::ZERO, pixels(&vec![], 0));
        let before = replica.chunk(CHUNK).cloned();
        let pixels = vec![(0, Color([1; 3])), (offset, Color([2; 3]))];
        let frame = Frame { epoch: EPOCH, chunk: CHUNK, after: Sequence::ZERO, to: Sequence(2), pixels };
        let inside = offset & 0xFF < 30 && offset >> 8 < 40;
        prop_assert_eq!(replica.apply(&frame), if inside { Verdict::Applied } else { Verdict::Invalid });
        prop_assert_eq!(replica.chunk(CHUNK).cloned() == before, !inside);
    }
}

#[test]
fn what_does_not_belong_is_left() {
    let mut replica = replica();
    let history = vec![Some((0, Color([1; 3])))];
    let one = frame(&history, 0, 1);
    assert_eq!(replica.apply(&one), Verdict::NotHeld);
    assert!(!replica.load(CHUNK, Epoch(8), Sequence(1), pixels(&history, 1)), "another epoch");
    assert!(!replica.load(CHUNK, EPOCH, Sequence(1), vec![0; 5]), "another length");
    let outside = ChunkId { cx: 9, cy: 0 };
    assert!(!replica.load(outside, EPOCH, Sequence(1), vec![]), "no chunk of the canvas");
    assert!(replica.load(CHUNK, EPOCH, Sequence::ZERO, pixels(&history, 0)));
    assert_eq!(replica.apply(&Frame { epoch: Epoch(8), ..one.clone() }), Verdict::OtherEpoch);
    assert_eq!(replica.apply(&one), Verdict::Applied);
    replica.restart(Epoch(8));
    assert_eq!((replica.epoch(), replica.chunks().count()), (Epoch(8), 0));
}
