//! Backups by the executable: of a running server, over Redis, by schedule, and what goes wrong.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::http::Request;
use crate::support::redis::Redis;
use crate::support::{Server, eventually, get};

const USAGE: i32 = 64;
const DATA: i32 = 65;
const UNAVAILABLE: i32 = 69;
const CANNOT_CREATE: i32 = 73;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[track_caller]
fn run(arguments: &[&str], code: i32) -> String {
    let output = Server::bare_command().args(arguments).output().expect("it ran");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn store(folder: &Path) -> String {
    format!("embedded:{}", folder.display())
}

/// Paints on the default canvas, and is acknowledged.
fn paint(api: SocketAddr, x: u32, y: u32, color: &str) {
    let pixel = serde_json::json!({ "x": x, "y": y, "color": color });
    let answer = Request::new("PUT", "/api/pixel").json(&pixel).send(api);
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Painting by another thread until it is dropped.
struct Painting(std::sync::mpsc::Sender<()>, Option<std::thread::JoinHandle<()>>);

impl Painting {
    fn start(server: &Server) -> Self {
        let api = server.api();
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for round in 0_u32.. {
                if stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Empty) {
                    return;
                }
                let (x, y) = (round % 50, round / 50 % 50);
                paint(api, x, y, &format!("#{:06X}", round & 0xFF_FFFF));
            }
        });
        Self(stop, Some(thread))
    }
}

impl Drop for Painting {
    fn drop(&mut self) {
        // It ends when there is nobody to tell it to go on.
        let _ = self.0.send(());
        let _ = self.1.take().map(std::thread::JoinHandle::join);
    }
}

fn sequence(server: &Server) -> u64 {
    server.canvas()["sequence"].as_u64().expect("a number")
}

#[test]
fn a_running_server_is_backed_up_while_people_paint_and_put_back_elsewhere() {
    let server = Server::start();
    let painting = Painting::start(&server);
    eventually("people paint", || sequence(&server) > 100);
    let before = sequence(&server);
    let file = server.folder().join("party.backup");
    let (ops, from) = (server.ops().to_string(), store(&server.data()));
    run(&["backup", text(&file), "--store", &from, "--ops-listen", &ops], 0);
    drop(painting);

    let mut other = Server::stopped(&["--rate-limit", "off"]);
    let to = store(&other.data());
    run(&["restore", text(&file), "main", "main", "--store", &to], 0);
    other.run();
    let restored = other.canvas();
    let at = restored["sequence"].as_u64().expect("a number");
    assert!((before..=sequence(&server)).contains(&at), "{before} {at}");
    assert_ne!(restored["epoch"], server.canvas()["epoch"]);
    // What the first painter painted, in order, up to there.
    for n in at.saturating_sub(500)..at {
        let pixel = format!("{},{}", n % 50, n / 50 % 50);
        assert_eq!(restored["pixels"][pixel.as_str()], format!("#{n:06X}"), "{pixel}");
    }
    paint(other.api(), 0, 0, "#123456");
    assert_eq!(sequence(&other), at + 1);

    // A folder that is in use cannot be restored to; one that was painted on only when told.
    let refused = run(&["restore", text(&file), "--store", &to], UNAVAILABLE);
    assert!(refused.contains("in use"), "{refused}");
    other.kill();
    let refused = run(&["restore", text(&file), "--store", &to], CANNOT_CREATE);
    assert!(refused.contains("--replace") && refused.contains("main"), "{refused}");
    run(&["restore", text(&file), "main", "--replace", "--store", &to], 0);
    other.run();
    assert_eq!(sequence(&other), at);
}

#[test]
fn a_redis_is_backed_up_and_put_back_under_running_services() {
    let redis = Redis::start();
    let url = format!("redis://{}/0", redis.address());
    let server = Server::with(&["--rate-limit", "off", "--store", &url]);
    paint(server.api(), 7, 8, "#0A0B0C");
    let file = server.folder().join("party.backup");
    run(&["backup", text(&file), "--store", &url], 0);
    paint(server.api(), 7, 8, "#FFFFFF");
    run(&["restore", text(&file), "--store", &url], CANNOT_CREATE);
    run(&["restore", text(&file), "--replace", "--store", &url], 0);
    eventually("the pixel is back", || get(server.api(), "/api/pixel/7/8").json()["color"] == "#0A0B0C");
    paint(server.api(), 9, 9, "#111111");
    assert_eq!(sequence(&server), 2);
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_said() {
    let server = Server::start();
    let (ops, from) = (server.ops().to_string(), store(&server.data()));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.backup");
    let nowhere = folder.path().join("nowhere");
    assert!(run(&["backup"], USAGE).contains("backup FILE"));
    assert!(run(&["restore"], USAGE).contains("restore FILE"));
    assert!(run(&["backup", "a", "b"], USAGE).contains("one file"));
    assert!(run(&["backup", "--replace", "a"], USAGE).contains("--replace"));
    assert!(run(&["backup", text(&file), "--store", &store(&nowhere)], USAGE).contains("no store"));
    assert!(!nowhere.exists(), "looking for it does not make it");
    let other_port = ["backup", text(&file), "--store", &from, "--ops-listen", "127.0.0.1:1"];
    assert!(run(&other_port, UNAVAILABLE).contains("--ops-listen"));
    let token = folder.path().join("token");
    fs::write(&token, "another").expect("a file");
    let asked = ["backup", text(&file), "--store", &from, "--ops-listen", &ops];
    let refused = run(&[&asked[..], &["--admin-token-file", text(&token)]].concat(), UNAVAILABLE);
    assert!(refused.contains("not the host's token"), "{refused}");
    let away = run(&["backup", text(&file), "--store", "redis://127.0.0.1:1/0"], UNAVAILABLE);
    assert!(away.contains("away"), "{away}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left but the token");

    run(&asked, 0);
    assert!(run(&asked, CANNOT_CREATE).contains("is there already"));
    let to = store(&nowhere);
    assert!(run(&["restore", text(&file), "party", "--store", &to], DATA).contains("no canvas party"));
    let whole = fs::read(&file).expect("the backup");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&file, damaged).expect("a file");
    let refused = run(&["restore", text(&file), "--store", &to], DATA);
    assert!(refused.contains("damaged") && refused.contains("at byte"), "{refused}");
    fs::write(&file, &whole[..whole.len() - 1]).expect("a file");
    assert!(run(&["restore", text(&file), "--store", &to], DATA).contains("in the middle"));
    assert!(!nowhere.exists(), "it was not begun");
}

#[test]
fn backups_are_made_by_schedule_and_the_oldest_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let backups = folder.path().join("backups");
    let schedule =
        ["--backup-folder", text(&backups), "--backup-interval-seconds", "1", "--backups-kept", "2"];
    let server = Server::with(&[&["--rate-limit", "off"][..], &schedule].concat());
    paint(server.api(), 3, 4, "#ABCDEF");
    eventually("several were made", || server.metric("pixel_backup_made_total") >= 4);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&backups).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| text(file).ends_with(".backup"));
    files.sort();
    assert!((2..=3).contains(&files.len()), "{files:?}");
    drop(server);
    let other = Server::stopped(&[]);
    let newest = files.last().expect("one at least");
    let listed = run(&["restore", text(newest), "--store", &store(&other.data())], 0);
    assert!(listed.contains("main"), "{listed}");
}

fn start(arguments: &[&str]) -> Child {
    let mut command: Command = Server::bare_command();
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_that_looks_whole() {
    let kills = if crate::support::long() { 100 } else { 12 };
    let server = Server::start();
    server.make_canvas(&serde_json::json!({ "id": "large", "width": 2_000, "height": 2_000 }));
    let pixels: Vec<_> = (0..64)
        .map(|n| serde_json::json!({ "x": n % 8 * 250, "y": n / 8 * 250, "color": "#0000AA" }))
        .collect();
    let painted =
        Request::new("PUT", "/api/canvases/large/pixels").json(&serde_json::json!({ "pixels": pixels }));
    assert_eq!(painted.send(server.api()).status, 200);
    let (ops, from) = (server.ops().to_string(), store(&server.data()));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.backup");
    let back_up = ["backup", text(&file), "--store", &from, "--ops-listen", &ops];
    run(&back_up, 0);
    let good = folder.path().join("good.backup");
    fs::rename(&file, &good).expect("a file");
    let (mut made, mut restored) = (0, 0);
    for kill in 0..kills {
        let moment = std::time::Duration::from_millis(kill * 7 % 90);
        let mut child = start(&back_up);
        std::thread::sleep(moment);
        child.kill().expect("a child can be killed");
        child.wait().expect("it is gone");
        if file.exists() {
            made += 1;
            let check = folder.path().join(format!("check-{kill}"));
            run(&["restore", text(&file), "--store", &store(&check)], 0);
            fs::remove_file(&file).expect("a file");
        }

        let mut other = Server::stopped(&[]);
        let to = store(&other.data());
        let mut child = start(&["restore", text(&good), "large", "--store", &to]);
        std::thread::sleep(moment);
        child.kill().expect("a child can be killed");
        child.wait().expect("it is gone");
        other.run();
        let answer = get(other.api(), "/api/canvases/large");
        if answer.status == 200 {
            restored += 1;
            assert_eq!(answer.json()["sequence"], 64, "it is whole: {answer:?}");
            let image = |server: &Server| get(server.api(), "/api/canvases/large.png").body;
            assert!(image(&other) == image(&server), "every pixel is there");
        } else {
            assert_eq!(answer.status, 404, "{answer:?}");
        }
        other.ask_to_stop();
        assert!(other.wait().success());
        run(&["restore", text(&good), "large", "--replace", "--store", &to], 0);
    }
    println!(
        "{kills} kills each: {made} backups and {restored} restored canvases were whole, the others not there"
    );
}
