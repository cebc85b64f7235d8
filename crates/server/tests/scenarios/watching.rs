//! The rules and the dashboard over what real processes export, judged by Prometheus' own `promtool`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::stores::authority::Authority;
use crate::support::{Request, Server, eventually, get};

/// How long each state is held, in minutes of promtool's own time: longer than any of the alerts waits that it should raise.
const HELD_MINUTES: usize = 20;

/// The first year of promtool's own time, in which an hour after its beginning is long past this certificate's end.
const EXPIRED: i32 = 1970;

/// Every sample of the scraped processes: the series as Prometheus keeps it, and its value.
type Scrape = BTreeMap<String, String>;

fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/pixel-playground/files").join(path)
}

/// What Prometheus would know after it asked these processes.
fn scrape<'a>(servers: impl Iterator<Item = (&'static str, &'a Server)>) -> Scrape {
    let mut scrape = Scrape::new();
    for (instance, server) in servers {
        let text = get(server.ops(), "/metrics").text();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let own = format!("namespace=\"p\",instance=\"{instance}\"");
            let series = match series.split_once('{') {
                Some((name, labels)) => format!("{name}{{{own},{labels}"),
                None => format!("{series}{{{own}}}"),
            };
            scrape.insert(series, value.to_owned());
        }
    }
    assert!(scrape.len() > 50, "{scrape:?}");
    scrape
}

/// Five minutes of one scrape, then of the other.
fn series(before: &Scrape, then: &Scrape) -> Vec<Value> {
    let names = before.keys().chain(then.keys().filter(|name| !before.contains_key(*name)));
    let held = |scrape: &Scrape, name: &str, minutes: usize| match scrape.get(name) {
        Some(value) => format!("{value}+0x{}", minutes - 1),
        None => format!("_x{minutes}"),
    };
    names
        .map(|name| {
            let values = format!("{} {}", held(before, name, 5), held(then, name, HELD_MINUTES));
            json!({ "series": name, "values": values })
        })
        .collect()
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).output().expect("promtool is installed");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// Has promtool run its unit tests; JSON is YAML too.
fn assert_holds(tests: &[Value]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("test.yaml");
    let whole =
        json!({ "rule_files": [deployed("rules.yaml")], "evaluation_interval": "1m", "tests": tests });
    fs::write(&file, whole.to_string()).expect("a file is written");
    promtool(&["test", "rules", file.to_str().expect("a plain path")]);
}

/// These alerts fire in the end, and no others.
fn raises(state: &str, before: &Scrape, then: &Scrape, alerts: &[&str]) -> Value {
    let samples: Vec<Value> = alerts
        .iter()
        .map(|alert| json!({ "labels": format!("{{alertname=\"PixelPlayground{alert}\"}}"), "value": 1 }))
        .collect();
    json!({
        "name": state,
        "interval": "1m",
        "input_series": series(before, then),
        "promql_expr_test": [{
            "expr": "group by (alertname) (ALERTS{alertstate=\"firing\"})",
            "eval_time": "14m",
            "exp_samples": samples,
        }],
    })
}

fn everybody(split: &Split) -> impl Iterator<Item = (&'static str, &Server)> {
    [("api", &split.apis[0]), ("gateway", &split.gateways[0]), ("frontend", &split.frontend)].into_iter()
}

/// Waits until this server says so in its metrics.
fn wait_for(server: &Server, metric: &str, value: u64) {
    eventually(metric, || server.metric(metric) == value);
}

#[test]
fn alerts_come_for_what_real_processes_export_in_trouble_and_for_nothing_else() {
    let mut split = Split::start(1, 1, &["--rate-limit", "off"]);
    let fresh = scrape(everybody(&split));
    let mut painter = Json::open(&split.gateways[0]);
    for reference in 0..20 {
        painter.paint_as(1, 1, "#102030", reference);
        painter.hear_any("accepted");
    }
    let calm = scrape(everybody(&split));
    let mut tests = vec![raises("calm", &fresh, &calm, &[])];
    // What is left where a Secret is missing: the others do not start.
    let alone = scrape([("frontend", &split.frontend)].into_iter());
    tests.push(raises("frontends alone", &alone, &alone, &["FrontendsAlone"]));

    split.redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    wait_for(&split.apis[0], "pixel_store_writable", 0);
    tests.push(raises("full", &calm, &scrape(everybody(&split)), &["ReadOnly"]));
    split.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_for(&split.apis[0], "pixel_store_writable", 1);

    split.redis.freeze();
    for server in [&split.apis[0], &split.gateways[0]] {
        wait_for(server, "pixel_store_readable", 0);
    }
    tests.push(raises("away", &calm, &scrape(everybody(&split)), &["StoreAway"]));
    split.redis.thaw();
    for server in [&split.apis[0], &split.gateways[0]] {
        wait_for(server, "pixel_store_writable", 1);
    }

    let before = scrape(everybody(&split));
    split.redis.ask(&["FLUSHALL"]);
    wait_for(&split.apis[0], "pixel_store_lost_placements_total", 20);
    let emptied = scrape(everybody(&split));
    tests.push(raises("emptied", &before, &emptied, &["LostPlacements"]));

    split.redis.set_password(Some("nobody knows it"));
    split.redis.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    for server in [&split.apis[0], &split.gateways[0]] {
        wait_for(server, "pixel_store_readable", 0);
    }
    tests.push(raises("locked out", &emptied, &scrape(everybody(&split)), &["StoreAway"]));
    assert_holds(&tests);
}

#[test]
fn a_certificate_that_expired_is_said_in_readiness_metrics_and_an_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    Authority::new("ours").sign(folder.path(), EXPIRED);
    let mut server = Server::stopped(&["--tls-cert-file", &path("cert"), "--tls-key-file", &path("key")]);
    server.spawn();
    eventually("it is ready: another process would have the same certificate", || {
        Request::new("GET", "/readyz").try_send(server.ops()).is_ok_and(|answer| answer.status == 200)
    });
    let ready = get(server.ops(), "/readyz");
    assert!(ready.json()["caution"].as_str().is_some_and(|said| said.contains("has expired")), "{ready:?}");
    let scraped = scrape([("all", &server)].into_iter());
    let held: Vec<Value> = scraped
        .iter()
        .map(|(name, value)| json!({ "series": name, "values": format!("{value}+0x70") }))
        .collect();
    assert_holds(&[json!({
        "name": "expired",
        "interval": "1m",
        "input_series": held,
        "promql_expr_test": [{
            "expr": "group by (alertname) (ALERTS{alertstate=\"firing\"})",
            "eval_time": "65m",
            "exp_samples": [{ "labels": "{alertname=\"PixelPlaygroundCertificate\"}", "value": 1 }],
        }],
    })]);
}

#[test]
fn every_panel_of_the_dashboard_shows_what_real_processes_export() {
    let folder = Server::with(&["--rate-limit", "1/h burst 1"]);
    let split = Split::start(1, 1, &[]);
    let servers = || everybody(&split).chain([("folder", &folder)]);
    // What is counted by reason or answer exists from the first time on.
    let use_it = || {
        for server in [&folder, &split.gateways[0]] {
            let mut painter = Json::open(server);
            painter.paint_as(1, 1, "#102030", 1);
            painter.hear_any("accepted");
        }
        let mut hasty = Json::open(&folder);
        hasty.paint(2, 2, "#102030");
        hasty.paint(2, 2, "#102030");
        hasty.hear_any("error");
        assert!(Json::open_at(folder.gateway(), &Opening::at("/?canvas=none")).is_err());
        for _ in 0..2 {
            get(folder.frontend(), "/api/canvases/main/chunks/0/0");
        }
    };
    use_it();
    let before = scrape(servers());
    use_it();
    let then = scrape(servers());

    let dashboard = fs::read_to_string(deployed("dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut shown = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().expect("targets") {
            let asked = target["expr"].as_str().expect("an expression");
            let asked = asked.replace("$namespace", ".*");
            let asked = asked.replace("$__rate_interval", "5m").replace("$__range", "10m");
            // There is no certificate of our own here.
            if asked.contains("certificate") {
                continue;
            }
            shown.push(json!({
                "expr": format!("count({asked}) > bool 0"),
                "eval_time": "7m",
                "exp_samples": [{ "labels": "{}", "value": 1 }],
            }));
        }
    }
    assert!(shown.len() > 20, "{dashboard}");
    assert_holds(&[json!({
        "name": "every panel", "interval": "1m", "input_series": series(&before, &then), "promql_expr_test": shown,
    })]);
}
