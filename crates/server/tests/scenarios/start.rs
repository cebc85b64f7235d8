//! Starting and failing to: each failure has its exit code and a sentence that helps.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use crate::support::json::Json;
use crate::support::{Server, eventually, get};

/// Exit codes, as docs/operations.md lists them.
const USAGE: i32 = 64;
const DATA: i32 = 65;
const UNAVAILABLE: i32 = 69;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn fails(server: &Server, code: i32) -> String {
    let output = server.run_to_the_end();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

#[test]
fn a_taken_port_names_the_flag_that_changes_it() {
    let running = Server::start();
    for (flag, address) in [
        ("--frontend-listen", running.frontend()),
        ("--api-listen", running.api()),
        ("--gateway-listen", running.gateway()),
        ("--ops-listen", running.ops()),
    ] {
        let address = address.to_string();
        let text = fails(&Server::stopped(&[flag, &address]), UNAVAILABLE);
        assert!(text.contains(flag), "{flag}: {text}");
    }
    Json::open(&running).paint(0, 0, "#000000");
}

#[test]
fn a_bad_configuration_exits_with_64_and_names_the_key() {
    for (flags, key) in [
        (&["--rate-limit", "fast"][..], "--rate-limit"),
        (&["--target", "everything"], "--target"),
        (&["--target", "api"], "--target"),
        (&["--store", "postgres://x"], "--store"),
        (&["--api-listen", "nowhere"], "--api-listen"),
        (&["--trusted-proxies", "10.0.0.0/99"], "--trusted-proxies"),
        (&["--sweep-interval-ms", "soon"], "--sweep-interval-ms"),
        (&["--tls-cert-file", "cert.pem"], "tls-key-file"),
        (&["--frontend-listn", "127.0.0.1:1"], "frontend-listen"),
        (&["--config", "missing.toml"], "--config"),
    ] {
        let text = fails(&Server::stopped(flags), USAGE);
        assert!(text.contains(key), "{flags:?}: {text}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_a_bad_configuration_that_names_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let short = folder.path().join("short");
    fs::write(&short, "\n").expect("a file");
    let redis = ["--store", "redis://127.0.0.1:1/0"];
    for (key, more) in
        [("--identity-key-file", &[][..]), ("--admin-token-file", &[]), ("--store-password-file", &redis)]
    {
        for file in ["/no/such/file", short.to_str().expect("a plain path")] {
            let server = Server::stopped(&[&[key, file], more].concat());
            let listener = TcpListener::bind(server.api()).expect("a free port");
            let text = fails(&server, USAGE);
            assert!(text.contains(key) && text.contains(file), "{text}");
            drop(listener);
        }
    }
    for unused in [
        &["--target", "frontend", "--identity-key-file", "/no/such/file"][..],
        &["--store-password-file", "/no/such/file", "--store-ca-file", "/no/such/file"],
    ] {
        let checked = Server::bare_command().arg("check-config").args(unused).output().expect("it ran");
        assert!(checked.status.success(), "{}", said(&checked));
    }
}

#[test]
fn a_bad_configuration_binds_no_port() {
    let server = Server::stopped(&["--rate-limit", "fast"]);
    let listener = TcpListener::bind(server.api()).expect("a free port");
    // Had it tried the port first, it would have complained about that.
    let text = fails(&server, USAGE);
    assert!(text.contains("--rate-limit") && !text.contains("taken"), "{text}");
    drop(listener);
}

#[test]
fn unknown_keys_name_the_nearest_one_wherever_they_stand() {
    let server = Server::stopped(&["--config", "playground.toml"]);
    fs::write(server.folder().join("playground.toml"), "rate-limti = \"1/s\"\n").expect("a file");
    let text = fails(&server, USAGE);
    assert!(text.contains("rate-limti") && text.contains("rate-limit"), "{text}");

    let output =
        Server::bare_command().env("PIXEL_PLAYGROUND_RATE_LIMITS", "1/s").arg("check-config").output();
    let output = output.expect("it ran");
    assert_eq!(output.status.code(), Some(USAGE));
    assert!(said(&output).contains("PIXEL_PLAYGROUND_RATE_LIMIT"), "{}", said(&output));
}

#[test]
fn check_config_says_that_all_is_well_and_starts_nothing() {
    let output =
        Server::bare_command().args(["check-config", "--rate-limit", "5/s"]).output().expect("it ran");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("rate-limit"), "{}", said(&output));
    let output = Server::bare_command().args(["check-config", "--rate-limit", "x"]).output().expect("it ran");
    assert_eq!(output.status.code(), Some(USAGE));
}

#[test]
fn help_and_version_are_answered() {
    let help = Server::bare_command().arg("--help").output().expect("it ran");
    assert!(help.status.success() && said(&help).contains("--frontend-listen"));
    let version = Server::bare_command().arg("--version").output().expect("it ran");
    assert!(version.status.success() && said(&version).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn healthcheck_tells_a_running_server_from_none() {
    let mut server = Server::start();
    let ops = server.ops().to_string();
    let check =
        || Server::bare_command().args(["healthcheck", "--ops-listen", &ops]).output().expect("it ran");
    assert!(check().status.success());
    server.kill();
    assert_eq!(check().status.code(), Some(1));
}

#[test]
fn the_greeting_tells_where_to_paint_and_where_it_is_kept() {
    let server = Server::start();
    for part in [":3000", &server.data().display().to_string(), "admin-token"] {
        // Health is answered a moment before it is said.
        eventually(part, || server.log().contains(part));
    }
}

#[test]
fn a_data_folder_in_use_is_refused() {
    let running = Server::start();
    let store = format!("embedded:{}", running.data().display());
    let text = fails(&Server::stopped(&["--store", &store]), UNAVAILABLE);
    assert!(text.contains("in use"), "{text}");
    assert_eq!(get(running.api(), "/health").status, 200);
}

#[test]
fn a_data_folder_of_a_newer_version_is_left_alone() {
    let mut server = Server::start();
    server.ask_to_stop();
    assert!(server.wait().success());
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    let open = || redb::Database::open(server.data().join("canvas.redb")).expect("a store");
    {
        let database = open();
        let transaction = database.begin_write().expect("a transaction");
        transaction.open_table(meta).expect("the table").insert("format_version", 99).expect("a row");
        transaction.commit().expect("it is written");
    }
    let text = fails(&server, DATA);
    assert!(text.contains("99") && text.contains("newer"), "{text}");
    let database = open();
    let transaction = redb::ReadableDatabase::begin_read(&database).expect("a transaction");
    let version = transaction.open_table(meta).expect("the table").get("format_version").expect("a row");
    assert_eq!(version.map(|version| version.value()), Some(99), "it was changed");
}

#[test]
fn a_damaged_data_folder_is_refused_and_not_replaced() {
    let mut server = Server::start();
    server.ask_to_stop();
    assert!(server.wait().success());
    let file = server.data().join("canvas.redb");
    let rubbish = b"this is not a store".repeat(1_000);
    fs::write(&file, &rubbish).expect("a file");
    fails(&server, DATA);
    assert!(fs::read(&file).expect("a file") == rubbish, "it was changed");
}

#[test]
fn a_data_folder_whose_making_was_cut_short_is_made_again() {
    let mut server = Server::stopped(&[]);
    fs::create_dir_all(server.data()).expect("a folder");
    fs::write(server.data().join("canvas.redb.new"), b"half a file").expect("a file");
    fs::write(server.data().join("admin-token.new"), b"half").expect("a file");
    server.run();
    let mut client = Json::open(&server);
    client.paint(1, 1, "#000000");
    assert_eq!(client.update()["sequence"], 1);
}

#[test]
fn secrets_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    for entry in fs::read_dir(server.data()).expect("a folder").flatten() {
        let mode = entry.metadata().expect("an entry").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is open to others", entry.path().display());
    }
}
