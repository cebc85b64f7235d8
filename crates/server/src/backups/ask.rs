//! Asks the process that has the data folder for a backup, over its ops port.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::healthcheck::reachable;

/// How long the process may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes of an answer's head, and of a refusal that is shown.
const HEAD_BYTES_MAX: u64 = 16 << 10;

/// The body of its answer, or its refusal in words.
pub(super) fn ask(ops: SocketAddr, token: Option<&str>) -> io::Result<Result<impl Read + Send, String>> {
    let address = SocketAddr::new(reachable(ops.ip()), ops.port());
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    // In HTTP/1.0 the body ends with the connection; whether it is whole, it says itself.
    write!(stream, "POST /backup HTTP/1.0\r\nHost: {address}\r\n{token}Content-Length: 0\r\n\r\n")?;
    let mut answer = BufReader::new(stream);
    let mut head = (&mut answer).take(HEAD_BYTES_MAX);
    let mut status = String::new();
    head.read_line(&mut status)?;
    let mut line = String::new();
    while head.read_line(&mut line)? > 0 && line.trim_end() != "" {
        line.clear();
    }
    if status.split(' ').nth(1) == Some("200") {
        return Ok(Ok(answer));
    }
    let mut body = String::new();
    answer.take(HEAD_BYTES_MAX).read_to_string(&mut body)?;
    let said = serde_json::from_str::<serde_json::Value>(&body).ok();
    let said = said.and_then(|body| body["error"].as_str().map(str::to_owned));
    Ok(Err(said.unwrap_or_else(|| format!("it answered {}", status.trim_end()))))
}
