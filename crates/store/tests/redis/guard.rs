//! Servers that let in only who is known: over TLS alone, as the users that the handbook lists.

use std::net::SocketAddr;
use std::path::PathBuf;

use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult, TlsCertificates};
use tempfile::TempDir;

use super::authority::Authority;

/// Of every user.
pub(crate) const PASSWORD: &str = "p@ss:word/with%signs";
/// May do everything: the tests themselves, and sentinels.
const OPERATOR: &str = "operator";
/// The last year of its certificate: long after any test.
const CERTIFIED_UNTIL: i32 = 2100;
const SERVICES: [&str; 2] = ["pixel-api", "pixel-gateway"];
/// As replicas meet their master.
const REPLICA: &str = "pixel-replica";

/// One guard for all servers of a fleet: they have one authority, one certificate and the same users.
pub(crate) struct Guard {
    authority: Authority,
    folder: TempDir,
}

impl Guard {
    pub(crate) fn new() -> Self {
        let (authority, folder) = (Authority::new("ours"), tempfile::tempdir().expect("a temporary folder"));
        authority.sign(folder.path(), CERTIFIED_UNTIL);
        Self { authority, folder }
    }

    /// The file of the authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    /// What a server is told that listens at this port, as arguments.
    pub(crate) fn arguments(&self, port: u16) -> Vec<String> {
        let mut settings = self.settings(port);
        settings.push("tls-cluster yes".to_owned());
        settings.extend([format!("masteruser {REPLICA}"), format!("masterauth {PASSWORD}")]);
        let users = SERVICES.into_iter().chain([REPLICA]);
        settings.extend(users.map(|user| format!("user {user} {}", rules(user, PASSWORD, false))));
        let words = |setting: String| -> Vec<String> {
            format!("--{setting}").split_whitespace().map(str::to_owned).collect()
        };
        settings.into_iter().flat_map(words).collect()
    }

    /// What a sentinel is told that listens at this port, line by line; `monitor` is the line that names its master.
    pub(crate) fn sentinel(&self, port: u16, master: &str, monitor: &str) -> String {
        let mut settings = self.settings(port);
        settings.extend(SERVICES.map(|user| format!("user {user} {}", rules(user, PASSWORD, true))));
        settings.extend([
            monitor.to_owned(),
            format!("sentinel auth-user {master} {OPERATOR}"),
            format!("sentinel auth-pass {master} {PASSWORD}"),
            // The others are sentinels like this one.
            format!("sentinel sentinel-user {OPERATOR}"),
            format!("sentinel sentinel-pass {PASSWORD}"),
        ]);
        settings.join("\n") + "\n"
    }

    fn settings(&self, port: u16) -> Vec<String> {
        let files = [("cert", "cert"), ("key", "key"), ("ca-cert", "ca")];
        let file = |(setting, name): (&str, &str)| {
            format!("tls-{setting}-file {}", self.folder.path().join(name).display())
        };
        let mut settings = vec!["port 0".to_owned(), format!("tls-port {port}")];
        settings.extend(files.map(file));
        settings
            .extend(["tls-auth-clients no", "tls-replication yes", "user default off"].map(str::to_owned));
        settings.push(format!("user {OPERATOR} on >{PASSWORD} ~* &* +@all"));
        settings
    }

    /// The operator's way to a server or sentinel.
    pub(crate) fn client(&self, at: SocketAddr) -> RedisResult<Client> {
        let (host, port) = (at.ip().to_string(), at.port());
        let at = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
        let operator = RedisConnectionInfo::default().set_username(OPERATOR).set_password(PASSWORD);
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(self.authority.pem()) };
        Client::build_with_tls(at.into_connection_info()?.set_redis_settings(operator), certificates)
    }
}

/// The rights of a user that the handbook lists, with this password: of a server, or of a sentinel.
pub(crate) fn rules(user: &str, password: &str, of_sentinel: bool) -> String {
    let handbook = include_str!("../../../../docs/operations.md");
    let mut all = handbook.lines().filter_map(|line| line.strip_prefix(&format!("ACL SETUSER {user} ")));
    let found = all.find(|rules| rules.contains("+sentinel|") == of_sentinel);
    let rules = found.unwrap_or_else(|| panic!("docs/operations.md lists no rights of {user}"));
    rules.replace("PASSWORD", password)
}
