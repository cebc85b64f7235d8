//! Conversations, message by message: what a client says, what it hears, what is done.

use pixel_canvas::{Color, Identity, Point, Standing, Turn};
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A conversation under test.
struct Talk {
    session: Session,
    canvas: Canvas,
    said: Vec<Value>,
    actions: Vec<Action>,
}

fn talk(dialect: Dialect) -> Talk {
    let author = Author { identity: Identity([7; 16]), address: None, since: None };
    let session = Session::new(dialect, author, 5);
    Talk { session, canvas: Canvas::default_canvas(), said: Vec::new(), actions: Vec::new() }
}

impl Talk {
    /// Says one JSON message; what comes back as JSON values.
    fn say(&mut self, message: Value) -> Vec<Value> {
        self.say_text(&message.to_string())
    }

    fn say_text(&mut self, text: &str) -> Vec<Value> {
        let mut out = Vec::new();
        self.session.receive(Message::Text(text), &self.canvas, NOW, &mut out, &mut self.actions);
        self.said = frames(&out).iter().map(|(_, payload)| parse(payload)).collect();
        self.said.clone()
    }

    fn say_binary(&mut self, message: &binary::ToServer<'_>) -> Vec<binary::ToClient> {
        let mut bytes = Vec::new();
        message.encode(&self.canvas, &mut bytes);
        self.say_bytes(&bytes)
    }

    fn say_bytes(&mut self, bytes: &[u8]) -> Vec<binary::ToClient> {
        let mut out = Vec::new();
        self.session.receive(Message::Binary(bytes), &self.canvas, NOW, &mut out, &mut self.actions);
        frames(&out).iter().map(|(_, payload)| self.understand(payload)).collect()
    }

    fn understand(&self, payload: &[u8]) -> binary::ToClient {
        binary::ToClient::decode(payload, &self.canvas.palette).expect("well formed").expect("a known kind")
    }

    /// The one action there is, taken out.
    fn action(&mut self) -> Action {
        assert_eq!(self.actions.len(), 1, "{:?}", self.actions);
        self.actions.remove(0)
    }
}

fn parse(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("JSON")
}

/// Takes unmasked frames apart: first byte and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            length => (usize::from(*length), rest),
        };
        frames.push((*first, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    frames
}

fn accepted(first: u64, count: u32) -> Outcome {
    Outcome::Accepted(Accepted {
        first: Sequence(first),
        count,
        epoch: Epoch(1),
        at: NOW,
        standing: Standing::UNLIMITED,
    })
}

#[test]
fn a_placement_in_json_becomes_a_submission_under_the_connections_name() {
    let mut talk = talk(Dialect::Json);
    assert_eq!(talk.say(json!({"type": "set_username", "username": "  Ann  "})), Vec::<Value>::new());
    assert_eq!(talk.action(), Action::Rename(Name::parse("Ann")));
    assert_eq!(
        talk.say(json!({"type": "pixel_update", "x": 1, "y": 2, "color": "#ff0000"})),
        Vec::<Value>::new()
    );
    let Action::Submit(submission, _) = talk.action() else { panic!("not a submission") };
    let placement = Placement { at: Point { x: 1, y: 2 }, color: Color([255, 0, 0]) };
    assert_eq!((submission.act, submission.name.as_str()), (Act::Place(vec![placement]), "Ann"));

    talk.say(json!({"type": "pixel_update", "x": 1, "y": 2, "color": "#ff0000", "username": "Bob"}));
    let Action::Submit(submission, _) = talk.action() else { panic!("not a submission") };
    assert_eq!(submission.name.as_str(), "Bob", "a name in the message is for that placement only");
}

#[test]
fn nameless_placements_are_anonymous() {
    let mut talk = talk(Dialect::Json);
    talk.say(json!({"type": "pixel_update", "x": 0, "y": 0, "color": "#000000"}));
    let Action::Submit(submission, _) = talk.action() else { panic!("not a submission") };
    assert_eq!(submission.name, Name::anonymous());
}

#[test]
fn only_who_gave_a_ref_is_told_of_acceptance() {
    let mut talk = talk(Dialect::Json);
    let tell = |talk: &mut Talk| {
        let Action::Submit(_, ticket) = talk.action() else { panic!("not a submission") };
        let mut out = Vec::new();
        answer(&mut out, &ticket, &accepted(41, 1), None, &talk.canvas);
        frames(&out).iter().map(|(_, payload)| parse(payload)).collect::<Vec<_>>()
    };
    talk.say(json!({"type": "pixel_update", "x": 0, "y": 0, "color": "#000000", "ref": "a7"}));
    assert_eq!(tell(&mut talk), [json!({"type": "accepted", "ref": "a7", "sequence": 41})]);
    talk.say(json!({"type": "pixel_update", "x": 0, "y": 0, "color": "#000000"}));
    assert_eq!(tell(&mut talk), Vec::<Value>::new());
}

#[test]
fn what_is_wrong_is_answered_with_the_reason_and_changes_nothing() {
    let mut talk = talk(Dialect::Json);
    for (message, hint) in [
        (json!({"type": "pixel_update", "x": 50, "y": 0, "color": "#000000", "ref": 3}), "0 to 49"),
        (json!({"type": "pixel_update", "x": 1.5, "y": 0, "color": "#000000", "ref": 3}), "x"),
        (json!({"type": "pixel_update", "x": 0, "y": 0, "color": "red", "ref": 3}), "#RRGGBB"),
    ] {
        let said = talk.say(message.clone());
        assert_eq!(
            (said.len(), &said[0]["type"], &said[0]["ref"]),
            (1, &json!("error"), &json!(3)),
            "{message}"
        );
        assert!(said[0]["message"].as_str().expect("a sentence").contains(hint), "{}", said[0]);
    }
    for message in ["", "nonsense", "[]", "{}", r#"{"type":"dance"}"#, r#"{"type":7}"#] {
        assert_eq!(talk.say_text(message)[0]["type"], "error", "{message}");
    }
    assert_eq!(talk.actions, []);
}

#[test]
fn a_socket_is_full_at_256_placements_until_they_are_answered() {
    let mut talk = talk(Dialect::Json);
    for _ in 0..IN_FLIGHT_PLACEMENTS_MAX {
        assert!(!talk.session.is_full());
        talk.say(json!({"type": "pixel_update", "x": 0, "y": 0, "color": "#000000"}));
    }
    assert!(talk.session.is_full());
    let Action::Submit(_, ticket) = &talk.actions[0] else { panic!("not a submission") };
    talk.session.settle(ticket);
    assert!(!talk.session.is_full());
}

#[test]
fn a_binary_submission_is_answered_under_its_key() {
    let mut talk = talk(Dialect::Binary);
    let placements = vec![Placement { at: Point { x: 9, y: 9 }, color: Color::WHITE }; 2];
    let submit = |key| binary::ToServer::Submit { key, placements: Ok(placements.clone()) };
    assert_eq!(talk.say_binary(&submit(77)), []);
    let Action::Submit(first, ticket) = talk.action() else { panic!("not a submission") };
    let mut out = Vec::new();
    answer(&mut out, &ticket, &accepted(10, 2), None, &talk.canvas);
    answer(&mut out, &ticket, &Outcome::Refused(Refusal::Cooldown { wait_ms: 1_500 }), None, &talk.canvas);
    let answers: Vec<_> = frames(&out).iter().map(|(_, payload)| talk.understand(payload)).collect();
    assert!(matches!(answers[0], binary::ToClient::Accepted { key: 77, first: Sequence(10), count: 2, .. }));
    assert!(matches!(&answers[1], binary::ToClient::Refused { key: 77, retry_after_ms: Some(1_500), .. }));

    talk.say_binary(&submit(78));
    let Action::Submit(second, _) = talk.action() else { panic!("not a submission") };
    assert_ne!(first.key, second.key);
}

#[test]
fn taking_back_is_a_submission_of_as_many_placements_as_it_may_make() {
    let mut talk = talk(Dialect::Binary);
    let undo = |count| binary::ToServer::Retrace { turn: Turn::Undo, key: 77, count };
    for count in [0, 257] {
        let answers = talk.say_binary(&undo(count));
        let reason = binary::Reason::Count;
        assert!(
            matches!(&answers[..], [binary::ToClient::Refused { key: 77, reason: r, .. }] if *r == reason)
        );
    }
    assert_eq!((&talk.actions[..], talk.session.is_full()), (&[][..], false));
    assert_eq!(talk.say_binary(&undo(256)), []);
    assert!(talk.session.is_full());
    let Action::Submit(submission, ticket) = talk.action() else { panic!("not a submission") };
    assert_eq!(submission.act, Act::Retrace { turn: Turn::Undo, count: 256 });
    talk.session.settle(&ticket);
    assert!(!talk.session.is_full(), "however many it made");

    let mut talk = self::talk(Dialect::Json);
    talk.say(json!({"type": "redo"}));
    let Action::Submit(submission, _) = talk.action() else { panic!("not a submission") };
    assert_eq!(submission.act, Act::Retrace { turn: Turn::Redo, count: 1 });
}

#[test]
fn who_has_no_key_is_not_told_to_use_it_again() {
    let canvas = Canvas::default_canvas();
    let outcome = Outcome::Refused(Refusal::Unknown);
    let said = |reply| {
        let ticket = Ticket { reply, placements: 1 };
        let mut out = Vec::new();
        answer(&mut out, &ticket, &outcome, None, &canvas);
        frames(&out).remove(0).1
    };
    let told = parse(&said(Reply::Json { reference: None }));
    let sentence = told["message"].as_str().expect("a sentence");
    assert!(sentence.contains("not known") && !sentence.contains("key"), "{sentence}");
    assert_eq!(told["retryAfter"], 1.0);
    let told = String::from_utf8_lossy(&said(Reply::Binary { key: 7 })).into_owned();
    assert!(told.contains("same key"), "{told}");
}

#[test]
fn a_question_is_in_flight_until_it_is_answered() {
    let mut talk = talk(Dialect::Binary);
    let at = Point { x: 3, y: 4 };
    for _ in 0..IN_FLIGHT_PLACEMENTS_MAX {
        assert!(!talk.session.is_full());
        talk.say_binary(&binary::ToServer::Who(at));
        assert_eq!(talk.action(), Action::LookUp(at));
    }
    assert!(talk.session.is_full());
    talk.session.looked_up();
    assert!(!talk.session.is_full());
    let mut out = Vec::new();
    let blank = Pixel { color: Color::WHITE, painted: None };
    answer_painter(&mut out, at, Some(&blank), &talk.canvas);
    answer_painter(&mut out, at, None, &talk.canvas);
    let answers: Vec<_> = frames(&out).iter().map(|(_, payload)| talk.understand(payload)).collect();
    let (color, sequence, painted) = (Color::WHITE, Sequence::ZERO, Timestamp(0));
    assert_eq!(answers[0], binary::ToClient::Painter { at, color, sequence, painted, name: None });
    assert!(matches!(answers[1], binary::ToClient::Error(_)));
}

#[test]
fn binary_rubbish_is_answered_and_the_connection_goes_on() {
    let mut talk = talk(Dialect::Binary);
    for rubbish in [&[][..], &[0x83], &[0xff, 1, 2], &[0x81, 1], &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 1]] {
        let answers = talk.say_bytes(rubbish);
        let refused = matches!(
            answers[..],
            [binary::ToClient::Error(_) | binary::ToClient::Refused { reason: binary::Reason::Count, .. }]
        );
        assert!(refused, "{rubbish:?}: {answers:?}");
    }
    assert_eq!(talk.actions, []);
}

#[test]
fn pings_are_answered_and_closes_end_the_conversation() {
    let mut talk = talk(Dialect::Binary);
    let mut out = Vec::new();
    talk.session.receive(Message::Ping(b"hey"), &talk.canvas, NOW, &mut out, &mut talk.actions);
    assert_eq!(frames(&out), [(0x8a, b"hey".to_vec())]);
    out.clear();
    talk.session.receive(Message::Close(Some(1000)), &talk.canvas, NOW, &mut out, &mut talk.actions);
    assert_eq!((frames(&out)[0].0, talk.action()), (0x88, Action::Close));
}

#[test]
fn the_wrong_kind_of_frame_closes_with_1003() {
    let mut talk = talk(Dialect::Json);
    let mut out = Vec::new();
    talk.session.receive(Message::Binary(&[1]), &talk.canvas, NOW, &mut out, &mut talk.actions);
    assert_eq!(frames(&out)[0].1[..2], close::UNSUPPORTED.to_be_bytes());
    assert_eq!(talk.action(), Action::Close);
}
