//! Refuses requests that two readers could understand differently: a host, key or parameter given twice.

use std::collections::HashSet;

use axum::Router;
use axum::extract::Request;
use axum::http::{self, Version, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::refusal::Refused;

/// Headers that decide what is done, and so stand once at most.
const ONCE: [&str; 3] = ["idempotency-key", "authorization", "origin"];

/// Wraps a port's router.
pub(crate) fn guard(router: Router) -> Router {
    router.layer(from_fn(judge))
}

async fn judge(request: Request, next: Next) -> Response {
    match unclear(&request) {
        Some(sentence) => Refused::wrong(sentence).into_response(),
        None => next.run(request).await,
    }
}

/// What can be understood in two ways, as a sentence.
pub(crate) fn unclear<B>(request: &http::Request<B>) -> Option<String> {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Some(format!("the request has {hosts} Host headers: send one"));
    }
    if let Some(name) = ONCE.into_iter().find(|name| headers.get_all(*name).iter().count() > 1) {
        return Some(format!("the request has more than one {name}: send one at most"));
    }
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
