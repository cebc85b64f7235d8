//! The api over a real store in a temporary folder.

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use pixel_store::Limits;
use pixel_store::embedded::{Embedded, Options};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use utoipa::OpenApi;

use super::*;
use crate::identity::{HostToken, IdentityKey};
use crate::listen::Peer;
use crate::origin::Origin;
use crate::telemetry::Metrics;

const HOST: (&str, &str) = ("authorization", "Bearer host's secret");

/// An api, and the folder that it lives in.
struct Bench {
    api: Arc<Api>,
    router: Router,
    store: Arc<dyn Store>,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("plain text")).unwrap_or_default()
    }

    /// The answer is this status with a sentence that contains `words`.
    fn refused(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        let error = self.json()["error"].as_str().map(str::to_owned).expect("a sentence");
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    }
}

/// The api as a caller at `address` meets it.
fn router_for(api: &Arc<Api>, address: &str) -> Router {
    let peer = Peer { address: address.parse().expect("an address"), secure: false };
    router(Arc::clone(api)).merge(port_router(Arc::clone(api))).layer(Extension(peer))
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { identity: None, address: None, guests_per_address: 64 };
        let store = Embedded::open(folder.path(), Options::new(limits, Arc::new(|| Clock.unix())));
        let store: Arc<dyn Store> = Arc::new(store.expect("a store"));
        if store.canvas(&CanvasId::default_canvas()).await.expect("a store").is_none() {
            store.create(Canvas::default_canvas()).await.expect("a canvas");
        }
        let metrics = Metrics::new("0", pixel_canvas::Timestamp(0));
        let host = HostToken::new(Some("host's secret"));
        let api = start(Needs {
            store: Arc::clone(&store),
            placer: Placer::new(Arc::clone(&store), metrics.placing.clone(), Clock),
            identities: Arc::new(Identities::new(IdentityKey([3; 32]), host)),
            origins: Arc::new(Origins {
                allowed: vec![Origin::parse("https://paint.example").expect("an origin")],
                frontend_port: None,
            }),
            proxies: Arc::default(),
            metrics: metrics.http.clone(),
            clock: Clock,
            shared_store: false,
        });
        let router = router_for(&api, "192.0.2.9:9");
        Self { api, router, store, _folder: folder }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("routers do not fail");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn ask(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", &[]).await
    }

    async fn put(&self, path: &str, body: &str) -> Answer {
        self.ask("PUT", path, body, &[]).await
    }
}

#[tokio::test]
async fn a_pixel_is_placed_shown_and_cleared_by_the_originals_paths() {
    let bench = Bench::new().await;
    let blank = bench.get("/api/pixel/3/4").await.json();
    assert_eq!(blank, json!({ "x": 3, "y": 4, "color": "#FFFFFF" }));
    let placed = bench.put("/api/pixel", r##"{"x":3,"y":4.0,"color":"#e4572e","username":" Ada "}"##).await;
    assert_eq!(placed.status, 200, "{}", placed.text());
    let placed = placed.json();
    assert_eq!(
        (&placed["success"], &placed["color"], &placed["sequence"]),
        (&json!(true), &json!("#E4572E"), &json!(1))
    );
    let shown = bench.get("/api/pixel/3/4").await.json();
    assert_eq!((&shown["username"], &shown["timestamp"]), (&json!("Ada"), &placed["timestamp"]));
    let cleared = bench.ask("DELETE", "/api/pixel/3/4", "", &[]).await.json();
    assert_eq!((&cleared["color"], &cleared["sequence"]), (&json!("#FFFFFF"), &json!(2)));
}

#[tokio::test]
async fn wrong_pixels_are_told_what_is_allowed() {
    let bench = Bench::new().await;
    for (body, words) in [
        (r##"{"x":50,"y":0,"color":"#000000"}"##, "x must be an integer from 0 to 49"),
        (r##"{"x":-1,"y":0,"color":"#000000"}"##, "x must be an integer from 0 to 49"),
        (r##"{"x":1.5,"y":0,"color":"#000000"}"##, "x must be an integer"),
        (r##"{"x":1e300,"y":0,"color":"#000000"}"##, "x must be an integer"),
        (r##"{"x":"1","y":0,"color":"#000000"}"##, "x must be an integer"),
        (r##"{"x":1,"color":"#000000"}"##, "y must be an integer from 0 to 49"),
        (r##"{"x":1,"y":1}"##, "color must be a string"),
        (r##"{"x":1,"y":1,"color":7}"##, "color must be a string"),
        (r##"{"x":1,"y":1,"color":"red"}"##, "write #RRGGBB"),
        (r##"{"x":1,"y":1,"color":"#00000g"}"##, "write #RRGGBB"),
        (r##"{"x":1,"y":1,"color":"#000000","username":5}"##, "username must be a string"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("{", "cannot be read"),
        (r##"{"x":1,"y":1,"color":"#000000"} x"##, "cannot be read"),
        ("\u{0}", "must be a JSON object"),
    ] {
        bench.put("/api/pixel", body).await.refused(400, words);
    }
    for path in
        ["/api/pixel/50/0", "/api/pixel/0/-1", "/api/pixel/a/0", "/api/pixel/1.0/0", "/api/pixel/+1/0"]
    {
        bench.get(path).await.refused(400, "must be an integer from 0 to 49");
    }
    bench.get("/api/pixel/%ff/0").await.refused(400, "path cannot be read");
    let text = [("content-type", "text/plain")];
    bench.ask("PUT", "/api/pixel", "x=0", &text).await.refused(400, "JSON object");
    let large = format!("{{\"x\":\"{}\"}}", "9".repeat(body::SMALL_BODY_BYTES_MAX));
    bench.put("/api/pixel", &large).await.refused(413, "16384 bytes");
    assert_eq!(bench.get("/api/canvas").await.json()["sequence"], 0);
}

#[tokio::test]
async fn many_pixels_are_placed_without_the_invalid_ones() {
    let bench = Bench::new().await;
    let body = r##"{"pixels":[{"x":0,"y":0,"color":"#111111"},{"x":99,"y":0,"color":"#222222"},7,
                   {"x":1,"y":0,"color":"#333333"}]}"##;
    let placed = bench.put("/api/pixels", body).await.json();
    assert_eq!((&placed["updated"], &placed["sequence"]), (&json!(2), &json!(2)));
    let refused: Vec<u64> =
        placed["refused"].as_array().expect("a list").iter().filter_map(|r| r["index"].as_u64()).collect();
    assert_eq!(refused, [1, 2]);
    bench.put("/api/pixels", r#"{"pixels":{}}"#).await.refused(400, "pixels: ");
    bench.put("/api/pixels", "{}").await.refused(400, "pixels");
    let many = format!("{{\"pixels\":[{}]}}", vec!["0"; 1_025].join(","));
    bench.put("/api/pixels", &many).await.refused(413, "at most 1024");
    assert_eq!(bench.put("/api/pixels", r#"{"pixels":[]}"#).await.json()["updated"], 0);
}

#[tokio::test]
async fn a_key_paints_once_and_another_payload_is_a_conflict() {
    let bench = Bench::new().await;
    let key = [("idempotency-key", "order-66")];
    let first = r##"{"pixels":[{"x":0,"y":0,"color":"#111111"}]}"##;
    let placed = bench.ask("PUT", "/api/canvases/main/pixels", first, &key).await.json();
    assert_eq!(placed["sequence"], 1);
    assert_eq!(placed["epoch"].as_str().map(str::len), Some(16));
    let again = bench.ask("PUT", "/api/canvases/main/pixels", first, &key).await.json();
    assert_eq!(again, placed);
    let other = r##"{"pixels":[{"x":0,"y":0,"color":"#222222"}]}"##;
    bench.ask("PUT", "/api/canvases/main/pixels", other, &key).await.refused(409, "key");
    bench.ask("PUT", "/api/pixel", first, &[("idempotency-key", "")]).await.refused(400, "Idempotency-Key");
}

#[tokio::test]
async fn the_whole_canvas_has_every_pixel_and_a_tag() {
    let bench = Bench::new().await;
    bench.put("/api/pixel", r##"{"x":49,"y":49,"color":"#0000ff"}"##).await;
    let whole = bench.get("/api/canvas").await;
    let canvas = whole.json();
    assert_eq!(
        (&canvas["width"], &canvas["height"], &canvas["sequence"]),
        (&json!(50), &json!(50), &json!(1))
    );
    assert_eq!(canvas["pixels"].as_object().expect("pixels").len(), 2_500);
    assert_eq!(
        (&canvas["pixels"]["49,49"], &canvas["pixels"]["0,49"]),
        (&json!("#0000FF"), &json!("#FFFFFF"))
    );
    assert_eq!(canvas["epoch"], whole.header("epoch"));
    let tag = [("if-none-match", whole.header("etag"))];
    assert_eq!(bench.ask("GET", "/api/canvas", "", &tag).await.status, 304);
    bench.put("/api/pixel", r##"{"x":0,"y":0,"color":"#0000ff"}"##).await;
    assert_eq!(bench.ask("GET", "/api/canvas", "", &tag).await.status, 200);
}

#[tokio::test]
async fn only_the_host_makes_changes_and_deletes_canvases() {
    let bench = Bench::new().await;
    let body =
        r##"{"id":"harbour","width":300,"height":70,"palette":["#FFFFFF","#000000"],"cooldown_ms":5000}"##;
    let open = bench.ask("POST", "/api/canvases", body, &[]).await;
    open.refused(401, "host");
    assert_eq!(open.header("www-authenticate"), "Bearer");
    let wrong = [("authorization", "Bearer guess")];
    bench.ask("POST", "/api/canvases", body, &wrong).await.refused(403, "not the host's token");
    let made = bench.ask("POST", "/api/canvases", body, &[HOST]).await;
    assert_eq!(
        (made.status.as_u16(), made.header("location")),
        (201, "/api/canvases/harbour"),
        "{}",
        made.text()
    );
    bench.ask("POST", "/api/canvases", body, &[HOST]).await.refused(409, "already");
    let listed = bench.get("/api/canvases").await.json();
    let ids: Vec<_> =
        listed["canvases"].as_array().expect("a list").iter().map(|c| c["id"].clone()).collect();
    assert_eq!(ids, ["harbour", "main"]);

    bench.ask("PATCH", "/api/canvases/harbour", r#"{"frozen":true}"#, &[HOST]).await;
    let shown = bench.get("/api/canvases/harbour").await.json();
    assert_eq!(
        (&shown["frozen"], &shown["cooldown_ms"], &shown["sequence"]),
        (&json!(true), &json!(5000), &json!(0))
    );
    let paint = r##"{"pixels":[{"x":0,"y":0,"color":"#000000"}]}"##;
    bench.put("/api/canvases/harbour/pixels", paint).await.refused(403, "frozen");
    bench.ask("DELETE", "/api/canvases/main", "", &[HOST]).await.refused(403, "main cannot be deleted");
    assert_eq!(bench.ask("DELETE", "/api/canvases/harbour", "", &[HOST]).await.status, 204);
    bench.ask("DELETE", "/api/canvases/harbour", "", &[HOST]).await.refused(404, "no such canvas");
    bench.get("/api/canvases/harbour").await.refused(404, "no such canvas");

    for (wrong, words) in [
        (r#"{"id":"A","width":1,"height":1}"#, "id: "),
        (r#"{"id":"a","width":0,"height":1}"#, "width: 0 is not in 1 to 65536"),
        (r#"{"id":"a","width":"1","height":1}"#, "width: "),
        (r#"{"id":"a","width":1}"#, "height"),
        (r#"{"id":"a","width":1,"height":1,"colour":1}"#, "colour"),
        (r##"{"id":"a","width":1,"height":1,"palette":["#FFF"]}"##, "palette: "),
        (r#"{"id":"a","width":1,"height":1,"cooldown_ms":-1}"#, "cooldown_ms: "),
    ] {
        bench.ask("POST", "/api/canvases", wrong, &[HOST]).await.refused(400, words);
    }
    bench.ask("PATCH", "/api/canvases/main", r#"{"width":9}"#, &[HOST]).await.refused(400, "width");
}

#[tokio::test]
async fn a_cooldown_is_answered_with_the_time_to_wait() {
    let bench = Bench::new().await;
    bench.ask("PATCH", "/api/canvases/main", r#"{"cooldown_ms":60000}"#, &[HOST]).await;
    let body = r##"{"x":0,"y":0,"color":"#000000"}"##;
    assert_eq!(bench.put("/api/pixel", body).await.status, 200);
    let refused = bench.put("/api/pixel", body).await;
    refused.refused(429, "cooling down");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    let two = r##"{"pixels":[{"x":0,"y":0,"color":"#111111"},{"x":1,"y":0,"color":"#222222"}]}"##;
    bench.put("/api/pixels", two).await.refused(413, "together");
    // A fresh guest starts cooling: it cannot be used to go around the rule.
    let guest = bench.ask("POST", "/api/guests", "", &[]).await.json();
    let bearer = format!("Bearer {}", guest["token"].as_str().expect("a token"));
    let bearer = [("authorization", bearer.as_str())];
    bench.ask("PUT", "/api/pixel", body, &bearer).await.refused(429, "cooling down");
    bench.ask("PUT", "/api/pixel", body, &[("authorization", "Bearer x")]).await.refused(401, "token");
}

#[tokio::test]
async fn chunks_carry_their_position_and_are_compressed_and_revalidated() {
    let bench = Bench::new().await;
    let body = r##"{"id":"wide","width":300,"height":2,"palette":["#FFFFFF","#000000"]}"##;
    bench.ask("POST", "/api/canvases", body, &[HOST]).await;
    let paint = r##"{"pixels":[{"x":299,"y":1,"color":"#000000"}]}"##;
    let placed = bench.put("/api/canvases/wide/pixels", paint).await.json();
    let path = "/api/canvases/wide/chunks/1/0";
    let plain = bench.get(path).await;
    assert_eq!(plain.header("content-type"), "application/octet-stream");
    assert_eq!(
        (plain.header("sequence"), plain.header("epoch")),
        ("1", placed["epoch"].as_str().expect("text"))
    );
    let mut expected = vec![0; 44 * 2];
    expected[87] = 1;
    assert_eq!(plain.body, expected);
    let packed = bench.ask("GET", path, "", &[("accept-encoding", "gzip, br, zstd")]).await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("zstd", "accept-encoding"));
    assert_eq!(zstd::bulk::decompress(&packed.body, 1_000).expect("zstd"), expected);

    // A change elsewhere moves the sequence, not the chunk.
    let elsewhere = r##"{"pixels":[{"x":0,"y":0,"color":"#000000"}]}"##;
    bench.put("/api/canvases/wide/pixels", elsewhere).await;
    let again = bench.ask("GET", path, "", &[("if-none-match", plain.header("etag"))]).await;
    assert_eq!((again.status.as_u16(), again.header("sequence")), (304, "2"));
    assert_eq!(bench.get(&format!("{path}?since=2")).await.status, 200);
    bench.get(&format!("{path}?since=-1")).await.refused(400, "since");
    for outside in ["2/0", "0/1", "-1/0", "x/0", "256/0"] {
        bench.get(&format!("/api/canvases/wide/chunks/{outside}")).await.refused(404, "no chunk");
    }
}

#[tokio::test]
async fn a_read_with_since_waits_and_is_never_older() {
    let bench = Bench::new().await;
    let path = "/api/canvases/main/chunks/0/0?since=1";
    let body = r##"{"x":0,"y":0,"color":"#000000"}"##;
    let (read, _placed) = tokio::join!(bench.get(path), async {
        tokio::task::yield_now().await;
        bench.put("/api/pixel", body).await
    });
    assert_eq!((read.status.as_u16(), read.header("sequence")), (200, "1"));
    let late = bench.get("/api/canvases/main/chunks/0/0?since=1000").await;
    late.refused(503, "not yet at 1000");
    assert!(!late.header("retry-after").is_empty());
}

#[tokio::test]
async fn the_picture_equals_the_canvas_and_a_part_of_it_can_be_enlarged() {
    let bench = Bench::new().await;
    let body = r##"{"id":"big","width":600,"height":300}"##;
    bench.ask("POST", "/api/canvases", body, &[HOST]).await;
    let spots = [
        (0, 0, "#010203"),
        (255, 255, "#111213"),
        (256, 255, "#212223"),
        (256, 256, "#313233"),
        (599, 299, "#414243"),
    ];
    let pixels: Vec<Value> =
        spots.iter().map(|(x, y, color)| json!({ "x": x, "y": y, "color": color })).collect();
    bench.put("/api/canvases/big/pixels", &json!({ "pixels": pixels }).to_string()).await;
    let decode = |bytes: &[u8]| {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes.to_vec())).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
        let info = reader.next_frame(&mut pixels).expect("an image");
        (info.width, info.height, pixels)
    };
    let whole = bench.get("/api/canvases/big.png").await;
    assert_eq!((whole.header("content-type"), whole.header("sequence")), ("image/png", "5"));
    let (width, height, image) = decode(&whole.body);
    assert_eq!((width, height), (600, 300));
    let mut expected = vec![0xff; 600 * 300 * 3];
    for (x, y, color) in spots {
        let color = pixel_canvas::Color::parse(color).expect("a colour");
        expected[(y * 600 + x) * 3..][..3].copy_from_slice(&color.0);
    }
    assert!(image == expected);

    let (width, height, part) =
        decode(&bench.get("/api/canvases/big.png?x=255&y=255&w=2&h=2&scale=2").await.body);
    assert_eq!((width, height), (4, 4));
    let colors: Vec<[u8; 3]> = part.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
    assert_eq!(
        colors[0..4],
        [[0x11, 0x12, 0x13], [0x11, 0x12, 0x13], [0x21, 0x22, 0x23], [0x21, 0x22, 0x23]]
    );
    assert_eq!(colors[14..16], [[0x31, 0x32, 0x33]; 2]);
    let tag = [("if-none-match", whole.header("etag"))];
    assert_eq!(bench.ask("GET", "/api/canvases/big.png", "", &tag).await.status, 304);
    let corner = "/api/canvases/big.png?w=8&h=8";
    let before = bench.get(corner).await;
    let elsewhere = json!({ "pixels": [{ "x": 599, "y": 299, "color": "#010203" }] });
    bench.put("/api/canvases/big/pixels", &elsewhere.to_string()).await;
    let tag = [("if-none-match", before.header("etag"))];
    assert_eq!(bench.ask("GET", corner, "", &tag).await.status, 304, "nothing was painted there");
    assert_eq!(bench.get(&format!("{corner}&since=6")).await.header("sequence"), "6");
    for _ in 0..200 {
        assert_eq!(bench.get(corner).await.status, 200, "one after the other is no crowd");
    }
    for (query, status, words) in [
        ("x=600", 400, "x must be an integer from 0 to 599"),
        ("x=590&w=11", 400, "w must be an integer from 1 to 10"),
        ("scale=0", 400, "scale must be an integer from 1 to 64"),
        ("scale=many", 400, "scale must be"),
        ("scale=64", 413, "ask for a part"),
    ] {
        bench.get(&format!("/api/canvases/big.png?{query}")).await.refused(status, words);
    }
    bench.get("/api/canvases/nowhere.png").await.refused(404, "no such canvas");
}

#[tokio::test]
async fn a_reset_is_the_hosts_and_changes_the_epoch() {
    let bench = Bench::new().await;
    bench.put("/api/pixel", r##"{"x":0,"y":0,"color":"#000000"}"##).await;
    let before = bench.get("/api/canvas").await.json();
    bench.ask("POST", "/api/canvas/reset", "", &[]).await.refused(401, "host");
    assert_eq!(bench.ask("POST", "/api/canvas/reset", "", &[HOST]).await.json()["success"], true);
    let after = bench.get("/api/canvas").await.json();
    assert_eq!(after["pixels"]["0,0"], "#FFFFFF");
    assert_ne!(after["epoch"], before["epoch"]);
}

#[tokio::test]
async fn every_canvas_can_be_reset_and_the_others_stay() {
    let bench = Bench::new().await;
    bench.ask("POST", "/api/canvases", r#"{"id":"side","width":4,"height":4}"#, &[HOST]).await;
    let body = r##"{"pixels":[{"x":1,"y":1,"color":"#000000"}]}"##;
    for id in ["main", "side"] {
        let path = format!("/api/canvases/{id}/pixels");
        bench.ask("PUT", &path, body, &[("idempotency-key", "1")]).await;
    }
    bench.ask("POST", "/api/canvases/side/reset", "", &[]).await.refused(401, "host");
    bench.ask("POST", "/api/canvases/nowhere/reset", "", &[HOST]).await.refused(404, "no such canvas");
    assert_eq!(bench.ask("POST", "/api/canvases/side/reset", "", &[HOST]).await.json()["success"], true);
    let color = async |id| bench.get(&format!("/api/canvases/{id}/pixels/1/1")).await.json()["color"].clone();
    assert_eq!((color("side").await, color("main").await), ("#FFFFFF".into(), "#000000".into()));
}

#[tokio::test]
async fn pages_of_other_origins_look_and_do_not_touch() {
    let bench = Bench::new().await;
    let (ours, theirs) = (("origin", "https://paint.example"), ("origin", "https://evil.example"));
    let host = ("host", "api.example");
    let body = r##"{"x":0,"y":0,"color":"#000000"}"##;
    let look = bench.ask("GET", "/api/canvas", "", &[theirs, host]).await;
    assert_eq!((look.status.as_u16(), look.header("access-control-allow-origin")), (200, "*"));
    bench.ask("PUT", "/api/pixel", body, &[theirs, host]).await.refused(403, "origin");
    let placed = bench.ask("PUT", "/api/pixel", body, &[ours, host]).await;
    assert_eq!(
        (placed.status.as_u16(), placed.header("access-control-allow-origin")),
        (200, "https://paint.example")
    );
    let preflight = ("access-control-request-method", "PUT");
    let answer = bench.ask("OPTIONS", "/api/pixel", "", &[ours, host, preflight]).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-methods").contains("PUT"));
    assert!(answer.header("access-control-allow-headers").contains("idempotency-key"));
    assert_eq!(bench.ask("OPTIONS", "/api/pixel", "", &[theirs, host, preflight]).await.status, 403);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_json() {
    let bench = Bench::new().await;
    for path in ["/api", "/api/", "/api/nothing", "/api/canvases/a/b", "/else"] {
        bench.get(path).await.refused(404, "nothing at this path");
    }
    for (method, path) in [("POST", "/api/canvas"), ("PATCH", "/api/pixel"), ("DELETE", "/api/canvases")] {
        let answer = bench.ask(method, path, "", &[]).await;
        answer.refused(405, "does not have that method");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
    let health = bench.get("/health").await.json();
    assert_eq!((&health["status"], &health["redis"]), (&json!("ok"), &json!("embedded")));
}

#[tokio::test]
async fn every_described_operation_is_there() {
    let bench = Bench::new().await;
    let served = bench.get("/api/openapi.json").await.json();
    assert_eq!(served["openapi"].as_str().map(|version| version.starts_with("3.1")), Some(true));
    let description = serde_json::to_value(openapi::Description::openapi()).expect("plain data");
    assert_eq!(served, description);
    let paths = description["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 16);
    for (path, operations) in paths {
        let path = path.replace("{id}", "main").replace("{cx}", "0").replace("{cy}", "0");
        let path = path.replace("{x}", "0").replace("{y}", "0");
        for method in operations.as_object().expect("operations").keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let answer = bench.ask(method.as_str(), &path, "", &[]).await;
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_ne!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_default_canvas_over_the_size_names_the_chunks() {
    let bench = Bench::new().await;
    let spec = pixel_canvas::CanvasSpec { id: "main".into(), width: 257, height: 256, ..Default::default() };
    bench.store.delete(&CanvasId::default_canvas()).await.expect("a store");
    bench.store.create(Canvas::parse(&spec).expect("a canvas")).await.expect("a store");
    bench.get("/api/canvas").await.refused(413, "/api/canvases/main/chunks/");
}

#[tokio::test]
async fn two_images_that_nobody_reads_do_not_keep_others_from_theirs() {
    const SIDE: u16 = 400;
    let bench = Bench::new().await;
    let canvas = r#"{"id":"noise","width":400,"height":400}"#;
    assert_eq!(bench.ask("POST", "/api/canvases", canvas, &[HOST]).await.status, 201);
    // Colours that do not compress, so that the image is more than what may wait for its reader.
    let mut random: rand::rngs::SmallRng = rand::SeedableRng::seed_from_u64(7);
    for y in 0..SIDE {
        let pixels = (0..SIDE).map(|x| {
            let color: u32 = rand::RngExt::random_range(&mut random, 0..1 << 24);
            format!("{{\"x\":{x},\"y\":{y},\"color\":\"#{color:06X}\"}}")
        });
        let body = format!("{{\"pixels\":[{}]}}", pixels.collect::<Vec<_>>().join(","));
        assert_eq!(bench.put("/api/canvases/noise/pixels", &body).await.status, 200);
    }
    let ask = |router: Router| {
        let request = Request::get("/api/canvases/noise.png").body(Body::empty()).expect("a request");
        async { router.oneshot(request).await.expect("routers do not fail") }
    };
    let unread = [ask(bench.router.clone()).await, ask(bench.router.clone()).await];
    assert!(unread.iter().all(|response| response.status() == 200));
    bench.get("/api/canvases/noise.png").await.refused(503, "address");
    let other = ask(router_for(&bench.api, "192.0.2.10:9")).await;
    assert_eq!(other.status(), 200);
    drop(unread);
    while bench.get("/api/canvases/noise.png").await.status != 200 {
        tokio::task::yield_now().await;
    }
}
