//! Where a Redis store is: the URL of `--store`, taken apart.

use std::fmt;

use percent_encoding::percent_decode_str;
use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult,
    TlsCertificates,
};

/// The port of a server where the URL names none.
const SERVER_PORT: u16 = 6_379;
/// The port of a sentinel where the URL names none.
const SENTINEL_PORT: u16 = 26_379;
/// The most servers, sentinels or nodes that a URL names.
const SEEDS_MAX: usize = 64;

/// What is wrong with an address and what is allowed. Never repeats it: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAddress(String);

/// `redis://[user:pass@]host:port/db`, `redis+sentinel://[user:pass@]h1:p1,h2:p2/MASTER`,
/// `redis+cluster://[user:pass@]h1:p1,h2:p2`, and with TLS the same with `rediss`. User and
/// password are percent-encoded, as in every URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) kind: Kind,
    /// The server; or some of the sentinels; or some nodes of the cluster.
    pub(crate) seeds: Vec<Node>,
    username: Option<String>,
    password: Option<String>,
    database: i64,
    tls: bool,
}

/// Who knows which server holds what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody needs to: there is one.
    Single,
    /// Sentinels, which know the master of this name.
    Sentinel { master: String },
    /// Every node of a cluster.
    Cluster,
}

/// Where one process listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What is met there, and with which credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A server, with the store's credentials and database.
    Server,
    /// A sentinel that has the same credentials.
    Sentinel,
    /// A sentinel that asks for none.
    OpenSentinel,
}

impl Address {
    /// Takes a URL apart.
    pub fn parse(url: &str) -> Result<Self, InvalidAddress> {
        let wrong = |why: &str| Err(InvalidAddress(why.to_owned()));
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let (tls, topology) = match scheme.strip_prefix("rediss") {
            Some(topology) => (true, topology),
            None => (false, scheme.strip_prefix("redis").unwrap_or(scheme)),
        };
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
        let (kind, database) = match topology {
            "" => match path.parse() {
                Ok(database @ 0..) => (Kind::Single, database),
                _ if path.is_empty() => (Kind::Single, 0),
                _ => return wrong("the database is not a number: write redis://HOST:PORT/0"),
            },
            "+sentinel" if is_master_name(path) => (Kind::Sentinel { master: path.to_owned() }, 0),
            "+sentinel" => {
                return wrong(
                    "it names no master, or one with other than letters, digits, '.', '-' and '_': \
                     write redis+sentinel://HOST:PORT,HOST:PORT/MASTER",
                );
            }
            "+cluster" if path.is_empty() => (Kind::Cluster, 0),
            "+cluster" => {
                return wrong("a cluster has no databases: write redis+cluster://HOST:PORT,HOST:PORT");
            }
            _ => return wrong("it is no store: write embedded:DIR or redis://HOST:PORT/DB"),
        };
        let port = if matches!(kind, Kind::Sentinel { .. }) { SENTINEL_PORT } else { SERVER_PORT };
        let Some(seeds) = hosts.split(',').map(|host| Node::parse(host, port)).collect::<Option<Vec<_>>>()
        else {
            return wrong("it needs a host: write HOST:PORT, and [ADDRESS]:PORT for IPv6");
        };
        if kind == Kind::Single && seeds.len() > 1 {
            return wrong("redis:// is one server: write redis+sentinel:// or redis+cluster:// for several");
        }
        if seeds.len() > SEEDS_MAX {
            return wrong("it names more than 64 hosts: some of them are enough");
        }
        let (username, password) = match credentials {
            Some(credentials) => read_credentials(credentials)?,
            None => (None, None),
        };
        Ok(Self { kind, seeds, username, password, database, tls })
    }

    /// The same with another password.
    pub(crate) fn with_password(mut self, password: Option<String>) -> Self {
        self.password = password.or(self.password);
        self
    }

    /// What connects to one node; `ca` is trusted in place of the system's authorities.
    pub(crate) fn client(&self, node: &Node, peer: Peer, ca: Option<&[u8]>) -> RedisResult<Client> {
        let Node { host, port } = node.clone();
        let at = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut redis = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2);
        if peer == Peer::Server {
            redis = redis.set_db(self.database);
        }
        if peer != Peer::OpenSentinel {
            if let Some(username) = &self.username {
                redis = redis.set_username(username);
            }
            if let Some(password) = &self.password {
                redis = redis.set_password(password);
            }
        }
        let info = at.into_connection_info()?.set_redis_settings(redis);
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        if self.tls {
            Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: ca.map(<[u8]>::to_vec) },
            )
        } else {
            Client::open(info)
        }
    }
}

/// As it may be shown: without credentials.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = self.seeds.iter().map(Node::to_string).collect::<Vec<_>>().join(",");
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.kind {
            Kind::Single => write!(f, "{scheme}://{seeds}/{}", self.database),
            Kind::Sentinel { master } => write!(f, "{scheme}+sentinel://{seeds}/{master}"),
            Kind::Cluster => write!(f, "{scheme}+cluster://{seeds}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl Node {
    /// `host`, `host:port`, `[v6]` or `[v6]:port`.
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(plain) {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None => default_port,
        };
        Some(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

fn is_master_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// `user:pass`, `:pass` or `user`.
fn read_credentials(text: &str) -> Result<(Option<String>, Option<String>), InvalidAddress> {
    let decode = |part: &str| -> Result<Option<String>, InvalidAddress> {
        let decoded = percent_decode_str(part).decode_utf8();
        let decoded = decoded.map_err(|_| InvalidAddress("user and password are not UTF-8".into()))?;
        Ok((!decoded.is_empty()).then(|| decoded.into_owned()))
    };
    let (username, password) = text.split_once(':').unwrap_or((text, ""));
    Ok((decode(username)?, decode(password)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> Node {
        Node { host: host.into(), port }
    }

    #[test]
    fn every_form_of_the_contract_is_read() {
        let single = Address::parse("redis://ann:s%40fe@a:1/2").expect("it is right");
        assert_eq!((single.kind, single.seeds, single.database), (Kind::Single, vec![node("a", 1)], 2));
        assert_eq!((single.username.as_deref(), single.password.as_deref()), (Some("ann"), Some("s@fe")));
        let plain = Address::parse("redis://redis-0.redis").expect("it is right");
        assert_eq!(
            (plain.seeds, plain.password, plain.tls),
            (vec![node("redis-0.redis", 6_379)], None, false)
        );

        let sentinel = Address::parse("rediss+sentinel://:pw@a:1,[::1]:2,c/my-master").expect("it is right");
        assert_eq!(sentinel.seeds, [node("a", 1), node("::1", 2), node("c", 26_379)]);
        assert_eq!(sentinel.kind, Kind::Sentinel { master: "my-master".into() });
        assert!(sentinel.tls && sentinel.username.is_none());
        assert_eq!(sentinel.to_string(), "rediss+sentinel://a:1,[::1]:2,c:26379/my-master");

        let cluster = Address::parse("redis+cluster://a:1,b:2").expect("it is right");
        assert_eq!((cluster.kind, cluster.seeds.len()), (Kind::Cluster, 2));
    }

    #[test]
    fn a_wrong_one_is_explained_and_its_password_never_repeated() {
        for wrong in [
            "redis:/nowhere",
            "redis://",
            "redis://u:secret@:6379",
            "redis://u:secret@a:0/0",
            "redis://u:secret@a:1/x",
            "redis://u:secret@a:1/-1",
            "redis://u:secret@a:1,b:2/0",
            "redis://u:secret@a b:1/0",
            "redis://u:secret@[a]:1/0",
            "redis+sentinel://u:secret@a:1",
            "redis+sentinel://u:secret@a:1/my master",
            "redis+cluster://u:secret@a:1/0",
            "redis+oops://u:secret@a:1/0",
            "memcached://u:secret@a",
        ] {
            let error = Address::parse(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("secret") && error.contains("write"), "{wrong}: {error}");
        }
        let address = Address::parse("redis://u:secret@a:1/0").expect("it is right");
        assert!(!format!("{address:?} {address}").contains("secret"));
    }

    #[test]
    fn fuzz_store_addresses() {
        let seeds = [
            "redis://ann:s%40fe@a:1/2",
            "rediss+sentinel://:pw@a:1,[::1]:2,c/my-master",
            "redis+cluster://a:1,b:2",
        ];
        crate::run::fuzz("store_addresses", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            match Address::parse(text) {
                Ok(address) => {
                    // Shown without its secrets, it is still an address of the same servers.
                    let again = Address::parse(&address.to_string()).expect("what is shown can be read");
                    assert_eq!((again.seeds, again.kind), (address.seeds, address.kind));
                }
                Err(wrong) => assert!(!wrong.to_string().is_empty()),
            }
        });
    }
}
