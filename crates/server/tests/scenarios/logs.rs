//! What the logs tell: one JSON object a line, and no secret at any level.

use std::fs;

use pixel_protocol::binary::{ToClient, ToServer};
use serde_json::{Value, json};

use crate::support::binary::Binary;
use crate::support::json::Json;
use crate::support::redis::Redis;
use crate::support::socket::Opening;
use crate::support::split::{HOST_TOKEN, Split};
use crate::support::{Request, Server, eventually, get};

/// Needed to come in at the store, and given in its URL.
const STORE_PASSWORD: &str = "canary-of-the-store";
/// Signs guests: 64 hex digits.
const IDENTITY_KEY: &str = "cafe0123456789abcafe0123456789abcafe0123456789abcafe0123456789ab";
/// Everything is logged, by us and by what we depend on.
const LOUD: &[&str] = &["--log-filter", "trace", "--log-format", "json"];

fn assert_every_line_is_json(server: &Server) {
    for line in server.log().lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        for field in ["@timestamp", "log.level", "message", "ecs.version", "service.name"] {
            assert!(parsed[field].is_string(), "no {field}: {line}");
        }
    }
}

#[test]
fn no_secret_and_no_token_is_in_any_log() {
    let mut redis = Redis::start();
    redis.set_password(Some(STORE_PASSWORD));
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file is written");
        path.display().to_string()
    };
    let (password, key) = (file("password", STORE_PASSWORD), file("key", IDENTITY_KEY));
    let url = format!("redis://default:{STORE_PASSWORD}@{}/0", redis.address());
    let common = [LOUD, &["--identity-key-file", &key]].concat();
    let api = [&["--store", &url, "--rate-limit", "5/s burst 5"][..], &common].concat();
    let gateway = redis.url();
    let gateway = [&["--store", &gateway, "--store-password-file", &password][..], &common].concat();
    let mut split = Split::on(redis, (1, &api), (1, &gateway));
    split.wait_until_ready();
    let (at, sockets) = (split.apis[0].api(), split.gateways[0].gateway());

    // Every way in: a guest's token, a cookie, the host's token; right ones and wrong ones.
    let guest = split.apis[0].guest();
    let forged = format!("{}canary-at-its-end", &guest[..guest.len() - 8]);
    let pixel =
        |color: &str| Request::new("PUT", "/api/pixel").json(&json!({"x": 1, "y": 1, "color": color}));
    let paint = |request: Request| request.send(at).status;
    assert_eq!(paint(pixel("#000001").bearer(&guest)), 200);
    assert_eq!(paint(pixel("#000002").header("cookie", &format!("guest={guest}"))), 200);
    assert_eq!(paint(pixel("#000003").bearer(&forged)), 401);
    paint(pixel("#000004").header("cookie", "guest=canary-in-a-cookie"));
    get(at, "/api/canvas?token=canary-in-a-query");
    let canvas =
        |id: &str| Request::new("POST", "/api/canvases").json(&json!({"id": id, "width": 8, "height": 8}));
    assert_eq!(paint(canvas("one").bearer(HOST_TOKEN)), 201);
    paint(canvas("two").bearer("canary-of-no-host"));
    for _ in 0..10 {
        paint(pixel("#000005").bearer(&guest).header("idempotency-key", "7"));
    }
    let mut json = Json::open_at(sockets, &Opening::at("/?token=canary-in-a-query").bearer(&guest))
        .expect("the gateway takes clients");
    json.paint_as(2, 2, "#000006", 1);
    json.hear();
    assert!(Json::open_at(sockets, &Opening::at("/").bearer(&forged)).is_err());
    let mut binary = Binary::open_through(sockets, at, &Opening::at("/")).expect("it takes clients");
    let fresh = binary.hello.token.clone();
    assert!(!fresh.is_empty(), "a fresh guest is told its token");
    for token in [fresh.as_str(), &forged] {
        binary.say(&ToServer::Identify(token));
        binary.hear_until(|message| matches!(message, ToClient::Token { .. }).then_some(()));
    }
    binary.place(1, &[(3, 3, "#000007")]);

    // The store in trouble is where addresses and passwords are spoken of.
    split.redis.set_password(Some("canary-of-tomorrow"));
    split.redis.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    for server in [&split.apis[0], &split.gateways[0]] {
        eventually("the store is said to be shut", || {
            server.said(&["warn"]).iter().any(|line| line.contains("does not let this server in"))
        });
        assert_eq!(get(server.ops(), "/readyz").status, 503);
        get(server.ops(), "/metrics");
    }
    paint(pixel("#000008").bearer(&guest));

    let identity_bytes = format!("{:?}", IDENTITY_KEY.as_bytes());
    let secrets =
        [STORE_PASSWORD, IDENTITY_KEY, HOST_TOKEN, "canary", &guest, &forged, &fresh, &identity_bytes];
    for server in split.apis.iter_mut().chain(&mut split.gateways) {
        server.ask_to_stop();
        assert!(server.wait().success());
        let log = server.log();
        for secret in secrets {
            if let Some(line) = log.lines().find(|line| line.contains(secret)) {
                panic!("{secret} is in a log: {line}");
            }
        }
        assert!(log.contains("\"message\":\"stopping"), "the log is not whole");
        assert_every_line_is_json(server);
    }
    assert!(split.apis[0].log().contains("\"url.path\":\"/api/pixel\""), "requests are logged at this level");
}

#[test]
fn a_process_that_speaks_json_says_nothing_else() {
    let mut server = Server::with(&["--log-format", "json"]);
    // Health is answered a moment before it is said.
    eventually("it says where it is", || server.log().contains("the page is at http://"));
    server.ask_to_stop();
    assert!(server.wait().success());
    assert_every_line_is_json(&server);

    let second = Server::stopped(&["--log-format", "json", "--store", "embedded:/proc/nowhere"]);
    let output = second.run_to_the_end();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("text");
    let line: Value =
        serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("one line of JSON: {said}"));
    assert!(line["message"].as_str().is_some_and(|message| message.contains("/proc/nowhere")), "{line}");
}
