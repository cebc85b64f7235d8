//! How long caches may keep an answer (docs/edge.md).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Heard by the caches of a delivery network alone, instead of `Cache-Control` (RFC 9213).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// What an answer says to caches.
#[derive(Clone, Copy)]
pub(super) struct Caching {
    /// To browsers too.
    everybody: &'static str,
    /// To a delivery network. `stale-while-revalidate` stands here only: a browser that hears it shows people an old
    /// picture of theirs, and asks for a second time what its page loaded ahead.
    network: Option<&'static str>,
}

impl Caching {
    /// It stands for this moment, but may be known by its `ETag`.
    pub(super) const ASK_AGAIN: Self = Self { everybody: "no-cache", network: None };
    pub(super) const NEVER: Self = Self { everybody: "no-store", network: None };

    /// Browsers ask again each time; for a crowd, an edge keeps it.
    pub(super) const fn at_the_edge(everybody: &'static str, network: &'static str) -> Self {
        Self { everybody, network: Some(network) }
    }

    pub(super) fn set(self, head: &mut HeaderMap) {
        head.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.everybody));
        if let Some(network) = self.network {
            head.insert(CDN_CACHE_CONTROL, HeaderValue::from_static(network));
        }
    }
}
