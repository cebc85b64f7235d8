//! The Autobahn cases against an echo over this crate's codec: every rule of RFC 6455 but compression.
//!
//! `cargo xtask test --only wall` installs what drives them and says where it is. The cap on messages is raised
//! for the echo, since the cases send up to 16 MiB; that the gateway's own of 4 KiB holds is tried in its scenarios.
#![allow(clippy::disallowed_methods, reason = "these tests are the outside: they have settings")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::thread;

use pixel_protocol::websocket::{Decoder, Message, Opcode, accept_key, close_payload, write_frame};
use serde_json::Value;

/// The largest message of the cases.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// A request's head is shorter.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// What is read at a time.
const READ_BYTES: usize = 64 << 10;
/// Cases 12 and 13 are about compression, which is never negotiated here.
const COMPRESSION: [&str; 2] = ["12.*", "13.*"];
/// Cases that are left.
const CASES: usize = 301;
/// What a case may be found to be. Three ask for nothing, and note what was done.
const GOOD: [&str; 2] = ["OK", "INFORMATIONAL"];

#[test]
fn every_case_that_is_not_about_compression_passes() {
    let folder = std::env::var_os("PIXEL_PLAYGROUND_ATTACKERS");
    let folder = folder.expect("`cargo xtask test --only wall` installs kosoku and runs this");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A case that breaks off is judged by whoever runs it.
            thread::spawn(move || echo(stream));
        }
    });

    let reports = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let mut kosoku = Command::new("python3");
    kosoku.args(["-c", "import sys; from kosoku._cli import main; sys.exit(main())"]);
    kosoku.env("PYTHONPATH", &folder).args(["--parallelism", "4", "--outdir"]).arg(&reports);
    kosoku.args(COMPRESSION.iter().flat_map(|cases| ["--exclude", cases])).arg(&address);
    let said = kosoku.output().expect("python3 runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);

    let index = std::fs::read(reports.join("index.json")).unwrap_or_else(|_| panic!("no report: {said}"));
    let index: Value = serde_json::from_slice(&index).expect("a report is JSON");
    let agents = index.as_object().expect("a report names who was tried");
    let cases: Vec<_> = agents.values().filter_map(Value::as_object).flatten().collect();
    let is_good = |case: &Value, key: &str| case[key].as_str().is_some_and(|found| GOOD.contains(&found));
    let (good, bad): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|(_, case)| is_good(case, "behavior") && is_good(case, "behaviorClose"));
    assert!(bad.is_empty(), "{bad:#?}\n{said}");
    assert_eq!(good.len(), CASES, "{said}");
    println!("{} cases passed", good.len());
}

/// Sends every message back, until the other side closes or breaks the protocol.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut sent = shake_hands(&mut stream)?;
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let mut answers = Vec::new();
        let mut closed = false;
        let decoded = decoder.decode(&sent, &mut |message| {
            match message {
                Message::Text(text) => write_frame(&mut answers, Opcode::Text, text.as_bytes()),
                Message::Binary(bytes) => write_frame(&mut answers, Opcode::Binary, bytes),
                Message::Ping(payload) => write_frame(&mut answers, Opcode::Pong, payload),
                Message::Pong(_) => {}
                Message::Close(code) => {
                    let payload = code.map(|code| close_payload(code, "")).unwrap_or_default();
                    write_frame(&mut answers, Opcode::Close, &payload);
                    closed = true;
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        if let Err(violation) = decoded {
            let payload = close_payload(violation.close_code, violation.sentence);
            write_frame(&mut answers, Opcode::Close, &payload);
            closed = true;
        }
        stream.write_all(&answers)?;
        if closed {
            return say_goodbye(&mut stream, &mut buffer);
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => {
                sent.clear();
                sent.extend_from_slice(&buffer[..count]);
            }
        }
    }
}

/// Answers the handshake; returns what came right behind it.
fn shake_hands(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut received = Vec::new();
    let mut buffer = [0; HEAD_BYTES_MAX];
    let end = loop {
        let count = stream.read(&mut buffer)?;
        received.extend_from_slice(&buffer[..count]);
        match received.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) => break end,
            None if count == 0 || received.len() > HEAD_BYTES_MAX => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            None => {}
        }
    };
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let (_, key) = key.ok_or(io::ErrorKind::InvalidData)?;
    let accept = accept_key(key.trim());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes())?;
    Ok(received.split_off(end + 4))
}

/// Nothing more is written; what still comes is read, so that the close frame is not lost to a reset.
fn say_goodbye(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    while stream.read(buffer)? > 0 {}
    Ok(())
}
