//! First loads: clients that each ask for the same thing over a connection of their own.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::clock::now_ns;
use crate::crowd::connect;

/// Clients that are under way at a time: what a listening socket's queue holds.
const UNDER_WAY_MAX: usize = 1_000;
/// How long all of them may take.
const PATIENCE_NS: u64 = 120_000_000_000;
/// What one read takes at most.
const READ_BYTES_MAX: usize = 1 << 20;

/// What a stampede got.
pub(crate) struct Loaded {
    pub(crate) seconds: f64,
    /// Bytes of one answer's body.
    pub(crate) body_bytes: usize,
}

struct Client {
    stream: TcpStream,
    asked: bool,
    answer: Vec<u8>,
}

/// So many clients load a path; every answer has to be the same as the first, whose body is given back.
pub(crate) fn load(address: SocketAddr, path: &str, clients: usize) -> Result<Loaded> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: zstd\r\nConnection: close\r\n\r\n"
    );
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1_024);
    let mut buffer = vec![0; READ_BYTES_MAX];
    let mut under_way: Vec<Option<Client>> = Vec::with_capacity(clients);
    let (mut done, mut first) = (0, None);
    let start = now_ns();
    while done < clients {
        while under_way.len() < clients && under_way.len() - done < UNDER_WAY_MAX {
            let mut stream = connect(address, under_way.len(), false)?;
            let token = Token(under_way.len());
            poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            under_way.push(Some(Client { stream, asked: false, answer: Vec::new() }));
        }
        ensure!(now_ns() - start < PATIENCE_NS, "{done} of {clients} clients were answered in time");
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let place = event.token().0;
            let Some(client) = &mut under_way[place] else { continue };
            if event.is_writable() && !client.asked {
                client.stream.write_all(request.as_bytes()).context("ask")?;
                client.asked = true;
            }
            if event.is_readable() && client.read(&mut buffer)? {
                let body = body(&client.answer)?;
                ensure!(
                    first.get_or_insert_with(|| body.to_vec()) == body,
                    "two clients got different answers"
                );
                under_way[place] = None;
                done += 1;
            }
        }
    }
    let seconds = (now_ns() - start) as f64 / 1e9;
    Ok(Loaded { seconds, body_bytes: first.map_or(0, |body| body.len()) })
}

impl Client {
    /// Reads all that is there; whether the server has closed, after which nothing comes.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(true),
                Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("read an answer"),
            }
        }
    }
}

/// The body of an answer that is whole and has 200.
fn body(answer: &[u8]) -> Result<&[u8]> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("an answer without a head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    ensure!(head.starts_with("http/1.1 200 "), "{head}");
    let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) else {
        bail!("no length in {head}")
    };
    let body = &answer[end + 4..];
    ensure!(length.trim().parse() == Ok(body.len()), "an answer that is not whole");
    Ok(body)
}
