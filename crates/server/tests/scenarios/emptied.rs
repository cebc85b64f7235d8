//! A Redis that loses everything while people paint: they go on without a restart, and are who they were.

use std::fs;

use pixel_canvas::{ChunkId, Turn};
use pixel_protocol::binary::ToServer;
use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::json::Json;
use crate::support::redis::Redis;
use crate::support::socket::Opening;
use crate::support::split::{HOST_TOKEN, Split};
use crate::support::{Request, Server, eventually, get};

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
/// Painted, and lost.
const PAINTED: u64 = 8;
const LOST: &str = "pixel_store_lost_placements_total";

#[test]
fn a_redis_that_is_flushed_is_painted_on_again_without_a_restart() {
    assert_people_go_on_after(|redis| drop(redis.ask(&["FLUSHALL"])));
}

#[test]
fn a_redis_that_comes_back_without_its_disk_is_painted_on_again_without_a_restart() {
    assert_people_go_on_after(|redis| {
        redis.kill();
        fs::remove_dir_all(redis.folder().join("appendonlydir")).expect("it kept its log there");
        redis.run();
    });
}

fn assert_people_go_on_after(lose_everything: impl FnOnce(&mut Redis)) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let described = "[[canvas]]\nid = \"kept\"\nwidth = 20\n[[canvas]]\nid = \"unwanted\"\n";
    fs::write(file.path(), described).expect("a file is written");
    let config = file.path().to_str().expect("a plain path");
    let mut split = Split::start(2, 2, &["--rate-limit", "off", "--config", config]);
    let ada = Opening::at("/").bearer(&split.apis[0].guest());
    let mut painter = Binary::open_through(split.gateways[0].gateway(), split.apis[0].api(), &ada)
        .expect("a guest is let in");
    painter.view(CHUNK);
    let mut watchers: Vec<Json> = split.gateways.iter().map(Json::open).collect();
    for number in 1..=PAINTED {
        let placed = painter.place(number, &[(number as u16, 0, "#AA0000")]);
        assert_eq!(placed, Answered::Accepted { first: number, count: 1 });
    }
    let epoch = painter.hello.epoch;
    // What the host took away on purpose, every api has seen to be away.
    let delete = Request::new("DELETE", "/api/canvases/unwanted").bearer(HOST_TOKEN);
    let deleted = delete.send(split.apis[0].api());
    assert!((200..300).contains(&deleted.status), "{deleted:?}");
    eventually("both apis know", || {
        split.apis.iter().all(|api| api.log().contains("canvas unwanted was deleted"))
    });

    lose_everything(&mut split.redis);
    eventually("the same socket paints again", || {
        matches!(painter.place(100, &[(1, 1, "#00AA00")]), Answered::Accepted { .. })
    });
    eventually("the loss is counted", || {
        split.apis.iter().map(|api| api.metric(LOST)).sum::<u64>() == PAINTED
    });
    // Everybody who looked on has the canvas as it is now, over the socket that they had.
    while painter.replica.epoch() == epoch
        || painter.replica.chunk(CHUNK).is_none_or(|held| held.sequence.0 == 0)
    {
        if painter.replica.epoch() != epoch && painter.replica.chunk(CHUNK).is_none() {
            painter.view(CHUNK);
        } else {
            painter.hear();
        }
    }
    assert!(painter.agrees(CHUNK));
    for watcher in &mut watchers {
        let resync = watcher.hear_any("resync");
        assert_ne!(resync["epoch"], epoch.to_string().as_str(), "history is another");
    }
    for api in &split.apis {
        assert_eq!(get(api.api(), "/api/pixel/1/0").json()["color"], "#FFFFFF");
        assert_eq!(get(api.api(), "/api/pixel/1/1").json()["color"], "#00AA00");
        assert_eq!(get(api.api(), "/api/canvases/kept").json()["width"], 20);
        get(api.api(), "/api/canvases/unwanted").refused(404);
    }

    // Who starts now is one of them, and knows who Ada is: what she painted before is hers to take back.
    let apis: Vec<String> = split.apis.iter().map(|api| format!("http://{}", api.api())).collect();
    let later =
        Server::with(&["--target", "gateway", "--api-url", &apis.join(","), "--store", &split.redis.url()]);
    let mut ada_there =
        Binary::open_through(later.gateway(), split.apis[1].api(), &ada).expect("she is known");
    ada_there.say(&ToServer::Retrace { turn: Turn::Undo, key: 1_000, count: 1 });
    assert!(matches!(ada_there.answer(1_000), Answered::Accepted { count: 1, .. }));
    eventually("it is taken back", || {
        get(split.apis[0].api(), "/api/pixel/1/1").json()["color"] == "#FFFFFF"
    });
}

#[test]
fn another_identity_key_is_left_alone_and_said_once() {
    let split = Split::start(1, 1, &[]);
    let api = &split.apis[0];
    let other = "another key of thirty-two bytes!";
    split.redis.ask(&["SET", "pp:identity-key", other]);
    let said = || api.log().matches("the store holds another identity key (pp:identity-key)").count();
    eventually("it is said", || said() == 1);
    // What is looked at after the key: when it is there, the key was looked at once more.
    split.redis.ask(&["DEL", "pp:{main}"]);
    eventually("the canvas is made again", || get(api.api(), "/api/canvases/main").status == 200);
    assert_eq!(said(), 1);
    assert_eq!(split.redis.ask(&["GET", "pp:identity-key"]), other);
    let guest = Request::new("POST", "/api/guests").json(&json!({})).send(api.api());
    assert!(matches!(guest.status, 200 | 201), "{guest:?}");
}
