//! One process from start to end: bind, open, wire, serve, drain.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use pixel_store::embedded::{Embedded, OpenError, Options};
use pixel_store::{Condition, Limits, Store};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::address::AddressConnections;
use crate::clock::Clock;
use crate::config::{Config, StoreAt, Targets};
use crate::gateway::{self, Gateway};
use crate::identity::{HostToken, Identities};
use crate::listen::{
    self, ADDRESS_HTTP_CONNECTIONS_MAX, BindError, Bound, HTTP_CONNECTIONS_MAX, OPS_CONNECTIONS_MAX, Serving,
};
use crate::observe::observe;
use crate::origin::Origins;
use crate::placing::Placer;
use crate::provision::{ProvisionError, provision};
use crate::secrets::{self, SecretError};
use crate::telemetry::Metrics;
use crate::tls::Tls;
use crate::{api, clarity, frontend, ops, welcome};

/// Why a process could not start or had to end, and the exit code that says so (sysexits.h).
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    /// A key of the configuration names something unusable.
    #[error("{key}: {problem}")]
    Config { key: &'static str, problem: String },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Fatal {
    /// 64 usage, 65 data, 69 unavailable, 73 cannot create, 74 input or output.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config { .. } | Self::Provision(ProvisionError::Fixed { .. }) => 64,
            Self::Open(OpenError::Newer { .. } | OpenError::Damaged { .. }) => 65,
            Self::Secret(SecretError::Content { .. }) => 65,
            Self::Bind(_) | Self::Open(OpenError::InUse { .. }) => 69,
            Self::Open(_) => 73,
            Self::Secret(_) | Self::Provision(_) | Self::Io(_) => 74,
        })
    }
}

/// The ports of a process, bound before anything else happens.
struct Ports {
    frontend: Option<Bound>,
    api: Option<Bound>,
    gateway: Option<Bound>,
    ops: Bound,
}

impl Ports {
    fn bind(config: &Config) -> Result<Self, BindError> {
        let Targets { frontend, api, gateway } = config.targets;
        let bind = |wanted: bool, flag, address| wanted.then(|| listen::bind(flag, address)).transpose();
        Ok(Self {
            frontend: bind(frontend, "--frontend-listen", config.frontend_listen)?,
            api: bind(api, "--api-listen", config.api_listen)?,
            gateway: bind(gateway, "--gateway-listen", config.gateway_listen)?,
            ops: listen::bind("--ops-listen", config.ops_listen)?,
        })
    }
}

/// The store, and what lies beside it.
struct Opened {
    store: Arc<Embedded>,
    identities: Arc<Identities>,
    folder: PathBuf,
    /// Where the host's token lies, if there is one.
    admin_token: Option<PathBuf>,
}

/// Runs until told to stop; `Ok` is a clean end.
pub(crate) async fn run(config: Config) -> Result<(), Fatal> {
    let clock = Clock;
    // From the first moment: who answers its health check can also be stopped gently.
    let told_to_stop = signal_to_stop()?;
    let tls = load_tls(&config)?;
    let ports = Ports::bind(&config)?;
    let mut metrics = Metrics::new(env!("CARGO_PKG_VERSION"), clock.unix());
    let opened = match &config.store {
        StoreAt::Folder(folder) => Some(open(&config, folder, clock).await?),
        StoreAt::Redis | StoreAt::None => None,
    };
    if let Some(opened) = &opened {
        let store = Arc::clone(&opened.store);
        let lookup = move || (store.figures(), store.condition() == Condition::Writable);
        metrics.watch_store(Box::new(lookup));
    }
    let metrics = Arc::new(metrics);
    let (stop, stopped) = watch::channel(false);
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).follow(stopped.clone()));
    }
    let frontend_address = ports.frontend.as_ref().map(Bound::address);
    let origins = Arc::new(Origins {
        allowed: config.allowed_origins.clone(),
        frontend_port: frontend_address.map(|address| address.port()),
    });
    let wired = wire(&config, opened.as_ref(), &metrics, &origins, clock)?;
    welcome::greet(&welcome::Facts {
        frontend: frontend_address,
        secure: tls.is_some(),
        folder: opened.as_ref().map(|opened| opened.folder.as_path()),
        admin_token: opened.as_ref().and_then(|opened| opened.admin_token.as_deref()),
    });

    let readiness =
        ops::Readiness::new(opened.as_ref().map(|opened| Arc::clone(&opened.store) as Arc<dyn Store>));
    let ops = ops::router(Arc::clone(&metrics), readiness.clone());
    let public = Serving::new(HTTP_CONNECTIONS_MAX, tls, stopped.clone())
        .shared(ADDRESS_HTTP_CONNECTIONS_MAX, Arc::new(config.trusted_proxies.clone()));
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(ports.ops.serve(ops, Serving::new(OPS_CONNECTIONS_MAX, None, stopped.clone())));
    let services = [
        ("frontend", ports.frontend, wired.frontend),
        ("api", ports.api, wired.api),
        ("gateway", ports.gateway, wired.gateway_port),
    ];
    for (service, bound, router) in services {
        if let (Some(bound), Some(router)) = (bound, router) {
            let router = observe(clarity::guard(router), service, metrics.http.clone(), clock);
            serving.spawn(bound.serve(router, public.clone()));
        }
    }

    told_to_stop.await?;
    info!("stopping: no new sockets, then a goodbye to the open ones");
    readiness.drain();
    if let Some(gateway) = &wired.gateway {
        gateway.drain().await;
    }
    stop.send_replace(true);
    while let Some(ended) = serving.join_next().await {
        if let Ok(Err(failure)) = ended {
            warn!(error = ?failure, "a port did not close cleanly");
        }
    }
    if let Some(opened) = opened {
        opened.store.close().await;
    }
    Ok(())
}

/// Reads the files that the configuration names, without making or binding anything.
pub(crate) fn check(config: &Config) -> Result<(), Fatal> {
    load_tls(config)?;
    if let Some(file) = &config.identity_key_file {
        secrets::identity_key(file, false)?;
    }
    if let Some(file) = &config.admin_token_file {
        secrets::admin_token(file, false)?;
    }
    Ok(())
}

fn load_tls(config: &Config) -> Result<Option<Arc<Tls>>, Fatal> {
    let Some((cert, key)) = &config.tls else { return Ok(None) };
    let tls = Tls::load(cert, key)
        .map_err(|wrong| Fatal::Config { key: "--tls-cert-file", problem: format!("{wrong:#}") })?;
    Ok(Some(Arc::new(tls)))
}

/// Opens the folder, makes what is missing in it, and the canvases that the configuration names.
async fn open(config: &Config, folder: &Path, clock: Clock) -> Result<Opened, Fatal> {
    let limits = Limits {
        identity: config.rate_limit,
        address: config.address_rate_limit,
        guests_per_address: config.guests_per_address,
    };
    let mut options = Options::new(limits, Arc::new(move || clock.unix()));
    options.retention_bytes = config.log_retention_bytes;
    options.retention_seconds = config.log_retention_seconds;
    let store = Arc::new(Embedded::open(folder, options)?);

    provision(store.as_ref(), &config.canvases).await?;

    let key_file = config.identity_key_file.clone().unwrap_or_else(|| folder.join("identity-key"));
    let key = secrets::identity_key(&key_file, config.identity_key_file.is_none())?;
    let admin_token = match &config.admin_token_file {
        Some(file) => Some((file.clone(), false)),
        None => (config.targets == Targets::ALL).then(|| (folder.join("admin-token"), true)),
    };
    let host = match &admin_token {
        Some((file, make)) => Some(secrets::admin_token(file, *make)?),
        None => None,
    };
    let identities = Arc::new(Identities::new(key, HostToken::new(host.as_deref())));
    Ok(Opened { store, identities, folder: folder.into(), admin_token: admin_token.map(|(file, _)| file) })
}

/// What each port serves.
#[derive(Default)]
struct Wired {
    frontend: Option<Router>,
    api: Option<Router>,
    /// What of it the frontend's port serves too.
    api_paths: Option<Router>,
    gateway_port: Option<Router>,
    gateway: Option<Arc<Gateway>>,
}

fn wire(
    config: &Config,
    opened: Option<&Opened>,
    metrics: &Arc<Metrics>,
    origins: &Arc<Origins>,
    clock: Clock,
) -> Result<Wired, Fatal> {
    let proxies = Arc::new(config.trusted_proxies.clone());
    let mut wired = Wired::default();
    if let Some(opened) = opened {
        let store = Arc::clone(&opened.store) as Arc<dyn Store>;
        let placer = Placer::new(Arc::clone(&store), metrics.placing.clone(), clock);
        let api = api::start(api::Needs {
            store: Arc::clone(&store),
            placer: placer.clone(),
            identities: Arc::clone(&opened.identities),
            origins: Arc::clone(origins),
            proxies: Arc::clone(&proxies),
            metrics: metrics.http.clone(),
            clock,
        });
        let paths = api::router(Arc::clone(&api));
        wired.api = Some(paths.clone().merge(api::port_router(api)));
        wired.api_paths = Some(paths);
        let gateway = gateway::start(gateway::Needs {
            store,
            placer,
            identities: Arc::clone(&opened.identities),
            origins: Arc::clone(origins),
            proxies: Arc::clone(&proxies),
            addresses: AddressConnections::new(config.address_connections),
            metrics: metrics.gateway.clone(),
            clock,
            sweep_interval: config.sweep_interval,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        })?;
        wired.gateway_port = Some(gateway::router(Arc::clone(&gateway)));
        wired.gateway = Some(gateway);
    }
    if config.targets.frontend {
        let needs = frontend::Needs {
            store: opened.map(|opened| Arc::clone(&opened.store) as Arc<dyn Store>),
            identities: opened.map(|opened| Arc::clone(&opened.identities)),
            proxies,
            clock,
        };
        // One origin does everything where the neighbours are in this process.
        let mut router = frontend::router(needs);
        if let (Some(paths), Some(gateway)) = (wired.api_paths.take(), &wired.gateway) {
            router = router.merge(paths).merge(gateway::socket_router(Arc::clone(gateway)));
        }
        wired.frontend = Some(router);
    }
    Ok(wired)
}

/// SIGTERM, or Ctrl-C.
fn signal_to_stop() -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(async move {
            tokio::select! {
                _ = term.recv() => Ok(()),
                _ = interrupt.recv() => Ok(()),
            }
        })
    }
    #[cfg(not(unix))]
    Ok(tokio::signal::ctrl_c())
}
