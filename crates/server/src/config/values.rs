//! Reads single values: each parser answers with the value, or with what is wrong and what is allowed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use axum::http::Uri;
use pixel_canvas::Rate;
use pixel_store::redis::{Address, Durability};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::{StoreAt, Targets, Url};
use crate::address::Network;
use crate::origin::{FrameAncestors, Origin};
use crate::telemetry::LogFormat;

/// The most placements a second that a limit can express.
const RATE_PER_SECOND_MAX: u64 = 1_000_000;

pub(super) fn listen(raw: &str) -> Result<SocketAddr, String> {
    raw.parse().map_err(|_| {
        format!("{raw:?} is not an address with a port: write 127.0.0.1:3000, 0.0.0.0:3000 or [::1]:3000")
    })
}

pub(super) fn targets(raw: &str) -> Result<Targets, String> {
    let mut targets = Targets::default();
    for name in raw.split(',').map(str::trim) {
        match name {
            "all" => targets = Targets::ALL,
            "frontend" => targets.frontend = true,
            "api" => targets.api = true,
            "gateway" => targets.gateway = true,
            _ => return Err(format!("{name:?} is no service: write all, or some of frontend,api,gateway")),
        }
    }
    Ok(targets)
}

pub(super) fn store(raw: &str) -> Result<StoreAt, String> {
    match raw.strip_prefix("embedded:") {
        Some("") => Err("embedded: needs a folder: write embedded:./data".into()),
        Some(folder) => Ok(StoreAt::Folder(PathBuf::from(folder))),
        // What is wrong is said without the value: it may hold a password.
        None => Address::parse(raw).map(StoreAt::Redis).map_err(|wrong| wrong.to_string()),
    }
}

pub(super) fn durability(raw: &str, store: &StoreAt) -> Result<Durability, String> {
    let replicas = raw.strip_prefix("replicated:").and_then(|count| count.parse::<u8>().ok());
    match (raw, replicas.filter(|count| *count > 0), store) {
        ("as-configured", ..) => Ok(Durability::AsConfigured),
        ("fsync", ..) => Ok(Durability::Fsync),
        (_, Some(_), StoreAt::Folder(_)) => {
            Err("replicated needs a Redis with replicas; a folder has one disk: write as-configured or fsync"
                .into())
        }
        (_, Some(replicas), _) => Ok(Durability::Replicated(replicas.into())),
        _ => {
            Err(format!("{raw:?} is no durability: write as-configured, fsync or replicated:N, N up to 255"))
        }
    }
}

pub(super) fn log_format(raw: &str) -> Result<LogFormat, String> {
    match raw {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{raw:?} is no format of log lines: write auto, text or json")),
    }
}

/// Levels, alone or behind a module. The filter's own reader takes any word for a module, and a slip would silence everything.
pub(super) fn log_filter(raw: &str) -> Result<String, String> {
    let wrong = |part: &str| {
        format!(
            "{part:?} is no level and no module=level: write error, warn, info, debug, or info,pixel_store=debug"
        )
    };
    for part in raw.split(',') {
        let (module, level) = part.trim().split_once('=').unwrap_or(("any", part.trim()));
        let is_module =
            !module.is_empty() && module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if !is_module || LevelFilter::from_str(level).is_err() || level.is_empty() {
            return Err(wrong(part));
        }
    }
    EnvFilter::try_new(raw).map(|_| raw.to_owned()).map_err(|error| format!("{error}: {}", wrong(raw)))
}

/// `100/s burst 1000`; `None` for `off`.
pub(super) fn rate(raw: &str) -> Result<Option<Rate>, String> {
    if raw.trim() == "off" {
        return Ok(None);
    }
    let wrong = || {
        format!(
            "{raw:?} is no rate: write 100/s burst 1000 (or /m, /h), with 1 to {RATE_PER_SECOND_MAX} a second, or off"
        )
    };
    let words: Vec<&str> = raw.split_whitespace().collect();
    let (rate, burst) = match words[..] {
        [rate] => (rate, None),
        [rate, "burst", burst] => (rate, Some(burst)),
        _ => return Err(wrong()),
    };
    let (count, unit) = rate.split_once('/').ok_or_else(wrong)?;
    let count: u64 = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    let unit_us: u64 = match unit {
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(wrong()),
    };
    let interval_us = unit_us / count;
    let burst = match burst {
        None => count,
        Some(burst) => burst.parse().ok().filter(|burst| *burst > 0).ok_or_else(wrong)?,
    };
    if interval_us == 0 || burst > u64::from(u32::MAX) {
        return Err(wrong());
    }
    Ok(Some(Rate { interval_us, burst }))
}

/// A whole number within bounds.
pub(super) fn number(raw: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = raw.trim().parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{raw:?} is not a whole number from {least} to {most}"))
}

/// The least that the log may reach back: for as long as an edge may serve a chunk (docs/edge.md), and a minute.
const LOG_RETENTION_SECONDS_MIN: u64 = 10 + 60;
/// A hundred years.
const LOG_RETENTION_SECONDS_MAX: u64 = 3_155_760_000;

/// How long the log is kept.
pub(super) fn log_retention_seconds(raw: &str) -> Result<u64, String> {
    number(raw, LOG_RETENTION_SECONDS_MIN, LOG_RETENTION_SECONDS_MAX).map_err(|wrong| {
        format!(
            "{wrong}: an edge may serve a chunk that is 10 s old, and the log has to reach back a minute more"
        )
    })
}

/// A number of bytes, plain or with KiB, MiB, GiB.
pub(super) fn bytes(raw: &str) -> Result<u64, String> {
    let wrong =
        || format!("{raw:?} is no number of bytes: write 1073741824, 512 MiB or 1 GiB, at least 1 MiB");
    let digits_end = raw.find(|c: char| !c.is_ascii_digit()).unwrap_or(raw.len());
    let (number, unit) = raw.split_at(digits_end);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit.trim() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).filter(|bytes| *bytes >= 1 << 20).ok_or_else(wrong)
}

pub(super) fn networks(raw: &str) -> Result<Vec<Network>, String> {
    list(raw).map(str::parse).collect()
}

pub(super) fn origins(raw: &str) -> Result<Vec<Origin>, String> {
    let read = |item: &str| {
        Origin::parse(item).ok_or_else(|| {
            format!(
                "{item:?} is no origin: write https://example.org or http://localhost:8080, without a path"
            )
        })
    };
    list(raw).map(read).collect()
}

/// Who may frame the page: `*`, or origins.
pub(super) fn frame_ancestors(raw: &str) -> Result<FrameAncestors, String> {
    if raw.trim() == "*" {
        return Ok(FrameAncestors::Everybody);
    }
    let origins = origins(raw).map_err(|wrong| format!("{wrong}; or * for every page"))?;
    Ok(FrameAncestors::These(origins))
}

/// A comma list of addresses of services.
pub(super) fn urls(raw: &str) -> Result<Vec<Url>, String> {
    let read = |item: &str| -> Result<Url, String> {
        let uri: Option<Uri> = item.parse().ok();
        let uri = uri.filter(|uri| uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/"));
        let uri = uri.filter(|uri| uri.query().is_none() && !item.contains(['@', '#']));
        let host = uri.as_ref().and_then(Uri::host).filter(|host| !host.is_empty());
        let wrong = || format!("{item:?} is no address of a service: write http://HOST:PORT");
        let host = host.ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        Ok(Url { host, port: uri.and_then(|uri| uri.port_u16()).unwrap_or(80) })
    };
    let urls: Vec<Url> = list(raw).map(read).collect::<Result<_, _>>()?;
    if urls.is_empty() { Err("it names no service: write http://HOST:PORT".into()) } else { Ok(urls) }
}

fn list(raw: &str) -> impl Iterator<Item = &str> {
    raw.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_rubbish_is_not() {
        assert_eq!(rate("100/s burst 1000"), Ok(Some(Rate { interval_us: 10_000, burst: 1_000 })));
        assert_eq!(rate("30/m"), Ok(Some(Rate { interval_us: 2_000_000, burst: 30 })));
        assert_eq!(rate("off"), Ok(None));
        for wrong in
            ["", "0/s", "100", "-1/s", "1/d", "1/s burst", "1/s burst 0", "2000000/s", "1/s bursts 5"]
        {
            assert!(rate(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn bytes_are_read_with_their_units() {
        assert_eq!(bytes("1073741824"), Ok(1 << 30));
        assert_eq!(bytes("1 GiB"), Ok(1 << 30));
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        for wrong in ["", "GiB", "1 GB", "-1", "1", "99999999999 GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn framing_pages_are_read_and_nothing_can_be_smuggled_into_the_policy() {
        assert_eq!(frame_ancestors(" * "), Ok(FrameAncestors::Everybody));
        let policy = |raw| frame_ancestors(raw).map(|read| read.source_list());
        assert_eq!(
            policy("https://A.example, http://b.example:8080,http://[::1]:80").as_deref(),
            Ok("https://a.example http://b.example:8080 http://[::1]")
        );
        for wrong in
            ["example.org", "https://a.example/path", "https://a; script-src *", "https://*", "'self'"]
        {
            assert!(frame_ancestors(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_store_never_repeats_its_password() {
        let error = store("rediss+oops://user:secret@host/0").expect_err("no such scheme");
        assert!(!error.contains("secret"), "{error}");
        let one = "rediss+sentinel://u:p@a:1,b:2/main";
        assert_eq!(store(one), Ok(StoreAt::Redis(Address::parse(one).expect("an address"))));
        assert!(
            store("redis://").is_err()
                && store("redis://u:p@:6379").is_err()
                && store("embedded:").is_err()
                && store("./data").is_err()
        );
    }

    #[test]
    fn addresses_of_services_are_read_and_rubbish_is_not() {
        let url = |host: &str, port| Url { host: host.into(), port };
        assert_eq!(urls("http://a:3001, http://[::1]:3002/"), Ok(vec![url("a", 3001), url("::1", 3002)]));
        assert_eq!(urls("http://canvas-api"), Ok(vec![url("canvas-api", 80)]));
        for wrong in
            ["", ",", "a:3001", "https://a", "http://", "http://a/path", "http://u@a", "http://a?b", "ws://a"]
        {
            assert!(urls(wrong).is_err(), "{wrong:?}");
        }
    }
}
