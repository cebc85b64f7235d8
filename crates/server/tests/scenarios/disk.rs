//! Disks that are full, fail, are read-only, or not there: the server says so, and keeps what it promised.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::support::crowd::{Crowd, summary};
use crate::support::disk::Disk;
use crate::support::json::Json;
use crate::support::redis::Redis;
use crate::support::split::Split;
use crate::support::{Answer, Request, Server, eventually, get, long};

/// A disk that holds a canvas, and not much more.
const SMALL_DISK_BYTES: u64 = 16 << 20;
/// Acknowledgements before a disk is in trouble, and after.
const PER_LIFE: usize = 60;

/// Files may grow to 4 MiB (8,192 blocks of 512 bytes); a write beyond that fails, as on a full disk.
const FULL_DISK: &[&str] = &["sh", "-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\""];
/// Root without root's right to ignore permissions.
const WITHOUT_RIGHTS: &[&str] = &["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
/// More requests than a disk of that size can hold.
const REQUESTS_MAX: u64 = 5_000;

fn paint_row(server: &Server, turn: u64) -> Answer {
    let pixels: Vec<_> = (0..1_000)
        .map(|n| json!({"x": n % 50, "y": (n / 50 + turn) % 50, "color": format!("#{:06X}", (turn * 1_000 + n) & 0xff_ffff)}))
        .collect();
    Request::new("PUT", "/api/pixels").json(&json!({"pixels": pixels})).send(server.api())
}

#[test]
fn a_full_disk_stops_acknowledgements_and_loses_none() {
    let mut server = Server::stopped(&["--rate-limit", "off"]);
    server.put_under(FULL_DISK);
    server.run();
    let mut acknowledged = 0;
    let mut refused = None;
    for turn in 0..REQUESTS_MAX {
        let answer = paint_row(&server, turn);
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
        acknowledged = answer.json()["sequence"].as_u64().expect("a sequence");
    }
    let refused = refused.expect("4 MiB hold no 5,000,000 placements");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.json()["error"].is_string() && !refused.header("retry-after").is_empty(), "{refused:?}");

    // It says so, to operators and in its log, and goes on showing what it has.
    eventually("it is read-only, and says why", || {
        let ready = get(server.ops(), "/readyz").json();
        ready["status"] == "read-only" && ready["reason"].is_string()
    });
    assert_eq!(get(server.frontend(), "/health").status, 200);
    let canvas = server.canvas();
    assert!(canvas["sequence"].as_u64() >= Some(acknowledged), "{}", canvas["sequence"]);
    assert!(!server.said(&["error"]).is_empty(), "{}", server.log());
    let mut client = Json::open(&server);
    for _ in 0..20 {
        client.paint(0, 0, "#000000");
        client.error();
    }
    // Clients that try again do not fill the log.
    let errors = server.said(&["error"]).len();
    assert!(errors < 10, "{errors} errors: {}", server.log());

    server.kill();
    server.put_under(&[]);
    server.run();
    let recovered = server.canvas();
    let sequence = recovered["sequence"].as_u64().expect("a sequence");
    println!("full disk: {acknowledged} acknowledged, {} there afterwards", sequence.min(acknowledged));
    assert!(sequence >= acknowledged, "{acknowledged} were acknowledged, {sequence} are there");
    if sequence == acknowledged {
        assert_eq!(recovered["pixels"], canvas["pixels"]);
    }
    assert_eq!(paint_row(&server, 0).status, 200);
}

/// A crowd paints in a data folder on this disk, which is brought into trouble and out of it, again and again; the process
/// says what it is, and goes on after a restart.
fn under_load(
    disk: &Disk,
    trouble: &str,
    rounds: usize,
    begin: impl Fn(&Disk, &Server),
    end: impl Fn(&Disk),
) {
    let store = format!("embedded:{}", disk.path().join("data").display());
    let mut server = Server::on(disk.host(), &["--rate-limit", "off", "--store", &store]);
    let token = fs::read_to_string(disk.outside("data/admin-token")).expect("the host's token was made");
    let crowd = Crowd::behind(server.frontend(), token.trim());
    let mut flooded = 0;
    let (acknowledged, views) = crowd.paint_while(|crowd| {
        for _ in 0..rounds {
            crowd.wait_for(PER_LIFE);
            begin(disk, &server);
            let mut ready = json!(null);
            eventually("it is read-only", || {
                // So that it needs more room than it has.
                let answer = paint_row(&server, flooded);
                if answer.status == 200 {
                    flooded = answer.json()["sequence"].as_u64().expect("a sequence");
                }
                ready = get(server.ops(), "/readyz").json();
                ready["status"] == "read-only"
            });
            assert!(ready["reason"].as_str().is_some_and(|why| why.contains(trouble)), "{ready}");
            assert!(server.said(&["error"]).iter().any(|line| line.contains(trouble)), "{}", server.log());
            paint_row(&server, 0).refused(503);
            server.kill();
            end(disk);
            server.run();
        }
        crowd.wait_for(PER_LIFE);
    });
    let there = server.canvas()["sequence"].as_u64().expect("a sequence");
    assert!(there >= flooded, "{flooded} were acknowledged, {there} are there");
    println!(
        "{rounds} times \"{trouble}\" below a data folder under load: {} acknowledged, lost or doubled 0; {}",
        acknowledged as u64 + flooded,
        summary(&views)
    );
}

#[test]
fn a_disk_that_fills_up_under_load_costs_nothing_acknowledged() {
    let Some(disk) = Disk::tmpfs("a full disk below a data folder", SMALL_DISK_BYTES) else { return };
    under_load(
        &disk,
        "No space left on device",
        if long() { 20 } else { 1 },
        |disk, _| disk.fill(),
        Disk::free,
    );
}

#[test]
fn a_disk_that_fails_under_load_costs_nothing_acknowledged() {
    let Some(disk) = Disk::ext4("a disk that fails below a data folder") else { return };
    // Syncs under way are told what is not true, as `power` says: here there are none.
    let fail = |disk: &Disk, server: &Server| {
        server.freeze_between_calls();
        disk.cut_power();
        server.thaw();
    };
    under_load(&disk, "Input/output error", if long() { 20 } else { 1 }, fail, Disk::power_on);
}

/// Redis ends where it cannot write: what it had not written it had not answered.
#[test]
fn a_disk_that_fills_up_below_redis_costs_nothing_acknowledged() {
    let Some(disk) = Disk::tmpfs("a full disk below Redis", SMALL_DISK_BYTES) else { return };
    let rounds = if long() { 20 } else { 1 };
    let mut split = Split::over(Redis::on(disk.host(), disk.path()), 1, 1, &["--rate-limit", "off"]);
    let (acknowledged, views) = Crowd::on(&split).paint_while(|crowd| {
        for _ in 0..rounds {
            crowd.wait_for(PER_LIFE);
            disk.fill();
            eventually("the api says that the store is away", || {
                let ready = get(split.apis[0].ops(), "/readyz").json();
                ready["reason"].as_str().is_some_and(|why| why.contains("the store is away"))
            });
            split.redis.kill();
            disk.free();
            split.redis.run();
        }
        crowd.wait_for(PER_LIFE);
    });
    println!(
        "{rounds} times a full disk below a Redis that syncs each write: {acknowledged} acknowledged, lost or doubled 0; {}",
        summary(&views)
    );
}

/// Changes the rights of a folder and all that is in it.
fn set_rights(folder: &Path, of_folder: u32, of_files: u32) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        fs::set_permissions(entry.path(), Permissions::from_mode(of_files)).expect("ours");
    }
    fs::set_permissions(folder, Permissions::from_mode(of_folder)).expect("ours");
}

#[test]
fn a_read_only_data_folder_is_refused_with_its_name() {
    let mut server = Server::start();
    let mut client = Json::open(&server);
    client.paint(1, 1, "#00FF00");
    client.update();
    server.ask_to_stop();
    assert!(server.wait().success());

    set_rights(&server.data(), 0o500, 0o400);
    server.put_under(WITHOUT_RIGHTS);
    let output = server.run_to_the_end();
    let said = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    assert!(matches!(output.status.code(), Some(73 | 74)), "{:?}: {said}", output.status);
    assert!(said.contains(&server.data().display().to_string()), "{said}");

    set_rights(&server.data(), 0o700, 0o600);
    server.put_under(&[]);
    server.run();
    assert_eq!(server.canvas()["pixels"]["1,1"], "#00FF00");
}

#[test]
fn a_data_folder_that_cannot_be_made_says_so() {
    // A file where a folder should be, and a file system that takes no folders, not even root's.
    for place in ["/dev/null/data", "/proc/pixels"] {
        let output = Server::stopped(&["--store", &format!("embedded:{place}")]).run_to_the_end();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(73 | 74)), "{:?}: {said}", output.status);
        assert!(said.contains(place), "{said}");
    }
}
