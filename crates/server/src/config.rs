//! What the operator asked for: the only code that reads flags, environment and configuration file.

mod help;
mod keys;
mod sources;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pixel_canvas::{Amendment, Canvas, Rate};
use pixel_store::redis::{self, Address, Durability};

pub(crate) use self::help::help;
use self::sources::{Setting, Settings, Source};
use crate::address::TrustedProxies;
use crate::backups::Schedule;
use crate::origin::{FrameAncestors, Origin};
use crate::telemetry::LogFormat;

/// What the executable is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve,
    CheckConfig,
    Healthcheck,
    Backup,
    Restore,
    Help,
    Version,
}

/// Which services run in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    pub(crate) frontend: bool,
    pub(crate) api: bool,
    pub(crate) gateway: bool,
}

impl Targets {
    pub(crate) const ALL: Self = Self { frontend: true, api: true, gateway: true };

    /// Those that run, by name.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let all = [(self.frontend, "frontend"), (self.api, "api"), (self.gateway, "gateway")];
        all.into_iter().filter_map(|(runs, name)| runs.then_some(name)).collect()
    }
}

/// Where the canvases are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreAt {
    /// In this folder.
    Folder(PathBuf),
    /// In the Redis at this address.
    Redis(Address),
    /// Nowhere: a frontend alone opens no store.
    None,
}

/// Where a service of another process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A canvas of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedCanvas {
    /// What is made where there is none of that id.
    pub(crate) canvas: Canvas,
    /// What is changed where there is one: the keys that the file names.
    pub(crate) amendment: Amendment,
}

/// The checked configuration of a process.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) targets: Targets,
    pub(crate) store: StoreAt,
    pub(crate) store_password_file: Option<PathBuf>,
    pub(crate) store_ca_file: Option<PathBuf>,
    /// What an acknowledgement waits for, over Redis.
    pub(crate) durability: Durability,
    /// Where the apis of other processes are; empty where this process has one.
    pub(crate) api_urls: Vec<Url>,
    /// Where the gateways of other processes are.
    pub(crate) gateway_urls: Vec<Url>,
    pub(crate) frontend_listen: SocketAddr,
    pub(crate) api_listen: SocketAddr,
    pub(crate) gateway_listen: SocketAddr,
    pub(crate) ops_listen: SocketAddr,
    pub(crate) identity_key_file: Option<PathBuf>,
    pub(crate) admin_token_file: Option<PathBuf>,
    pub(crate) rate_limit: Option<Rate>,
    pub(crate) address_rate_limit: Option<Rate>,
    pub(crate) guests_per_address: u64,
    pub(crate) sweep_interval: Duration,
    pub(crate) address_connections: u32,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) allowed_origins: Vec<Origin>,
    pub(crate) frame_ancestors: FrameAncestors,
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) log_retention_bytes: u64,
    pub(crate) log_retention_seconds: Option<u64>,
    /// What the file's `[[canvas]]` tables describe.
    pub(crate) canvases: Vec<DescribedCanvas>,
    pub(crate) log_filter: String,
    pub(crate) log_format: LogFormat,
    /// Backups that the process makes by itself.
    pub(crate) backups: Option<Schedule>,
    /// What a subcommand is about: a file, then ids of canvases.
    pub(crate) operands: Vec<String>,
    /// Whether a restored canvas takes the place of one that is there.
    pub(crate) replace: bool,
    /// Every value that somebody set, for `check-config`: key, value, where.
    pub(crate) set: Vec<(&'static str, String, String)>,
}

/// A key, what was wrong with it, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub(crate) struct ConfigError {
    pub(crate) key: String,
    pub(crate) problem: String,
}

impl ConfigError {
    fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// Reads what this process was asked to do, from its command line, environment and file.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn from_process() -> Result<(Command, Option<Config>), ConfigError> {
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    read(args, variables)
}

/// Reads a command line and an environment; help and version come without a configuration.
pub(crate) fn read(
    args: impl Iterator<Item = String>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(Command, Option<Config>), ConfigError> {
    let (command, mut settings) = sources::read_flags(args)?;
    if matches!(command, Command::Help | Command::Version) {
        return Ok((command, None));
    }
    sources::read_env(&mut settings, variables)?;
    if let Some(file) = settings.get("config") {
        let path = PathBuf::from(&file.raw);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            ConfigError::new(shown("config", &file), format!("{}: {error}", path.display()))
        })?;
        sources::read_file(&mut settings, path, &text)?;
    }
    Ok((command, Some(Config::check(&settings)?)))
}

impl Config {
    fn check(settings: &Settings) -> Result<Self, ConfigError> {
        let targets = required(settings, "target", values::targets)?;
        let store = check_store(settings, targets)?;
        let urls = |key| optional(settings, key, values::urls).map(Option::unwrap_or_default);
        let (api_urls, gateway_urls) = (urls("api-url")?, urls("gateway-url")?);
        if targets.gateway && !targets.api && api_urls.is_empty() {
            let problem = "a gateway without an api in its process needs to know where one is: \
                           write http://HOST:PORT";
            return Err(ConfigError::new("--api-url", problem));
        }
        let rate_limit = required(settings, "rate-limit", values::rate)?;
        let address_rate_limit = required(settings, "address-rate-limit", values::rate)?;
        let at = |key| required(settings, key, values::listen);
        check_ports(settings, targets)?;
        let path = |key| optional(settings, key, |raw| Ok(PathBuf::from(raw)));
        let count = |key, most| required(settings, key, |raw| values::number(raw, 1, most));
        // What a process keeps for itself, and what one canvas may take of a store for all.
        let log_retention_bytes = match (&store, settings.get("log-retention-bytes")) {
            (StoreAt::Redis(_), Some(Setting { source: Source::Default, .. })) => redis::RETENTION_BYTES,
            _ => required(settings, "log-retention-bytes", values::bytes)?,
        };
        Ok(Self {
            targets,
            durability: required(settings, "durability", |raw| values::durability(raw, &store))?,
            store,
            store_password_file: path("store-password-file")?,
            store_ca_file: path("store-ca-file")?,
            api_urls,
            gateway_urls,
            frontend_listen: at("frontend-listen")?,
            api_listen: at("api-listen")?,
            gateway_listen: at("gateway-listen")?,
            ops_listen: at("ops-listen")?,
            identity_key_file: path("identity-key-file")?,
            admin_token_file: path("admin-token-file")?,
            rate_limit,
            // Without the first limit the second would be the only one: `off` lifts both.
            address_rate_limit: rate_limit.and(address_rate_limit),
            guests_per_address: count("guests-per-address", 1_000_000)?,
            sweep_interval: required(settings, "sweep-interval-ms", |raw| values::number(raw, 0, 1_000))
                .map(Duration::from_millis)?,
            address_connections: count("address-connections", 1_000_000)? as u32,
            trusted_proxies: TrustedProxies(
                optional(settings, "trusted-proxies", values::networks)?.unwrap_or_default(),
            ),
            allowed_origins: optional(settings, "allowed-origins", values::origins)?.unwrap_or_default(),
            frame_ancestors: optional(settings, "frame-ancestors", values::frame_ancestors)?
                .unwrap_or_default(),
            tls: check_tls(path("tls-cert-file")?, path("tls-key-file")?)?,
            log_retention_bytes,
            log_retention_seconds: optional(
                settings,
                "log-retention-seconds",
                values::log_retention_seconds,
            )?,
            canvases: check_canvases(settings)?,
            log_filter: required(settings, "log-filter", values::log_filter)?,
            log_format: required(settings, "log-format", values::log_format)?,
            backups: check_backups(settings, path("backup-folder")?)?,
            operands: settings.operands.clone(),
            replace: settings.replace,
            set: keys::all()
                .filter_map(|key| Some((key.name, settings.get(key.name)?)))
                .filter(|(_, setting)| setting.source != Source::Default)
                .map(|(name, setting)| (name, show_value(name, &setting.raw), shown(name, &setting)))
                .collect(),
        })
    }
}

/// Two services of one process cannot listen on one port.
fn check_ports(settings: &Settings, targets: Targets) -> Result<(), ConfigError> {
    let used = [
        ("frontend-listen", targets.frontend),
        ("api-listen", targets.api),
        ("gateway-listen", targets.gateway),
        ("ops-listen", true),
    ];
    let mut taken: Vec<(&'static str, SocketAddr)> = Vec::new();
    for (key, _) in used.into_iter().filter(|(_, is_used)| *is_used) {
        let at = required(settings, key, values::listen)?;
        let meets = |other: &SocketAddr| {
            let all = other.ip().is_unspecified() || at.ip().is_unspecified();
            at.port() != 0 && at.port() == other.port() && (all || at.ip() == other.ip())
        };
        if let Some((other, _)) = taken.iter().find(|(_, other)| meets(other)) {
            let problem =
                format!("{at} is the address of {} already: write another port", shown_name(settings, other));
            return Err(ConfigError::new(shown_name(settings, key), problem));
        }
        taken.push((key, at));
    }
    Ok(())
}

fn check_store(settings: &Settings, targets: Targets) -> Result<StoreAt, ConfigError> {
    let store = required(settings, "store", values::store)?;
    let store = if targets.api || targets.gateway { store } else { StoreAt::None };
    match store {
        StoreAt::Folder(_) if !(targets.api && targets.gateway) => {
            let problem = "the embedded store needs api and gateway in one process: \
                           write all, api,gateway or frontend,api,gateway";
            Err(ConfigError::new(shown_name(settings, "target"), problem))
        }
        store => Ok(store),
    }
}

fn check_backups(settings: &Settings, folder: Option<PathBuf>) -> Result<Option<Schedule>, ConfigError> {
    let interval = required(settings, "backup-interval-seconds", |raw| values::number(raw, 1, 31_622_400))?;
    let kept = required(settings, "backups-kept", |raw| values::number(raw, 1, 10_000))? as usize;
    Ok(folder.map(|folder| Schedule { folder, interval: Duration::from_secs(interval), kept }))
}

fn check_tls(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::new("tls-key-file", "it is missing: tls-cert-file needs it")),
        (None, Some(_)) => Err(ConfigError::new("tls-cert-file", "it is missing: tls-key-file needs it")),
    }
}

fn check_canvases(settings: &Settings) -> Result<Vec<DescribedCanvas>, ConfigError> {
    let mut canvases: Vec<DescribedCanvas> = Vec::new();
    for (index, spec) in settings.canvases.iter().enumerate() {
        let at = |key: &str| format!("{key} of [[canvas]] number {}", index + 1);
        let canvas = Canvas::parse(spec).map_err(|error| ConfigError::new(at(error.key), error.problem))?;
        if canvases.iter().any(|earlier| earlier.canvas.id == canvas.id) {
            return Err(ConfigError::new(at("id"), format!("{} is there twice", canvas.id)));
        }
        let amendment = Amendment {
            name: spec.name.clone(),
            cooldown_ms: spec.cooldown_ms,
            charges_max: spec.charges_max,
            frozen: None,
        };
        canvases.push(DescribedCanvas { canvas, amendment });
    }
    Ok(canvases)
}

fn optional<T>(
    settings: &Settings,
    key: &'static str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    let Some(setting) = settings.get(key) else { return Ok(None) };
    read(&setting.raw).map(Some).map_err(|problem| ConfigError::new(shown(key, &setting), problem))
}

fn required<T>(
    settings: &Settings,
    key: &'static str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, ConfigError> {
    optional(settings, key, read).map(|value| value.expect("keys that are required have a default"))
}

/// The key as whoever set it wrote it.
fn shown(key: &str, setting: &Setting) -> String {
    match &setting.source {
        Source::Flag | Source::Default => format!("--{key}"),
        Source::Env => keys::all().find(|known| known.name == key).map_or_else(String::new, keys::Key::env),
        Source::File(path) => format!("{key} in {}", path.display()),
    }
}

fn shown_name(settings: &Settings, key: &'static str) -> String {
    settings.get(key).map_or_else(|| format!("--{key}"), |setting| shown(key, &setting))
}

/// A value as it may be printed: a store's URL can hold a password.
fn show_value(key: &str, raw: &str) -> String {
    match raw.split_once("://") {
        Some((scheme, rest)) if key == "store" => {
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, place)| place))
        }
        _ => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str], env: &[(&str, &str)]) -> Result<Config, String> {
        let args = args.iter().map(|arg| (*arg).to_owned());
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        read(args, env).map(|(_, config)| config.expect("a configuration")).map_err(|error| error.to_string())
    }

    fn with_file(text: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("playground.toml");
        std::fs::write(&path, text).expect("a file is written");
        let path = path.to_str().expect("a plain path");
        let args: Vec<&str> = args.iter().copied().chain(["--config", path]).collect();
        run(&args, env)
    }

    #[test]
    fn nothing_set_is_the_contract() {
        let config = run(&[], &[]).expect("the defaults are good");
        assert_eq!(config.targets, Targets::ALL);
        assert_eq!(config.store, StoreAt::Folder("./data".into()));
        assert_eq!(config.frontend_listen.to_string(), "127.0.0.1:3000");
        assert_eq!(config.ops_listen.to_string(), "127.0.0.1:3009");
        assert_eq!(config.rate_limit, Some(Rate { interval_us: 10_000, burst: 1_000 }));
        assert_eq!(config.address_rate_limit, Some(Rate { interval_us: 1_000, burst: 10_000 }));
        assert_eq!((config.guests_per_address, config.address_connections), (64, 10_000));
        assert_eq!(config.sweep_interval, Duration::from_millis(16));
        assert_eq!((config.log_retention_bytes, config.log_retention_seconds), (1 << 30, None));
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file() {
        let file = "api-listen = \"127.0.0.1:1\"\ngateway-listen = \"127.0.0.1:1\"\nops-listen = \"127.0.0.1:1\"\n\
                    guests-per-address = 5\nallowed-origins = [\"http://a.example\", \"http://b.example\"]";
        let env = [
            ("PIXEL_PLAYGROUND_API_LISTEN", "127.0.0.1:2"),
            ("PIXEL_PLAYGROUND_GATEWAY_LISTEN", "127.0.0.1:2"),
        ];
        let config = with_file(file, &["--api-listen=127.0.0.1:3"], &env).expect("all of it is good");
        assert_eq!(config.api_listen.port(), 3);
        assert_eq!(config.gateway_listen.port(), 2);
        assert_eq!(config.ops_listen.port(), 1);
        assert_eq!((config.guests_per_address, config.allowed_origins.len()), (5, 2));
        assert_eq!(config.set.len(), 6);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one_wherever_it_stands() {
        let error = run(&["--frontend-listn", "x"], &[]).expect_err("no such flag");
        assert_eq!(error, "--frontend-listn: it is not a flag: did you mean frontend-listen?");
        let error = run(&[], &[("PIXEL_PLAYGROUND_RATELIMIT", "x")]).expect_err("no such variable");
        assert!(error.contains("did you mean PIXEL_PLAYGROUND_RATE_LIMIT?"), "{error}");
        let error = with_file("api_listen = \"127.0.0.1:1\"", &[], &[]).expect_err("no such key");
        assert!(error.contains("api_listen in ") && error.contains("did you mean api-listen?"), "{error}");
        let error = with_file("[[canvas]]\nid = \"a\"\nheigth = 5", &[], &[]).expect_err("no such key");
        assert!(
            error.contains("heigth of [[canvas]] number 1") && error.contains("did you mean height?"),
            "{error}"
        );
        let error = run(&["chek-config"], &[]).expect_err("no such command");
        assert!(error.contains("did you mean check-config?"), "{error}");
    }

    #[test]
    fn every_error_names_its_key_as_it_was_written() {
        for (args, env, key) in [
            (&["--api-listen", "3001"][..], &[][..], "--api-listen: "),
            (&[], &[("PIXEL_PLAYGROUND_API_LISTEN", "3001")], "PIXEL_PLAYGROUND_API_LISTEN: "),
            (&["--rate-limit", "fast"], &[], "--rate-limit: "),
            (&["--target", "web"], &[], "--target: "),
            (&["--store", "postgres://x"], &[], "--store: "),
            (&["--durability", "maybe"], &[], "--durability: "),
            (&["--durability", "replicated:1"], &[], "--durability: "),
            (&["--tls-cert-file", "x"], &[], "tls-key-file: "),
            (&["--trusted-proxies", "10.0.0.0/99"], &[], "--trusted-proxies: "),
            (&["--allowed-origins", "example.org"], &[], "--allowed-origins: "),
            (&["--frame-ancestors", "example.org"], &[], "--frame-ancestors: "),
            (&["--address-connections", "0"], &[], "--address-connections: "),
            (&["--log-retention-bytes", "12"], &[], "--log-retention-bytes: "),
            (&["--log-retention-seconds", "69"], &[], "--log-retention-seconds: "),
            (&["--log-filter", "a=b=c"], &[], "--log-filter: "),
            (&["--log-filter", "banana"], &[], "--log-filter: "),
            (&["--log-filter", "info,pixel_store"], &[], "--log-filter: "),
            (&["--log-filter", "zzz="], &[], "--log-filter: "),
            (&["--log-filter", ",,"], &[], "--log-filter: "),
            (&["--api-listen", "0.0.0.0:3000"], &[], "--api-listen: "),
            (&["--log-format", "xml"], &[], "--log-format: "),
            (&["--api-url", "nowhere"], &[], "--api-url: "),
            (&["--config", "/no/such/file"], &[], "--config: "),
            (&["--api-listen"], &[], "--api-listen: "),
            (&["--api-listen", "127.0.0.1:1", "--api-listen", "127.0.0.1:2"], &[], "--api-listen: "),
        ] {
            let error = run(args, env).expect_err("it is wrong");
            assert!(error.starts_with(key), "{args:?}: {error}");
        }
    }

    #[test]
    fn split_services_need_a_shared_store_and_a_way_to_each_other() {
        let redis = ["--store", "redis://u:secret@h:1/0"];
        for target in ["api", "frontend,api", "all", "api,gateway"] {
            let config = run(&[&redis[..], &["--target", target]].concat(), &[]).expect("all of it is good");
            assert_eq!(config.store, StoreAt::Redis(Address::parse(redis[1]).expect("an address")));
            assert_eq!(config.log_retention_bytes, redis::RETENTION_BYTES);
        }
        let error = run(&[&redis[..], &["--target", "gateway"]].concat(), &[]).expect_err("no api");
        assert!(error.starts_with("--api-url: ") && !error.contains("secret"), "{error}");
        let gateway = ["--target", "gateway", "--api-url", "http://a:1,http://b"];
        let config = run(&[&redis[..], &gateway].concat(), &[]).expect("all of it is good");
        assert_eq!(config.api_urls.len(), 2);
        for split in ["api", "gateway", "frontend,api"] {
            let error = run(&["--target", split], &[]).expect_err("the embedded store is one process");
            assert!(error.contains("needs api and gateway in one process"), "{error}");
        }
        let alone = run(&["--target", "frontend"], &[]).expect("a frontend alone opens no store");
        assert_eq!(alone.store, StoreAt::None);
        run(&["--target", "api,gateway"], &[]).expect("both are here");
    }

    #[test]
    fn off_lifts_both_rates() {
        let config = run(&["--rate-limit", "off"], &[]).expect("it is good");
        assert_eq!((config.rate_limit, config.address_rate_limit), (None, None));
    }

    #[test]
    fn canvases_of_the_file_are_checked_like_those_of_requests() {
        let file = "[[canvas]]\nid = \"main\"\nwidth = 100\nheight = 80\n[[canvas]]\nid = \"harbour\"\n\
                    palette = [\"#FFFFFF\", \"#000000\"]\ncooldown_ms = 5000\ncharges_max = 3";
        let canvases = with_file(file, &[], &[]).expect("both are good").canvases;
        let canvases: Vec<Canvas> = canvases.into_iter().map(|described| described.canvas).collect();
        assert_eq!((canvases[0].size.width(), canvases[0].size.height()), (100, 80));
        assert_eq!((canvases[1].cooldown_ms, canvases[1].charges_max), (5_000, 3));
        for (wrong, key) in [
            ("[[canvas]]\nid = \"A b\"", "id of [[canvas]] number 1"),
            ("[[canvas]]\nid = \"a\"\nwidth = 70000", "width of [[canvas]] number 1"),
            ("[[canvas]]\nid = \"a\"\nwidth = \"9\"", "width of [[canvas]] number 1"),
            ("[[canvas]]\nid = \"a\"\n[[canvas]]\nid = \"a\"", "id of [[canvas]] number 2"),
            ("canvas = 5", "canvas in "),
            ("not toml", ""),
        ] {
            let error = with_file(wrong, &[], &[]).expect_err("it is wrong");
            assert!(error.starts_with(key), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn the_help_names_every_key_and_fits_a_terminal() {
        let help = help();
        for key in keys::all() {
            assert!(help.contains(&format!("  --{} ", key.name)), "{} is missing", key.name);
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn fuzz_config_files() {
        let seeds = [
            "rate-limit = \"20/s burst 200\"\ntrusted-proxies = [\"10.0.0.0/8\", \"::1\"]\nsweep-interval-ms = 0\n\
             allowed-origins = \"https://a.example\"\nlog-retention-bytes = \"1 GiB\"\ntarget = \"api,gateway\"",
            "[[canvas]]\nid = \"a\"\nwidth = 5\npalette = [\"#FFFFFF\"]\n[[canvas]]\nid = \"b\"",
            "store = \"redis://u:p@h:1/2\"\ndurability = \"replicated:2\"\napi-url = \"http://a:1,http://[::1]:2\"",
        ];
        crate::run::fuzz("config_files", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let mut settings = Settings::default();
            let read = sources::read_file(&mut settings, PathBuf::from("playground.toml"), text);
            if let Err(wrong) = read.and_then(|()| Config::check(&settings)) {
                assert!(!wrong.key.is_empty() && !wrong.problem.is_empty(), "{wrong}");
            }
        });
    }
}
