//! The page and its files, which lie in the executable.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use pixel_canvas::CanvasId;
use pixel_store::Store;
use serde_json::json;
use tracing::debug;

use crate::address::TrustedProxies;
use crate::clock::Clock;
use crate::identity::{GUEST_COOKIE, GUEST_LIFETIME_MS, Identities};
use crate::listen::Peer;
use crate::negotiation::{Encoding, is_known};
use crate::origin::FrameAncestors;
use crate::refusal::refuse;

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Names under a hash never change what they mean.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Asked for again each time, and answered 304. Private: the answer may carry a guest's cookie.
const REVALIDATED: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The page needs nothing but its own origin; who may frame it follows.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors";

/// One file of `web/`, as the build compressed it.
pub(crate) struct Asset {
    name: &'static str,
    content_type: &'static str,
    /// A hash of its bytes.
    etag: &'static str,
    plain: &'static [u8],
    /// Where it makes the file smaller.
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

/// What the frontend needs.
#[derive(Clone)]
pub(crate) struct Needs {
    /// To know which canvases there are; without it every canvas' page is served.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// To hand out guests' cookies; without it the page comes without.
    pub(crate) identities: Option<Arc<Identities>>,
    pub(crate) proxies: Arc<TrustedProxies>,
    pub(crate) clock: Clock,
    /// Who may show the page inside their own.
    pub(crate) framed_by: FrameAncestors,
}

/// The page at `/` and `/c/{id}`, the list of canvases at `/canvases`, their files under `/assets`, and 404 for everything else.
pub(crate) fn router(needs: Needs) -> Router {
    let security = security(&needs.framed_by);
    Router::new()
        .route("/", get(page))
        .route("/canvases", get(start_page))
        .route("/c/{id}", get(canvas_page))
        .route("/health", get(health))
        .route("/assets/{hash}/{*name}", get(hashed_asset))
        .fallback(get(plain_asset).fallback(only_get))
        .method_not_allowed_fallback(only_get)
        .with_state(needs)
        .layer(from_fn_with_state(security, secure))
}

/// A page's query is for the browser alone, and links gather on their way what nobody reads.
pub(crate) fn reads_query(path: &str) -> bool {
    path != "/" && path != "/canvases" && !path.starts_with("/c/")
}

async fn health() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

async fn page(State(needs): State<Needs>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    // Which is small, unless the host said otherwise.
    serve_page(&needs, peer, &headers, &CanvasId::default_canvas(), true)
}

/// The page of a canvas; its description, and its first chunk where that is all of it, are loaded beside the scripts.
fn serve_page(needs: &Needs, peer: Peer, headers: &HeaderMap, id: &CanvasId, is_small: bool) -> Response {
    let mut response = serve_named("index.html", headers, &REVALIDATED);
    give_cookie(needs, peer, headers, &mut response);
    for path in [Some(""), is_small.then_some("/chunks/0/0")].into_iter().flatten() {
        let link = format!("</api/canvases/{id}{path}>; rel=preload; as=fetch; crossorigin");
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().append(header::LINK, link);
        }
    }
    response
}

async fn start_page(headers: HeaderMap) -> Response {
    serve_named("start.html", &headers, &REVALIDATED)
}

async fn canvas_page(
    State(needs): State<Needs>,
    Extension(peer): Extension<Peer>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Some(id) = id.ok().and_then(|Path(id)| CanvasId::parse(&id)) else { return not_found(&headers) };
    let is_small = match &needs.store {
        None => false,
        Some(store) => match store.canvas(&id).await {
            Ok(None) => return not_found(&headers),
            Ok(Some(canvas)) => canvas.size.chunk_grid() == (1, 1),
            // The page can say better than we that the store is away, and the store itself has logged it:
            // a crowd that comes back must not fill the log.
            Err(failure) => {
                debug!(error = &failure as &dyn std::error::Error, "cannot look up canvas {id}");
                false
            }
        },
    };
    serve_page(&needs, peer, &headers, &id, is_small)
}

async fn hashed_asset(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    // A page of another version asks for files that this one does not have.
    if hash != HASH || name.ends_with(".html") {
        return not_found(&headers);
    }
    serve_named(&name, &headers, &IMMUTABLE)
}

/// Files by their plain names, for who does not know the hash: `/favicon.ico`, `/assets/NAME`.
async fn plain_asset(request: Request) -> Response {
    let path = request.uri().path();
    let name = path.strip_prefix("/assets/").or_else(|| path.strip_prefix('/')).unwrap_or_default();
    if name.ends_with(".html") {
        return not_found(request.headers());
    }
    serve_named(name, request.headers(), &REVALIDATED)
}

async fn only_get() -> Response {
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Headers of every answer.
fn security(framed_by: &FrameAncestors) -> HeaderMap {
    let policy = HeaderValue::try_from(format!("{POLICY} {}", framed_by.source_list()));
    let mut headers = HeaderMap::from_iter([
        (header::CONTENT_SECURITY_POLICY, policy.expect("origins are plain ASCII")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ]);
    // For browsers that do not know the policy; it has no word for some but not all.
    if *framed_by == FrameAncestors::default() {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    headers
}

async fn secure(State(security): State<HeaderMap>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().extend(security);
    response
}

/// Names are looked up in the table, so that no path can lead out of `web/`.
fn find(name: &str) -> Option<&'static Asset> {
    let index = ASSETS.binary_search_by(|asset| asset.name.cmp(name)).ok()?;
    ASSETS.get(index)
}

fn serve_named(name: &str, headers: &HeaderMap, caching: &HeaderValue) -> Response {
    match find(name) {
        Some(asset) => serve(asset, headers, caching),
        None => not_found(headers),
    }
}

fn serve(asset: &'static Asset, headers: &HeaderMap, caching: &HeaderValue) -> Response {
    let offered: Vec<Encoding> = [(Encoding::Brotli, asset.brotli), (Encoding::Gzip, asset.gzip)]
        .into_iter()
        .filter_map(|(encoding, body)| body.map(|_| encoding))
        .collect();
    let encoding = Encoding::choose(headers, &offered);
    let body = match encoding {
        Encoding::Brotli => asset.brotli,
        Encoding::Gzip => asset.gzip,
        Encoding::Zstd | Encoding::Identity => None,
    };
    let etag = encoding.etag(asset.etag);
    let mut response = if is_known(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(Bytes::from_static(body.unwrap_or(asset.plain))));
        let head = response.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        if body.is_some() {
            head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        response
    };
    let head = response.headers_mut();
    head.insert(header::ETAG, etag);
    head.insert(header::CACHE_CONTROL, caching.clone());
    head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// 404: the page for people, JSON for programs.
fn not_found(headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut response = match find("404.html") {
        Some(page) if accept.contains("text/html") => {
            // Without the client's conditions: 304 would not say that there is nothing here.
            let mut plain = HeaderMap::new();
            headers.get_all(header::ACCEPT_ENCODING).iter().for_each(|value| {
                plain.append(header::ACCEPT_ENCODING, value.clone());
            });
            serve(page, &plain, &REVALIDATED)
        }
        _ => refuse(StatusCode::NOT_FOUND, "there is nothing here"),
    };
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().remove(header::ETAG);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Gives a visitor without a valid cookie a guest of their own.
fn give_cookie(needs: &Needs, peer: Peer, headers: &HeaderMap, response: &mut Response) {
    let Some(identities) = &needs.identities else { return };
    let now = needs.clock.unix();
    if identities.has_cookie(headers, now) {
        return;
    }
    let guest = identities.issue(now);
    let seconds = GUEST_LIFETIME_MS / 1_000;
    let secure = if is_secure(needs, peer, headers) { "; Secure" } else { "" };
    let cookie =
        format!("{GUEST_COOKIE}={}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", guest.token);
    let cookie = HeaderValue::try_from(cookie).expect("tokens are plain ASCII");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
}

/// Whether the browser spoke TLS, with us or with a proxy that we trust.
fn is_secure(needs: &Needs, peer: Peer, headers: &HeaderMap) -> bool {
    let forwarded = || headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    peer.secure || (needs.proxies.trusts(peer.address.ip()) && forwarded())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, Method};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::identity::{HostToken, IdentityKey};
    use crate::origin::Origin;

    fn frontend() -> Router {
        framed_by(FrameAncestors::default())
    }

    fn framed_by(framed_by: FrameAncestors) -> Router {
        let needs = Needs {
            store: None,
            identities: Some(Arc::new(Identities::new(IdentityKey([7; 32]), HostToken::new(None)))),
            proxies: Arc::default(),
            clock: Clock,
            framed_by,
        };
        let peer = Peer { address: "127.0.0.1:9".parse().expect("an address"), secure: false };
        router(needs).layer(Extension(peer))
    }

    async fn ask(
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response =
            frontend().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        let (head, body) = response.into_parts();
        (head.status, head.headers, body.collect().await.expect("a body").to_bytes().into())
    }

    #[tokio::test]
    async fn the_page_is_revalidated_and_a_visitor_gets_one_cookie() {
        let (status, headers, body) = ask(Method::GET, "/", &[]).await;
        assert_eq!(status, StatusCode::OK);
        assert!(String::from_utf8(body).expect("text").contains(&format!("/assets/{HASH}/")));
        assert_eq!(headers[header::CACHE_CONTROL], "private, no-cache");
        assert!(
            headers[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .expect("text")
                .starts_with("default-src 'none'")
        );
        let cookie = headers[header::SET_COOKIE].to_str().expect("text");
        assert!(cookie.ends_with("HttpOnly; SameSite=Lax"), "{cookie}");
        let pair = cookie.split(';').next().expect("a pair");
        let etag = headers[header::ETAG].to_str().expect("text");
        let again = [(header::COOKIE, pair), (header::IF_NONE_MATCH, etag)];
        let (status, headers, body) = ask(Method::GET, "/", &again).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert!(!headers.contains_key(header::SET_COOKIE));
    }

    #[tokio::test]
    async fn a_canvas_comes_beside_the_scripts_of_its_page() {
        let links = async |path| {
            let (_, headers, _) = ask(Method::GET, path, &[]).await;
            headers.get_all(header::LINK).iter().map(|link| link.to_str().expect("text").to_owned()).collect()
        };
        let [canvas, chunk] = ["", "/chunks/0/0"]
            .map(|path| format!("</api/canvases/main{path}>; rel=preload; as=fetch; crossorigin"));
        let root: Vec<String> = links("/").await;
        assert_eq!(root, [canvas.clone(), chunk]);
        // Without a store it is not known how large it is.
        let named: Vec<String> = links("/c/main").await;
        assert_eq!(named, [canvas]);
        assert!(links("/c/Not%20An%20Id").await.is_empty());
    }

    #[tokio::test]
    async fn nobody_frames_the_page_but_who_the_operator_names() {
        let example = Origin::parse("https://stream.example").expect("an origin");
        for (ancestors, policy, framed) in [
            (FrameAncestors::default(), "; frame-ancestors 'none'", false),
            (FrameAncestors::These(vec![example]), "; frame-ancestors https://stream.example", true),
            (FrameAncestors::Everybody, "; frame-ancestors *", true),
        ] {
            let request = Request::builder().uri("/c/main?bare").body(Body::empty()).expect("a request");
            let headers = framed_by(ancestors).oneshot(request).await.expect("an answer").headers().clone();
            let sent: Vec<_> = headers.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
            assert!(sent.len() == 1 && sent[0].to_str().expect("text").ends_with(policy), "{sent:?}");
            assert_eq!(headers.contains_key(header::X_FRAME_OPTIONS), !framed, "{policy}");
        }
    }

    #[tokio::test]
    async fn hashed_files_are_immutable_and_compressed() {
        let path = format!("/assets/{HASH}/main.js");
        let (status, headers, small) =
            ask(Method::GET, &path, &[(header::ACCEPT_ENCODING, "br, gzip")]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(headers[header::CONTENT_ENCODING], "br");
        assert_eq!(headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        let mut whole = Vec::new();
        brotli::BrotliDecompress(&mut &small[..], &mut whole).expect("it is brotli");
        let (_, headers, plain) = ask(Method::GET, &path, &[]).await;
        assert!(whole == plain && !headers.contains_key(header::CONTENT_ENCODING));
    }

    #[tokio::test]
    async fn nothing_outside_web_is_served() {
        for path in [
            "/assets/../Cargo.toml",
            "/assets/%2e%2e/Cargo.toml",
            "/assets/0000000000000000/main.js",
            "/..%2f..%2fetc/passwd",
            "//etc/passwd",
            "/index.html",
            "/c/%FF",
            "/package.json",
            "/assets/test/",
            "/c/Not%20An%20Id",
            "/nothing",
        ] {
            let (status, headers, body) = ask(Method::GET, path, &[]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(body, br#"{"error":"there is nothing here"}"#, "{path}");
            assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
        }
        let (status, headers, body) = ask(Method::GET, "/nothing", &[(header::ACCEPT, "text/html")]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(!body.is_empty());
    }

    #[tokio::test]
    async fn other_methods_are_refused() {
        for path in ["/", "/nothing", "/c/main"] {
            let (status, headers, _) = ask(Method::POST, path, &[]).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(headers[header::ALLOW], "GET, HEAD");
        }
    }
}
