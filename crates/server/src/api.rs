//! The Canvas State API.
use std::sync::Arc;
use axum::Router;
use pixel_store::Store;
use crate::{address::TrustedProxies, clock::Clock, identity::Identities, origin::Origins, placing::Placer, telemetry::HttpMetrics};
/// What the api needs.
#[derive(Clone)]
pub(crate) struct Needs {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) placer: Placer,
    pub(crate) identities: Arc<Identities>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) proxies: Arc<TrustedProxies>,
    pub(crate) metrics: HttpMetrics,
    pub(crate) clock: Clock,
}
pub(crate) fn router(_needs: Needs) -> Router { Router::new() }
