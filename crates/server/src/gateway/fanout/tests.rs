//! What a connection is sent is what it is owed: whole segments, in order, once, whatever its socket takes.

use pixel_canvas::Epoch;
use proptest::prelude::*;

use super::*;

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
const OTHER: ChunkId = ChunkId { cx: 1, cy: 0 };

fn at(sequence: u64) -> Position {
    Position { epoch: Epoch(7), sequence: Sequence(sequence) }
}

/// A segment whose bytes say which sequences it carries, `[n]` for each.
fn segment(after: u64, to: u64) -> Segment {
    let (mut text, mut ends) = (String::new(), Vec::new());
    for sequence in after + 1..=to {
        text.push_str(&format!("[{sequence}]"));
        ends.push(text.len() as u32);
    }
    Segment {
        after: Sequence(after),
        to: Sequence(to),
        bytes: text.into_bytes().into(),
        ends: Some(ends.into()),
    }
}

fn paint(fanout: &mut Fanout, to: u64) {
    let after = fanout.position().sequence.0;
    fanout.append(at(to), Some(segment(after, to)), &[(CHUNK, segment(after, to))]);
}

/// Takes everything that is owed, `step` bytes a write.
fn drain(reader: &mut Reader, fanout: &Fanout, step: usize) -> String {
    let mut sent = Vec::new();
    while is_owed(reader, fanout) {
        let all: Vec<u8> = reader.owed(fanout).slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let taken = step.min(all.len());
        sent.extend_from_slice(&all[..taken]);
        reader.took(taken, fanout);
    }
    String::from_utf8(sent).expect("the segments are text")
}

fn is_owed(reader: &Reader, fanout: &Fanout) -> bool {
    reader.owed(fanout).bytes() > 0
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> String {
    range.map(|sequence| format!("[{sequence}]")).collect()
}

#[test]
fn a_json_reader_gets_what_comes_after_it() {
    let mut fanout = Fanout::new(at(0), []);
    paint(&mut fanout, 3);
    let mut reader = Reader::new(false, &fanout);
    assert!(!is_owed(&reader, &fanout));
    paint(&mut fanout, 5);
    assert_eq!(drain(&mut reader, &fanout, 1), numbers(4..=5));
}

#[test]
fn a_greeting_comes_before_what_the_logs_get_meanwhile() {
    let mut fanout = Fanout::new(at(0), []);
    let mut reader = Reader::new(false, &fanout);
    reader.begin_with(Bytes::from_static(b"hello"));
    paint(&mut fanout, 2);
    reader.direct().extend_from_slice(b"answer");
    assert_eq!(drain(&mut reader, &fanout, 3), format!("hello{}answer", numbers(1..=2)));
}

#[test]
fn a_goodbye_follows_what_is_half_sent_and_nothing_follows_it() {
    for binary in [false, true] {
        let mut fanout = Fanout::new(at(0), []);
        let mut reader = Reader::new(binary, &fanout);
        reader.view(CHUNK, None, &mut fanout);
        paint(&mut fanout, 2);
        reader.took(4, &fanout);
        reader.direct().extend_from_slice(b"answer");
        reader.end_with(Bytes::from_static(b"bye"));
        paint(&mut fanout, 5);
        assert_eq!(drain(&mut reader, &fanout, 1), "2]bye", "binary: {binary}");
        assert_eq!((reader.skip_lost(&fanout), reader.is_lost(&fanout)), (Behind::No, false));
    }
}

#[test]
fn who_asks_to_resume_again_before_it_was_sent_anything_gets_it_once() {
    let mut fanout = Fanout::new(at(0), []);
    let mut reader = Reader::new(false, &fanout);
    paint(&mut fanout, 3);
    reader.begin_with(Bytes::from_static(b"hello"));
    for have in [0, 2, 1] {
        assert!(reader.resume(Sequence(have), &fanout));
    }
    assert_eq!(drain(&mut reader, &fanout, 2), format!("hello{}", numbers(2..=3)));
}

#[test]
fn nobody_resumes_over_a_break_in_the_log() {
    let mut fanout = Fanout::new(at(0), []);
    let mut behind = Reader::new(false, &fanout);
    let big = Bytes::from(vec![b'.'; WIRE_LOG_BYTES_MAX / 2]);
    let push = |fanout: &mut Fanout, from: u64, to: u64| {
        let segment = Segment { bytes: big.clone(), ..segment(from, to) };
        fanout.append(at(to), Some(segment), &[]);
    };
    push(&mut fanout, 0, 3);
    fanout.restart(at(9), []);
    push(&mut fanout, 9, 10);
    assert_eq!(behind.skip_lost(&fanout), Behind::No, "who was behind still gets what came before");
    let resumes = |fanout: &Fanout, have| Reader::new(false, fanout).resume(Sequence(have), fanout);
    for _ in 0..2 {
        assert!(!resumes(&fanout, 3) && !resumes(&fanout, 8));
        assert!(resumes(&fanout, 9) && resumes(&fanout, 10));
        // Trims what came before the break, and nothing after it.
        fanout.append(at(10), Some(Segment { bytes: Bytes::from_static(b"people"), ..segment(10, 10) }), &[]);
    }
    // The log was rolled back: the sequences after 2 belong to another history now.
    fanout.restart(at(2), []);
    push(&mut fanout, 2, 3);
    let mut reader = Reader::new(false, &fanout);
    assert!(reader.resume(Sequence(2), &fanout));
    assert_eq!(drain(&mut reader, &fanout, big.len()).len(), big.len());
}

#[test]
fn a_json_reader_resumes_in_the_middle_of_a_segment() {
    let mut fanout = Fanout::new(at(0), []);
    paint(&mut fanout, 4);
    paint(&mut fanout, 9);
    for have in 0..=9 {
        let mut reader = Reader::new(false, &fanout);
        assert!(reader.resume(Sequence(have), &fanout), "{have}");
        assert_eq!(drain(&mut reader, &fanout, 5), numbers(have + 1..=9), "{have}");
    }
    assert!(!Reader::new(false, &fanout).resume(Sequence(10), &fanout), "the future cannot be resumed");
}

#[test]
fn resuming_without_reading_owes_no_more_than_the_last_resume() {
    let mut fanout = Fanout::new(at(0), []);
    paint(&mut fanout, 9);
    let mut reader = Reader::new(false, &fanout);
    for have in [1, 2, 3] {
        assert!(reader.resume(Sequence(have), &fanout));
    }
    // Half a frame went out: the segment that it belongs to comes whole, then the last resume's.
    reader.took("[4][".len(), &fanout);
    for have in [5, 6, 7] {
        assert!(reader.resume(Sequence(have), &fanout));
    }
    paint(&mut fanout, 10);
    assert_eq!(drain(&mut reader, &fanout, 1), format!("5]{}{}", numbers(6..=9), numbers(8..=10)));
}

/// Its socket was full: it was sent 3 first, then told to load and that updates go on after 2.
#[test]
fn a_json_reader_told_to_load_afresh_hears_it_before_what_follows() {
    let mut fanout = Fanout::new(at(0), []);
    let mut reader = Reader::new(false, &fanout);
    paint(&mut fanout, 2);
    reader.took("[1".len(), &fanout);
    reader.start_again(b"(load at 2)".to_vec(), &fanout);
    paint(&mut fanout, 3);
    assert_eq!(drain(&mut reader, &fanout, 4), "][2](load at 2)[3]");
}

/// The same for a chunk: a frame came first, and the chunk that was loaded later might lack it.
#[test]
fn a_binary_reader_told_to_load_a_chunk_hears_it_before_its_frames() {
    let mut fanout = Fanout::new(at(10), [(CHUNK, Sequence(8))]);
    let mut reader = Reader::new(true, &fanout);
    for chunk in [CHUNK, OTHER] {
        assert!(matches!(reader.view(chunk, None, &mut fanout), Start::Load(_)));
        reader.put_ahead(format!("(load {})", chunk.cx).into_bytes());
    }
    assert_eq!(reader.direct_bytes(), "(load 0)(load 1)".len());
    paint(&mut fanout, 12);
    reader.direct().extend_from_slice(b"(answer)");
    assert_eq!(drain(&mut reader, &fanout, 3), "(load 0)(load 1)[11][12](answer)");
}

#[test]
fn nobody_resumes_from_before_the_log_began() {
    let mut fanout = Fanout::new(at(10), [(CHUNK, Sequence(8))]);
    paint(&mut fanout, 12);
    assert!(!Reader::new(false, &fanout).resume(Sequence(9), &fanout));
    assert!(Reader::new(false, &fanout).resume(Sequence(10), &fanout));
}

#[test]
fn a_viewer_resumes_or_is_told_the_least_sequence_that_will_do() {
    let mut fanout = Fanout::new(at(10), [(CHUNK, Sequence(8))]);
    let view = |have: Option<u64>, fanout: &mut Fanout| {
        Reader::new(true, fanout).view(CHUNK, have.map(Sequence), fanout)
    };
    assert_eq!(view(Some(8), &mut fanout), Start::Resumed, "nothing changed since 8");
    assert_eq!(view(Some(7), &mut fanout), Start::Load(Sequence(8)));
    assert_eq!(view(None, &mut fanout), Start::Load(Sequence(8)));
    paint(&mut fanout, 12);
    assert_eq!(view(Some(8), &mut fanout), Start::Load(Sequence(12)), "between 8 and 10 nobody looked");
    assert_eq!(view(Some(10), &mut fanout), Start::Resumed);
    assert_eq!(view(Some(99), &mut fanout), Start::Resumed, "a snapshot may be newer than the log");
    let mut reader = Reader::new(true, &fanout);
    reader.view(CHUNK, Some(Sequence(10)), &mut fanout);
    assert_eq!(drain(&mut reader, &fanout, 100), numbers(11..=12));
}

#[test]
fn a_viewer_hears_of_its_chunks_only() {
    let mut fanout = Fanout::new(at(0), []);
    let mut reader = Reader::new(true, &fanout);
    assert_eq!(reader.view(OTHER, None, &mut fanout), Start::Load(Sequence::ZERO));
    paint(&mut fanout, 3);
    assert!(!is_owed(&reader, &fanout));
    fanout.append(at(4), None, &[(OTHER, segment(3, 4))]);
    assert_eq!(drain(&mut reader, &fanout, 2), "[4]");
    assert!(reader.leave(OTHER) && !reader.leave(OTHER));
}

#[test]
fn answers_come_after_the_updates_and_never_inside_a_frame() {
    let mut fanout = Fanout::new(at(0), []);
    let mut reader = Reader::new(false, &fanout);
    paint(&mut fanout, 2);
    reader.direct().extend_from_slice(b"(ok)");
    reader.took(4, &fanout);
    paint(&mut fanout, 3);
    assert_eq!(drain(&mut reader, &fanout, 3), "2][3](ok)");
}

#[test]
fn a_reader_behind_the_bound_is_told_so_and_memory_does_not_grow() {
    let mut fanout = Fanout::new(at(0), []);
    let mut json = Reader::new(false, &fanout);
    let mut binary = Reader::new(true, &fanout);
    binary.view(CHUNK, None, &mut fanout);
    let big = Bytes::from(vec![b'x'; WIRE_LOG_BYTES_MAX / 4]);
    for to in 1..=9 {
        let segment = Segment { bytes: big.clone(), ends: None, ..segment(to - 1, to) };
        fanout.append(at(to), Some(segment.clone()), &[(CHUNK, segment)]);
    }
    assert!(fanout.json.bytes <= WIRE_LOG_BYTES_MAX && fanout.chunk_bytes <= WIRE_LOG_BYTES_MAX);
    assert_eq!(json.skip_lost(&fanout), Behind::Lost);
    assert_eq!(binary.skip_lost(&fanout), Behind::Chunks(vec![(CHUNK, Sequence(9))]));
    assert!(!is_owed(&binary, &fanout));
    let mut late = Reader::new(true, &fanout);
    assert_eq!(late.view(CHUNK, Some(Sequence(2)), &mut fanout), Start::Load(Sequence(9)));
    assert_eq!(late.view(CHUNK, Some(Sequence(5)), &mut fanout), Start::Resumed);
}

#[test]
fn who_missed_what_everyone_hears_starts_afresh() {
    let mut fanout = Fanout::new(at(0), []);
    let mut reader = Reader::new(true, &fanout);
    reader.view(CHUNK, None, &mut fanout);
    for _ in 0..3 {
        fanout.append_wide(vec![b'x'; WIDE_LOG_BYTES_MAX / 2].into());
    }
    assert_eq!(reader.skip_lost(&fanout), Behind::Everything(vec![CHUNK]));
    assert_eq!((reader.views(), is_owed(&reader, &fanout)), (0, false));
}

#[test]
fn after_a_restart_only_the_new_history_can_be_resumed() {
    let mut fanout = Fanout::new(at(0), []);
    paint(&mut fanout, 5);
    fanout.restart(at(8), [(CHUNK, Sequence(8))]);
    assert!(!Reader::new(false, &fanout).resume(Sequence(5), &fanout));
    assert_eq!(
        Reader::new(true, &fanout).view(CHUNK, Some(Sequence(5)), &mut fanout),
        Start::Load(Sequence(8))
    );
    paint(&mut fanout, 9);
    let mut reader = Reader::new(false, &fanout);
    assert!(reader.resume(Sequence(8), &fanout));
    assert_eq!(drain(&mut reader, &fanout, 9), "[9]");
}

proptest! {
    #[test]
    fn any_socket_gets_every_segment_once_in_order(
        lengths in proptest::collection::vec(1..6_u64, 1..40),
        takes in proptest::collection::vec(1..40_usize, 1..40),
        binary: bool,
    ) {
        let mut fanout = Fanout::new(at(0), []);
        let mut reader = Reader::new(binary, &fanout);
        if binary {
            reader.view(CHUNK, None, &mut fanout);
        }
        let (mut sent, mut to, mut takes) = (Vec::new(), 0, takes.into_iter().cycle());
        for length in lengths {
            to += length;
            paint(&mut fanout, to);
            let all: Vec<u8> = reader.owed(&fanout).slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let taken = takes.next().unwrap_or(1).min(all.len());
            sent.extend_from_slice(&all[..taken]);
            reader.took(taken, &fanout);
        }
        let rest = drain(&mut reader, &fanout, 7);
        sent.extend_from_slice(rest.as_bytes());
        prop_assert_eq!(String::from_utf8(sent).expect("text"), numbers(1..=to));
    }
}

/// The api that it loaded from is ahead of the gateway: frames follow, and its client drops what it has.
#[test]
fn a_viewer_that_is_ahead_of_the_gateway_hears_what_follows() {
    let mut fanout = Fanout::new(at(0), []);
    paint(&mut fanout, 3);
    let mut reader = Reader::new(true, &fanout);
    assert_eq!(reader.view(CHUNK, Some(Sequence(5)), &mut fanout), Start::Resumed);
    paint(&mut fanout, 4);
    paint(&mut fanout, 6);
    assert_eq!(drain(&mut reader, &fanout, 64), numbers(4..=6));
    assert_eq!(reader.view(CHUNK, Some(Sequence(6 + AHEAD_PLACEMENTS_MAX)), &mut fanout), Start::Resumed);
}

/// It would drop every frame, for as long as it believed that.
#[test]
fn a_viewer_that_holds_what_never_was_is_told_to_load() {
    let mut fanout = Fanout::new(at(0), []);
    paint(&mut fanout, 3);
    let mut reader = Reader::new(true, &fanout);
    for have in [3 + AHEAD_PLACEMENTS_MAX + 1, u64::MAX] {
        assert_eq!(reader.view(CHUNK, Some(Sequence(have)), &mut fanout), Start::Load(Sequence(3)));
    }
    paint(&mut fanout, 4);
    assert_eq!(drain(&mut reader, &fanout, 64), numbers(4..=4), "what follows continues what it loads");
}
