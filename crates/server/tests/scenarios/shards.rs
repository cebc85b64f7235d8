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

    /// Makes a canvas on this master.
    fn canvas_on(&self, master: usize) -> String {
        let ids = (0..).map(|number| format!("on{master}-{number}"));
        let mut ids = ids.filter(|id| self.split.redis.master_of(&format!("pp:{{{id}}}")) == master);
        let id = ids.next().expect("three masters share them");
        self.split.make_canvas(&json!({"id": id, "width": 50, "height": 50}));
        id
    }

    fn put(&self, id: &str, color: &str) -> Answer {
        let body = json!({"pixels": [{"x": 0, "y": 0, "color": color}]});
        Request::new("PUT", &format!("/api/canvases/{id}/pixels")).json(&body).send(self.api().api())
    }

    fn list(&self) -> Answer {
        get(self.api().api(), "/api/canvases")
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

/// The canvases of a list.
fn ids(list: &Answer) -> Vec<String> {
    assert_eq!(list.status, 200, "{list:?}");
    let canvases = list.json()["canvases"].as_array().expect("a list").clone();
    canvases.iter().map(|canvas| canvas["id"].as_str().expect("an id").to_owned()).collect()
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
    assert_eq!(
        (ids(&scene.list()), scene.list().header("cache-status")),
        (vec![there.clone(), HERE.into()], "")
    );
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
    let began = Instant::now();
    for _ in 0..ASKS {
        let list = scene.list();
        assert_eq!(ids(&list), [&there, HERE], "{list:?}");
        assert!(list.header("cache-status").contains("ttl=-"), "{list:?}");
    }
    let listed = began.elapsed();
    assert!(
        listed < ALL_ASKED_WITHIN,
        "{ASKS} lists waited for a master that is known to be away: {listed:?}"
    );
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

/// The keys that everybody needs lie on masters of their own: whichever is away, what lies elsewhere is served.
#[test]
fn who_starts_while_a_master_is_away_serves_what_lies_elsewhere() {
    let mut scene = Scene::start();
    // Nobody takes a master's place.
    scene.split.redis.servers[3..].iter_mut().for_each(|replica| replica.kill());
    let away = "the store does not answer";
    let [of_key, of_main] = ["pp:identity-key", "pp:{main}"].map(|key| scene.split.redis.master_of(key));
    let canvases: Vec<String> = (0..3).map(|master| scene.canvas_on(master)).collect();
    for victim in 0..3 {
        scene.split.redis.servers[victim].freeze();
        eventually("it is missed", || scene.caution().contains(away));
        let url = scene.split.redis.address().to_string();
        let api = Server::with(&["--target", "api", "--store", &url, "--rate-limit", "off"]);
        let api_url = format!("http://{}", api.api());
        let gateway = Server::with(&["--target", "gateway", "--store", &url, "--api-url", &api_url]);
        let put = |id: &str| {
            let body = json!({"pixels": [{"x": 0, "y": victim, "color": "#000001"}]});
            Request::new("PUT", &format!("/api/canvases/{id}/pixels")).json(&body).send(api.api())
        };
        if victim == of_key {
            for server in [&api, &gateway] {
                eventually("it says what is missing", || {
                    let ready = get(server.ops(), "/readyz");
                    ready.status == 503 && ready.text().contains("the identity key cannot be had")
                });
            }
            let sentence = put(&canvases[(victim + 1) % 3]).refused(503);
            assert!(sentence.contains(away), "{sentence}");
        } else {
            for server in [&api, &gateway] {
                eventually("it is ready", || get(server.ops(), "/readyz").status == 200);
            }
            // This api never read what is on the master that is away, nor which there are where that is there.
            let list = get(api.api(), "/api/canvases");
            assert!(list.header("cache-status").contains("ttl=-"), "{list:?}");
            let told = ids(&list);
            assert!(told.iter().all(|id| !id.starts_with(&format!("on{victim}"))), "{told:?}");
            assert_eq!(told.contains(&HERE.to_owned()), victim != of_main, "{told:?}");
            for (master, id) in canvases.iter().enumerate() {
                let chunk = get(api.api(), &format!("/api/canvases/{id}/chunks/0/0"));
                let (placed, opening) = (put(id), Opening::at(&format!("/?canvas={id}")));
                if master == victim {
                    chunk.refused(503);
                    let sentence = placed.refused(503);
                    assert!(sentence.contains(away), "{sentence}");
                } else {
                    assert_eq!((chunk.status, placed.status), (200, 200), "{id}");
                    let mut socket = Json::open_at(gateway.gateway(), &opening).expect("it takes clients");
                    assert_eq!(painted(&mut socket, 1)["type"], "accepted");
                }
            }
        }
        scene.split.redis.servers[victim].thaw();
        eventually("what was away is painted on again", || put(&canvases[victim]).status == 200);
        for server in [&api, &gateway] {
            eventually("it is ready", || get(server.ops(), "/readyz").status == 200);
        }
        eventually("nothing is wrong any more", || !scene.caution().contains(away));
    }
}
