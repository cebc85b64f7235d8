//! What the chart says, run behind a real Traefik: every deployment is rolled, pods and Redis are killed while people paint.

use serde_json::json;

use crate::support::Request;
use crate::support::cluster::Cluster;
use crate::support::crowd::{Crowd, summary};
use crate::support::json::Json;
use crate::support::long;
use crate::support::socket::Opening;
use crate::support::{eventually, get};

/// Acknowledgements between two events.
const PER_EVENT: usize = 60;
const DEPLOYMENTS: [&str; 3] = ["frontend", "canvas-api", "websocket-gateway"];

#[test]
fn what_the_chart_says_is_rolled_and_killed_and_nothing_acknowledged_is_lost() {
    let rounds = if long() { 20 } else { 1 };
    let mut cluster = Cluster::start();
    let crowd = Crowd::behind(cluster.door, &cluster.host_token());
    let (acknowledged, views) = crowd.paint_while(|crowd| {
        crowd.wait_for(PER_EVENT);
        for round in 0..rounds {
            for name in DEPLOYMENTS {
                cluster.roll(name);
                crowd.wait_for(PER_EVENT);
                cluster.kill(name, round % 2);
                crowd.wait_for(PER_EVENT);
            }
            cluster.kill_redis();
            crowd.wait_for(PER_EVENT);
        }
    });
    let gap = views.iter().map(|view| view.longest_gap).max().expect("somebody viewed");
    println!(
        "{rounds} rollouts of each deployment behind Traefik, {rounds} kills of a pod of each and of Redis: \
         {acknowledged} acknowledged, 0 lost, 0 updates missed after a resume, longest gap that a viewer saw {gap:.1?}, \
         Redis holds {} MiB; {}",
        cluster.redis_memory_bytes() >> 20,
        summary(&views)
    );
    assert_eq!(cluster.restarts_by_liveness(), 0, "a kubelet killed what was alive");
    assert_eq!(cluster.helm_test(), ["services", "viewers"]);
}

#[test]
fn the_charts_own_redis_speaks_tls_alone_and_is_painted_through() {
    let mut cluster = Cluster::with_tls_to_redis();
    let mut viewer = Json::open_at(cluster.door, &Opening::at("/ws")).expect("a gateway takes viewers");
    let pixel = json!({"x": 1, "y": 2, "color": "#102030"});
    let painted = Request::new("PUT", "/api/pixel").json(&pixel).send(cluster.door);
    assert_eq!(painted.status, 200, "{painted:?}");
    assert_eq!(viewer.update()["color"], "#102030");
    assert_eq!(cluster.redis_says_in_plain_text("PING"), "", "it speaks TLS alone");

    cluster.kill_redis();
    let shown = || get(cluster.door, "/api/pixel/1/2");
    eventually("the pixel is there again", || shown().status == 200);
    assert_eq!(shown().json()["color"], "#102030");
    assert_eq!(cluster.restarts_by_liveness(), 0, "a kubelet killed what was alive");
}
