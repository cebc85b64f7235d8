//! The golden vectors: encoding gives their bytes, decoding gives their fields.

use std::sync::Arc;

use pixel_canvas::{
    Canvas, CanvasSpec, ChunkId, Color, Epoch, Frame, Name, Placement, Point, Sequence, Standing, Timestamp,
    Turn,
};
use pixel_protocol::binary::{Hello, Reason, ToClient, ToServer};
use pixel_protocol::json;
use serde_json::Value;

const BINARY: &str = include_str!("../vectors/binary.json");
const JSON: &str = include_str!("../vectors/json.json");

/// Reads a vector's fields; a field that is missing or of the wrong type is a mistake in the vector.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn text(&self, key: &str) -> &'a str {
        self.0[key].as_str().unwrap_or_else(|| panic!("{key} is no string in {}", self.0))
    }

    fn number(&self, key: &str) -> u32 {
        let number = self.0[key].as_u64().and_then(|wide| u32::try_from(wide).ok());
        number.unwrap_or_else(|| panic!("{key} is no u32 in {}", self.0))
    }

    fn wide(&self, key: &str) -> u64 {
        self.text(key).parse().expect("a decimal u64")
    }

    fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().expect("a boolean")
    }

    fn list(&self, key: &str) -> impl Iterator<Item = Fields<'a>> {
        self.0[key].as_array().expect("a list").iter().map(Fields)
    }

    fn epoch(&self) -> Epoch {
        Epoch::parse(self.text("epoch")).expect("16 hex digits")
    }

    fn sequence(&self, key: &str) -> Sequence {
        Sequence(self.wide(key))
    }

    fn color(&self, key: &str) -> Color {
        Color::parse(self.text(key)).expect("#RRGGBB")
    }

    fn chunk(&self) -> ChunkId {
        ChunkId { cx: self.number("cx") as u8, cy: self.number("cy") as u8 }
    }

    fn point(&self) -> Point {
        Point { x: self.number("x") as u16, y: self.number("y") as u16 }
    }

    fn name(&self) -> Name {
        Name::parse(self.text("name")).expect("a name")
    }

    fn echo(&self) -> [u8; 8] {
        hex(self.text("echo")).try_into().expect("8 bytes")
    }
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn canvas(fields: &Fields<'_>, id: &str) -> Canvas {
    let colors = |list: &Vec<Value>| list.iter().map(|c| c.as_str().expect("a colour").to_owned()).collect();
    let palette = fields.0["palette"].as_array().map(colors);
    let (width, height) = (fields.number("width").into(), fields.number("height").into());
    let spec = CanvasSpec { id: id.into(), width, height, palette, ..CanvasSpec::default() };
    Canvas::parse(&spec).expect("a canvas")
}

fn to_client(kind: &str, m: &Fields<'_>) -> Option<ToClient> {
    Some(match kind {
        "HELLO" => {
            let canvas = Canvas {
                name: m.text("name").into(),
                background: m.color("background"),
                cooldown_ms: m.number("cooldownMs").into(),
                charges_max: m.number("chargesMax"),
                frozen: m.flag("frozen"),
                ..canvas(m, m.text("id"))
            };
            ToClient::Hello(Hello {
                version: m.number("version") as u8,
                canvas: Arc::new(canvas),
                guests_start_cooling: m.flag("guestsStartCooling"),
                stale: m.flag("stale"),
                epoch: m.epoch(),
                sequence: m.sequence("sequence"),
                now: Timestamp(m.wide("now")),
                submission_placements_max: m.number("submissionPlacementsMax") as u16,
                in_flight_placements_max: m.number("inFlightPlacementsMax") as u16,
                chunks_subscribed_max: m.number("chunksSubscribedMax") as u16,
                name_characters_max: m.number("nameCharactersMax") as u8,
                person: m.number("person"),
                token: m.text("token").into(),
            })
        }
        "FRAME" => {
            let pixels = m.list("pixels").map(|p| (p.number("offset") as u16, p.color("color"))).collect();
            let (after, to) = (m.sequence("after"), m.sequence("to"));
            ToClient::Frame(Frame { epoch: m.epoch(), chunk: m.chunk(), after, to, pixels })
        }
        "PROGRESS" => ToClient::Progress { epoch: m.epoch(), sequence: m.sequence("sequence") },
        "ACCEPTED" => {
            let charges = if m.0["charges"].is_null() { u32::MAX } else { m.number("charges") };
            ToClient::Accepted {
                key: m.wide("key"),
                first: m.sequence("first"),
                count: m.number("count") as u16,
                standing: Standing { charges, next_ms: m.number("nextMs").into() },
            }
        }
        "REFUSED" => ToClient::Refused {
            key: m.wide("key"),
            reason: Reason::from_code(m.number("reason") as u8),
            retry_after_ms: (!m.0["retryAfterMs"].is_null()).then(|| m.number("retryAfterMs")),
            sentence: m.text("sentence").into(),
        },
        "RESYNC" => {
            let chunks = m.list("chunks").map(|c| (c.chunk(), c.sequence("since"))).collect();
            ToClient::Resync { epoch: m.epoch(), chunks }
        }
        "PRESENCE" => ToClient::Presence {
            whole: m.flag("whole"),
            sockets: m.number("sockets"),
            gone: m.list("gone").map(|person| person.0.as_u64().expect("a number") as u32).collect(),
            come: m.list("come").map(|c| (c.number("person"), c.name())).collect(),
        },
        "PAINTERS" => ToClient::Painters {
            chunk: m.chunk(),
            painters: m.list("painters").map(|p| (p.number("offset") as u16, p.name())).collect(),
        },
        "ERROR" => ToClient::Error(m.text("sentence").into()),
        "PONG" => ToClient::Pong { echo: m.echo(), now: Timestamp(m.wide("now")) },
        "PAINTER" => ToClient::Painter {
            at: m.point(),
            color: m.color("color"),
            sequence: m.sequence("sequence"),
            painted: Timestamp(m.wide("painted")),
            name: (!m.0["name"].is_null()).then(|| m.name()),
        },
        "TOKEN" => ToClient::Token { expires: Timestamp(m.wide("expires")), token: m.text("token").into() },
        _ => return None,
    })
}

fn to_server<'a>(kind: &str, m: &Fields<'a>, canvas: &Canvas) -> Option<ToServer<'a>> {
    Some(match kind {
        "SUBSCRIBE" => {
            let chunks = m.list("chunks").map(|c| (c.chunk(), c.sequence("have"))).collect();
            ToServer::Subscribe { epoch: m.epoch(), chunks }
        }
        "UNSUBSCRIBE" => ToServer::Unsubscribe { chunks: m.list("chunks").map(|c| c.chunk()).collect() },
        "SUBMIT" => {
            let placement = |p: Fields<'_>| {
                let (x, y) = (p.number("x").into(), p.number("y").into());
                Placement::parse(x, y, p.text("color"), canvas).expect("a valid placement")
            };
            let placements = Ok(m.list("placements").map(placement).collect());
            ToServer::Submit { key: m.wide("key"), placements }
        }
        "NAME" => ToServer::Name(m.text("name")),
        "PING" => ToServer::Ping(m.echo()),
        "IDENTIFY" => ToServer::Identify(m.text("token")),
        "UNDO" => ToServer::Retrace { turn: Turn::Undo, key: m.wide("key"), count: m.number("count") as u16 },
        "REDO" => ToServer::Retrace { turn: Turn::Redo, key: m.wide("key"), count: m.number("count") as u16 },
        "WHO" => ToServer::Who(m.point()),
        _ => return None,
    })
}

#[test]
fn binary_vectors_hold_in_both_directions() {
    let vectors: Vec<Value> = serde_json::from_str(BINARY).expect("JSON");
    let mut kinds = std::collections::BTreeSet::new();
    for vector in &vectors {
        let vector = Fields(vector);
        let (name, kind) = (vector.text("name"), vector.text("kind"));
        kinds.insert(kind);
        let canvas = canvas(&Fields(&vector.0["canvas"]), "test");
        let message = Fields(&vector.0["message"]);
        let bytes = hex(vector.text("hex"));
        let mut encoded = Vec::new();
        if let Some(message) = to_client(kind, &message) {
            assert_eq!(vector.text("direction"), "toClient");
            message.encode(&canvas.palette, &mut encoded);
            assert_eq!(ToClient::decode(&bytes, &canvas.palette), Ok(Some(message)), "{kind}: {name}");
        } else {
            assert_eq!(vector.text("direction"), "toServer");
            let message = to_server(kind, &message, &canvas).expect("a known kind");
            message.encode(&canvas, &mut encoded);
            assert_eq!(ToServer::decode(&bytes, &canvas), Ok(message), "{kind}: {name}");
        }
        assert_eq!(encoded, bytes, "{kind}: {name}");
    }
    assert_eq!(kinds.len(), 12 + 9, "every kind has a vector");
}

/// What the server writes for a vector of the JSON dialect.
fn write_json(kind: &str, m: &Fields<'_>) -> String {
    let mut out = Vec::new();
    let count = |key: &str| m.0[key].as_u64().expect("a number");
    let reference = || {
        let text =
            format!(r##"{{"type":"pixel_update","x":0,"y":0,"color":"#000000","ref":{}}}"##, m.0["ref"]);
        match json::parse(&text) {
            Ok(json::ToServer::PixelUpdate { reference, .. }) => reference,
            other => panic!("{other:?}"),
        }
    };
    let epoch = || Epoch::parse(m.text("epoch")).expect("16 hex digits");
    match kind {
        "connected" => {
            let client = m.text("clientId").parse().expect("a number");
            json::connected(&mut out, client, epoch(), Sequence(count("sequence")));
        }
        "pixel_updated" => {
            let placement = Placement::parse(
                count("x") as i64,
                count("y") as i64,
                m.text("color"),
                &Canvas::default_canvas(),
            );
            let (at, sequence) = (Timestamp(count("timestamp")), Sequence(count("sequence")));
            json::pixel_updated(&mut out, &placement.expect("valid"), m.text("username"), at, sequence);
        }
        "accepted" => {
            json::accepted(&mut out, &reference().expect("a ref"), Sequence(count("sequence")));
        }
        "stats" => json::stats(&mut out, m.number("activeUsers"), Timestamp(count("timestamp"))),
        "user_list" => {
            let names = m.0["users"].as_array().expect("names").iter();
            let names = names.map(|name| name.as_str().expect("a name"));
            json::user_list(&mut out, names, Timestamp(count("timestamp")));
        }
        "pong" => json::pong(&mut out, Timestamp(count("timestamp"))),
        "resync" => json::resync(&mut out, epoch(), Sequence(count("sequence"))),
        "error" => {
            let retry_after_ms = m.0["retryAfter"].as_f64().map(|seconds| (seconds * 1_000.0) as u64);
            json::error(&mut out, m.text("message"), reference().as_ref(), retry_after_ms);
        }
        other => panic!("unknown kind {other}"),
    }
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// What the server is to understand of a vector of the JSON dialect.
fn read_json(kind: &str, m: &Fields<'_>) -> json::ToServer {
    match kind {
        "set_username" => json::ToServer::SetUsername(m.text("username").into()),
        "ping" => json::ToServer::Ping,
        "resume" => json::ToServer::Resume {
            epoch: Epoch::parse(m.text("epoch")).expect("16 hex digits"),
            sequence: Sequence(m.0["sequence"].as_u64().expect("a number")),
        },
        "pixel_update" => {
            let integer = |key: &str| m.0[key].as_i64().expect("an integer");
            let (x, y, color) = (integer("x"), integer("y"), m.text("color").to_owned());
            let username = m.0["username"].as_str().map(str::to_owned);
            let expected = (!m.0["ref"].is_null()).then(|| m.0["ref"].to_string());
            let text = serde_json::json!({"type": kind, "x": x, "y": y, "color": color, "ref": m.0["ref"]});
            let Ok(json::ToServer::PixelUpdate { reference, .. }) = json::parse(&text.to_string()) else {
                panic!("{text} is a placement");
            };
            assert_eq!(reference.as_ref().map(|r| r.as_json().to_owned()), expected);
            json::ToServer::PixelUpdate { x, y, color, username, reference }
        }
        "undo" | "redo" => {
            let turn = if kind == "undo" { Turn::Undo } else { Turn::Redo };
            let text = serde_json::json!({"type": kind, "ref": m.0["ref"]});
            let Ok(json::ToServer::Retrace { reference, .. }) = json::parse(&text.to_string()) else {
                panic!("{text} is an undo or redo");
            };
            json::ToServer::Retrace { turn, count: m.0["count"].as_u64().unwrap_or(1) as u16, reference }
        }
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn json_vectors_hold() {
    let vectors: Vec<Value> = serde_json::from_str(JSON).expect("JSON");
    let mut kinds = std::collections::BTreeSet::new();
    for vector in &vectors {
        let vector = Fields(vector);
        let (name, kind, text) = (vector.text("name"), vector.text("kind"), vector.text("text"));
        kinds.insert(kind);
        let message = Fields(&vector.0["message"]);
        match vector.text("direction") {
            "toServer" => assert_eq!(json::parse(text), Ok(read_json(kind, &message)), "{kind}: {name}"),
            _ => {
                assert_eq!(write_json(kind, &message), text, "{kind}: {name}");
                let read: json::ToClient = serde_json::from_str(text).expect("a client reads it");
                assert_ne!(read, json::ToClient::Unknown, "{kind}: {name}");
            }
        }
    }
    assert_eq!(kinds.len(), 6 + 8, "every kind has a vector");
}
