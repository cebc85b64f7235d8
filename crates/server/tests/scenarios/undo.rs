//! Taking back and repeating, by every way in; and who painted a pixel.

use pixel_canvas::{Point, Turn};
use pixel_protocol::binary::{Reason, ToClient, ToServer};
use serde_json::{Value, json};

use crate::support::binary::{Answered, Binary};
use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::{Answer, Request, Server};

impl Binary {
    fn retrace(&mut self, turn: Turn, key: u64, count: u16) -> Answered {
        self.say(&ToServer::Retrace { turn, key, count });
        self.answer(key)
    }

    fn who(&mut self, x: u16, y: u16) -> ToClient {
        self.say(&ToServer::Who(Point { x, y }));
        self.hear_until(|message| matches!(message, ToClient::Painter { .. }).then(|| message.clone()))
    }
}

/// What a pixel of the default canvas shows.
fn color(server: &Server, x: u16, y: u16) -> Value {
    server.canvas()["pixels"][format!("{x},{y}")].clone()
}

fn place(server: &Server, token: &str, pixels: &[(u16, u16, &str)]) {
    let pixels: Vec<Value> =
        pixels.iter().map(|(x, y, color)| json!({"x": x, "y": y, "color": color})).collect();
    let body = json!({ "pixels": pixels });
    let path = "/api/canvases/main/pixels";
    let answer = Request::new("PUT", path).bearer(token).json(&body).send(server.api());
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn post(server: &Server, token: &str, what: &str, key: &str, body: Option<&Value>) -> Answer {
    let request = Request::new("POST", &format!("/api/canvases/main/{what}")).bearer(token);
    let request = if key.is_empty() { request } else { request.header("idempotency-key", key) };
    match body {
        Some(body) => request.json(body),
        None => request,
    }
    .send(server.api())
}

#[test]
fn a_json_client_takes_back_and_repeats() {
    let server = Server::start();
    let (mut ada, mut grace) = (Json::open(&server), Json::open(&server));
    for x in 0..3 {
        ada.paint_as(x, 0, "#FF0000", 1);
        assert_eq!(ada.hear_any("accepted")["sequence"], u64::from(x) + 1);
    }
    grace.paint_as(1, 0, "#00FF00", 1);
    assert_eq!(grace.hear_any("accepted")["sequence"], 4);
    // The newest first, and what is somebody else's by now is left alone.
    ada.say(&json!({"type": "undo", "count": 2, "ref": "back"}));
    assert_eq!(ada.hear_any("accepted"), json!({"type": "accepted", "ref": "back", "sequence": 6}));
    assert_eq!(color(&server, 2, 0), "#FFFFFF");
    assert_eq!(color(&server, 1, 0), "#00FF00");
    assert_eq!(color(&server, 0, 0), "#FFFFFF");
    ada.say(&json!({"type": "undo"}));
    assert!(ada.hear_any("error")["message"].as_str().expect("a sentence").contains("nothing to take back"));
    ada.say(&json!({"type": "redo", "ref": 7}));
    assert_eq!(ada.hear_any("accepted")["sequence"], 7);
    assert_eq!(color(&server, 0, 0), "#FF0000");
    // Everybody saw every step of it.
    let mut watcher = Json::open(&server);
    watcher.resume(ada.epoch(), 0);
    let seen: Vec<(u64, Value)> = (0..7)
        .map(|_| watcher.update())
        .map(|update| (update["x"].as_u64().expect("a column"), update["color"].clone()))
        .collect();
    let colors =
        [(0, "#FF0000"), (1, "#FF0000"), (2, "#FF0000"), (1, "#00FF00"), (2, "#FFFFFF"), (0, "#FFFFFF")];
    let expected: Vec<(u64, Value)> =
        colors.into_iter().chain([(0, "#FF0000")]).map(|(x, color)| (x, color.into())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_binary_client_takes_back_and_repeats_once_for_each_key() {
    let mut server = Server::start();
    let opening = Opening::at("/").bearer(&server.guest());
    let mut page = Binary::open_at(&server, &opening).expect("a guest is let in");
    page.place(1, &[(1, 1, "#111111"), (1, 1, "#222222"), (2, 2, "#333333")]);
    let undone = page.retrace(Turn::Undo, 2, 2);
    assert_eq!(undone, Answered::Accepted { first: 4, count: 2 });
    assert_eq!(page.retrace(Turn::Undo, 2, 2), undone);
    assert_eq!(color(&server, 1, 1), "#111111");
    // What can be taken back and repeated survives a kill, and so do the keys.
    server.kill();
    server.run();
    let mut back = Binary::open_at(&server, &opening).expect("a guest is let in");
    assert_eq!(back.retrace(Turn::Undo, 2, 2), undone);
    assert_eq!(back.retrace(Turn::Redo, 3, 1), Answered::Accepted { first: 6, count: 1 });
    assert_eq!(color(&server, 1, 1), "#222222");
    assert_eq!(back.retrace(Turn::Undo, 4, 256), Answered::Accepted { first: 7, count: 2 });
    assert_eq!(color(&server, 1, 1), "#FFFFFF");
    for (key, turn, reason) in [(5, Turn::Undo, Reason::NothingToUndo), (2, Turn::Redo, Reason::KeyReused)] {
        let refused = back.retrace(turn, key, 1);
        assert_eq!(refused, Answered::Refused { reason, retry_after_ms: None });
    }
    for count in [0, 257] {
        let refused = back.retrace(Turn::Redo, 6, count);
        assert_eq!(refused, Answered::Refused { reason: Reason::Count, retry_after_ms: None });
    }
    // A placement ends what could be repeated.
    back.place(7, &[(0, 0, "#444444")]);
    let refused = back.retrace(Turn::Redo, 8, 1);
    assert_eq!(refused, Answered::Refused { reason: Reason::NothingToRedo, retry_after_ms: None });
}

#[test]
fn a_rest_call_takes_back_and_repeats() {
    let mut server = Server::start();
    let (ada, grace) = (server.guest(), server.guest());
    place(&server, &ada, &[(0, 0, "#FF0000"), (1, 0, "#FF0000"), (2, 0, "#FF0000")]);
    place(&server, &grace, &[(2, 0, "#00FF00")]);
    let undone = post(&server, &ada, "undo", "once", Some(&json!({"count": 2})));
    assert_eq!(undone.status, 200, "{undone:?}");
    let said = undone.json();
    assert_eq!((&said["success"], &said["updated"], &said["sequence"]), (&json!(true), &json!(2), &json!(6)));
    assert!(said["epoch"].is_string() && said["timestamp"].is_u64() && said["refused"].is_null(), "{said}");
    server.kill();
    server.run();
    let again = post(&server, &ada, "undo", "once", Some(&json!({"count": 2})));
    assert_eq!(again.json()["sequence"], 6);
    assert_eq!(color(&server, 2, 0), "#00FF00");
    post(&server, &ada, "undo", "once", Some(&json!({"count": 3}))).refused(409);
    post(&server, &ada, "undo", "", None).refused(409);
    assert_eq!(post(&server, &ada, "redo", "", None).json()["updated"], 1);
    assert_eq!(color(&server, 0, 0), "#FF0000");
    post(&server, &grace, "redo", "", None).refused(409);
    for body in [json!({"count": 0}), json!({"count": 257}), json!({"count": "1"}), json!({"count": 1.5})] {
        post(&server, &ada, "undo", "", Some(&body)).refused(400);
    }
    let elsewhere = Request::new("POST", "/api/canvases/nowhere/undo").bearer(&ada).send(server.api());
    elsewhere.refused(404);
}

#[test]
fn an_undo_waits_for_the_limits_as_any_placement_does() {
    let server = Server::with(&["--rate-limit", "1/h burst 3"]);
    let token = server.guest();
    place(&server, &token, &[(0, 0, "#FF0000"), (1, 0, "#FF0000")]);
    let limited = post(&server, &token, "undo", "", Some(&json!({"count": 2})));
    limited.refused(429);
    assert!(limited.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 60), "{limited:?}");
    assert_eq!(post(&server, &token, "undo", "", None).status, 200);
    assert_eq!(color(&server, 0, 0), "#FF0000");
}

#[test]
fn a_binary_client_asks_who_painted_a_pixel() {
    let server = Server::start();
    let mut page = Binary::open(&server);
    page.say(&ToServer::Name("Ada"));
    page.place(1, &[(3, 4, "#E4572E")]);
    let ToClient::Painter { at, color, sequence, painted, name } = page.who(3, 4) else { unreachable!() };
    assert_eq!((at, color.to_string().as_str(), sequence.0), (Point { x: 3, y: 4 }, "#E4572E", 1));
    assert_eq!(name.expect("a name").as_str(), "Ada");
    let shown = crate::support::http::get(server.api(), "/api/canvases/main/pixels/3/4").json();
    assert_eq!(shown["timestamp"], painted.0);
    let ToClient::Painter { color, sequence, painted, name, .. } = page.who(4, 3) else { unreachable!() };
    assert_eq!((color.to_string().as_str(), sequence.0, painted.0, name), ("#FFFFFF", 0, 0, None));
    page.say(&ToServer::Who(Point { x: 50, y: 0 }));
    page.hear_until(|message| matches!(message, ToClient::Error(_)).then_some(()));
}

/// One guest on two gateways has one history.
#[test]
fn a_guest_of_two_gateways_over_redis_has_one_history() {
    let split = Split::start(1, 2, &[]);
    let guest = Request::new("POST", "/api/guests").send(split.apis[0].api()).json();
    let opening = Opening::at("/").bearer(guest["token"].as_str().expect("a token"));
    let open =
        |gateway: usize| Binary::open_at(&split.gateways[gateway], &opening).expect("a guest is let in");
    let (mut here, mut there) = (open(0), open(1));
    assert_eq!(
        here.place(1, &[(0, 0, "#111111"), (0, 0, "#222222"), (1, 0, "#333333")]),
        Answered::Accepted { first: 1, count: 3 }
    );
    let undone = there.retrace(Turn::Undo, 2, 2);
    assert_eq!(undone, Answered::Accepted { first: 4, count: 2 });
    assert_eq!(here.retrace(Turn::Undo, 2, 2), undone, "the same key at another gateway");
    assert_eq!(color(&split.apis[0], 0, 0), "#111111");
    assert_eq!(here.retrace(Turn::Redo, 3, 1), Answered::Accepted { first: 6, count: 1 });
    let ToClient::Painter { color, sequence, .. } = there.who(0, 0) else { unreachable!() };
    assert_eq!((color.to_string().as_str(), sequence.0), ("#222222", 6));
    let nothing = Answered::Refused { reason: Reason::NothingToRedo, retry_after_ms: None };
    there.place(4, &[(5, 5, "#555555")]);
    assert_eq!(here.retrace(Turn::Redo, 5, 1), nothing);
}

/// As many as are remembered of one person, and a few more; several on each pixel.
#[test]
fn a_guest_takes_back_a_thousand_and_repeats_them_over_two_gateways() {
    const DEPTH: usize = 1_000;
    const PLACED: usize = DEPTH + 50;
    const PLACEMENTS_MAX: usize = 256;
    const PIXELS: usize = 400;
    let split = Split::start(2, 2, &["--rate-limit", "off", "--sweep-interval-ms", "0"]);
    let guest = Request::new("POST", "/api/guests").send(split.apis[0].api()).json();
    let opening = Opening::at("/").bearer(guest["token"].as_str().expect("a token"));
    let open = |gateway: &Server| Binary::open_at(gateway, &opening).expect("a guest is let in");
    let mut people: Vec<Binary> = split.gateways.iter().map(open).collect();
    let mut next_key = 0;
    // One after the other, each through another gateway than the one before.
    let mut through = |act: &mut dyn FnMut(&mut Binary, u64) -> Answered| {
        next_key += 1;
        act(&mut people[next_key as usize % 2], next_key)
    };
    let pixel = |number: usize| ((number % PIXELS % 50) as u16, (number % PIXELS / 50) as u16);
    let color_of = |number: usize| format!("#{:06X}", 0x10_0000 + number);
    let all: Vec<(u16, u16, String)> =
        (0..PLACED).map(|number| (pixel(number).0, pixel(number).1, color_of(number))).collect();
    let mut last = 0;
    let mut accepted = |answered: Answered, expected: usize| {
        let wanted = Answered::Accepted { first: last + 1, count: expected as u16 };
        assert_eq!(answered, wanted, "in one order over both gateways");
        last += expected as u64;
    };
    for some in all.chunks(PLACEMENTS_MAX) {
        let some: Vec<_> = some.iter().map(|(x, y, color)| (*x, *y, color.as_str())).collect();
        accepted(through(&mut |person, key| person.place(key, &some)), some.len());
    }
    // What the first so many leave there.
    let shows_the_first = |placed: usize| {
        for api in &split.apis {
            let shown = api.canvas()["pixels"].take();
            for at in 0..PIXELS {
                let newest = (0..placed).rev().find(|number| number % PIXELS == at);
                let (x, y) = pixel(at);
                let expected = newest.map_or("#FFFFFF".to_owned(), color_of);
                assert_eq!(shown[format!("{x},{y}")], expected.as_str(), "{x},{y} after {placed}");
            }
        }
    };
    for (turn, left, nothing) in
        [(Turn::Undo, PLACED - DEPTH, Reason::NothingToUndo), (Turn::Redo, PLACED, Reason::NothingToRedo)]
    {
        for count in (1..=4).cycle().take(DEPTH * 4 / 10) {
            accepted(through(&mut |person, key| person.retrace(turn, key, count)), count.into());
        }
        shows_the_first(left);
        let refused = through(&mut |person, key| person.retrace(turn, key, 1));
        assert_eq!(refused, Answered::Refused { reason: nothing, retry_after_ms: None });
    }
}

/// More questions than may be under way at once: every one of them is answered, and the rest works on.
#[test]
fn a_flood_of_questions_is_answered_in_order() {
    let server = Server::start();
    let mut page = Binary::open(&server);
    page.place(1, &[(0, 0, "#E4572E")]);
    let questions = 2_000_u16;
    for number in 0..questions {
        page.say(&ToServer::Who(Point { x: number % 50, y: number / 50 }));
    }
    for number in 0..questions {
        let at = page.hear_until(|message| match message {
            ToClient::Painter { at, .. } => Some(*at),
            _ => None,
        });
        assert_eq!(at, Point { x: number % 50, y: number / 50 });
    }
    assert_eq!(page.place(2, &[(1, 1, "#111111")]), Answered::Accepted { first: 2, count: 1 });
}
