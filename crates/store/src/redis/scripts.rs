//! The scripts, run by their hash; the server is given the text when it does not know it.
//!
//! Each version of a script has a hash of its own, so two versions of this program run side by
//! side on one server. A server forgets its scripts when it restarts or fails over. A first line
//! `#!lua` has a server that is full, read-only or cannot save refuse a script that writes before
//! it begins: there is no rollback.

use std::fmt::Write;
use std::sync::LazyLock;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult};
use sha1::{Digest, Sha1};

use super::entry::{ENTRY_VERSION, PAINTED};

/// One script.
pub(crate) struct Script {
    text: String,
    hash: String,
    writes: bool,
}

impl Script {
    fn new(parts: &[&str], writes: bool) -> Self {
        let first_line = if writes { "#!lua\n" } else { "#!lua flags=no-writes\n" };
        let text = as_written_by_this_version(first_line.to_owned() + &parts.concat());
        let mut hash = String::with_capacity(40);
        for byte in Sha1::digest(text.as_bytes()) {
            write!(hash, "{byte:02x}").expect("a string takes whatever is written");
        }
        Self { text, hash, writes }
    }

    /// Runs the script on a canvas' key; on none where it is empty.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        key: &str,
        arguments: &[Vec<u8>],
    ) -> RedisResult<T> {
        // Readers run as such, so that a server that takes no writes still answers them.
        let (by_hash, by_text) = if self.writes { ("EVALSHA", "EVAL") } else { ("EVALSHA_RO", "EVAL_RO") };
        match command(by_hash, &self.hash, key, arguments).query_async(connection).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                command(by_text, &self.text, key, arguments).query_async(connection).await
            }
            answered => answered,
        }
    }
}

/// The next version's scripts write entries that this version does not know; see its feature.
fn as_written_by_this_version(text: String) -> String {
    if !cfg!(feature = "next-version") {
        return text;
    }
    let [version, kind] = [ENTRY_VERSION, PAINTED].map(|number| number.to_string());
    text.replace("local ENTRY_VERSION = 1", &format!("local ENTRY_VERSION = {version}"))
        .replace("local PAINTED = 1", &format!("local PAINTED = {kind}"))
        + "\n-- the next version\n"
}

fn command(name: &str, script: &str, key: &str, arguments: &[Vec<u8>]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script);
    if key.is_empty() {
        command.arg(0);
    } else {
        command.arg(1).arg(key);
    }
    for argument in arguments {
        command.arg(argument.as_slice());
    }
    command
}

macro_rules! script {
    ($name:ident, $writes:expr, $($part:literal),+) => {
        #[doc = concat!("See ", $("`", $part, "` ",)+ ".")]
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(&[$(include_str!($part)),+], $writes));
    };
}

script!(PLACE, true, "common.lua", "log.lua", "write.lua", "history.lua", "place.lua");
script!(CREATE, true, "common.lua", "log.lua", "write.lua", "create.lua");
script!(AMEND, true, "common.lua", "amend.lua");
script!(DELETE, true, "common.lua", "remove.lua", "delete.lua");
script!(REPAINT, true, "common.lua", "repaint.lua");
script!(RESTORE, true, "common.lua", "log.lua", "write.lua", "remove.lua", "restore.lua");
script!(RESET, true, "common.lua", "log.lua", "write.lua", "reset.lua");
script!(IDENTITY, true, "identity.lua");
script!(PROBE, true, "probe.lua");
script!(VIEW, false, "common.lua", "view.lua");
script!(COPY, false, "common.lua", "copy.lua");
script!(PIXEL, false, "common.lua", "pixel.lua");
script!(OVERVIEW, false, "common.lua", "overview.lua");
script!(FOLLOW, false, "common.lua", "follow.lua");
script!(START, false, "common.lua", "log.lua", "start.lua");
