//! Who may do what: origins, proxies, and the host.

use std::fs;

use serde_json::json;

use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::{Answer, Request, Server, get};

fn paint() -> Request {
    Request::new("PUT", "/api/pixel").json(&json!({"x": 1, "y": 1, "color": "#000000"}))
}

fn opens(server: &Server, origin: &str) -> Result<(), u16> {
    Json::open_at(server.gateway(), &Opening::at("/").header("origin", origin)).map(drop)
}

#[test]
fn a_foreign_page_neither_opens_sockets_nor_paints() {
    let server = Server::start();
    for origin in ["https://evil.example", "http://127.0.0.1:3000.evil.example", "null", "nonsense"] {
        assert_eq!(opens(&server, origin), Err(403), "{origin}");
        paint().header("origin", origin).send(server.api()).refused(403);
        let preflight = Request::new("OPTIONS", "/api/pixel")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .send(server.api());
        assert_eq!(preflight.header("access-control-allow-origin"), "", "{preflight:?}");
    }
    assert_eq!(server.canvas()["sequence"], 0);
}

#[test]
fn everybody_may_look() {
    let server = Server::start();
    let answer =
        Request::new("GET", "/api/canvas").header("origin", "https://evil.example").send(server.api());
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
}

#[test]
fn a_page_of_another_origin_may_read_the_health_of_every_port() {
    let server = Server::start();
    for port in [server.frontend(), server.api(), server.gateway()] {
        let health = Request::new("GET", "/health").header("origin", "http://elsewhere.example").send(port);
        assert_eq!((health.status, health.header("access-control-allow-origin")), (200, "*"), "{port}");
    }
}

#[test]
fn the_page_paints_from_its_own_origin_on_every_port() {
    let server = Server::start();
    let page = format!("http://{}", server.frontend());
    assert_eq!(opens(&server, &page), Ok(()));
    for port in [server.frontend(), server.api()] {
        let answer = paint().header("origin", &page).send(port);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let preflight = Request::new("OPTIONS", "/api/pixel")
        .header("origin", &page)
        .header("access-control-request-method", "PUT")
        .send(server.api());
    assert!(matches!(preflight.status, 200 | 204), "{preflight:?}");
    assert_eq!(preflight.header("access-control-allow-origin"), page);
    assert!(preflight.header("access-control-allow-methods").contains("PUT"));
}

#[test]
fn an_allowed_origin_paints_too() {
    let server = Server::with(&["--allowed-origins", "https://friends.example,http://localhost:8080"]);
    assert_eq!(opens(&server, "https://friends.example"), Ok(()));
    assert_eq!(paint().header("origin", "http://localhost:8080").send(server.api()).status, 200);
    assert_eq!(opens(&server, "http://friends.example"), Err(403));
    assert_eq!(opens(&server, "https://friends.example:8443"), Err(403));
}

/// One pixel of the guest of an address, on a canvas that lets each paint once.
fn paint_from(server: &Server, forwarded: &str) -> Answer {
    Request::new("PUT", "/api/canvases/slow/pixels")
        .header("x-forwarded-for", forwarded)
        .json(&json!({"pixels": [{"x": 0, "y": 0, "color": "#000000"}]}))
        .send(server.api())
}

fn with_cooldown(flags: &[&str]) -> Server {
    let server = Server::with(flags);
    server.make_canvas(&json!({"id": "slow", "width": 8, "height": 8, "cooldown_ms": 3_600_000}));
    server
}

#[test]
fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let server = with_cooldown(&[]);
    assert_eq!(paint_from(&server, "203.0.113.1").status, 200);
    paint_from(&server, "203.0.113.2").refused(429);

    let server = with_cooldown(&["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"]);
    assert_eq!(paint_from(&server, "203.0.113.1").status, 200);
    assert_eq!(paint_from(&server, "203.0.113.2").status, 200);
    paint_from(&server, "203.0.113.1").refused(429);
}

#[test]
fn forwarded_addresses_are_read_from_the_right() {
    let server = with_cooldown(&["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"]);
    assert_eq!(paint_from(&server, "198.51.100.1, 203.0.113.1, 10.1.1.1").status, 200);
    paint_from(&server, "198.51.100.99, 203.0.113.1, 10.2.2.2").refused(429);
    paint_from(&server, "203.0.113.1").refused(429);
    assert_eq!(paint_from(&server, "203.0.113.1, 203.0.113.7").status, 200);
}

#[test]
fn an_ipv6_visitor_is_its_whole_network() {
    let server = with_cooldown(&["--trusted-proxies", "127.0.0.0/8"]);
    assert_eq!(paint_from(&server, "2001:db8:1:2::1").status, 200);
    paint_from(&server, "2001:db8:1:2:ffff::9").refused(429);
    assert_eq!(paint_from(&server, "2001:db8:1:3::1").status, 200);
}

fn host_only() -> Vec<Request> {
    let description = json!({"id": "new", "width": 8, "height": 8});
    vec![
        Request::new("POST", "/api/canvases").json(&description),
        Request::new("PATCH", "/api/canvases/main").json(&json!({"frozen": true})),
        Request::new("DELETE", "/api/canvases/other"),
        Request::new("POST", "/api/canvas/reset"),
    ]
}

#[test]
fn only_the_host_changes_canvases() {
    let server = Server::start();
    server.make_canvas(&json!({"id": "other", "width": 8, "height": 8}));
    let guest = server.guest();
    for request in host_only() {
        request.clone().send(server.api()).refused(401);
        request.clone().bearer("not-the-token").send(server.api()).refused(403);
        request.bearer(&guest).send(server.api()).refused(403);
    }
    assert_eq!(get(server.api(), "/api/canvases/other").status, 200);
    assert_eq!(get(server.api(), "/api/canvases/new").status, 404);
    for request in host_only() {
        let answer = server.as_host(request.clone());
        assert!((200..300).contains(&answer.status), "{request:?}: {answer:?}");
    }
    assert_eq!(get(server.api(), "/api/canvases/other").status, 404);
    assert_eq!(get(server.api(), "/api/canvases/new").json()["width"], 8);
    assert_eq!(get(server.api(), "/api/canvases/main").json()["frozen"], true);
    paint().send(server.api()).refused(403);
}

#[test]
fn the_host_s_token_may_come_from_a_file_with_line_ends() {
    let mut server = Server::stopped(&["--admin-token-file", "token"]);
    fs::write(server.folder().join("token"), "  my-own-token\r\n").expect("a file");
    server.run();
    let reset = || Request::new("POST", "/api/canvas/reset");
    assert_eq!(reset().bearer("my-own-token").send(server.api()).status, 200);
    reset().bearer("my-own-toke").send(server.api()).refused(403);
}

#[test]
fn a_forged_guest_is_not_let_in() {
    let server = Server::start();
    let real = server.guest();
    let mut parts: Vec<&str> = real.split('.').collect();
    let forged_signature = format!("{}.{}.{}", parts[0], parts[1], "A".repeat(parts[2].len()));
    // {"alg":"none","typ":"JWT"}
    parts[0] = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    for token in [forged_signature.as_str(), &unsigned, "x", "a.b.c"] {
        paint().bearer(token).send(server.api()).refused(401);
        let opened = Json::open_at(server.gateway(), &Opening::at("/").bearer(token));
        assert_eq!(opened.err(), Some(401), "{token}");
    }
}

#[test]
fn operators_ports_are_apart() {
    let server = Server::start();
    for path in ["/metrics", "/readyz", "/livez", "/version"] {
        assert_eq!(get(server.ops(), path).status, 200, "{path}");
        for public in [server.frontend(), server.api()] {
            assert_ne!(get(public, path).status, 200, "{path}");
        }
    }
    for path in ["/internal/placements", "/api/internal/placements"] {
        let answer = Request::new("POST", path).json(&json!({})).send(server.frontend());
        assert!(matches!(answer.status, 404 | 405), "{path}: {answer:?}");
    }
}
