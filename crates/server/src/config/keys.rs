//! The table of keys: what flags, environment, file and help are all made from.

/// One thing that can be set.
pub(crate) struct Key {
    /// The flag without its dashes, and the key in the file.
    pub(crate) name: &'static str,
    /// What stands for the value in the help.
    pub(crate) value: &'static str,
    /// What holds when nobody says otherwise; empty where nothing does.
    pub(crate) default: &'static str,
    /// One plain sentence, or two.
    pub(crate) help: &'static str,
}

/// Keys that belong together, under a heading of the help.
pub(crate) struct Group {
    pub(crate) heading: &'static str,
    pub(crate) keys: &'static [Key],
}

/// What every environment variable of ours begins with.
pub(crate) const ENV_PREFIX: &str = "PIXEL_PLAYGROUND_";

const fn key(name: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, value, default, help }
}

/// Every key, in the order of the help.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        heading: "Where people reach it",
        keys: &[
            key(
                "frontend-listen",
                "IP:PORT",
                "127.0.0.1:3000",
                "The page and its files; with the other services in the process also /api and /ws. \
                 0.0.0.0:3000 lets everybody on your network in.",
            ),
            key("api-listen", "IP:PORT", "127.0.0.1:3001", "The Canvas State API alone."),
            key(
                "gateway-listen",
                "IP:PORT",
                "127.0.0.1:3002",
                "The WebSocket gateway alone; any path is a socket.",
            ),
            key(
                "ops-listen",
                "IP:PORT",
                "127.0.0.1:3009",
                "Metrics and health for operators: /metrics, /livez, /readyz, /version. Never show it to the public.",
            ),
            key(
                "tls-cert-file",
                "FILE",
                "",
                "PEM certificate chain: turns TLS on for all public ports. Read again when it changes.",
            ),
            key("tls-key-file", "FILE", "", "PEM private key that fits the certificate."),
            key(
                "allowed-origins",
                "ORIGINS",
                "",
                "Web pages of other origins that may open sockets and paint, separated by commas: \
                 https://example.org,http://localhost:8080. The page's own origin always may.",
            ),
            key(
                "frame-ancestors",
                "ORIGINS",
                "",
                "Web pages that may show the page inside themselves, separated by commas: https://example.org; * for all. \
                 Nobody may otherwise. /c/ID?bare is made for it.",
            ),
            key(
                "trusted-proxies",
                "NETWORKS",
                "",
                "Networks of your own proxies, whose X-Forwarded-For is believed, separated by commas: 10.0.0.0/8,fd00::/8.",
            ),
        ],
    },
    Group {
        heading: "Where the canvas is kept",
        keys: &[
            key(
                "store",
                "STORE",
                "embedded:./data",
                "embedded:DIR keeps everything in that folder; it is made when missing. \
                 redis://[USER:PASSWORD@]HOST:PORT/DB shares a Redis with other processes; one that is away is waited for. \
                 Also redis+sentinel://HOST:PORT,HOST:PORT/MASTER and redis+cluster://HOST:PORT,HOST:PORT; with TLS rediss.",
            ),
            key(
                "durability",
                "MODE",
                "as-configured",
                "What an acknowledgement waits for. In a folder always the disk. Over Redis as-configured is what the server gives, \
                 fsync is refused by a server that does not sync each write, replicated:N waits for N replicas.",
            ),
            key(
                "log-retention-bytes",
                "BYTES",
                "1 GiB",
                "How much of the history is kept for who comes back: a number, or one with KiB, MiB or GiB. \
                 Over Redis it counts for each canvas, and is 64 MiB unless set.",
            ),
            key("log-retention-seconds", "SECONDS", "", "How long the history is kept at most; at least 70."),
            key(
                "backup-folder",
                "DIR",
                "",
                "Backups are made into this folder while the process runs, where the store is a folder. \
                 pixel-playground backup makes one of any store.",
            ),
            key("backup-interval-seconds", "SECONDS", "86400", "Time between two of these backups."),
            key("backups-kept", "COUNT", "7", "How many of them are kept; the oldest are removed."),
        ],
    },
    Group {
        heading: "Who may do what",
        keys: &[
            key(
                "admin-token-file",
                "FILE",
                "",
                "The host's password, sent as a bearer token to make, change and reset canvases. \
                 With everything in one process it is made in the folder of the store.",
            ),
            key(
                "identity-key-file",
                "FILE",
                "",
                "The 32 bytes, as 64 hex digits, that sign guests and calls between processes. Made in the store.",
            ),
            key(
                "rate-limit",
                "RATE",
                "100/s burst 1000",
                "Pixels that one guest may place on a canvas: N/s, N/m or N/h, and how many may be saved up. \
                 off lifts this limit and the next.",
            ),
            key(
                "address-rate-limit",
                "RATE",
                "1000/s burst 10000",
                "The same for all guests of one network address together.",
            ),
            key(
                "guests-per-address",
                "COUNT",
                "64",
                "On a canvas with a cooldown, guests of one address together paint as much as so many.",
            ),
            key("address-connections", "COUNT", "10000", "Sockets that one address may hold open."),
        ],
    },
    Group {
        heading: "How it runs",
        keys: &[
            key(
                "config",
                "FILE",
                "",
                "A TOML file with these same keys, and [[canvas]] tables that describe canvases to make.",
            ),
            key(
                "target",
                "SERVICES",
                "all",
                "The services of this process: all, or some of frontend,api,gateway.",
            ),
            key(
                "sweep-interval-ms",
                "MILLISECONDS",
                "16",
                "While pixels keep coming, the least time between two rounds of sending them out; 0 never waits.",
            ),
            key(
                "log-filter",
                "FILTER",
                "info",
                "Which log lines are written: error, warn, info, debug, or info,pixel_store=debug.",
            ),
            key(
                "log-format",
                "FORMAT",
                "auto",
                "How they look: text, json (Elastic Common Schema, the greeting too), or auto: text on a terminal, json elsewhere.",
            ),
        ],
    },
    Group {
        heading: "For several processes over Redis",
        keys: &[
            key(
                "api-url",
                "URLS",
                "",
                "Where the other processes' API is, as http://HOST:PORT, separated by commas. A gateway without an API \
                 in its process needs it; a frontend hands /api on to it.",
            ),
            key(
                "gateway-url",
                "URLS",
                "",
                "Where the other processes' gateways are, for a frontend that hands /ws on to them.",
            ),
            key(
                "store-password-file",
                "FILE",
                "",
                "The store's password, so that it does not stand in a URL.",
            ),
            key(
                "store-ca-file",
                "FILE",
                "",
                "The certificate authority of the store's TLS, in PEM; the system's unless set.",
            ),
        ],
    },
];

/// Every key.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    GROUPS.iter().flat_map(|group| group.keys)
}

impl Key {
    /// The key's environment variable.
    pub(crate) fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

/// `did you mean …?`, where something is near enough to be meant.
pub(crate) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handbook_names_every_key_with_its_default() {
        let handbook = include_str!("../../../../docs/operations.md");
        for key in all() {
            let row = handbook.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
            let row = row.unwrap_or_else(|| panic!("docs/operations.md does not tell of {}", key.name));
            assert!(key.default.is_empty() || row.contains(&format!("`{}`", key.default)), "{row}");
        }
    }
}
