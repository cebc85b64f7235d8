//! Refuses requests that two readers could understand differently: a host, key or parameter given twice.

use std::collections::HashSet;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{self, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::refusal::Refused;

/// Headers that decide what is done, and so stand once at most.
const ONCE: [&str; 3] = ["idempotency-key", "authorization", "origin"];

/// Whether the query of a path is read here.
pub(crate) type ReadsQuery = fn(&str) -> bool;

/// Wraps a port's router.
pub(crate) fn guard(router: Router, reads_query: ReadsQuery) -> Router {
    router.layer(from_fn_with_state(reads_query, judge))
}

async fn judge(State(reads_query): State<ReadsQuery>, request: Request, next: Next) -> Response {
    let queried = reads_query(request.uri().path());
    match unclear_head(&request).or_else(|| queried.then(|| unclear_query(&request)).flatten()) {
        Some(sentence) => Refused::wrong(sentence).into_response(),
        None => next.run(request).await,
    }
}

/// What can be understood in two ways, as a sentence.
pub(crate) fn unclear<B>(request: &http::Request<B>) -> Option<String> {
    unclear_head(request).or_else(|| unclear_query(request))
}

fn unclear_head<B>(request: &http::Request<B>) -> Option<String> {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Some(format!("the request has {hosts} Host headers: send one"));
    }
    if let Some(name) = ONCE.into_iter().find(|name| headers.get_all(*name).iter().count() > 1) {
        return Some(format!("the request has more than one {name}: send one at most"));
    }
    None
}

fn unclear_query<B>(request: &http::Request<B>) -> Option<String> {
    let mut seen = HashSet::new();
    let pairs = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    let mut names = pairs.map(|(name, _)| name);
    let twice = names.find(|name| !seen.insert(name.clone()))?;
    let shown: String = twice.chars().take(20).collect();
    Some(format!("the query has {shown:?} more than once: send it once"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn of(uri: &str, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        unclear(&request.body(Body::empty()).expect("a request"))
    }

    #[test]
    fn what_is_given_twice_is_named() {
        let host = ("host", "a.example");
        assert_eq!(of("/?since=1&other=2", &[host, ("idempotency-key", "a")]), None);
        for (uri, headers, named) in [
            ("/", &[][..], "0 Host headers"),
            ("/", &[host, host], "2 Host headers"),
            ("/", &[host, ("idempotency-key", "a"), ("idempotency-key", "b")], "idempotency-key"),
            ("/", &[host, ("authorization", "a"), ("authorization", "a")], "authorization"),
            ("/", &[host, ("origin", "http://a.example"), ("origin", "http://b.example")], "origin"),
            ("/?since=1&since=2", &[host], "\"since\""),
            ("/?since=1&sin%63e=2", &[host], "\"since\""),
        ] {
            let sentence = of(uri, headers).expect("it is unclear");
            assert!(sentence.contains(named), "{sentence}");
        }
    }

    #[tokio::test]
    async fn a_query_that_is_not_read_may_say_anything() {
        use tower::ServiceExt as _;

        let router = Router::new().fallback(|| async { "read" });
        let router = guard(router, |path| path.starts_with("/api"));
        let answers = async |uri: &str, hosts: usize| {
            let mut request = Request::builder().uri(uri);
            for _ in 0..hosts {
                request = request.header("host", "a.example");
            }
            let request = request.body(Body::empty()).expect("a request");
            router.clone().oneshot(request).await.expect("an answer").status().as_u16()
        };
        assert_eq!(answers("/c/main?ref=1&ref=2", 1).await, 200);
        assert_eq!(answers("/api/canvases?ref=1&ref=2", 1).await, 400);
        assert_eq!(answers("/c/main", 2).await, 400);
    }

    #[test]
    fn http_2_names_its_host_elsewhere() {
        let mut request =
            Request::builder().uri("https://a.example/").body(Body::empty()).expect("a request");
        *request.version_mut() = Version::HTTP_2;
        assert_eq!(unclear(&request), None);
    }

    #[test]
    fn fuzz_queries() {
        let seeds = ["since=1&other=2", "since=1&sin%63e=2", "x=1;y=2&&=&%"];
        crate::run::fuzz("queries", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let Ok(uri) = format!("/api/canvases/main.png?{text}").parse::<http::Uri>() else { return };
            let request = Request::builder().uri(uri).header("host", "a.example").body(Body::empty());
            let said = unclear(&request.expect("a request"));
            assert!(said.is_none_or(|said| said.len() < 400));
        });
    }
}
