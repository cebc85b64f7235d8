//! The API described by itself: made from the handlers, served as JSON.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{canvases, chunks, guests, image, pixels, retrace, whole};
use crate::negotiation::{Encoding, is_known};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pixel Playground: Canvas State API",
        description = "Looking at shared canvases and painting on them. Live updates come over the WebSocket \
                       gateway; docs/protocol.md describes it.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        whole::show,
        whole::reset,
        pixels::show,
        pixels::place_one,
        pixels::clear,
        pixels::place_many,
        canvases::list,
        canvases::create,
        canvases::show,
        canvases::amend,
        canvases::delete,
        canvases::reset,
        chunks::show,
        image::show,
        pixels::place_many_on,
        pixels::show_on,
        retrace::undo,
        retrace::redo,
        guests::create,
        show
    ),
    modifiers(&Schemes)
)]
pub(crate) struct Description;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = |said: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(said)).build();
            SecurityScheme::Http(scheme)
        };
        components.add_security_scheme(
            "guest",
            bearer("A token of POST /api/guests; without one, your address paints"),
        );
        components.add_security_scheme("host", bearer("The token in the file of --admin-token-file"));
    }
}

/// This description.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "about",
    responses(
        (status = 200, description = "OpenAPI 3.1", content_type = "application/json",
            headers(("ETag" = String))),
        (status = 304, description = "It is that of the ETag"),
    )
)]
pub(crate) async fn show(headers: HeaderMap) -> Response {
    static TEXT: LazyLock<(Bytes, HeaderValue)> = LazyLock::new(|| {
        let text = Description::openapi().to_json().expect("a description is plain data");
        let hash = Sha256::digest(&text)[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        (text.into(), Encoding::Identity.etag(&hash))
    });
    let (text, etag) = &*TEXT;
    let caching = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ];
    if is_known(&headers, etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, text.clone()).into_response()
}
