//! `docs/access.md`, row by row: every caller at every route and with every message, at a running server.
//!
//! That no route is missing in it is tried beside the code that wires them (`src/process/tests.rs`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pixel_canvas::{Canvas, ChunkId, Epoch, Palette, Point, Sequence, Turn};
use pixel_protocol::binary::{SUBPROTOCOL, ToClient, ToServer};
use pixel_protocol::json;
use serde_json::{Value, json};
use tungstenite::Message;

use crate::support::json::Json;
use crate::support::socket::{Opening, Socket};
use crate::support::{Request, Server, get};

const TABLE: &str = include_str!("../../../../docs/access.md");
const EVIL: &str = "https://evil.example";
/// The canvas that the rows are tried on.
const CANVAS: &str = "painted";
/// Less than the server's pings are apart: what does not come is not waited for over and over.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// An epoch that no canvas has.
const NO_EPOCH: Epoch = Epoch(0xdead);

/// The rows of the table under this heading, cell by cell.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let section = TABLE.split("\n## ").find_map(|section| section.strip_prefix(heading));
    let lines = section.expect("the heading is there").lines().filter(|line| line.starts_with("| "));
    let cells = |line: &'static str| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
    };
    // The first names the columns.
    lines.skip(1).map(cells).collect()
}

/// Who asks; in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Nobody,
    Guest,
    WrongToken,
    Host,
    ForeignPage,
}

const CALLERS: [Caller; 5] =
    [Caller::Nobody, Caller::Guest, Caller::WrongToken, Caller::Host, Caller::ForeignPage];

/// What callers show.
struct Shown {
    guest: String,
    host: String,
}

impl Shown {
    fn by(&self, caller: Caller) -> Vec<(&'static str, String)> {
        let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
        match caller {
            Caller::Nobody => Vec::new(),
            Caller::Guest => bearer(&self.guest),
            Caller::WrongToken => bearer("not the host's"),
            Caller::Host => bearer(&self.host),
            Caller::ForeignPage => {
                vec![("origin", EVIL.to_owned()), ("cookie", format!("guest={}", self.guest))]
            }
        }
    }
}

fn shown(server: &Server) -> Shown {
    let host = std::fs::read_to_string(server.data().join("admin-token")).expect("the host's token was made");
    Shown { guest: server.guest(), host: host.trim().to_owned() }
}

fn painted() -> Value {
    json!({"pixels": [{"x": 1, "y": 1, "color": "#000000"}]})
}

/// The status that a caller gets. Whatever it is, browsers are told to take the answer for what it is called.
fn status(at: SocketAddr, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, String)]) -> u16 {
    let mut request = Request::new(method, path);
    if let Some(body) = body {
        request = request.json(body);
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.send(at);
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}: {answer:?}");
    answer.status
}

/// The path that stands for a row's, at this port.
fn example_path(port: &str, path: &str, hash: &str) -> String {
    match (port, path) {
        ("frontend" | "apart", "any other") => "/icon.svg".to_owned(),
        (_, "any other") => "/nothing/of/this/name".to_owned(),
        _ => [("{id}", CANVAS), ("{hash}", hash), ("{*name}", "main.js"), ("{*path}", "nothing")]
            .into_iter()
            .chain([("{x}", "1"), ("{y}", "1"), ("{cx}", "0"), ("{cy}", "0")])
            .fold(path.to_owned(), |path, (name, value)| path.replace(name, value)),
    }
}

/// The body that stands for those that a route takes.
fn example_body(method: &str, path: &str) -> Option<Value> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    Some(match (method, path) {
        ("PUT", "/api/pixel") => json!({"x": 1, "y": 1, "color": "#000000"}),
        ("PUT", "/api/pixels" | "/api/canvases/{id}/pixels") => painted(),
        ("POST", "/api/canvases") => {
            let id = format!("made-{}", LAST.fetch_add(1, Ordering::Relaxed));
            json!({"id": id, "width": 8, "height": 8})
        }
        ("PATCH", "/api/canvases/{id}") => json!({"name": "another"}),
        _ => return None,
    })
}

#[test]
fn every_caller_gets_at_every_route_what_the_table_says() {
    let server = Server::start();
    let urls = [format!("http://{}", server.api()), format!("http://{}", server.gateway())];
    let apart = Server::with(&["--target", "frontend", "--api-url", &urls[0], "--gateway-url", &urls[1]]);
    let shown = shown(&server);
    let page = get(server.frontend(), "/").text();
    let hash = page.split_once("/assets/").and_then(|(_, rest)| rest.split('/').next());
    let hash = hash.expect("the page names its files");
    let mut wrong = Vec::new();
    for row in rows("Routes") {
        let [ports, method, path, expected @ ..] = &row[..] else { panic!("a short row: {row:?}") };
        let mut ports: Vec<_> = ports.split(", ").collect();
        // What a frontend with neighbours has, one without them hands on.
        if ports.contains(&"frontend") && !ports.contains(&"apart") {
            ports.push("apart");
        }
        for (port, (caller, expected)) in
            ports.iter().flat_map(|port| CALLERS.iter().zip(expected).map(move |pair| (port, pair)))
        {
            let at = match *port {
                "frontend" => server.frontend(),
                "apart" => apart.frontend(),
                "api" => server.api(),
                "gateway" => server.gateway(),
                "ops" => server.ops(),
                other => panic!("there is no port {other}"),
            };
            let headers = shown.by(*caller);
            let path = (*path, example_path(port, path, hash));
            let answered =
                if *expected == "101" || *port == "gateway" && path.0 == "any other" || path.0 == "/ws" {
                    let opening = headers
                        .iter()
                        .fold(Opening::at(&path.1), |opening, (name, value)| opening.header(name, value));
                    Json::open_at(at, &opening).map_or_else(|status| status, |_| 101)
                } else {
                    prepare(&server, path.0, &headers);
                    let method = if *method == "ANY" { "GET" } else { method };
                    status(at, method, &path.1, example_body(method, path.0).as_ref(), &headers)
                };
            if answered.to_string() != **expected {
                wrong.push(format!("{port} {method} {} as {caller:?}: {answered}, not {expected}", path.0));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Sees to it that the canvas is there, and that the caller has something to take back or to repeat.
fn prepare(server: &Server, path: &str, headers: &[(&str, String)]) {
    if path.contains("{id}") && get(server.api(), &format!("/api/canvases/{CANVAS}")).status == 404 {
        server.make_canvas(&json!({"id": CANVAS, "width": 8, "height": 8}));
    }
    let ask = |method, what, body: Option<Value>| {
        status(server.api(), method, &format!("/api/canvases/{CANVAS}/{what}"), body.as_ref(), headers)
    };
    // Who may not is refused here, too.
    if path.ends_with("/undo") || path.ends_with("/redo") {
        ask("PUT", "pixels", Some(painted()));
    }
    if path.ends_with("/redo") {
        ask("POST", "undo", None);
    }
}

/// The names in a match, which the compiler keeps whole: another kind of message has to be named here.
macro_rules! named {
    ($message:ty: $($kind:pat => $name:literal),+ $(,)?) => {{
        fn name(message: &$message) -> &'static str {
            match message { $($kind => $name),+ }
        }
        let names: BTreeSet<&'static str> = [$($name),+].into();
        (name as fn(&$message) -> &'static str, names)
    }};
}

fn binary_names() -> (fn(&ToClient) -> &'static str, BTreeSet<&'static str>) {
    named!(ToClient:
        ToClient::Hello(_) => "HELLO",
        ToClient::Frame(_) => "FRAME",
        ToClient::Progress { .. } => "PROGRESS",
        ToClient::Accepted { .. } => "ACCEPTED",
        ToClient::Refused { .. } => "REFUSED",
        ToClient::Resync { .. } => "RESYNC",
        ToClient::Presence { .. } => "PRESENCE",
        ToClient::Painters { .. } => "PAINTERS",
        ToClient::Error(_) => "ERROR",
        ToClient::Pong { .. } => "PONG",
        ToClient::Token { .. } => "TOKEN",
        ToClient::Painter { .. } => "PAINTER",
    )
}

/// The second column of a dialect's rows.
fn listed(heading: &str, dialect: &str) -> BTreeSet<&'static str> {
    rows(heading).iter().filter(|row| row[0] == dialect).map(|row| row[1]).collect()
}

/// The kinds of binary messages in a table, by their byte.
fn kinds(heading: &str) -> BTreeSet<u8> {
    let kind = |name: &&str| u8::from_str_radix(name[2..].split(' ').next()?, 16).ok();
    listed(heading, "binary").iter().filter_map(kind).collect()
}

#[test]
fn every_kind_of_message_stands_in_the_table() {
    let (_, names) = named!(json::ToServer:
        json::ToServer::SetUsername(_) => "set_username",
        json::ToServer::PixelUpdate { .. } => "pixel_update",
        json::ToServer::Retrace { turn: Turn::Undo, .. } => "undo",
        json::ToServer::Retrace { turn: Turn::Redo, .. } => "redo",
        json::ToServer::Ping => "ping",
        json::ToServer::Resume { .. } => "resume",
    );
    assert_eq!(names, listed("Messages to the server", "json"));
    let (_, mut names) = named!(json::ToClient:
        json::ToClient::Connected { .. } => "connected",
        json::ToClient::PixelUpdated { .. } => "pixel_updated",
        json::ToClient::Accepted { .. } => "accepted",
        json::ToClient::Stats { .. } => "stats",
        json::ToClient::UserList { .. } => "user_list",
        json::ToClient::Pong { .. } => "pong",
        json::ToClient::Resync { .. } => "resync",
        json::ToClient::Error { .. } => "error",
        json::ToClient::Unknown => "of a later version",
    );
    names.remove("of a later version");
    assert_eq!(names, listed("Messages to clients", "json"));

    // The decoders themselves say which kinds they know.
    let canvas = Canvas::default_canvas();
    let is_known = |kind: &u8| {
        ToServer::decode(&[*kind], &canvas)
            .map_or_else(|wrong| !wrong.to_string().contains("no kind"), |_| true)
    };
    assert_eq!((0..=u8::MAX).filter(is_known).collect::<BTreeSet<_>>(), kinds("Messages to the server"));
    let is_known = |kind: &u8| !matches!(ToClient::decode(&[*kind], &Palette::TrueColor), Ok(None));
    assert_eq!((0..=u8::MAX).filter(is_known).collect::<BTreeSet<_>>(), kinds("Messages to clients"));
    let (_, names) = binary_names();
    let listed = listed("Messages to clients", "binary");
    assert_eq!(names, listed.iter().filter_map(|row| row.split(' ').nth(1)).collect());
}

/// A socket that keeps what it hears by name.
struct Listener {
    socket: Socket,
    binary: bool,
    heard: BTreeSet<String>,
}

impl Listener {
    fn open(server: &Server, binary: bool, headers: &[(&'static str, String)]) -> Self {
        let mut opening = Opening::at(&format!("/?canvas={CANVAS}"));
        if binary {
            opening = opening.dialect(SUBPROTOCOL);
        }
        let opening = headers.iter().fold(opening, |opening, (name, value)| opening.header(name, value));
        let mut socket = Socket::open(server.gateway(), &opening).expect("the gateway takes it");
        socket.stream().set_read_timeout(Some(SILENCE_MAX)).expect("a timeout");
        Self { socket, binary, heard: BTreeSet::new() }
    }

    fn say(&mut self, message: &Sent) {
        let message = match message {
            Sent::Text(text) => Message::text(text.clone()),
            Sent::Bytes(bytes) => Message::binary(bytes.clone()),
        };
        assert!(self.socket.say(message), "the socket is open");
    }

    /// Hears until this came.
    fn hear(&mut self, name: &str) {
        while !self.hear_one().eq(name) {}
    }

    fn hear_one(&mut self) -> String {
        let message = self.socket.hear().expect("the socket stays open");
        let name = if self.binary {
            let message = ToClient::decode(&message.into_data(), &Palette::TrueColor);
            (binary_names().0)(&message.expect("a message").expect("of this version")).to_owned()
        } else {
            let message: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
            message["type"].as_str().expect("a type").to_owned()
        };
        self.heard.insert(name.clone());
        name
    }
}

/// A message as it goes out.
enum Sent {
    Text(String),
    Bytes(Vec<u8>),
}

/// The message that stands for a row's.
fn example_message(name: &str, token: &str) -> Sent {
    let text = |message: Value| Sent::Text(message.to_string());
    let bytes = |message: ToServer<'_>| {
        let mut bytes = Vec::new();
        message.encode(&Canvas::default_canvas(), &mut bytes);
        Sent::Bytes(bytes)
    };
    let chunk = ChunkId { cx: 0, cy: 0 };
    match name {
        "set_username" => text(json!({"type": "set_username", "username": "Ada"})),
        "pixel_update" => text(json!({"type": "pixel_update", "x": 1, "y": 1, "color": "#ABCDEF", "ref": 1})),
        "undo" | "redo" => text(json!({"type": name, "ref": 2})),
        "ping" => text(json!({"type": "ping"})),
        "resume" => text(json!({"type": "resume", "epoch": NO_EPOCH.to_string(), "sequence": 1})),
        "0x81 SUBSCRIBE" => {
            bytes(ToServer::Subscribe { epoch: NO_EPOCH, chunks: vec![(chunk, Sequence::ZERO)] })
        }
        "0x82 UNSUBSCRIBE" => bytes(ToServer::Unsubscribe { chunks: vec![chunk] }),
        "0x83 SUBMIT" => {
            let at = Point { x: 2, y: 2 };
            let color = pixel_canvas::Color([9, 9, 9]);
            bytes(ToServer::Submit { key: 1, placements: Ok(vec![pixel_canvas::Placement { at, color }]) })
        }
        "0x84 NAME" => bytes(ToServer::Name("Ada")),
        "0x85 PING" => bytes(ToServer::Ping(*b"are you?")),
        "0x86 IDENTIFY" => bytes(ToServer::Identify(token)),
        "0x87 UNDO" => bytes(ToServer::Retrace { turn: Turn::Undo, key: 2, count: 1 }),
        "0x88 REDO" => bytes(ToServer::Retrace { turn: Turn::Redo, key: 3, count: 1 }),
        "0x89 WHO" => bytes(ToServer::Who(Point { x: 1, y: 1 })),
        other => panic!("no example of {other}"),
    }
}

/// What has to come before, for the message to have something to do.
fn before(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "undo" => &[("pixel_update", "accepted")],
        "redo" => &[("pixel_update", "accepted"), ("undo", "accepted")],
        "0x87 UNDO" => &[("0x83 SUBMIT", "ACCEPTED")],
        "0x88 REDO" => &[("0x83 SUBMIT", "ACCEPTED"), ("0x87 UNDO", "ACCEPTED")],
        "0x82 UNSUBSCRIBE" => &[("0x81 SUBSCRIBE", "PROGRESS")],
        _ => &[],
    }
}

#[test]
fn every_message_is_answered_to_whom_the_table_says() {
    let server = Server::start();
    server.make_canvas(&json!({"id": CANVAS, "width": 8, "height": 8}));
    let shown = shown(&server);
    for row in rows("Messages to the server") {
        let [dialect, message, answers @ ..] = &row[..] else { panic!("a short row: {row:?}") };
        for (caller, answer) in [Caller::Nobody, Caller::Guest, Caller::Host].into_iter().zip(answers) {
            // Somebody new each time: a key and a step belong to one person.
            let headers = match caller {
                Caller::Guest => vec![("authorization", format!("Bearer {}", server.guest()))],
                caller => shown.by(caller),
            };
            let mut socket = Listener::open(&server, *dialect == "binary", &headers);
            let steps = before(message).iter().copied().chain([(*message, *answer)]);
            for (message, answer) in steps {
                socket.say(&example_message(message, &shown.guest));
                if answer == "nothing" {
                    socket.say(&example_message("0x85 PING", ""));
                    socket.hear("PONG");
                    assert!(!socket.heard.contains("ERROR"), "{message} as {caller:?}");
                } else {
                    socket.hear(answer);
                }
            }
        }
    }
    let foreign = Opening::at("/").header("origin", EVIL);
    assert_eq!(Json::open_at(server.gateway(), &foreign).map(drop), Err(403));
}

#[test]
fn what_is_meant_for_one_is_heard_by_nobody_else() {
    for (dialect, asked, marker) in [
        ("json", &["set_username", "pixel_update", "undo", "redo", "ping", "resume"][..], "pixel_updated"),
        (
            "binary",
            &["0x84 NAME", "0x83 SUBMIT", "0x87 UNDO", "0x88 REDO", "0x85 PING", "0x89 WHO", "0x86 IDENTIFY"]
                [..],
            "FRAME",
        ),
    ] {
        let server = Server::start();
        server.make_canvas(&json!({"id": CANVAS, "width": 8, "height": 8}));
        let token = server.guest();
        let binary = dialect == "binary";
        let heard_by = |whom: &str| -> BTreeSet<String> {
            let rows = rows("Messages to clients");
            let rows = rows.iter().filter(|row| row[0] == dialect && row[2] == whom);
            rows.map(|row| row[1].split(' ').next_back().expect("a name").to_owned()).collect()
        };
        let mut bystander = Listener::open(&server, binary, &[]);
        let mut asker = Listener::open(&server, binary, &[]);
        bystander.hear_one();
        asker.hear_one();
        if binary {
            for socket in [&mut bystander, &mut asker] {
                // Nothing is held, so that nothing has to be loaded afresh.
                let chunks = vec![(ChunkId { cx: 0, cy: 0 }, Sequence::ZERO)];
                let mut bytes = Vec::new();
                let message = ToServer::Subscribe { epoch: NO_EPOCH, chunks };
                message.encode(&Canvas::default_canvas(), &mut bytes);
                socket.say(&Sent::Bytes(bytes));
                socket.hear("PROGRESS");
            }
        }
        let (all, one) = (heard_by("all"), heard_by("one"));
        // So far it heard the greeting, and answers to itself.
        bystander.heard.retain(|name| all.contains(name));
        for message in asked {
            asker.say(&example_message(message, &token));
        }
        let wrong: Vec<Sent> = if binary {
            let at = Point { x: 49, y: 49 };
            let color = pixel_canvas::Color([9, 9, 9]);
            let mut outside = Vec::new();
            let placements = Ok(vec![pixel_canvas::Placement { at, color }]);
            ToServer::Submit { key: 9, placements }.encode(&Canvas::default_canvas(), &mut outside);
            let mut stale = Vec::new();
            let chunks = vec![(ChunkId { cx: 0, cy: 0 }, Sequence(1))];
            ToServer::Subscribe { epoch: NO_EPOCH, chunks }.encode(&Canvas::default_canvas(), &mut stale);
            vec![Sent::Bytes(vec![0xff]), Sent::Bytes(outside), Sent::Bytes(stale)]
        } else {
            vec![Sent::Text("{}".to_owned())]
        };
        wrong.iter().for_each(|message| asker.say(message));
        while !one.is_subset(&asker.heard) {
            asker.hear_one();
        }
        bystander.hear(marker);
        while !all.is_subset(&bystander.heard) {
            bystander.hear_one();
        }
        // What it did not ask for and was told would have come by now: it lies before its own answer.
        bystander.say(&example_message(if binary { "0x85 PING" } else { "ping" }, ""));
        let pong = if binary { "PONG" } else { "pong" };
        bystander.hear(pong);
        let overheard: Vec<_> = bystander.heard.intersection(&one).filter(|name| *name != pong).collect();
        assert!(overheard.is_empty(), "{dialect}: {overheard:?}");
    }
}
