//! What is written is read back, and no bytes harm a reader.

use std::sync::Arc;

use pixel_canvas::{
    Canvas, CanvasSpec, ChunkId, Color, Epoch, Frame, Name, Palette, Placement, Point, Refusal, Sequence,
    Size, Standing, Timestamp, Turn,
};
use proptest::prelude::*;

use super::*;

fn canvas(palette: Option<&[&str]>) -> Canvas {
    let palette = palette.map(|colors| colors.iter().map(|&color| color.to_owned()).collect());
    let spec = CanvasSpec { id: "test".into(), width: 600, height: 300, palette, ..CanvasSpec::default() };
    Canvas::parse(&spec).expect("valid")
}

fn canvases() -> [Canvas; 2] {
    [canvas(None), canvas(Some(&["#FFFFFF", "#000000", "#FF0000"]))]
}

fn any_canvas() -> impl Strategy<Value = Canvas> {
    proptest::sample::select(canvases().to_vec())
}

fn sequence() -> impl Strategy<Value = Sequence> {
    (0..=Sequence::MAX.0).prop_map(Sequence)
}

fn chunk() -> impl Strategy<Value = ChunkId> {
    (0_u8..3, 0_u8..2).prop_map(|(cx, cy)| ChunkId { cx, cy })
}

fn color(palette: &Palette) -> BoxedStrategy<Color> {
    match palette {
        Palette::TrueColor => any::<[u8; 3]>().prop_map(Color).boxed(),
        Palette::Indexed(colors) => proptest::sample::select(colors.clone()).boxed(),
    }
}

fn name() -> impl Strategy<Value = Name> {
    "\\PC{1,30}".prop_filter_map("nothing visible", |raw| Name::parse(&raw))
}

fn placements(palette: &Palette) -> impl Strategy<Value = Vec<Placement>> + use<> {
    let placement = (0_u16..600, 0_u16..300, color(palette))
        .prop_map(|(x, y, color)| Placement { at: Point { x, y }, color });
    proptest::collection::vec(placement, 1..=256)
}

fn to_server(canvas: Canvas) -> impl Strategy<Value = (Canvas, Vec<u8>, String)> {
    // The message borrows its text, so it is compared by its debug form.
    let subscribe = (any::<u64>(), proptest::collection::vec((chunk(), sequence()), 1..=256));
    let unsubscribe = proptest::collection::vec(chunk(), 1..=1_024);
    let submit = (any::<u64>(), placements(&canvas.palette));
    let encoded = {
        let canvas = canvas.clone();
        move |message: ToServer<'_>| {
            let mut out = Vec::new();
            message.encode(&canvas, &mut out);
            (canvas.clone(), out, format!("{message:?}"))
        }
    };
    let encoded = Arc::new(encoded);
    let [a, b, c, d, e, f, g, h] = std::array::from_fn(|_| Arc::clone(&encoded));
    prop_oneof![
        subscribe.prop_map(move |(epoch, chunks)| a(ToServer::Subscribe { epoch: Epoch(epoch), chunks })),
        unsubscribe.prop_map(move |chunks| b(ToServer::Unsubscribe { chunks })),
        submit.prop_map(move |(key, placements)| c(ToServer::Submit { key, placements: Ok(placements) })),
        "\\PC{0,40}".prop_map(move |name| d(ToServer::Name(&name))),
        any::<[u8; 8]>().prop_map(move |echo| e(ToServer::Ping(echo))),
        "[a-z]{0,40}".prop_map(move |token| f(ToServer::Identify(&token))),
        (any::<bool>(), any::<u64>(), any::<u16>()).prop_map(move |(back, key, count)| {
            let turn = if back { Turn::Undo } else { Turn::Redo };
            g(ToServer::Retrace { turn, key, count })
        }),
        (0_u16..600, 0_u16..300).prop_map(move |(x, y)| h(ToServer::Who(Point { x, y }))),
    ]
}

fn to_client(canvas: Canvas) -> impl Strategy<Value = (Canvas, ToClient)> {
    let hello = {
        let canvas = canvas.clone();
        (any::<u64>(), sequence(), any::<u32>(), any::<bool>(), "[a-z]{0,300}").prop_map(
            move |(epoch, sequence, person, frozen, token)| {
                let canvas = Canvas { frozen, cooldown_ms: person.into(), ..canvas.clone() };
                ToClient::Hello(Hello::new(&canvas, Epoch(epoch), sequence, Timestamp(epoch), person, &token))
            },
        )
    };
    let pixels = proptest::collection::vec((any::<u16>(), color(&canvas.palette)), 0..300);
    let frame = (any::<u64>(), chunk(), sequence(), any::<u32>(), pixels).prop_map(
        |(epoch, chunk, to, span, pixels)| {
            let after = Sequence(to.0.saturating_sub(span.into()));
            ToClient::Frame(Frame { epoch: Epoch(epoch), chunk, after, to, pixels })
        },
    );
    let accepted = (any::<u64>(), sequence(), any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
        |(key, first, count, charges, next)| {
            let standing = Standing { charges, next_ms: next.into() };
            ToClient::Accepted { key, first, count, standing }
        },
    );
    let refused = (any::<u64>(), any::<u8>(), proptest::option::of(0..u32::MAX), "\\PC{0,80}").prop_map(
        |(key, code, retry_after_ms, sentence)| ToClient::Refused {
            key,
            reason: Reason::from_code(code),
            retry_after_ms,
            sentence,
        },
    );
    let chunks = proptest::collection::vec((chunk(), sequence()), 0..20);
    let gone = proptest::collection::vec(any::<u32>(), 0..20);
    let come = proptest::collection::vec((any::<u32>(), name()), 0..20);
    let painters = proptest::collection::vec((any::<u16>(), name()), 0..=16);
    let painter =
        (any::<(u16, u16)>(), color(&canvas.palette), sequence(), any::<u64>(), proptest::option::of(name()))
            .prop_map(|((x, y), color, sequence, at, name)| ToClient::Painter {
                at: Point { x, y },
                color,
                sequence,
                painted: Timestamp(at),
                name,
            });
    let message = prop_oneof![
        hello,
        painter,
        frame,
        (any::<u64>(), sequence())
            .prop_map(|(epoch, sequence)| ToClient::Progress { epoch: Epoch(epoch), sequence }),
        accepted,
        refused,
        (any::<u64>(), chunks).prop_map(|(epoch, chunks)| ToClient::Resync { epoch: Epoch(epoch), chunks }),
        (any::<bool>(), any::<u32>(), gone, come)
            .prop_map(|(whole, sockets, gone, come)| ToClient::Presence { whole, sockets, gone, come }),
        (chunk(), painters).prop_map(|(chunk, painters)| ToClient::Painters { chunk, painters }),
        "\\PC{0,80}".prop_map(ToClient::Error),
        any::<([u8; 8], u64)>().prop_map(|(echo, now)| ToClient::Pong { echo, now: Timestamp(now) }),
        ("[a-z]{0,80}", any::<u64>())
            .prop_map(|(token, expires)| ToClient::Token { expires: Timestamp(expires), token }),
    ];
    message.prop_map(move |message| (canvas.clone(), message))
}

fn decode(bytes: &[u8], canvas: &Canvas) -> String {
    ToServer::decode(bytes, canvas).expect_err("malformed").to_string()
}

fn submit(values: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0x83];
    bytes.extend_from_slice(&7_u64.to_le_bytes());
    bytes.extend(values.concat());
    bytes
}

fn refusal(bytes: &[u8], canvas: &Canvas) -> Refusal {
    match ToServer::decode(bytes, canvas) {
        Ok(ToServer::Submit { key: 7, placements: Err(refusal) }) => refusal,
        other => panic!("not a refused submission: {other:?}"),
    }
}

#[test]
fn a_submission_that_breaks_a_rule_is_refused_under_its_key() {
    let [_, indexed] = canvases();
    let outside = refusal(&submit(&[&[0x58, 0x02, 0, 0, 1]]), &indexed);
    assert_eq!(outside, Refusal::Outside { x: 600, y: 0, size: Size::new(600, 300).expect("a size") });
    let color = refusal(&submit(&[&[0, 0, 0, 0, 3]]), &indexed);
    assert_eq!(color.to_string(), "3 is not in this canvas' palette: its colours are 0 to 2");
    assert_eq!(Reason::from(&color).code(), 2);
    assert_eq!(refusal(&submit(&[]), &indexed), Refusal::Count { count: 0, max: 256 });
    let many = vec![&[0_u8; 5][..]; 257];
    assert_eq!(refusal(&submit(&many), &indexed), Refusal::Count { count: 257, max: 256 });
}

#[test]
fn what_cannot_be_read_gets_a_sentence() {
    let [canvas, _] = canvases();
    assert_eq!(decode(&[], &canvas), "the message is empty");
    assert_eq!(decode(&[0x42], &canvas), "there is no kind 0x42: the kinds are 0x81 to 0x89");
    assert_eq!(decode(&[0x85, 1, 2], &canvas), "PING: 6 bytes too short");
    assert_eq!(decode(&[0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9], &canvas), "PING: 1 bytes too long");
    assert_eq!(decode(&[0x84, 0xff], &canvas), "NAME: the text is not UTF-8");
    assert_eq!(decode(&submit(&[&[0; 6]]), &canvas), "SUBMIT: the list ends inside an entry of 7 bytes");
    assert_eq!(decode(&[0x82, 3, 0], &canvas), "UNSUBSCRIBE: there is no chunk 3,0, the canvas has 3×2");
    let nothing = [&[0x81_u8][..], &[0; 8]].concat();
    assert_eq!(decode(&nothing, &canvas), "SUBSCRIBE: it names 1 to 256 chunks, not 0");
    let late = [&[0x81_u8][..], &[0; 10], &[0xff; 8]].concat();
    assert!(decode(&late, &canvas).ends_with("is over 2^53 - 1, no sequence"));
}

#[test]
fn every_reason_has_its_number() {
    for code in 0..=u8::MAX {
        assert_eq!(Reason::from_code(code).code(), code);
    }
    assert_eq!(Reason::from(&Refusal::NeverEnough { count: 2, max: 1 }).code(), 12);
    assert_eq!(Reason::from(&Refusal::Unknown).code(), 10);
}

#[test]
fn a_client_ignores_what_a_later_version_adds() {
    let [canvas, _] = canvases();
    assert_eq!(ToClient::decode(&[0x70, 1, 2], &canvas.palette), Ok(None));
    let hello = ToClient::Hello(Hello::new(&canvas, Epoch(1), Sequence(2), Timestamp(3), 4, "token"));
    let accepted = ToClient::Accepted { key: 1, first: Sequence(2), count: 3, standing: Standing::UNLIMITED };
    let progress = ToClient::Progress { epoch: Epoch(1), sequence: Sequence(2) };
    for message in [hello, accepted, progress] {
        let mut bytes = Vec::new();
        message.encode(&canvas.palette, &mut bytes);
        bytes.extend_from_slice(b"later");
        assert_eq!(ToClient::decode(&bytes, &canvas.palette), Ok(Some(message)));
    }
}

proptest! {
    #[test]
    fn what_a_client_writes_the_server_reads((canvas, bytes, message) in any_canvas().prop_flat_map(to_server)) {
        let read = ToServer::decode(&bytes, &canvas).expect("valid");
        prop_assert_eq!(format!("{read:?}"), message);
        prop_assert!(bytes.len() <= crate::MESSAGE_BYTES_MAX);
    }

    #[test]
    fn what_the_server_writes_a_client_reads((canvas, message) in any_canvas().prop_flat_map(to_client)) {
        let mut bytes = Vec::new();
        message.encode(&canvas.palette, &mut bytes);
        prop_assert_eq!(ToClient::decode(&bytes, &canvas.palette), Ok(Some(message)));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(kind: u8, body in proptest::collection::vec(any::<u8>(), 0..400), canvas in any_canvas()) {
        for kind in [kind, 0x81 + kind % 9, 1 + kind % 12] {
            let bytes = [&[kind][..], &body].concat();
            let _ = ToServer::decode(&bytes, &canvas);
            let _ = ToClient::decode(&bytes, &canvas.palette);
        }
    }

    #[test]
    fn a_message_cut_short_never_makes_a_reader_panic((canvas, message) in any_canvas().prop_flat_map(to_client), keep: prop::sample::Index) {
        let mut bytes = Vec::new();
        message.encode(&canvas.palette, &mut bytes);
        bytes.truncate(keep.index(bytes.len()));
        let _ = ToClient::decode(&bytes, &canvas.palette);
    }
}
