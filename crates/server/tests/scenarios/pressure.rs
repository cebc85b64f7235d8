//! More than may be on its way from a gateway to the apis: it is refused as busy, with a time to come back, and whoever
//! does is painted once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pixel_protocol::binary::Reason;
use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::redis::Redis;
use crate::support::server::own_host;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::stores::server::Host;
use crate::support::{AtTheEnd, eventually, get};

/// The most of one submission and of one socket; a painter paints a row.
const PLACEMENTS: u16 = 256;
/// Placements of one call.
const CALL_PLACEMENTS_MAX: usize = 4_096;
/// Placements of one thread and canvas that wait for the call before them.
const GATHERED_PLACEMENTS_MAX: usize = 65_536;
/// Placements of one gateway that apis were asked for.
const PLACEMENTS_IN_FLIGHT_MAX: usize = 131_072;
/// When to come back where too many wait for the call before them, and where too many are asked for.
const GATHERED_WAIT_MS: u32 = 1_000;
const IN_FLIGHT_WAIT_MS: u32 = 250;

/// Painters beyond those that a bound takes.
const BEYOND: usize = 40;
/// On each canvas where there are many: what they place fits one call.
const PAINTERS_OF_A_CANVAS: usize = 16;

/// One canvas: what waits behind the call under way is bounded for each thread of a gateway.
#[test]
fn what_waits_for_a_slow_api_is_bounded_and_the_rest_comes_back() {
    let taken = (GATHERED_PLACEMENTS_MAX + CALL_PLACEMENTS_MAX) / usize::from(PLACEMENTS);
    let busy = paint_while_the_api_stands_still(taken + BEYOND, 1, BEYOND, GATHERED_WAIT_MS);
    println!("a frozen api, one canvas, {} painters: busy {busy} times", taken + BEYOND);
}

/// Many canvases: each has calls of its own under way, and all of them together are bounded.
#[test]
fn what_apis_are_asked_for_is_bounded_and_the_rest_comes_back() {
    let taken = PLACEMENTS_IN_FLIGHT_MAX / usize::from(PLACEMENTS);
    let canvases = 3 * taken / 2 / PAINTERS_OF_A_CANVAS;
    let painters = canvases * PAINTERS_OF_A_CANVAS;
    let busy = paint_while_the_api_stands_still(painters, canvases, painters - taken, IN_FLIGHT_WAIT_MS);
    println!("a frozen api, {canvases} canvases, {painters} painters: busy {busy} times");
}

/// So many painters place once each, all at one moment, while the only api is frozen; it thaws once so many heard that it
/// is busy, and each of them asks again under its key until it is painted. How many were told to come back as busy.
fn paint_while_the_api_stands_still(painters: usize, canvases: usize, busy: usize, wait_ms: u32) -> usize {
    // One thread, so that the bounds are the same on every machine.
    let redis = Redis::start();
    let flags = ["--store", &redis.url(), "--durability", "fsync", "--rate-limit", "off"];
    let on_one = Host { under: ["taskset", "-c", &a_processor()].map(str::to_owned).into(), ..own_host() };
    let split = Split::across(redis, (&[own_host()], &flags), (&[on_one], &flags), own_host());
    split.wait_until_ready();
    let (api, gateway) = (&split.apis[0], &split.gateways[0]);
    let rows = painters.div_ceil(canvases);
    for canvas in 0..canvases {
        let id = format!("c{canvas}");
        split.make_canvas(&json!({"id": id, "name": id, "width": PLACEMENTS, "height": rows}));
    }
    let open = |number: usize| {
        let opening = Opening::at(&format!("/?canvas=c{}", number % canvases));
        Binary::open_through(gateway.gateway(), api.api(), &opening).expect("the gateway takes clients")
    };
    let mut clients: Vec<Binary> = (0..painters).map(open).collect();
    let (said_busy, given_up) = (AtomicUsize::new(0), AtomicBool::new(false));
    let firsts: Vec<u64> = thread::scope(|scope| {
        let _end = AtTheEnd(&given_up);
        // The gateway finds everything at once, as if nobody had waited for anybody.
        api.freeze();
        gateway.freeze();
        for (number, client) in clients.iter_mut().enumerate() {
            submit(client, number, canvases);
        }
        gateway.thaw();
        let (said_busy, given_up) = (&said_busy, &given_up);
        let paint = |(number, mut client): (usize, Binary)| {
            scope.spawn(move || {
                loop {
                    match client.answer(number as u64) {
                        Answered::Accepted { first, count: PLACEMENTS } => return first,
                        Answered::Refused { reason, retry_after_ms: Some(wait) } => {
                            match reason {
                                Reason::Busy => {
                                    assert_eq!(wait, wait_ms);
                                    said_busy.fetch_add(1, Ordering::SeqCst);
                                }
                                // The api stood still, and has much to do since.
                                Reason::Unavailable | Reason::Unknown => {}
                                _ => panic!("{reason:?}"),
                            }
                            thread::sleep(Duration::from_millis(wait.into()));
                            assert!(!given_up.load(Ordering::SeqCst), "the scenario failed elsewhere");
                            submit(&mut client, number, canvases);
                        }
                        answered => panic!("{answered:?}"),
                    }
                }
            })
        };
        let painting: Vec<_> = clients.into_iter().enumerate().map(paint).collect();
        eventually("those beyond the bound are refused", || said_busy.load(Ordering::SeqCst) >= busy);
        api.thaw();
        painting.into_iter().map(|painter| painter.join().expect("a painter did not panic")).collect()
    });

    // On each canvas every submission stands once, one behind the other, and shows what it painted.
    let mut of_canvas = BTreeMap::<usize, Vec<u64>>::new();
    for (number, first) in firsts.into_iter().enumerate() {
        of_canvas.entry(number % canvases).or_default().push(first);
    }
    for (canvas, mut firsts) in of_canvas {
        firsts.sort_unstable();
        let dense = (0..firsts.len() as u64).map(|turn| turn * u64::from(PLACEMENTS) + 1);
        assert!(firsts.iter().copied().eq(dense), "{firsts:?}");
        for (chunk, first_row) in (0..rows).step_by(256).enumerate() {
            let shown = get(api.api(), &format!("/api/canvases/c{canvas}/chunks/0/{chunk}")).body;
            for (row, pixels) in shown.chunks_exact(3 * usize::from(PLACEMENTS)).enumerate() {
                let number = (first_row + row) * canvases + canvas;
                let [.., r, g, b] = (number as u32).to_be_bytes();
                let painted = [r, g, b].repeat(PLACEMENTS.into());
                assert!(number >= painters || pixels == painted, "the row of painter {number}");
            }
        }
    }
    let said_busy = said_busy.into_inner();
    let counted = gateway.metric(r#"pixel_placing_refused_submissions_total{reason="busy"}"#);
    assert_eq!(counted, said_busy as u64, "an operator sees it");
    said_busy
}

/// One that this process may use.
fn a_processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("its status");
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    allowed.expect("a list").trim().chars().take_while(char::is_ascii_digit).collect()
}

/// Each painter has a row and a colour.
fn submit(client: &mut Binary, number: usize, canvases: usize) {
    let color = format!("#{number:06X}");
    let row: Vec<_> = (0..PLACEMENTS).map(|x| (x, (number / canvases) as u16, color.as_str())).collect();
    client.submit(number as u64, &row);
}
