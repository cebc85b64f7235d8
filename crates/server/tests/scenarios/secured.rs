//! Three services over a Redis with TLS and users of least privilege, given by files as an operator would.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::stores::authority::Authority;
use crate::support::stores::server::{FREE_PORT, Server as Redis};
use crate::support::{Request, eventually, get};

const PASSWORD: &str = "p@ss:word/with%signs";

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
    for server in split.apis.iter().chain(&split.gateways) {
        assert!(!server.log().contains(PASSWORD), "no log tells the password");
    }
}
