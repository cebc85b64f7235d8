//! A hundred clients paint a photograph over three services while each of them and Redis is killed.
//!
//! `PIXEL_PLAYGROUND_PHOTOGRAPH` names a PNG to paint; without it the picture is made here.

use std::sync::Arc;
use std::thread;

use loadgen::crew::{self, Plan, SETTLE_TIMEOUT};
use loadgen::paint::{Easel, Order, Painter};
use loadgen::picture::Picture;
use loadgen::remote::Remote;
use loadgen::report::{Live, Report};
use loadgen::socket::Dialect;
use loadgen::target::Target;
use pixel_canvas::Color;
use pixel_canvas::placement::SOCKET_SUBMISSION_PLACEMENTS_MAX;
use serde_json::json;

use crate::support::split::Split;
use crate::support::{Server, eventually, get};

const CLIENTS: usize = 100;
/// Of the picture that is made here.
const SIDE: u32 = 256;
const SEED: u64 = 7;

#[test]
fn a_photograph_is_painted_while_everything_is_killed_once() {
    let picture = photograph();
    let pixels = picture.pixels.len();
    let mut split = Split::start(2, 2, &["--rate-limit", "off"]);
    let description =
        json!({"id": "photo", "name": "Photo", "width": picture.width, "height": picture.height});
    split.make_canvas(&description);
    let frontend = split.frontend.frontend();
    let report = thread::scope(|scope| {
        let painting = scope.spawn(|| paint(&format!("http://{frontend}"), &picture));
        // Whoever is not killed next knows how far they are.
        let painted = |server: &Server, part: usize| {
            eventually("the painters go on", || {
                let canvas = get(server.api(), "/api/canvases/photo").json();
                canvas["sequence"].as_u64().is_some_and(|sequence| sequence >= (pixels * part / 5) as u64)
            });
        };
        painted(&split.apis[0], 1);
        split.gateways[0].kill();
        split.gateways[0].run();
        painted(&split.apis[1], 2);
        split.apis[0].kill();
        split.apis[0].run();
        painted(&split.apis[1], 3);
        split.redis.kill();
        split.redis.run();
        painted(&split.apis[1], 4);
        split.frontend.kill();
        split.frontend.run();
        painting.join().expect("the painters did not panic")
    });
    println!(
        "{}×{} painted by {CLIENTS} clients while a gateway, an api, Redis and the frontend were killed:\n{}\n{}",
        picture.width,
        picture.height,
        report.figures(),
        report.verdict()
    );
    assert!(report.passed(), "{:?}", report.failures);
}

/// Paints, and compares the exported picture with it.
fn paint(url: &str, picture: &Picture) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let remote = Arc::new(Remote::new(Target::parse(url).expect("a URL"), None, "photo"));
        let plan = Plan {
            dialects: vec![Dialect::Binary, Dialect::Json],
            submission_placements_max: 16,
            in_flight_placements_max: SOCKET_SUBMISSION_PLACEMENTS_MAX,
            work_timeout: None,
            settle_timeout: SETTLE_TIMEOUT,
            seed: SEED,
        };
        let easel = Easel::new(picture, Order::Random, SEED);
        let works = Painter::share(&easel, CLIENTS);
        let live = Live::new(None, true);
        let performance = crew::perform(Arc::clone(&remote), &plan, works, &live).await;
        let performance = performance.expect("they paint");
        let report = Report::of(&performance);
        let png = remote
            .png(picture.width, picture.height, performance.truth.sequence)
            .await
            .expect("the picture is exported");
        let exported = Picture::read(&png).expect("a PNG");
        assert_eq!(picture.differences(&exported), 0, "pixels that differ from the photograph");
        report
    })
}

/// The named picture, or hills under an evening sky with grain, in about as many colours as pixels.
fn photograph() -> Picture {
    if let Ok(file) = std::env::var("PIXEL_PLAYGROUND_PHOTOGRAPH") {
        let png = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        return Picture::read(&png).expect("a PNG");
    }
    let color = |x: u32, y: u32| {
        let (right, down) = (f64::from(x) / f64::from(SIDE), f64::from(y) / f64::from(SIDE));
        let hill = 0.6 + 0.1 * (right * 7.0).sin() + 0.05 * (right * 23.0).cos();
        let light = if down < hill { 1.0 - 0.5 * down } else { 0.45 - 0.4 * (down - hill) };
        let grain = f64::from((x * 7_919 + y * 104_729) % 31) / 255.0;
        Color([1.0, 0.75, 0.55].map(|tint| ((light * tint + grain) * 255.0).min(255.0) as u8))
    };
    let pixels = (0..SIDE * SIDE).map(|place| color(place % SIDE, place / SIDE)).collect();
    Picture { width: SIDE, height: SIDE, pixels }
}
