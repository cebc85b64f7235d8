//! Painting: what one client places, every other sees, in one order and in the same bytes.

use pixel_canvas::ChunkId;
use pixel_protocol::binary::ToClient;
use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::json::Json;
use crate::support::{Request, Server, get};

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };

#[test]
fn a_request_reaches_clients_of_both_dialects() {
    let server = Server::start();
    let mut original = Json::open(&server);
    let mut page = Binary::open(&server);
    page.view(CHUNK);

    let body = json!({"x": 3, "y": 4, "color": "#ab12ef"});
    let answer = Request::new("PUT", "/api/pixel").json(&body).send(server.api());
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["success"], true);
    assert_eq!((&answer["x"], &answer["y"], &answer["color"]), (&json!(3), &json!(4), &json!("#AB12EF")));
    assert_eq!(answer["sequence"], 1);
    assert!(answer["timestamp"].as_u64().is_some_and(|ms| ms > 1_600_000_000_000), "{answer}");

    let update = original.update();
    assert_eq!((&update["x"], &update["y"], &update["color"]), (&json!(3), &json!(4), &json!("#AB12EF")));
    assert_eq!(update["timestamp"], answer["timestamp"]);
    page.follow_to(CHUNK, 1);
    assert!(page.agrees(CHUNK));
}

#[test]
fn every_client_gets_the_same_bytes_the_author_included() {
    let server = Server::start();
    let mut clients: Vec<_> = (0..5).map(|_| Json::open(&server)).collect();
    clients[2].say(&json!({"type": "set_username", "username": "Ada"}));
    for turn in 0..20 {
        clients[2].paint(turn, 7, "#00ff7F");
    }
    let told: Vec<Vec<String>> =
        clients.iter_mut().map(|client| (0..20).map(|_| client.update_text()).collect()).collect();
    for other in &told {
        assert_eq!(other, &told[2]);
    }
    let last: serde_json::Value = serde_json::from_str(&told[0][19]).expect("it is JSON");
    assert_eq!(
        (&last["username"], &last["color"], &last["sequence"]),
        (&json!("Ada"), &json!("#00FF7F"), &json!(20))
    );
}

#[test]
fn what_sockets_place_is_what_requests_read() {
    let server = Server::start();
    let mut original = Json::open(&server);
    let mut page = Binary::open(&server);
    original.paint_as(1, 2, "#112233", 9);
    assert_eq!(original.update()["sequence"], 1);
    let accepted = original.hear();
    assert_eq!(
        (&accepted["type"], &accepted["ref"], &accepted["sequence"]),
        (&json!("accepted"), &json!(9), &json!(1))
    );
    let answer = page.place(77, &[(5, 5, "#445566"), (6, 5, "#778899")]);
    assert_eq!(answer, Answered::Accepted { first: 2, count: 2 });

    let canvas = server.canvas();
    assert_eq!(canvas["sequence"], 3);
    assert_eq!(canvas["pixels"]["1,2"], "#112233");
    assert_eq!(canvas["pixels"]["6,5"], "#778899");
    let pixel = get(server.api(), "/api/pixel/1/2").json();
    assert_eq!((&pixel["x"], &pixel["y"], &pixel["color"]), (&json!(1), &json!(2), &json!("#112233")));
    let blank = get(server.api(), "/api/pixel/49/49").json();
    assert_eq!(blank["color"], "#FFFFFF");
}

#[test]
fn an_acknowledgement_follows_its_own_update() {
    let server = Server::start();
    let mut page = Binary::open(&server);
    page.view(CHUNK);
    for key in 0..50 {
        page.submit(key, &[(key as u16, 0, "#010203")]);
        let mut seen = 0;
        let first = page.hear_until(|message| match message {
            ToClient::Frame(frame) => {
                seen = frame.to.0;
                None
            }
            ToClient::Accepted { first, .. } => Some(first.0),
            _ => None,
        });
        let held = page.replica.chunk(CHUNK).expect("it is viewed").sequence.0;
        assert!(held >= first, "acknowledged {first} while it held {held}, frame {seen}");
    }
}

#[test]
fn painting_the_same_colour_again_is_a_placement_of_its_own() {
    let server = Server::start();
    let mut author = Json::open(&server);
    let mut viewer = Json::open(&server);
    for _ in 0..3 {
        author.paint(9, 9, "#FF0000");
    }
    for sequence in 1..=3 {
        assert_eq!(viewer.update()["sequence"], sequence);
    }
}

#[test]
fn erasing_places_the_background() {
    let server = Server::start();
    let mut viewer = Json::open(&server);
    let body = json!({"x": 1, "y": 1, "color": "#000000"});
    assert_eq!(Request::new("PUT", "/api/pixel").json(&body).send(server.api()).status, 200);
    assert_eq!(Request::new("DELETE", "/api/pixel/1/1").send(server.api()).status, 200);
    assert_eq!(viewer.update()["color"], "#000000");
    assert_eq!(viewer.update()["color"], "#FFFFFF");
    assert_eq!(server.canvas()["pixels"]["1,1"], "#FFFFFF");
}

#[test]
fn of_many_pixels_the_valid_ones_are_placed_and_the_others_named() {
    let server = Server::start();
    let mut viewer = Json::open(&server);
    let body = json!({"pixels": [
        {"x": 0, "y": 0, "color": "#111111"},
        {"x": 50, "y": 0, "color": "#222222"},
        {"x": 1, "y": 0, "color": "red"},
        {"x": 2, "y": 0, "color": "#333333"},
    ]});
    let answer = Request::new("PUT", "/api/pixels").json(&body).send(server.api());
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!((&answer["success"], &answer["updated"]), (&json!(true), &json!(2)));
    let refused: Vec<_> =
        answer["refused"].as_array().expect("a list").iter().map(|one| &one["index"]).collect();
    assert_eq!(refused, [&json!(1), &json!(2)]);
    assert!(answer["refused"][0]["error"].is_string());
    assert_eq!(viewer.update()["color"], "#111111");
    assert_eq!(viewer.update()["color"], "#333333");
}

#[test]
fn the_page_s_origin_does_everything() {
    let server = Server::start();
    let answer = get(server.frontend(), "/api/canvas");
    assert_eq!(answer.status, 200);
    let opening = crate::support::socket::Opening::at("/ws");
    let mut client = Json::open_at(server.frontend(), &opening).expect("/ws on the page's origin");
    client.paint(0, 0, "#123456");
    assert_eq!(client.update()["sequence"], 1);
}
