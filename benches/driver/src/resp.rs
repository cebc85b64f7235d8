//! As much of Redis' protocol as a bare, pipelined client needs.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A command: its words.
pub(crate) type Command = Vec<Vec<u8>>;

/// One connection.
pub(crate) struct Redis {
    stream: BufReader<TcpStream>,
}

impl Redis {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect to Redis")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(1 << 20, stream) })
    }

    /// Sends bytes that [`encode`] made.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes).context("write to Redis")
    }

    /// Reads one answer and hands each of its strings to `each`.
    pub(crate) fn receive(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).context("an empty answer")?;
        match kind {
            "*" => {
                for _ in 0..rest.parse::<usize>()? {
                    self.receive(each)?;
                }
            }
            "$" => {
                let mut text = vec![0; rest.parse::<usize>()? + 2];
                self.stream.read_exact(&mut text)?;
                each(&text[..text.len() - 2]);
            }
            "+" => each(rest.as_bytes()),
            ":" => {}
            _ => bail!("Redis answers {line}"),
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).context("read from Redis")? == 0 {
            bail!("Redis has closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Has the server tell every command that it gets from now on.
    pub(crate) fn monitor(&mut self) -> Result<()> {
        self.send(&encode(&[b"MONITOR".to_vec()]))?;
        self.receive(&mut |_| {})
    }

    /// The commands of this name that it told of, until it is quiet for so long.
    pub(crate) fn monitored(&mut self, name: &str, quiet: Duration) -> Result<Vec<Command>> {
        self.stream.get_mut().set_read_timeout(Some(quiet))?;
        let mut commands = Vec::new();
        let mut line = Vec::new();
        loop {
            match self.stream.read_until(b'\n', &mut line) {
                Ok(0) => return Ok(commands),
                Ok(_) => {
                    let command = words(&line);
                    if command.first().is_some_and(|first| first.eq_ignore_ascii_case(name.as_bytes())) {
                        commands.push(command);
                    }
                    line.clear();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(commands);
                }
                Err(error) => return Err(error).context("read from Redis"),
            }
        }
    }
}

/// A command as it goes over the wire.
pub(crate) fn encode(command: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The words of a line as MONITOR writes it: quoted, with escapes for what is not printable.
fn words(line: &[u8]) -> Command {
    let mut words = Vec::new();
    let mut bytes = line.iter().copied();
    while bytes.any(|byte| byte == b'"') {
        let mut word = Vec::new();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => word.extend(escaped(&mut bytes)),
                _ => word.push(byte),
            }
        }
        words.push(word);
    }
    words
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match bytes.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'x' => {
            let digits = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_monitor_writes_is_read_back() {
        let line =
            b"1700000000.5 [0 127.0.0.1:9] \"EVALSHA\" \"a\\x00\\xff\\n\" \"say \\\"hi\\\" \\\\\" \"\"\r\n";
        assert_eq!(
            words(line),
            [b"EVALSHA".to_vec(), b"a\0\xff\n".to_vec(), b"say \"hi\" \\".to_vec(), Vec::new()]
        );
    }

    #[test]
    fn a_command_is_counted_and_its_words_are_measured() {
        assert_eq!(encode(&[b"GET".to_vec(), b"k\r\n".to_vec()]), b"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n");
    }
}
