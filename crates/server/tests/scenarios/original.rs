//! A client written for the original system, message by message: it must not notice anything.

use serde_json::{Value, json};

use crate::support::json::Json;
use crate::support::{Request, Server, eventually, get};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_greeting_has_every_field() {
    let server = Server::start();
    let client = Json::open(&server);
    let greeting = &client.connected;
    assert!(greeting["message"].is_string() && greeting["clientId"].is_string(), "{greeting}");
    let epoch = client.epoch();
    assert!(epoch.len() == 16 && epoch.bytes().all(|b| b.is_ascii_hexdigit()), "{epoch}");
    assert_eq!(client.sequence(), 0);
    assert_eq!(greeting["epoch"], server.canvas()["epoch"]);
    let other = Json::open(&server);
    assert_ne!(greeting["clientId"], other.connected["clientId"]);
}

#[test]
fn an_update_has_exactly_the_original_s_fields_and_the_sequence() {
    let server = Server::start();
    let mut client = Json::open(&server);
    client.paint(12, 34, "#abcdef");
    let update = client.update();
    let mut fields = keys(&update);
    fields.sort_unstable();
    assert_eq!(fields, ["color", "sequence", "timestamp", "type", "username", "x", "y"]);
    assert_eq!(update["username"], "Anonymous");
    assert_eq!(update["color"], "#ABCDEF");
    assert!(update["timestamp"].is_u64());
}

#[test]
fn a_name_is_the_message_s_then_the_connection_s_then_anonymous() {
    let server = Server::start();
    let mut client = Json::open(&server);
    let named = json!({"type": "pixel_update", "x": 1, "y": 1, "color": "#000000", "username": "Once"});
    client.say(&named);
    assert_eq!(client.update()["username"], "Once");
    client.paint(1, 1, "#000000");
    assert_eq!(client.update()["username"], "Anonymous");
    client.say(&json!({"type": "set_username", "username": "   A name that is much longer than twenty   "}));
    client.paint(1, 1, "#000000");
    assert_eq!(client.update()["username"], "A name that is much");
    client.say(&named);
    assert_eq!(client.update()["username"], "Once");
    client.paint(1, 1, "#000000");
    assert_eq!(client.update()["username"], "A name that is much");
}

#[test]
fn a_ping_is_answered() {
    let server = Server::start();
    let mut client = Json::open(&server);
    client.say(&json!({"type": "ping"}));
    let pong = client.hear();
    assert_eq!(pong["type"], "pong");
    assert!(pong["timestamp"].as_u64().is_some_and(|ms| ms > 1_600_000_000_000), "{pong}");
}

#[test]
fn people_who_come_rename_and_go_are_told_to_everybody() {
    let server = Server::start();
    let mut watcher = Json::open(&server);
    let mut ada = Json::open(&server);
    ada.say(&json!({"type": "set_username", "username": "Ada"}));
    while watcher.hear_any("user_list")["users"] != json!(["Ada"]) {}
    ada.say(&json!({"type": "set_username", "username": "Countess"}));
    while watcher.hear_any("user_list")["users"] != json!(["Countess"]) {}
    let unnamed = Json::open(&server);
    while watcher.hear_any("stats")["activeUsers"] != json!(3) {}
    drop((ada, unnamed));
    while watcher.hear_any("stats")["activeUsers"] != json!(1) {}
}

#[test]
fn the_whole_canvas_is_a_map_of_every_pixel() {
    let server = Server::start();
    let answer = get(server.api(), "/api/canvas");
    assert_eq!(answer.header("content-type").split(';').next(), Some("application/json"));
    let canvas = answer.json();
    assert_eq!((&canvas["width"], &canvas["height"]), (&json!(50), &json!(50)));
    let pixels = canvas["pixels"].as_object().expect("a map");
    assert_eq!(pixels.len(), 2_500);
    assert!(pixels.values().all(|color| color == "#FFFFFF"));

    let etag = answer.header("etag").to_owned();
    assert!(!etag.is_empty());
    let again = Request::new("GET", "/api/canvas").header("if-none-match", &etag).send(server.api());
    assert_eq!((again.status, again.body.len()), (304, 0));
    let body = json!({"x": 0, "y": 0, "color": "#000000"});
    Request::new("PUT", "/api/pixel").json(&body).send(server.api());
    let changed = Request::new("GET", "/api/canvas").header("if-none-match", &etag).send(server.api());
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), etag);
}

#[test]
fn a_painted_pixel_says_who_and_when() {
    let server = Server::start();
    let mut client = Json::open(&server);
    client.say(&json!({"type": "pixel_update", "x": 7, "y": 8, "color": "#0a0b0c", "username": "Grace"}));
    let update = client.update();
    let pixel = get(server.api(), "/api/pixel/7/8");
    assert_eq!(pixel.json()["color"], "#0A0B0C");
    assert!(pixel.text().contains("Grace"), "{pixel:?}");
    assert!(pixel.text().contains(&update["timestamp"].to_string()), "{pixel:?}");
}

#[test]
fn a_reset_is_the_host_s_and_reaches_everybody() {
    let server = Server::start();
    let mut client = Json::open(&server);
    let before = client.epoch().to_owned();
    for x in 0..10 {
        client.paint(x, 0, "#101010");
        client.update();
    }
    Request::new("POST", "/api/canvas/reset").send(server.api()).refused(401);
    let answer = server.as_host(Request::new("POST", "/api/canvas/reset"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["success"], true);
    assert!(answer.json()["message"].is_string());
    let mut cleared: Vec<_> = (0..10)
        .map(|_| {
            let update = client.update();
            assert_eq!(update["color"], "#FFFFFF");
            update["x"].as_u64().expect("a column")
        })
        .collect();
    cleared.sort_unstable();
    assert_eq!(cleared, (0..10).collect::<Vec<_>>());
    let canvas = server.canvas();
    assert_ne!(canvas["epoch"], before.as_str());
    assert!(canvas["pixels"].as_object().expect("a map").values().all(|color| color == "#FFFFFF"));
}

#[test]
fn health_is_answered_on_every_port() {
    let server = Server::start();
    let mut client = Json::open(&server);
    client.say(&json!({"type": "set_username", "username": "Ada"}));
    client.paint(0, 0, "#000000");
    client.update();
    for port in [server.frontend(), server.api(), server.gateway()] {
        assert_eq!(get(port, "/health").json()["status"], "ok");
    }
    assert_eq!(get(server.api(), "/health").json()["redis"], "embedded");
    eventually("the gateway counts", || {
        let health = get(server.gateway(), "/health").json();
        health["connections"] == 1
            && health["messages"].as_u64().is_some_and(|count| count >= 2)
            && health["users"] == json!(["Ada"])
            && health["uptimeSeconds"].is_number()
    });
}
