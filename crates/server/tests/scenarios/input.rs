//! Bad input of every kind: a clear answer, and nothing painted.

use std::io::{Read, Write};

use pixel_protocol::binary::{Reason, ToClient};
use serde_json::{Value, json};

use crate::support::binary::{Answered, Binary};
use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::{Request, Server, get};

#[test]
fn a_request_with_a_bad_pixel_says_what_is_wrong() {
    let server = Server::start();
    for (body, about) in [
        (json!({"x": "3", "y": 0, "color": "#000000"}), "x"),
        (json!({"x": 1.5, "y": 0, "color": "#000000"}), "x"),
        (json!({"x": null, "y": 0, "color": "#000000"}), "x"),
        (json!({"y": 0, "color": "#000000"}), "x"),
        (json!({"x": 0, "y": [], "color": "#000000"}), "y"),
        (json!({"x": -1, "y": 0, "color": "#000000"}), "0 to 49"),
        (json!({"x": 0, "y": 50, "color": "#000000"}), "0 to 49"),
        (json!({"x": 0, "y": 1_u64 << 40, "color": "#000000"}), "0 to 49"),
        (json!({"x": 0, "y": 0, "color": "red"}), "#RRGGBB"),
        (json!({"x": 0, "y": 0, "color": "#00000"}), "#RRGGBB"),
        (json!({"x": 0, "y": 0, "color": "#0000000"}), "#RRGGBB"),
        (json!({"x": 0, "y": 0, "color": "#00000g"}), "#RRGGBB"),
        (json!({"x": 0, "y": 0, "color": "#0000é0"}), "#RRGGBB"),
        (json!({"x": 0, "y": 0, "color": 0}), "color"),
        (json!({"x": 0, "y": 0}), "color"),
    ] {
        let sentence = Request::new("PUT", "/api/pixel").json(&body).send(server.api()).refused(400);
        assert!(sentence.contains(about), "{body}: {sentence}");
    }
    for path in [
        "/api/pixel/50/0",
        "/api/pixel/0/-1",
        "/api/pixel/a/0",
        "/api/pixel/1.5/0",
        "/api/pixel/99999999999999999999/0",
    ] {
        get(server.api(), path).refused(400);
        Request::new("DELETE", path).send(server.api()).refused(400);
    }
    assert_eq!(server.canvas()["sequence"], 0);
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    let server = Server::start();
    for body in
        ["", "{", "[]", "\"x\"", "null", "{\"x\":0,\"y\":0,\"color\":\"#000000\"", "\u{feff}{}", "{}{}"]
    {
        for path in ["/api/pixel", "/api/pixels", "/api/canvases/main/pixels"] {
            let request = Request::new("PUT", path).header("content-type", "application/json").body(body);
            request.send(server.api()).refused(400);
        }
    }
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let request = Request::new("PUT", "/api/pixels").header("content-type", "application/json").body(nested);
    request.send(server.api()).refused(400);
    let invalid =
        Request::new("PUT", "/api/pixel").header("content-type", "application/json").body([0xff, 0xfe]);
    invalid.send(server.api()).refused(400);
    let form = Request::new("PUT", "/api/pixel").header("content-type", "text/plain").body("x=0");
    assert_eq!(form.send(server.api()).status, 400);
}

#[test]
fn a_list_of_nothing_valid_paints_nothing() {
    let server = Server::start();
    let put = |body: Value| Request::new("PUT", "/api/pixels").json(&body).send(server.api());
    put(json!({"pixels": "many"})).refused(400);
    put(json!({})).refused(400);
    let wrong = put(json!({"pixels": [{"x": 99, "y": 0, "color": "#000000"}, 7, null, "x"]}));
    assert_eq!(wrong.status, 200, "{wrong:?}");
    assert_eq!(wrong.json()["updated"], 0);
    assert_eq!(wrong.json()["refused"].as_array().map(Vec::len), Some(4));
    let pixels: Vec<_> = (0..1_025).map(|_| json!({"x": 0, "y": 0, "color": "#000000"})).collect();
    put(json!({"pixels": pixels})).refused(413);
    assert_eq!(server.canvas()["sequence"], 0);
}

#[test]
fn paths_and_methods_that_do_not_exist_are_refused() {
    let server = Server::start();
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/nothing",
        "/api/canvases/none",
        "/api/canvases/UPPER",
        "/api/canvases/main/chunks/1/0",
        "/api/canvases/main/chunks/0/0/0",
        "/api/canvases/main/chunks/x/0",
        "/api/canvases/none.png",
        "//api/canvas",
    ] {
        get(server.api(), path).refused(404);
    }
    for (method, path) in [
        ("POST", "/api/canvas"),
        ("PUT", "/api/canvas"),
        ("POST", "/api/pixel"),
        ("DELETE", "/api/pixels"),
        ("PUT", "/api/canvases"),
        ("GET", "/api/canvas/reset"),
        ("POST", "/health"),
        ("GET", "/internal/placements"),
        ("TRACE", "/api/canvas"),
        ("BREW", "/api/canvas"),
    ] {
        Request::new(method, path).send(server.api()).refused(405);
    }
    for query in ["?since=-1", "?since=x", "?since=1.5"] {
        get(server.api(), &format!("/api/canvases/main/chunks/0/0{query}")).refused(400);
    }
    for query in ["?x=50", "?w=0", "?w=51", "?scale=0", "?scale=100000", "?x=a"] {
        get(server.api(), &format!("/api/canvases/main.png{query}")).refused(400);
    }
}

#[test]
fn a_canvas_described_badly_names_the_key() {
    let server = Server::start();
    for (key, body) in [
        ("id", json!({"id": "Not An Id", "width": 8, "height": 8})),
        ("id", json!({"width": 8, "height": 8})),
        ("width", json!({"id": "a", "width": 0, "height": 8})),
        ("height", json!({"id": "a", "width": 8, "height": 65_537})),
        ("width", json!({"id": "a", "width": "8", "height": 8})),
        ("palette", json!({"id": "a", "width": 8, "height": 8, "palette": []})),
        ("palette", json!({"id": "a", "width": 8, "height": 8, "palette": ["#000000", "#000000"]})),
        ("palette", json!({"id": "a", "width": 8, "height": 8, "palette": ["black"]})),
        (
            "background",
            json!({"id": "a", "width": 8, "height": 8, "palette": ["#000000"], "background": "#FFFFFF"}),
        ),
        ("cooldown_ms", json!({"id": "a", "width": 8, "height": 8, "cooldown_ms": -1})),
        ("charges_max", json!({"id": "a", "width": 8, "height": 8, "charges_max": 0})),
        ("name", json!({"id": "a", "width": 8, "height": 8, "name": "two\nlines"})),
        ("colour", json!({"id": "a", "width": 8, "height": 8, "colour": 1})),
    ] {
        let sentence = server.as_host(Request::new("POST", "/api/canvases").json(&body)).refused(400);
        assert!(sentence.contains(key), "{key}: {sentence}");
    }
    server.make_canvas(&json!({"id": "a", "width": 8, "height": 8}));
    server
        .as_host(Request::new("POST", "/api/canvases").json(&json!({"id": "a", "width": 9, "height": 9})))
        .refused(409);
    assert_eq!(get(server.api(), "/api/canvases/a").json()["width"], 8);
}

#[test]
fn a_json_message_that_is_wrong_is_answered_and_the_connection_stays() {
    let server = Server::start();
    let mut client = Json::open(&server);
    for text in [
        "",
        "{",
        "[]",
        "null",
        "7",
        "\"ping\"",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"no_such"}"#,
        r#"{"type":"pixel_updated"}"#,
        r#"{"type":"pixel_update"}"#,
        r##"{"type":"pixel_update","x":"1","y":1,"color":"#000000"}"##,
        r##"{"type":"pixel_update","x":1.5,"y":1,"color":"#000000"}"##,
        r##"{"type":"pixel_update","x":50,"y":1,"color":"#000000"}"##,
        r##"{"type":"pixel_update","x":-1,"y":1,"color":"#000000"}"##,
        r##"{"type":"pixel_update","x":1e99,"y":1,"color":"#000000"}"##,
        r##"{"type":"pixel_update","x":99999999999999999999,"y":1,"color":"#000000"}"##,
        r##"{"type":"pixel_update","x":1,"y":1,"color":"black"}"##,
        r##"{"type":"pixel_update","x":1,"y":1,"color":7}"##,
        r##"{"type":"pixel_update","x":1,"y":1,"color":"#000000","ref":1.5}"##,
        r##"{"type":"pixel_update","x":1,"y":1,"color":"#000000","ref":{}}"##,
        r##"{"type":"pixel_update","x":1,"y":1,"color":"#000000","ref":"0123456789012345678901234567890123"}"##,
        r#"{"type":"set_username"}"#,
        r#"{"type":"set_username","username":7}"#,
        r#"{"type":"resume"}"#,
        r#"{"type":"resume","epoch":"xyz","sequence":1}"#,
        r#"{"type":"resume","epoch":"0000000000000000","sequence":-1}"#,
    ] {
        client.say_text(text);
        let answer = client.hear();
        assert_eq!(answer["type"], "error", "{text}: {answer}");
    }
    client.say_text(&"[".repeat(4_000));
    client.error();
    let refused = json!({"type": "pixel_update", "x": 99, "y": 0, "color": "#000000", "ref": "mine"});
    client.say(&refused);
    assert_eq!(client.error()["ref"], "mine");
    client.paint(0, 0, "#000000");
    assert_eq!(client.update()["sequence"], 1);
}

#[test]
fn names_lose_what_could_deceive_and_markup_stays_text() {
    let server = Server::start();
    let mut client = Json::open(&server);
    for (name, shown) in [
        ("<b>bold</b>", "<b>bold</b>"),
        ("a\u{0}b\u{7}c\nd", "abcd"),
        ("\u{202e}evil", "evil"),
        ("zero\u{200b}width", "zerowidth"),
        ("\u{200b}\u{feff} ", "Anonymous"),
        ("\"quoted\\\"", "\"quoted\\\""),
        ("Zoë 🎨", "Zoë 🎨"),
        ("ääääääääääääääääääääää", "ääääääääääääääääääää"),
    ] {
        client.say(&json!({"type": "pixel_update", "x": 0, "y": 0, "color": "#000000", "username": name}));
        assert_eq!(client.update()["username"], shown, "{name:?}");
    }
}

#[test]
fn binary_rubbish_is_answered_and_the_connection_stays() {
    let server = Server::start();
    let mut page = Binary::open(&server);
    let mut rubbish: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0x01], vec![0x7f, 1, 2], vec![0xff; 100]];
    // Each kind of ours, cut short, and followed by what does not divide.
    for kind in 0x81..=0x86 {
        rubbish.push(vec![kind, 0xff, 0xff]);
    }
    rubbish.push([&[0x81][..], &[0; 8], &[9; 10]].concat());
    rubbish.push([&[0x81][..], &[0; 8]].concat());
    rubbish.push([&[0x83][..], &[0; 8], &[0; 5]].concat());
    rubbish.push(vec![0x84, 0xff, 0xfe]);
    for bytes in rubbish {
        page.say_bytes(bytes);
        page.hear_until(|message| match message {
            ToClient::Error(sentence) => (!sentence.is_empty()).then_some(()),
            ToClient::Refused { .. } | ToClient::Token { .. } => Some(()),
            _ => None,
        });
    }
    let outside = page.place(1, &[(50, 0, "#000000")]);
    assert!(
        matches!(outside, Answered::Refused { reason: Reason::Outside, retry_after_ms: None }),
        "{outside:?}"
    );
    let none = page.place(2, &[]);
    assert!(matches!(none, Answered::Refused { reason: Reason::Count, .. }), "{none:?}");
    let many = page.place(3, &[(0, 0, "#000000"); 257]);
    assert!(matches!(many, Answered::Refused { reason: Reason::Count, .. }), "{many:?}");
    assert_eq!(page.place(4, &[(0, 0, "#000000"); 256]), Answered::Accepted { first: 1, count: 256 });
}

#[test]
fn an_upgrade_that_is_wrong_is_refused_plainly() {
    let server = Server::start();
    let open = |opening: Opening| Json::open_at(server.gateway(), &opening).map(drop);
    assert_eq!(open(Opening::at("/?canvas=none")), Err(404));
    assert_eq!(open(Opening::at("/?canvas=No%20Such")), Err(404));
    assert_eq!(open(Opening::at("/").dialect("pixels.v9.json")), Err(400));
    assert_eq!(open(Opening::at("/any/path/at/all").dialect("other, pixels.v1.json")), Ok(()));
    get(server.gateway(), "/").refused(426);
    let upgrade = |version: &str, key: &str| {
        Request::new("GET", "/")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", version)
            .header("sec-websocket-key", key)
            .send(server.gateway())
    };
    upgrade("8", "dGhlIHNhbXBsZSBub25jZQ==").refused(426);
    upgrade("13", "short").refused(400);
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused_on_every_port() {
    let server = Server::start();
    for at in [server.frontend(), server.api(), server.gateway()] {
        for head in [
            "GET /health HTTP/1.1\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
            "GET /health?a=1&a=2 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: a.example\r\nIdempotency-Key: 1\r\nIdempotency-Key: 2\r\n\r\n",
        ] {
            let mut stream = std::net::TcpStream::connect(at).expect("the port accepts");
            stream.write_all(head.as_bytes()).expect("the port reads");
            let mut status = [0; 12];
            stream.read_exact(&mut status).expect("an answer");
            assert_eq!(std::str::from_utf8(&status), Ok("HTTP/1.1 400"), "{head}");
        }
    }
    // A page's query is the browser's.
    for path in ["/?ref=1&ref=2", "/c/main?bare=1&bare", "/canvases?ref=1&ref=2"] {
        assert_eq!(get(server.frontend(), path).status, 200, "{path}");
    }
    get(server.frontend(), "/api/canvases?ref=1&ref=2").refused(400);
    get(server.gateway(), "/?canvas=main&canvas=main").refused(400);
}

#[test]
fn json_that_is_not_called_json_paints_all_the_same() {
    let server = Server::start();
    for kind in ["application/x-www-form-urlencoded", "text/plain", ""] {
        let request = Request::new("PUT", "/api/pixel").header("content-type", kind);
        let answer = request.body(r##"{"x":1,"y":2,"color":"#E4572E"}"##).send(server.api());
        assert_eq!(answer.status, 200, "{kind}");
    }
}
