//! What form an answer takes: its encoding, and whether the client has it already.

use axum::http::{HeaderMap, HeaderValue, header};

/// How a body may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    Zstd,
    Brotli,
    Gzip,
    Identity,
}

impl Encoding {
    /// The encoding in `Accept-Encoding` and `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// The one of `offered`, best first, that the client likes best; identity where it likes none.
    pub(crate) fn choose(headers: &HeaderMap, offered: &[Self]) -> Self {
        let mut best = (0, Self::Identity);
        for &encoding in offered {
            let quality = quality(headers, encoding.name());
            if quality > best.0 {
                best = (quality, encoding);
            }
        }
        best.1
    }

    /// The strong `ETag` of content `hash` in this encoding: another encoding is other bytes.
    pub(crate) fn etag(self, hash: &str) -> HeaderValue {
        let tag = match self {
            Self::Identity => format!("\"{hash}\""),
            _ => format!("\"{hash}-{}\"", self.name()),
        };
        HeaderValue::try_from(tag).expect("hashes and names are plain ASCII")
    }
}

/// How much the client likes an encoding, in thousandths; 0 is not at all.
fn quality(headers: &HeaderMap, name: &str) -> u16 {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let mut any = 0;
    for item in lines.flat_map(|line| line.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight =
            parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |raw| raw.parse::<f32>().ok());
        let quality = (weight.unwrap_or(0.0).clamp(0.0, 1.0) * 1_000.0) as u16;
        if coding.eq_ignore_ascii_case(name) {
            return quality;
        }
        if coding == "*" {
            any = quality;
        }
    }
    any
}

/// Whether `If-None-Match` names this `ETag`: then 304 says all.
pub(crate) fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else { return false };
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(accept: &str) -> Encoding {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().expect("a header"))]);
        Encoding::choose(&headers, &[Encoding::Zstd, Encoding::Brotli, Encoding::Gzip])
    }

    #[test]
    fn the_clients_likes_decide_and_then_our_order() {
        assert_eq!(choose("gzip, deflate, br, zstd"), Encoding::Zstd);
        assert_eq!(choose("gzip, br"), Encoding::Brotli);
        assert_eq!(choose("gzip;q=1.0, br;q=0.5"), Encoding::Gzip);
        assert_eq!(choose("*"), Encoding::Zstd);
        assert_eq!(choose("zstd;q=0, *;q=0.1"), Encoding::Brotli);
        assert_eq!(choose("deflate"), Encoding::Identity);
        assert_eq!(choose("br;q=much"), Encoding::Identity);
        assert_eq!(Encoding::choose(&HeaderMap::new(), &[Encoding::Gzip]), Encoding::Identity);
    }

    #[test]
    fn known_tags_are_recognised_weak_listed_or_starred() {
        let etag = Encoding::Brotli.etag("abc");
        let known = |value: &str| {
            is_known(
                &HeaderMap::from_iter([(header::IF_NONE_MATCH, value.parse().expect("a header"))]),
                &etag,
            )
        };
        assert!(known("\"abc-br\"") && known("W/\"abc-br\"") && known("\"x\", \"abc-br\"") && known("*"));
        assert!(!known("\"abc\"") && !known("abc-br") && !is_known(&HeaderMap::new(), &etag));
    }

    /// `Accept-Encoding`, then `If-None-Match`, a line each.
    #[test]
    fn fuzz_negotiation() {
        let seeds = ["gzip;q=0.5, br, *;q=0\nW/\"abc-br\", \"x\"", "zstd;q=nan\n*"];
        crate::run::fuzz("negotiation", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let mut headers = HeaderMap::new();
            for (name, line) in [header::ACCEPT_ENCODING, header::IF_NONE_MATCH]
                .into_iter()
                .zip(bytes.split(|byte| *byte == b'\n'))
            {
                if let Ok(value) = HeaderValue::from_bytes(line) {
                    headers.append(name, value);
                }
            }
            let offered = [Encoding::Zstd, Encoding::Brotli];
            let chosen = Encoding::choose(&headers, &offered);
            assert!(chosen == Encoding::Identity || offered.contains(&chosen));
            let _ = is_known(&headers, &chosen.etag("abc"));
        });
    }
}
