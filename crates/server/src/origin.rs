//! Which web pages may open sockets and change state, and what browsers are told about it (CORS).

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::refusal::refuse;

/// How long a browser may remember a preflight's answer, in seconds.
const PREFLIGHT_SECONDS: &str = "600";
/// What scripts of other origins may read besides the body.
const EXPOSED: &str = "epoch, sequence, etag, retry-after, age, cache-status";
const METHODS: &str = "GET, HEAD, PUT, POST, PATCH, DELETE";
const HEADERS: &str = "authorization, content-type, idempotency-key, if-none-match";

/// Which origins are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// As `--allowed-origins` lists them.
    pub(crate) allowed: Vec<Origin>,
    /// The frontend's port when it runs in this process: its page may talk to the other ports.
    pub(crate) frontend_port: Option<u16>,
}

/// `scheme://host[:port]` as browsers write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// What the `Origin` header of a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is none: no browser's page speaks.
    NoOrigin,
    /// The page's origin may do this.
    Allowed,
    /// It may not.
    Foreign,
}

/// Which pages may show ours inside themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FrameAncestors {
    Everybody,
    /// These; nobody where there is none.
    These(Vec<Origin>),
}

impl Default for FrameAncestors {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl FrameAncestors {
    /// As the page's policy writes it.
    pub(crate) fn source_list(&self) -> String {
        match self {
            Self::Everybody => "*".into(),
            Self::These(origins) if origins.is_empty() => "'none'".into(),
            Self::These(origins) => origins.iter().map(Origin::to_string).collect::<Vec<_>>().join(" "),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        write!(f, "{scheme}://{host}")?;
        let is_default = *port == if scheme == "https" { 443 } else { 80 };
        if is_default { Ok(()) } else { write!(f, ":{port}") }
    }
}

impl Origin {
    /// Reads `https://example.org` or `http://example.org:8080`; `None` for anything else.
    pub(crate) fn parse(raw: &str) -> Option<Self> {
        let (scheme, authority) = raw.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (host, port) = split_authority(authority)?;
        Some(Self { scheme, host, port: port.unwrap_or(default_port) })
    }
}

impl Origins {
    /// Judges a request by its `Origin` and `Host`.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Verdict {
        let Some(origin) = headers.get(header::ORIGIN) else { return Verdict::NoOrigin };
        let allowed =
            origin.to_str().ok().and_then(Origin::parse).is_some_and(|origin| self.allows(&origin, headers));
        if allowed { Verdict::Allowed } else { Verdict::Foreign }
    }

    fn allows(&self, origin: &Origin, headers: &HeaderMap) -> bool {
        if self.allowed.contains(origin) {
            return true;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(split_authority);
        let Some((host, port)) = host else { return false };
        // A proxy may end TLS before us, so the scheme is unknown: a Host without a port has the
        // origin's own default.
        let port = port.unwrap_or(if origin.scheme == "https" { 443 } else { 80 });
        host == origin.host && (port == origin.port || self.frontend_port == Some(origin.port))
    }
}

/// Middleware: refuses what foreign pages may not do, and adds the CORS headers. GETs are open to all.
pub(crate) async fn guard(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return vary(next.run(request).await);
    };
    let verdict = origins.judge(request.headers());
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_preflight = request.method() == Method::OPTIONS && asked.is_some();
    let method = match asked {
        Some(asked) if is_preflight => Method::from_bytes(asked.as_bytes()).unwrap_or(Method::POST),
        _ => request.method().clone(),
    };
    let is_read = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_read && verdict == Verdict::Foreign {
        return vary(refuse(
            StatusCode::FORBIDDEN,
            "pages of this origin may look, not change: see --allowed-origins",
        ));
    }
    let mut response = if is_preflight {
        let mut response = StatusCode::NO_CONTENT.into_response();
        set(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        set(&mut response, header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        set(&mut response, header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        response
    } else {
        let mut response = next.run(request).await;
        set(&mut response, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        response
    };
    let headers = response.headers_mut();
    if is_read {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    vary(response)
}

/// Wraps a port's router: its health is a public GET, open to all like the api's.
pub(crate) fn open_health(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| {
        let asks_health = request.uri().path() == "/health";
        let mut response = next.run(request).await;
        if asks_health {
            set(&mut response, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        }
        response
    }))
}

/// Caches must not hand one origin's answer to another.
fn vary(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    response
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

/// Host in lower case and port of `host[:port]`; `None` where there is more, or less.
fn split_authority(raw: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match raw.rsplit_once(':') {
        // A colon before the closing bracket belongs to an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
        _ => (raw, None),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(plain),
    };
    is_host.then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(allowed: &[&str], frontend_port: Option<u16>, host: &str, origin: &str) -> Verdict {
        let allowed = allowed.iter().map(|o| Origin::parse(o).expect("an origin")).collect();
        let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().expect("a header"))]);
        if !origin.is_empty() {
            headers.insert(header::ORIGIN, origin.parse().expect("a header"));
        }
        Origins { allowed, frontend_port }.judge(&headers)
    }

    #[test]
    fn programs_without_an_origin_pass() {
        assert_eq!(judge(&[], None, "localhost:3000", ""), Verdict::NoOrigin);
    }

    #[test]
    fn the_page_itself_passes_and_other_pages_do_not() {
        for (host, origin) in [
            ("localhost:3000", "http://localhost:3000"),
            ("Example.org", "https://example.ORG"),
            ("example.org:443", "https://example.org"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("[::1]", "http://[::1]"),
        ] {
            assert_eq!(judge(&[], None, host, origin), Verdict::Allowed, "{host} {origin}");
        }
        for (host, origin) in [
            ("localhost:3000", "http://localhost:8080"),
            ("localhost:3000", "http://evil.example:3000"),
            ("localhost:3000", "null"),
            ("localhost:3000", "http://localhost:3000/path"),
            ("localhost:3000", "http://localhost:3000@evil.example"),
            ("localhost:3000", "file://"),
            ("example.org", "https://example.org.evil.example"),
        ] {
            assert_eq!(judge(&[], None, host, origin), Verdict::Foreign, "{host} {origin}");
        }
    }

    #[test]
    fn the_frontends_page_may_use_its_neighbours_ports() {
        assert_eq!(judge(&[], Some(3000), "localhost:3002", "http://localhost:3000"), Verdict::Allowed);
        assert_eq!(judge(&[], Some(3000), "localhost:3002", "http://elsewhere:3000"), Verdict::Foreign);
        assert_eq!(judge(&[], Some(3000), "localhost:3002", "http://localhost:3003"), Verdict::Foreign);
    }

    #[test]
    fn listed_origins_pass_exactly() {
        let allowed = ["https://paint.example", "http://lab.example:8080"];
        assert_eq!(judge(&allowed, None, "api.example", "https://paint.example"), Verdict::Allowed);
        assert_eq!(judge(&allowed, None, "api.example", "http://lab.example:8080"), Verdict::Allowed);
        assert_eq!(judge(&allowed, None, "api.example", "http://paint.example"), Verdict::Foreign);
        assert_eq!(judge(&allowed, None, "api.example", "http://lab.example"), Verdict::Foreign);
    }

    #[test]
    fn half_an_ipv6_address_is_no_host() {
        assert!(Origin::parse("http://[::1]").is_some() && Origin::parse("http://[::1]:80").is_some());
        for wrong in ["http://[::80", "http://::1", "http://[a]", "http://a]", "http://[", "http://[]"] {
            assert_eq!(Origin::parse(wrong), None, "{wrong}");
        }
    }

    /// An origin, then a host, a line each.
    #[test]
    fn fuzz_origins() {
        let seeds = ["https://example.org\nexample.org", "http://[::1]:8080\n[::1]:8080"];
        crate::run::fuzz("origins", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let (origin, host) = text.split_once('\n').unwrap_or((text, ""));
            if let Some(parsed) = Origin::parse(origin) {
                assert_eq!(Origin::parse(&parsed.to_string()).as_ref(), Some(&parsed), "{parsed}");
            }
            let (Ok(origin), Ok(host)) = (HeaderValue::from_str(origin), HeaderValue::from_str(host)) else {
                return;
            };
            let headers = HeaderMap::from_iter([(header::ORIGIN, origin), (header::HOST, host)]);
            assert_ne!(Origins::default().judge(&headers), Verdict::NoOrigin);
        });
    }
}
