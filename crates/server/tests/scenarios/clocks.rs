//! The machine's clock jumps while the process runs: nobody paints before their time, and nothing is painted twice.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Answer, Request, Server, skip};

/// Of the canvas that is painted on.
const COOLDOWN_S: i64 = 60;
const HOUR_S: i64 = 3_600;

/// Which clock a process reads: libfaketime's, as a file says from one reading to the next.
struct Clock {
    file: PathBuf,
    words: Vec<String>,
}

impl Clock {
    /// `None`, said aloud, where the library is not.
    fn new(folder: &Path) -> Option<Self> {
        let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let mut libraries = folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
        let Some(library) = libraries.find(|library| library.exists()) else {
            skip("clock jumps", "there is no libfaketime");
            return None;
        };
        let file = folder.join("clock");
        let words = [
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            // What measures how long things take does not jump on a real machine either.
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ];
        let clock = Self { file, words: words.into() };
        clock.is_off_by(0);
        Some(clock)
    }

    fn is_off_by(&self, seconds: i64) {
        fs::write(&self.file, format!("{seconds:+}")).expect("a file is written");
    }
}

fn place(server: &Server, token: &str, key: &str, x: u16) -> Answer {
    let body = json!({"pixels": [{"x": x, "y": 0, "color": "#123456"}]});
    let request = Request::new("PUT", "/api/canvases/calm/pixels").json(&body).bearer(token);
    request.header("idempotency-key", key).send(server.api())
}

#[test]
fn a_clock_that_jumps_lets_nobody_paint_early_or_twice() {
    let mut server = Server::stopped(&[]);
    let Some(clock) = Clock::new(server.folder()) else { return };
    server.put_under(&clock.words.iter().map(String::as_str).collect::<Vec<_>>());
    server.run();
    server.make_canvas(&json!({"id": "calm", "width": 50, "height": 50, "cooldown_ms": COOLDOWN_S * 1_000}));
    let token = server.guest();
    let sequence_of = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["sequence"].as_u64().expect("a sequence")
    };
    // A new guest cools down first.
    clock.is_off_by(2 * COOLDOWN_S);
    assert_eq!(sequence_of(&place(&server, &token, "first", 1)), 1);
    assert_eq!(place(&server, &token, "second", 2).status, 429, "it cools down");

    // Put back by an hour, before and after a restart: the store's clock stands, nobody is let in early, and a retry is
    // what it was.
    for restarted in [false, true] {
        clock.is_off_by(2 * COOLDOWN_S - HOUR_S);
        if restarted {
            server.kill();
            server.run();
        }
        let early = place(&server, &token, "second", 2);
        assert_eq!(early.status, 429, "restarted: {restarted}: {early:?}");
        let wait_s: i64 = early.header("retry-after").parse().expect("a number of seconds");
        assert!((1..=COOLDOWN_S).contains(&wait_s), "{wait_s} s");
        assert_eq!(sequence_of(&place(&server, &token, "first", 1)), 1, "restarted: {restarted}");
    }

    // Put right again, and the cooldown over: the record of the first is still there.
    clock.is_off_by(4 * COOLDOWN_S);
    assert_eq!(sequence_of(&place(&server, &token, "first", 1)), 1);
    assert_eq!(sequence_of(&place(&server, &token, "second", 2)), 2);
    assert_eq!(place(&server, &token, "third", 3).status, 429, "it cools down");

    // Put on by an hour: that hour counts as past, for cooldowns as for records.
    clock.is_off_by(4 * COOLDOWN_S + HOUR_S);
    assert_eq!(sequence_of(&place(&server, &token, "third", 3)), 3);
    // And back: what was accepted stands, and what cools down does so until then.
    clock.is_off_by(4 * COOLDOWN_S);
    assert_eq!(sequence_of(&place(&server, &token, "third", 3)), 3);
    assert_eq!(place(&server, &token, "fourth", 4).status, 429, "it cools down");
    println!(
        "the clock of a process put back by an hour, restarted, put right, put on by an hour and back: painted early 0, \
         painted twice 0"
    );
}
