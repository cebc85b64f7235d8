//! One process from start to end: bind, open, wire, serve, drain.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use pixel_store::embedded::{Embedded, OpenError, Options};
use pixel_store::redis::{self, Durability};
use pixel_store::{Condition, Limits, Store};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::address::AddressConnections;
use crate::arrival::Arrival;
use crate::backups::{self, BackupFatal, Backups, keep_schedule};
use crate::clock::Clock;
use crate::config::{Config, StoreAt, Targets};
use crate::gateway::{self, Door, Gateway};
use crate::hop::Hop;
use crate::identity::{HostToken, Identities, IdentityKey};
use crate::listen::{
    self, ADDRESS_HTTP_CONNECTIONS_MAX, ADDRESS_OPS_CONNECTIONS_MAX, BindError, Bound, HTTP_CONNECTIONS_MAX,
    OPS_CONNECTIONS_MAX, Serving,
};
use crate::observe::{Observer, observe};
use crate::origin::{self, Origins};
use crate::placing::Placer;
use crate::provision::{ProvisionError, asked_for, provision, provision_later, provision_what_can_be};
use crate::secrets::{self, SecretError};
use crate::telemetry::{Counted, LogFormat, Metrics};
use crate::tls::Tls;
use crate::{api, clarity, frontend, nosniff, ops, proxy, welcome};

/// What gateways of one Redis tell each other who is there on.
const PRESENCE_TOPIC: &str = "pp:presence";
/// Wait before a store that is away is asked again.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// Wait before the store's condition is looked at again.
const CONDITION_RETRY: Duration = Duration::from_millis(20);

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
    Backup(#[from] BackupFatal),
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
            Self::Backup(fatal) => fatal.exit_code(),
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
    store: Arc<dyn Store>,
    identities: Arc<Identities>,
    /// What only a folder has.
    folder: Option<Folder>,
    /// Whether other processes share the store.
    shared: bool,
    /// To their gateways.
    line: Option<gateway::Line>,
}

/// A store in a folder of this process.
struct Folder {
    store: Arc<Embedded>,
    path: PathBuf,
    /// Where the host's token lies, if there is one.
    admin_token: Option<PathBuf>,
}

/// Runs until told to stop; `Ok` is a clean end.
pub(crate) async fn run(config: Config) -> Result<(), Fatal> {
    let clock = Clock;
    // From the first moment: who answers its health check can also be stopped gently.
    let mut told_to_stop = Box::pin(signal_to_stop()?);
    check(&config)?;
    let tls = load_tls(&config)?;
    let ports = Ports::bind(&config)?;
    let mut metrics = Metrics::new(env!("CARGO_PKG_VERSION"), clock.unix());
    let folder = match &config.store {
        StoreAt::Folder(path) => Some(open_folder(&config, path, clock).await?),
        StoreAt::Redis(_) | StoreAt::None => None,
    };
    let readiness = ops::Readiness::new(durability(&config)).with_certificate(tls.clone(), clock);
    if let Some(Folder { store, .. }) = folder.as_ref().and_then(|opened| opened.folder.as_ref()) {
        readiness.watch(Arc::clone(store) as Arc<dyn Store>);
        let store = Arc::clone(store);
        metrics.watch_counts(Box::new(move || Some(Counted::Folder(store.figures()))));
    }
    let reached = Arc::new(OnceLock::<Arc<redis::Redis>>::new());
    if let StoreAt::Redis(_) = config.store {
        let reached = Arc::clone(&reached);
        metrics.watch_counts(Box::new(move || reached.get().map(|store| Counted::Redis(store.figures()))));
    }
    let watched = readiness.clone();
    metrics.watch_store(Box::new(move || watched.condition()));
    let addresses = AddressConnections::new(config.address_connections);
    if config.targets.gateway {
        let addresses = addresses.clone();
        metrics.watch_addresses(move || addresses.most());
    }
    if let Some(tls) = tls.clone() {
        metrics.watch_certificate(move || tls.expires_seconds());
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

    let mut serving = tokio::task::JoinSet::new();
    let arrivals = Arrivals::new(&readiness);
    let backups = Backups::new(clock);
    let serve = |serving: &mut tokio::task::JoinSet<_>| {
        let ops = ops_router(&metrics, &readiness, &backups);
        let operators = Serving::new(OPS_CONNECTIONS_MAX, None, stopped.clone())
            .shared(ADDRESS_OPS_CONNECTIONS_MAX, Arc::default());
        let public = Serving::new(HTTP_CONNECTIONS_MAX, tls.clone(), stopped.clone())
            .shared(ADDRESS_HTTP_CONNECTIONS_MAX, Arc::new(config.trusted_proxies.clone()));
        serving.spawn(ports.ops.serve(ops, operators));
        let every: clarity::ReadsQuery = |_| true;
        let services = [
            ("frontend", ports.frontend, &arrivals.frontend, Some(Door::Shared), frontend::reads_query as _),
            ("api", ports.api, &arrivals.api, None, every),
            ("gateway", ports.gateway, &arrivals.gateway, Some(Door::Own), every),
        ];
        for (service, bound, arrival, door, reads_query) in services {
            if let Some(bound) = bound {
                let observer = Observer { service, metrics: metrics.http.clone(), clock };
                let router = clarity::guard(origin::open_health(arrival.router()), reads_query);
                let router = nosniff::everywhere(router);
                let router = observe(router, observer.clone());
                let public = match door {
                    Some(door) => {
                        public.clone().with(gateway::shortcut(Arc::clone(&arrivals.sockets), door, observer))
                    }
                    None => public.clone(),
                };
                serving.spawn(bound.serve(router, public));
            }
        }
    };
    // A folder is ready when it is opened. A Redis may be away for long: its ports answer meanwhile.
    let (mut opened, serve) = match &config.store {
        StoreAt::Redis(address) => {
            serve(&mut serving);
            let opened = tokio::select! {
                opened = open_redis(&config, address, &readiness, &reached) => Some(opened?),
                told = &mut told_to_stop => { told?; None }
            };
            if opened.is_none() {
                return Ok(());
            }
            (opened, None)
        }
        StoreAt::Folder(_) | StoreAt::None => (folder, Some(serve)),
    };
    let others = opened.as_mut().and_then(|opened| opened.line.take());
    let wired = wire(&config, opened.as_ref(), others, addresses, &metrics, &origins, clock)?;
    readiness.wired();
    arrivals.arrive(&wired);
    if let Some(serve) = serve {
        serve(&mut serving);
    }
    let folder = opened.as_ref().and_then(|opened| opened.folder.as_ref());
    if let (Some(opened), Some(Folder { store, .. })) = (&opened, folder) {
        let store = Arc::clone(store) as Arc<dyn Store>;
        backups.of(Arc::clone(&store), Arc::clone(&opened.identities));
        if let Some(schedule) = config.backups.clone() {
            tokio::spawn(keep_schedule(schedule, store, backups.clone(), metrics.backups.clone()));
        }
    }
    let facts = welcome::Facts {
        frontend: frontend_address,
        secure: tls.is_some(),
        folder: folder.map(|folder| folder.path.as_path()),
        admin_token: folder.and_then(|folder| folder.admin_token.as_deref()),
    };
    match config.log_format {
        LogFormat::Json => info!("{}", welcome::sentence(&facts)),
        LogFormat::Auto | LogFormat::Text => welcome::greet(&facts),
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
    if let Some(folder) = opened.and_then(|opened| opened.folder) {
        folder.store.close().await;
    }
    Ok(())
}

/// What an acknowledgement waits for here, in the words of `--durability`.
fn durability(config: &Config) -> Option<String> {
    match (&config.store, config.durability) {
        (StoreAt::None, _) => None,
        (StoreAt::Folder(_), _) | (_, Durability::Fsync) => Some("fsync".into()),
        (_, Durability::AsConfigured) => Some("as-configured".into()),
        (_, Durability::Replicated(count)) => Some(format!("replicated:{count}")),
    }
}

/// What each public port will serve.
struct Arrivals {
    frontend: Arrival,
    api: Arrival,
    gateway: Arrival,
    /// Where handshakes that came whole go at once.
    sockets: Arc<OnceLock<Arc<Gateway>>>,
}

impl Arrivals {
    fn new(readiness: &ops::Readiness) -> Self {
        let arrival = || Arrival::new(readiness.clone());
        Self { frontend: arrival(), api: arrival(), gateway: arrival(), sockets: Arc::default() }
    }

    fn arrive(&self, wired: &Wired) {
        let ports = [
            (&self.frontend, &wired.frontend),
            (&self.api, &wired.api),
            (&self.gateway, &wired.gateway_port),
        ];
        for (arrival, router) in ports {
            if let Some(router) = router {
                arrival.arrive(router.clone());
            }
        }
        if let Some(gateway) = &wired.gateway {
            self.sockets.get_or_init(|| Arc::clone(gateway));
        }
    }
}

/// Reads the files that the configuration names, without making or binding anything.
pub(crate) fn check(config: &Config) -> Result<(), Fatal> {
    load_tls(config)?;
    if config.store == StoreAt::None {
        // Without a store there are no guests and no host: those keys are not used.
        return Ok(());
    }
    let wrong = |key| move |wrong: SecretError| Fatal::Config { key, problem: wrong.to_string() };
    if let Some(file) = &config.identity_key_file {
        secrets::identity_key(file, false).map_err(wrong("--identity-key-file"))?;
    }
    if let Some(file) = &config.admin_token_file {
        secrets::admin_token(file, false).map_err(wrong("--admin-token-file"))?;
    }
    if let StoreAt::Redis(_) = &config.store {
        read_ca(config)?;
        if let Some(file) = &config.store_password_file {
            secrets::password(file).map_err(wrong("--store-password-file"))?;
        }
    }
    Ok(())
}

fn load_tls(config: &Config) -> Result<Option<Arc<Tls>>, Fatal> {
    let Some((cert, key)) = &config.tls else { return Ok(None) };
    let tls = Tls::load(cert, key)
        .map_err(|wrong| Fatal::Config { key: "--tls-cert-file", problem: format!("{wrong:#}") })?;
    Ok(Some(Arc::new(tls)))
}

pub(crate) fn limits(config: &Config) -> Limits {
    Limits {
        identity: config.rate_limit,
        address: config.address_rate_limit,
        guests_per_address: config.guests_per_address,
    }
}

/// Opens the folder, makes what is missing in it, and the canvases that the configuration names.
async fn open_folder(config: &Config, folder: &Path, clock: Clock) -> Result<Opened, Fatal> {
    let mut options = Options::new(limits(config), Arc::new(move || clock.unix()));
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
    let admin_token = admin_token.map(|(file, _)| file);
    let folder = Folder { store: Arc::clone(&store), path: folder.into(), admin_token };
    Ok(Opened { store, identities, folder: Some(folder), shared: false, line: None })
}

/// Reaches the Redis, waiting for it as long as it takes; an api also makes what is missing in it. Once
/// it can be read, only the identity key is waited for: what else has to be written is seen to when it can be.
async fn open_redis(
    config: &Config,
    address: &redis::Address,
    readiness: &ops::Readiness,
    reached: &OnceLock<Arc<redis::Redis>>,
) -> Result<Opened, Fatal> {
    let access =
        if config.targets.api { redis::Access::Write(config.durability) } else { redis::Access::Read };
    let store = reach_redis(config, address, access).await?;
    let store = Arc::clone(reached.get_or_init(|| Arc::new(store)));
    readiness.watch(Arc::clone(&store) as Arc<dyn Store>);
    // The store looks at its server once a second: what waits here for it must not be told that it is away.
    while matches!(store.condition(), Condition::Away(..)) {
        tokio::time::sleep(CONDITION_RETRY).await;
    }
    let host = match &config.admin_token_file {
        Some(file) => Some(secrets::admin_token(file, false)?),
        None => None,
    };
    // Before the key is made, which gateways wait for: who finds it finds the canvases, too.
    let later = match config.targets.api {
        true => provision_what_can_be(store.as_ref(), &config.canvases).await?,
        false => Vec::new(),
    };
    let key = match &config.identity_key_file {
        Some(file) => secrets::identity_key(file, false)?,
        None => shared_identity_key(&store, config.targets.api, readiness).await,
    };
    if config.targets.api {
        let identity_key = config.identity_key_file.is_none().then_some(key.0);
        store.keep(redis::Essentials { identity_key, canvases: asked_for(&config.canvases) }).await;
        tokio::spawn(provision_later(Arc::clone(&store) as Arc<dyn Store>, later));
    }
    let identities = Arc::new(Identities::new(key, HostToken::new(host.as_deref())));
    let redis::Line { publish, received } = store.line(PRESENCE_TOPIC);
    let line = config.targets.gateway.then_some(gateway::Line { publish, received });
    Ok(Opened { store, identities, folder: None, shared: true, line })
}

/// The Redis at an address, which may be away.
pub(crate) async fn reach_redis(
    config: &Config,
    address: &redis::Address,
    access: redis::Access,
) -> Result<redis::Redis, Fatal> {
    let mut options = redis::Options::new(limits(config));
    options.access = access;
    options.retention_bytes = config.log_retention_bytes;
    if let Some(file) = &config.store_password_file {
        options.password = Some(secrets::password(file)?);
    }
    options.ca = read_ca(config)?;
    redis::Redis::open(address.clone(), options).await.map_err(|wrong| Fatal::Config {
        key: match wrong {
            redis::OpenError::Durability(_) => "--durability",
            redis::OpenError::Authority => "--store-ca-file",
            redis::OpenError::Address(_) => "--store",
        },
        problem: wrong.to_string(),
    })
}

/// The authority that the store's TLS is trusted by.
fn read_ca(config: &Config) -> Result<Option<Vec<u8>>, Fatal> {
    let Some(file) = &config.store_ca_file else { return Ok(None) };
    let wrong =
        |error| Fatal::Config { key: "--store-ca-file", problem: format!("{}: {error}", file.display()) };
    std::fs::read(file).map(Some).map_err(wrong)
}

/// The key that every process over this Redis signs with: made by an api, waited for by a gateway.
async fn shared_identity_key(store: &redis::Redis, make: bool, readiness: &ops::Readiness) -> IdentityKey {
    let fresh = rand::random();
    loop {
        let found = match store.identity_key().await {
            Ok(None) if make => store.make_identity_key(fresh).await.map(Some),
            found => found,
        };
        match found {
            Ok(Some(key)) => return IdentityKey(key),
            Ok(None) => readiness.wait_for("no api made the identity key yet".into(), None),
            Err(failure) => {
                let why = format!("the identity key cannot be had: {}", in_one_line(&failure));
                readiness.wait_for(why, Some(failure.trouble()));
            }
        }
        tokio::time::sleep(STORE_RETRY).await;
    }
}

/// An error with its causes.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// What the operators' port serves.
fn ops_router(metrics: &Arc<Metrics>, readiness: &ops::Readiness, backups: &Backups) -> Router {
    let ops = ops::router(Arc::clone(metrics), readiness.clone()).merge(backups::router(backups.clone()));
    nosniff::everywhere(ops)
}

/// What each public port serves.
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
    others: Option<gateway::Line>,
    addresses: AddressConnections,
    metrics: &Arc<Metrics>,
    origins: &Arc<Origins>,
    clock: Clock,
) -> Result<Wired, Fatal> {
    let proxies = Arc::new(config.trusted_proxies.clone());
    let mut wired = Wired::default();
    let placer = opened.map(|opened| {
        let metrics_of = metrics.placing.clone();
        if config.targets.api {
            return Placer::new(Arc::clone(&opened.store), metrics_of, clock);
        }
        let identities = Arc::clone(&opened.identities);
        let hop = Hop::new(config.api_urls.clone(), identities, metrics.hop.clone(), clock);
        Placer::over(Arc::new(hop), metrics_of, clock)
    });
    if let (Some(opened), Some(placer), true) = (opened, &placer, config.targets.api) {
        let api = api::start(api::Needs {
            store: Arc::clone(&opened.store),
            placer: placer.clone(),
            identities: Arc::clone(&opened.identities),
            origins: Arc::clone(origins),
            proxies: Arc::clone(&proxies),
            metrics: metrics.http.clone(),
            clock,
            shared_store: opened.shared,
        });
        let paths = api::router(Arc::clone(&api));
        wired.api = Some(paths.clone().merge(api::port_router(api)));
        wired.api_paths = Some(paths);
    }
    if let (Some(opened), Some(placer), true) = (opened, placer, config.targets.gateway) {
        let needs = gateway::Needs {
            store: Arc::clone(&opened.store),
            placer,
            identities: Arc::clone(&opened.identities),
            origins: Arc::clone(origins),
            proxies: Arc::clone(&proxies),
            addresses,
            metrics: metrics.gateway.clone(),
            clock,
            sweep_interval: config.sweep_interval,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        };
        let gateway = gateway::start(needs, others)?;
        wired.gateway_port = Some(gateway::router(Arc::clone(&gateway)));
        wired.gateway = Some(gateway);
    }
    if config.targets.frontend {
        let needs = frontend::Needs {
            store: opened.map(|opened| Arc::clone(&opened.store)),
            identities: opened.map(|opened| Arc::clone(&opened.identities)),
            proxies,
            clock,
            framed_by: config.frame_ancestors.clone(),
        };
        // One origin does everything: by the neighbours in this process, else by those that are named.
        let mut router = frontend::router(needs);
        let (mut apis, mut gateways) = (config.api_urls.clone(), config.gateway_urls.clone());
        if let Some(paths) = wired.api_paths.take() {
            router = router.merge(paths);
            apis.clear();
        }
        if let Some(gateway) = &wired.gateway {
            router = router.merge(gateway::socket_router(Arc::clone(gateway)));
            gateways.clear();
        }
        wired.frontend = Some(router.merge(proxy::router(apis, gateways, clock)));
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

#[cfg(test)]
mod tests;
