//! Canvases of every shape: palettes on all paths, chunks, pictures.

use std::io::Read;

use pixel_canvas::{ChunkId, Point};
use pixel_protocol::binary::{Reason, ToClient};
use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::{Answer, Request, Server, get};

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };

fn with_palette() -> Server {
    let server = Server::start();
    let palette = ["#111111", "#222222", "#333333"];
    server.make_canvas(&json!({
        "id": "few", "name": "Few colours", "width": 300, "height": 20, "palette": palette, "background": "#222222",
    }));
    server
}

fn place(server: &Server, canvas: &str, pixels: &[(u32, u32, &str)]) -> Answer {
    let pixels: Vec<_> = pixels.iter().map(|(x, y, color)| json!({"x": x, "y": y, "color": color})).collect();
    let request = Request::new("PUT", &format!("/api/canvases/{canvas}/pixels"));
    request.json(&json!({"pixels": pixels})).send(server.api())
}

#[test]
fn a_palette_holds_on_every_path() {
    let server = with_palette();
    let shown = get(server.api(), "/api/canvases/few").json();
    assert_eq!(shown["palette"], json!(["#111111", "#222222", "#333333"]));
    assert_eq!(
        (&shown["name"], &shown["width"], &shown["background"]),
        (&json!("Few colours"), &json!(300), &json!("#222222"))
    );
    let listed = get(server.api(), "/api/canvases").text();
    assert!(listed.contains("\"few\"") && listed.contains("\"main\""), "{listed}");

    let opening = Opening::at("/?canvas=few");
    let mut original = Json::open_at(server.gateway(), &opening).expect("a canvas that exists");
    let mut page = Binary::open_at(&server, &opening).expect("a canvas that exists");
    assert_eq!(page.hello.canvas.palette.bytes_per_pixel(), 1);
    let far = ChunkId { cx: 1, cy: 0 };
    page.view(CHUNK);
    page.view(far);

    let answer = place(&server, "few", &[(0, 0, "#111111"), (299, 19, "#333333"), (1, 1, "#444444")]).json();
    assert_eq!((&answer["updated"], &answer["refused"][0]["index"]), (&json!(2), &json!(2)));
    assert_eq!(original.update()["color"], "#111111");
    assert_eq!(original.update()["x"], 299);
    original.paint(5, 5, "#444444");
    assert!(original.error()["message"].as_str().is_some_and(|text| text.contains("#444444")));
    original.paint(5, 5, "#333333");
    assert_eq!(original.update()["sequence"], 3);
    assert_eq!(page.place(1, &[(256, 7, "#111111")]), Answered::Accepted { first: 4, count: 1 });
    // Index 3 of three colours.
    page.say_bytes([&[0x83][..], &9_u64.to_le_bytes(), &[0, 0, 0, 0, 3]].concat());
    let refused = page.answer(9);
    assert!(matches!(refused, Answered::Refused { reason: Reason::Color, .. }), "{refused:?}");
    page.follow_to(CHUNK, 3);
    page.follow_to(far, 4);
    assert!(page.agrees(CHUNK) && page.agrees(far));

    let chunk = get(server.api(), "/api/canvases/few/chunks/1/0");
    assert_eq!(chunk.body.len(), 44 * 20);
    assert_eq!(chunk.body[7 * 44], 0, "(256, 7) is the first colour");
    assert_eq!(chunk.body[0], 1, "what nobody painted is the background");
}

#[test]
fn a_picture_equals_the_canvas() {
    let server = with_palette();
    place(
        &server,
        "few",
        &[(0, 0, "#111111"), (299, 19, "#333333"), (255, 3, "#333333"), (256, 3, "#111111")],
    );
    let color = |x: u32, y: u32| match (x, y) {
        (0, 0) | (256, 3) => 0x11,
        (299, 19) | (255, 3) => 0x33,
        _ => 0x22,
    };
    let (width, height, pixels) = decode(&get(server.api(), "/api/canvases/few.png"));
    assert_eq!((width, height), (300, 20));
    for (index, pixel) in pixels.iter().enumerate() {
        let (x, y) = (index as u32 % 300, index as u32 / 300);
        assert_eq!(*pixel, [color(x, y); 3], "({x}, {y})");
    }
    let part = get(server.api(), "/api/canvases/few.png?x=250&y=2&w=10&h=3&scale=4");
    let (width, height, pixels) = decode(&part);
    assert_eq!((width, height), (40, 12));
    for (index, pixel) in pixels.iter().enumerate() {
        let (x, y) = (index as u32 % 40, index as u32 / 40);
        assert_eq!(*pixel, [color(250 + x / 4, 2 + y / 4); 3], "({x}, {y})");
    }
}

fn decode(answer: &Answer) -> (u32, u32, Vec<[u8; 3]>) {
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/png"), "{answer:?}");
    let mut decoder = png::Decoder::new(std::io::Cursor::new(answer.body.as_slice()));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut bytes).expect("a whole PNG");
    let samples = info.color_type.samples();
    let pixels = bytes[..info.buffer_size()].chunks_exact(samples);
    (info.width, info.height, pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
}

#[test]
fn a_chunk_in_every_encoding_is_the_same_chunk() {
    let server = Server::start();
    for x in 0..50 {
        place(&server, "main", &[(x, x, "#0000FF")]);
    }
    let path = "/api/canvases/main/chunks/0/0";
    let plain = get(server.api(), path);
    assert_eq!((plain.body.len(), plain.header("sequence")), (50 * 50 * 3, "50"));
    assert_eq!(plain.header("epoch").len(), 16);
    let ask = |encoding: &str| {
        let answer = Request::new("GET", path).header("accept-encoding", encoding).send(server.api());
        assert_eq!(answer.header("content-encoding"), encoding, "{answer:?}");
        assert!(answer.body.len() < plain.body.len());
        assert_ne!(answer.header("etag"), plain.header("etag"), "another encoding is another representation");
        answer.body
    };
    assert_eq!(zstd::decode_all(ask("zstd").as_slice()).expect("zstd"), plain.body);
    let mut brotli = Vec::new();
    brotli::Decompressor::new(ask("br").as_slice(), 4_096).read_to_end(&mut brotli).expect("brotli");
    assert_eq!(brotli, plain.body);
    let mut gzip = Vec::new();
    flate2::read::GzDecoder::new(ask("gzip").as_slice()).read_to_end(&mut gzip).expect("gzip");
    assert_eq!(gzip, plain.body);

    let etag = plain.header("etag");
    assert!(etag.starts_with('"'), "a strong ETag: {etag}");
    let known = Request::new("GET", path).header("if-none-match", etag).send(server.api());
    assert_eq!((known.status, known.body.len()), (304, 0));
    place(&server, "main", &[(0, 1, "#00FF00")]);
    let changed = Request::new("GET", path).header("if-none-match", etag).send(server.api());
    assert_eq!((changed.status, changed.header("sequence")), (200, "51"));
}

#[test]
fn a_chunk_of_the_future_is_not_answered_with_the_past() {
    let server = Server::start();
    let answer = get(server.api(), "/api/canvases/main/chunks/0/0?since=1000000");
    answer.refused(503);
    assert!(!answer.header("retry-after").is_empty());
}

#[test]
fn the_largest_canvas_is_painted_to_its_corners() {
    let server = Server::start();
    server.make_canvas(&json!({"id": "huge", "width": 65_536, "height": 65_536}));
    let corners =
        [(0, 0, "#000001"), (65_535, 0, "#000002"), (0, 65_535, "#000003"), (65_535, 65_535, "#000004")];
    assert_eq!(place(&server, "huge", &corners).json()["updated"], 4);
    let mut page = Binary::open_at(&server, &Opening::at("/?canvas=huge")).expect("a canvas that exists");
    let last = ChunkId { cx: 255, cy: 255 };
    page.view(last);
    assert_eq!(page.place(1, &[(65_535, 65_534, "#0000FF")]), Answered::Accepted { first: 5, count: 1 });
    page.follow_to(last, 5);
    assert!(page.agrees(last));
    let held = &page.replica.chunk(last).expect("it is viewed").pixels;
    assert_eq!(held[held.len() - 3..], [0, 0, 4]);
    assert_eq!(Point { x: 65_535, y: 65_535 }.chunk(), last);
    let (width, height, pixels) =
        decode(&get(server.api(), "/api/canvases/huge.png?x=65534&y=65534&w=2&h=2"));
    assert_eq!((width, height, pixels[3]), (2, 2, [0, 0, 4]));
    assert!(
        matches!(get(server.api(), "/api/canvases/huge.png").status, 400 | 413),
        "four billion pixels are no picture"
    );
}

#[test]
fn a_large_default_canvas_points_to_its_chunks() {
    let mut server = Server::stopped(&["--config", "playground.toml"]);
    let file = "[[canvas]]\nid = \"main\"\nwidth = 300\nheight = 300\n\n\
                [[canvas]]\nid = \"harbour\"\nwidth = 20\nheight = 10\npalette = [\"#FFFFFF\", \"#000000\"]\n";
    std::fs::write(server.folder().join("playground.toml"), file).expect("a file");
    server.run();
    let sentence = get(server.api(), "/api/canvas").refused(413);
    assert!(sentence.contains("/api/canvases/main/chunks/"), "{sentence}");
    assert_eq!(get(server.api(), "/api/canvases/main/chunks/1/1").body.len(), 44 * 44 * 3);
    assert_eq!(get(server.api(), "/api/canvases/harbour").json()["width"], 20);
    // Starting again with what is there already is fine.
    server.kill();
    server.run();
}

#[test]
fn a_frozen_canvas_is_looked_at_and_not_painted() {
    let server = with_palette();
    let mut page = Binary::open_at(&server, &Opening::at("/?canvas=few")).expect("a canvas that exists");
    let mut original =
        Json::open_at(server.gateway(), &Opening::at("/?canvas=few")).expect("a canvas that exists");
    let freeze = |frozen: bool| {
        let request =
            Request::new("PATCH", "/api/canvases/few").json(&json!({"frozen": frozen, "name": "Still"}));
        assert_eq!(server.as_host(request).status, 200);
    };
    freeze(true);
    let told = page.hear_until(|message| match message {
        ToClient::Hello(hello) => Some((hello.canvas.frozen, hello.canvas.name.clone())),
        _ => None,
    });
    assert!(told.0);
    let refused = page.place(1, &[(0, 0, "#111111")]);
    assert!(matches!(refused, Answered::Refused { reason: Reason::Frozen, .. }), "{refused:?}");
    original.paint(0, 0, "#111111");
    original.error();
    place(&server, "few", &[(0, 0, "#111111")]).refused(403);
    freeze(false);
    assert_eq!(page.place(2, &[(0, 0, "#111111")]), Answered::Accepted { first: 1, count: 1 });
}

#[test]
fn a_deleted_canvas_is_gone_for_those_who_look_at_it() {
    let server = with_palette();
    let mut original =
        Json::open_at(server.gateway(), &Opening::at("/?canvas=few")).expect("a canvas that exists");
    assert!((200..300).contains(&server.as_host(Request::new("DELETE", "/api/canvases/few")).status));
    assert!(original.socket().ending().is_some(), "its sockets are closed with a code");
    get(server.api(), "/api/canvases/few").refused(404);
    place(&server, "few", &[(0, 0, "#111111")]).refused(404);
    // Its name is free again, and its pixels are not remembered.
    server.make_canvas(&json!({"id": "few", "width": 10, "height": 10}));
    assert!(get(server.api(), "/api/canvases/few/chunks/0/0").body.iter().all(|byte| *byte == 0xff));
}
