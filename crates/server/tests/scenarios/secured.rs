//! Three services over a Redis with TLS and users of least privilege, given by files as an operator would.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::stores::authority::Authority;
use crate::support::stores::fleet::{Cluster, Sentinels};
use crate::support::stores::guard::{Guard, PASSWORD};
use crate::support::stores::server::{FREE_PORT, Server as Redis};
use crate::support::{Request, eventually, get};

/// Long before and long after any test.
const EXPIRED: i32 = 2021;
const VALID: i32 = 2100;

/// Has the server use the certificate that lies there now.
fn reload(redis: &Redis, folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("tls-cert-file").arg(path("cert")).arg("tls-key-file").arg(path("key"));
    set.exec(&mut redis.connection()).expect("it takes them");
    // New connections only: the open ones have to go.
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(&mut redis.connection()).ok();
}

#[test]
fn users_passwords_and_certificates_are_given_by_files_and_an_expired_one_is_said() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let path = |name: &str| folder.path().join(name).display().to_string();
    authority.sign(folder.path(), VALID);
    fs::write(path("password"), format!("{PASSWORD}\n")).expect("a file is written");
    let redis = Redis::start(&[
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--tls-port",
        FREE_PORT,
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &path("cert"),
        "--tls-key-file",
        &path("key"),
        "--tls-ca-cert-file",
        &path("ca"),
    ]);
    for user in ["pixel-api", "pixel-gateway"] {
        redis.make_user(user, PASSWORD);
    }
    let url = |user: &str| format!("rediss://{user}@127.0.0.1:{}/0", redis.second_port());
    let (api, gateway, password, ca) = (url("pixel-api"), url("pixel-gateway"), path("password"), path("ca"));
    let files = ["--store-password-file", &password, "--store-ca-file", &ca];
    let api = [&["--store", &api, "--durability", "fsync", "--rate-limit", "off"][..], &files].concat();
    let gateway = [&["--store", &gateway][..], &files].concat();
    let split = Split::on(redis, (1, &api), (1, &gateway));
    let mut client = Json::open_at(split.gateways[0].gateway(), &Opening::at("/")).expect("it takes clients");
    client.paint_as(1, 2, "#102030", 1);
    assert_eq!(client.update()["sequence"], 1);
    assert_eq!(client.hear()["type"], "accepted");

    authority.sign(folder.path(), EXPIRED);
    reload(&split.redis, folder.path());
    let ops = split.apis[0].ops();
    eventually("the api says that the certificate expired", || {
        let ready = get(ops, "/readyz");
        ready.json()["reason"].as_str().is_some_and(|reason| reason.contains("expired"))
    });
    let body = json!({"x": 1, "y": 0, "color": "#000002"});
    let refused = Request::new("PUT", "/api/pixel").json(&body).send(split.apis[0].api());
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(!refused.text().contains(PASSWORD));

    authority.sign(folder.path(), VALID);
    reload(&split.redis, folder.path());
    eventually("placing works again without a restart", || {
        Request::new("PUT", "/api/pixel").json(&body).send(split.apis[0].api()).status == 200
    });
    assert_no_log_tells_the_password(&split);
}

fn assert_no_log_tells_the_password<R>(split: &Split<R>) {
    for server in split.apis.iter().chain(&split.gateways) {
        assert!(!server.log().contains(PASSWORD), "no log tells the password");
    }
}

/// The key of the canvas that everybody paints on, which says who holds it.
const CANVAS_KEY: &str = "pp:{main}";

#[test]
fn the_handbooks_users_paint_on_over_tls_when_sentinels_promote_another() {
    let guard = Arc::new(Guard::new());
    let fleet = Sentinels::guarded(&guard);
    let url = fleet.address("").to_string();
    work_through_a_failover(fleet, &url, &guard, |fleet| fleet.fail_over(None));
}

#[test]
fn the_handbooks_users_paint_on_over_tls_when_a_cluster_promotes_another() {
    let guard = Arc::new(Guard::new());
    let cluster = Cluster::guarded(&guard);
    let url = cluster.address().to_string();
    work_through_a_failover(cluster, &url, &guard, |cluster| {
        let master = cluster.master_of(CANVAS_KEY);
        cluster.fail_over(CANVAS_KEY, master, true);
    });
}

/// Services that have a user of the handbook each and meet servers that speak TLS alone: they place, read and tell each
/// other of people, before and after another server is promoted.
fn work_through_a_failover<R>(fleet: R, url: &str, guard: &Guard, fail_over: impl FnOnce(&mut R)) {
    let folder = tempfile::tempdir().expect("a folder");
    let password = folder.path().join("password");
    fs::write(&password, format!("{PASSWORD}\n")).expect("a file is written");
    let of = |user: &str| url.replace("://", &format!("://{user}@"));
    let (api, gateway) = (of("pixel-api"), of("pixel-gateway"));
    let (password, ca) = (password.display().to_string(), guard.ca().display().to_string());
    let files = ["--store-password-file", &password, "--store-ca-file", &ca];
    let api =
        [&["--store", &api, "--durability", "replicated:1", "--rate-limit", "off"][..], &files].concat();
    let gateway = [&["--store", &gateway][..], &files].concat();
    let mut split = Split::on(fleet, (1, &api), (2, &gateway));
    split.wait_until_ready();
    let open = |split: &Split<R>, number: usize| {
        Json::open_at(split.gateways[number].gateway(), &Opening::at("/")).expect("it takes clients")
    };
    let (mut here, mut there) = (open(&split, 0), open(&split, 1));
    while here.hear_any("stats")["activeUsers"] != 2 {}
    here.paint_as(1, 2, "#102030", 1);
    assert_eq!(here.hear_any("accepted")["sequence"], 1);
    assert_eq!(there.update()["color"], "#102030");
    let shown = |split: &Split<R>, path: &str| get(split.apis[0].api(), path).json()["color"].clone();
    assert_eq!(shown(&split, "/api/pixel/1/2"), "#102030");
    for gateway in &split.gateways {
        let complaints = gateway.said(&["warn", "error"]);
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    fail_over(&mut split.redis);
    split.wait_until_ready();
    let mut sequence = None;
    eventually("placing works again without a restart", || {
        here.paint_as(3, 4, "#405060", 2);
        sequence = here.answer_to(2)["sequence"].as_u64();
        sequence.is_some()
    });
    loop {
        let told = there.hear();
        let loads_afresh = told["type"] == "resync" && told["sequence"].as_u64() >= sequence;
        if told["color"] == "#405060" || loads_afresh {
            break;
        }
    }
    assert_eq!(
        (shown(&split, "/api/pixel/1/2"), shown(&split, "/api/pixel/3/4")),
        ("#102030".into(), "#405060".into())
    );
    // Whoever leaves and comes at another gateway is heard of, over the servers that there are now.
    drop(there);
    while here.hear_any("stats")["activeUsers"] != 1 {}
    let _again = open(&split, 1);
    while here.hear_any("stats")["activeUsers"] != 2 {}
    assert_no_log_tells_the_password(&split);
}
