//! One master of a cluster is away, and nobody takes its place: its canvases alone are stale and take no pixel.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::stores::fleet::Cluster;
use crate::support::{ANSWERED_WITHIN, Answer, Request, Server, eventually, get, long};

/// Each asks for what is known to be away: none of them waits for it.
const ASKS: u32 = 20;
/// Far longer than so many local answers take, far less than if each waited for a call to the store (1.5 s).
const ALL_ASKED_WITHIN: Duration = Duration::from_secs(10);
/// The canvas on the master that goes away.
const HERE: &str = "main";

struct Scene {
    split: Split<Cluster>,
    /// A canvas on another master.
    there: String,
}

impl Scene {
    fn start() -> Self {
        // Otherwise a cluster without one master refuses everything, for all canvases.
        let cluster = Cluster::start(&["--cluster-require-full-coverage", "no"]);
        let url = cluster.address().to_string();
        let flags = ["--store", &url, "--rate-limit", "off"];
        let split = Split::on(cluster, (1, &flags), (1, &flags));
        split.wait_until_ready();
        let holder = |id: &str| split.redis.master_of(&format!("pp:{{{id}}}"));
        let ids = (0..).map(|number| format!("c{number}"));
        let there = ids.into_iter().find(|id| holder(id) != holder(HERE)).expect("three masters share them");
        split.make_canvas(&json!({"id": there, "width": 50, "height": 50}));
        Self { split, there }
    }

    fn api(&self) -> &Server {
        &self.split.apis[0]
    }

    fn put(&self, id: &str, color: &str) -> Answer {
        let body = json!({"pixels": [{"x": 0, "y": 0, "color": color}]});
        Request::new("PUT", &format!("/api/canvases/{id}/pixels")).json(&body).send(self.api().api())
    }

    fn chunk(&self, id: &str) -> Answer {
        get(self.api().api(), &format!("/api/canvases/{id}/chunks/0/0"))
    }

    fn socket(&self, id: &str) -> Json {
        let opening = Opening::at(&format!("/?canvas={id}"));
        Json::open_at(self.split.gateways[0].gateway(), &opening).expect("it takes clients")
    }

    /// Calls to the store, each for some placements.
    fn calls(&self) -> u64 {
        self.api().metric("pixel_placing_call_seconds_count")
    }

    fn caution(&self) -> String {
        let ready = get(self.api().ops(), "/readyz");
        assert_eq!(ready.status, 200, "two masters of three work: {ready:?}");
        ready.json()["caution"].as_str().unwrap_or_default().to_owned()
    }
}

/// What the socket is told of its placement.
fn painted(socket: &mut Json, number: u64) -> Value {
    socket.paint_as(1, 1, "#000003", number);
    socket.answer_to(number)
}

#[test]
fn a_master_that_is_away_takes_its_own_canvases_with_it_and_no_other() {
    let mut scene = Scene::start();
    let (there, away) = (scene.there.clone(), "the store does not answer");
    for id in [HERE, &there] {
        assert_eq!((scene.put(id, "#000001").status, scene.chunk(id).status), (200, 200));
    }
    let (mut here_socket, mut there_socket) = (scene.socket(HERE), scene.socket(&there));
    assert_eq!(painted(&mut here_socket, 1)["type"], "accepted");
    let master = scene.split.redis.master_of(&format!("pp:{{{HERE}}}"));
    // Masters come first, each with its replica three further.
    scene.split.redis.servers[master + 3].kill();
    scene.split.redis.servers[master].freeze();

    let began = Instant::now();
    scene.put(HERE, "#000002").refused(503);
    let worst = began.elapsed();
    eventually("an operator is told", || scene.caution().contains(away));
    eventually("it is served from memory", || scene.chunk(HERE).header("cache-status").contains("ttl=-"));
    let calls = scene.calls();
    let began = Instant::now();
    for number in 0..ASKS {
        let (old, refused) = (scene.chunk(HERE), scene.put(HERE, "#000002"));
        assert_eq!((old.status, old.header("cache-control")), (200, "no-store"), "{old:?}");
        let sentence = refused.refused(503);
        assert!(sentence.contains(away) && sentence.contains("nothing was changed"), "{sentence}");
        assert_eq!(painted(&mut here_socket, 10 + u64::from(number))["type"], "error");
    }
    let all = began.elapsed();
    assert!(all < ALL_ASKED_WITHIN, "{ASKS} each waited for a store that is known to be away: {all:?}");
    assert_eq!(scene.calls(), calls, "nothing is asked of a store that is known to be away");

    let began = Instant::now();
    assert_eq!(scene.put(&there, "#000002").status, 200);
    assert_eq!(painted(&mut there_socket, 2)["type"], "accepted");
    let elsewhere = began.elapsed();
    let exact = scene.chunk(&there);
    assert_eq!((exact.status, exact.header("cache-status")), (200, ""), "{exact:?}");
    assert_eq!(get(scene.split.gateways[0].ops(), "/readyz").status, 200);
    println!(
        "one master of three frozen: refused there within {worst:?} at the worst moment, {ASKS} times each read and two \
         refused in {all:?}; two accepted elsewhere in {elsewhere:?}"
    );
    assert!(!long() || worst < ANSWERED_WITHIN, "{worst:?}");

    scene.split.redis.servers[master].thaw();
    eventually("placing works again", || scene.put(HERE, "#000004").status == 200);
    eventually("nothing is wrong any more", || !scene.caution().contains(away));
    let fresh = scene.chunk(HERE);
    assert_eq!((fresh.status, fresh.header("cache-status")), (200, ""), "{fresh:?}");
    eventually("the socket paints again", || painted(&mut here_socket, 3)["type"] == "accepted");
}
