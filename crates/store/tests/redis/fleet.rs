//! Several servers that replace each other: three under three sentinels, and a cluster of six.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::Arc;

use pixel_store::redis::Address;
use redis::Connection;
use tempfile::TempDir;

use super::guard::Guard;
use super::server::{FREE_PORT, Host, Server, connect, executable, free_port, wait_until};

/// What sentinels call the master.
const MASTER: &str = "playground";
/// How long a server may be silent before it counts as gone, in milliseconds.
const DOWN_AFTER_MS: u32 = 1_000;

/// A master, two replicas, and three sentinels that two of which decide.
pub(crate) struct Sentinels {
    pub(crate) servers: Vec<Server>,
    sentinels: Vec<Sentinel>,
    guard: Option<Arc<Guard>>,
}

struct Sentinel {
    at: SocketAddr,
    guard: Option<Arc<Guard>>,
    process: Child,
    _folder: TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sentinels {
    /// The servers have a password when there is one; the sentinels never do.
    pub(crate) fn start(arguments: &[&str], password: Option<&str>) -> Self {
        Self::start_on(&[Host::here(), Host::here(), Host::here()], arguments, password)
    }

    /// The same, a server and a sentinel on each host.
    pub(crate) fn start_on(hosts: &[Host; 3], arguments: &[&str], password: Option<&str>) -> Self {
        Self::start_behind(None, hosts, arguments, password)
    }

    /// Servers and sentinels that let in only who is known.
    pub(crate) fn guarded(guard: &Arc<Guard>) -> Self {
        Self::start_behind(Some(guard), &[Host::here(), Host::here(), Host::here()], &[], None)
    }

    fn start_behind(
        guard: Option<&Arc<Guard>>,
        hosts: &[Host; 3],
        arguments: &[&str],
        password: Option<&str>,
    ) -> Self {
        let mut all = vec!["--repl-diskless-sync-delay", "0", "--repl-timeout", "5"];
        all.extend(arguments);
        if let Some(password) = password {
            all.extend(["--requirepass", password, "--masterauth", password]);
        }
        let master = Server::start_behind(guard, &hosts[0], &all);
        let at = master.at();
        let of_master = format!("{} {}", at.ip(), at.port());
        all.extend(["--replicaof", &of_master]);
        let replicas = hosts[1..].iter().map(|host| Server::start_behind(guard, host, &all));
        let servers: Vec<Server> = std::iter::once(master).chain(replicas).collect();
        let sentinels = hosts.iter().map(|host| Sentinel::start(guard, host, at, password)).collect();
        let fleet = Self { servers, sentinels, guard: guard.map(Arc::clone) };
        wait_until("every sentinel knows the others and both replicas", || {
            fleet.sentinels.iter().all(|sentinel| {
                let field = |name: &str| sentinel.field(name);
                field("num-slaves").as_deref() == Some("2")
                    && field("num-other-sentinels").as_deref() == Some("2")
            })
        });
        fleet
    }

    pub(crate) fn address(&self, credentials: &str) -> Address {
        let seeds: Vec<String> = self.sentinels.iter().map(|sentinel| sentinel.at.to_string()).collect();
        let scheme = scheme(self.guard.as_ref());
        let url = format!("{scheme}+sentinel://{credentials}{}/{MASTER}", seeds.join(","));
        Address::parse(&url).expect("an address")
    }

    /// The server that the sentinels call the master; `None` while they disagree.
    pub(crate) fn master(&self) -> Option<usize> {
        self.master_say(&self.sentinels.iter().collect::<Vec<_>>())
    }

    fn master_say(&self, sentinels: &[&Sentinel]) -> Option<usize> {
        let masters: Vec<_> = sentinels.iter().map(|sentinel| sentinel.master()).collect();
        let agreed = masters.iter().all(|other| *other == masters[0]);
        self.servers.iter().position(|server| Some(server.at()) == masters[0]).filter(|_| agreed)
    }

    /// Waits until another than `before` is the master, and answers with it.
    pub(crate) fn promoted(&self, before: usize) -> usize {
        let mut promoted = None;
        wait_until("another server is promoted", || {
            promoted = self.promoted_by_now(before);
            promoted.is_some()
        });
        promoted.expect("there is one")
    }

    /// The master, where that is another than `before`. The sentinel beside that one may not know it yet.
    pub(crate) fn promoted_by_now(&self, before: usize) -> Option<usize> {
        let others = self.sentinels.iter().enumerate().filter(|(index, _)| *index != before);
        let others: Vec<_> = others.map(|(_, sentinel)| sentinel).collect();
        self.master_say(&others).filter(|now| *now != before)
    }

    /// The master is frozen, another is promoted, the frozen one thaws and becomes a replica.
    pub(crate) fn fail_over(&self, password: Option<&str>) {
        let master = self.master().expect("the sentinels agree");
        self.servers[master].freeze();
        self.promoted(master);
        self.servers[master].thaw();
        self.followed(2, password);
    }

    /// Waits until so many replicas follow the master, whichever that is by now: on a busy machine one promotion may
    /// follow another.
    pub(crate) fn followed(&self, replicas: usize, password: Option<&str>) {
        wait_until("the replicas follow the master", || {
            let Some(master) = self.master() else { return false };
            let mut connection = self.servers[master].connection();
            authenticate(&mut connection, password);
            let info: redis::RedisResult<String> =
                redis::cmd("INFO").arg("replication").query(&mut connection);
            info.is_ok_and(|info| info.matches("state=online").count() == replicas)
        });
    }
}

impl Sentinel {
    fn start(guard: Option<&Arc<Guard>>, host: &Host, master: SocketAddr, password: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = SocketAddr::from((host.ip, free_port()));
        let file = folder.path().join("sentinel.conf");
        let password = password
            .map_or(String::new(), |password| format!("sentinel auth-pass {MASTER} \"{password}\"\n"));
        let monitor = format!("sentinel monitor {MASTER} {} {} 2", master.ip(), master.port());
        let listen = match guard {
            Some(guard) => guard.sentinel(at.port(), MASTER, &monitor),
            None => format!("port {}\n{monitor}\n", at.port()),
        };
        let text = format!(
            "bind {}\ndir {}\n{listen}{password}\
             sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {MASTER} 6000\n",
            at.ip(),
            folder.path().display(),
        );
        fs::write(&file, text).expect("a file is written");
        let process = host
            .command(&executable())
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the server can be a sentinel");
        Self { at, guard: guard.map(Arc::clone), process, _folder: folder }
    }

    /// Who it calls the master.
    fn master(&self) -> Option<SocketAddr> {
        Some((self.field("ip")?.parse::<IpAddr>().ok()?, self.field("port")?.parse().ok()?).into())
    }

    /// What it knows of the master.
    fn field(&self, name: &str) -> Option<String> {
        let mut connection = connect(self.at, self.guard.as_deref()).ok()?;
        let fields: std::collections::HashMap<String, String> =
            redis::cmd("SENTINEL").arg("MASTER").arg(MASTER).query(&mut connection).ok()?;
        fields.get(name).cloned()
    }
}

fn scheme(guard: Option<&Arc<Guard>>) -> &'static str {
    if guard.is_some() { "rediss" } else { "redis" }
}

pub(crate) fn authenticate(connection: &mut Connection, password: Option<&str>) {
    if let Some(password) = password {
        redis::cmd("AUTH").arg(password).exec(connection).expect("the password is right");
    }
}

/// Three masters with a third of the slots and a replica each.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    guard: Option<Arc<Guard>>,
}

impl Cluster {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_on(&[(); 6].map(|()| Host::here()), arguments)
    }

    /// The same, each on a host: the masters first.
    pub(crate) fn start_on(hosts: &[Host; 6], arguments: &[&str]) -> Self {
        Self::start_behind(None, hosts, arguments)
    }

    /// Servers that let in only who is known.
    pub(crate) fn guarded(guard: &Arc<Guard>) -> Self {
        Self::start_behind(Some(guard), &[(); 6].map(|()| Host::here()), &[])
    }

    fn start_behind(guard: Option<&Arc<Guard>>, hosts: &[Host; 6], arguments: &[&str]) -> Self {
        let mut servers = Vec::new();
        for host in hosts {
            let mut all = vec![
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1000",
                "--cluster-port",
                FREE_PORT,
            ];
            all.extend(["--repl-diskless-sync-delay", "0", "--cluster-allow-replica-migration", "no"]);
            all.extend(arguments);
            servers.push(Server::start_behind(guard, host, &all));
        }
        let [first, last] = [[0, 5_461, 10_923], [5_460, 10_922, 16_383]];
        let connection = |index: usize| -> Connection { servers[index].connection() };
        for server in &servers[1..] {
            redis::cmd("CLUSTER")
                .arg("MEET")
                .arg(server.at().ip().to_string())
                .arg(server.port())
                .arg(server.second_port())
                .exec(&mut connection(0))
                .expect("they meet");
        }
        for master in 0..3 {
            let mut add = redis::cmd("CLUSTER");
            add.arg("ADDSLOTSRANGE").arg(first[master]).arg(last[master]);
            add.exec(&mut connection(master)).expect("it takes its slots");
        }
        for index in 0..3 {
            let id: String =
                redis::cmd("CLUSTER").arg("MYID").query(&mut connection(index)).expect("it has an id");
            wait_until("the replica knows its master", || {
                let mut replicate = redis::cmd("CLUSTER");
                replicate.arg("REPLICATE").arg(&id);
                replicate.exec(&mut connection(index + 3)).is_ok()
            });
        }
        let fleet = Self { servers, guard: guard.map(Arc::clone) };
        wait_until("the cluster is whole", || (0..6).all(|index| fleet.is_whole(index)));
        fleet
    }

    /// Whether this node sees all slots held, by three masters with a replica each.
    fn is_whole(&self, index: usize) -> bool {
        let Ok(mut connection) = self.servers[index].try_connection() else { return false };
        let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut connection).unwrap_or_default();
        info.contains("cluster_state:ok") && self.groups(index).iter().all(|group| group.len() == 2)
    }

    /// Each master and its replicas, as this node tells it.
    fn groups(&self, index: usize) -> Vec<Vec<SocketAddr>> {
        let Ok(mut connection) = self.servers[index].try_connection() else { return Vec::new() };
        let slots: Vec<Vec<redis::Value>> =
            redis::cmd("CLUSTER").arg("SLOTS").query(&mut connection).unwrap_or_default();
        let address = |node: &redis::Value| -> SocketAddr {
            let parts: Vec<redis::Value> = redis::from_redis_value(node.clone()).expect("a node");
            let word = |part: usize| redis::from_redis_value(parts[part].clone()).expect("an address");
            let (ip, port): (String, String) = (word(0), word(1));
            format!("{ip}:{port}").parse().expect("an address")
        };
        slots.iter().map(|range| range[2..].iter().map(address).collect()).collect()
    }

    pub(crate) fn address(&self) -> Address {
        let seeds: Vec<String> = self.servers[..2].iter().map(|server| server.at().to_string()).collect();
        let url = format!("{}+cluster://{}", scheme(self.guard.as_ref()), seeds.join(","));
        Address::parse(&url).expect("an address")
    }

    /// The master that holds this key.
    pub(crate) fn master_of(&self, key: &str) -> usize {
        for server in &self.servers {
            let Ok(mut connection) = server.try_connection() else { continue };
            // Whoever does not hold it says who does.
            match redis::cmd("GET").arg(key).query::<Option<String>>(&mut connection) {
                Err(error) if error.code() == Some("WRONGTYPE") => return self.index(server.at()),
                Err(error) => {
                    if let Some((node, _)) = error.redirect_node() {
                        return self.index(node.parse().expect("an address"));
                    }
                }
                Ok(_) => return self.index(server.at()),
            }
        }
        panic!("no node answers");
    }

    fn index(&self, at: SocketAddr) -> usize {
        self.servers.iter().position(|server| server.at() == at).expect("one of ours")
    }

    /// Waits until somebody other than `before` holds the key, and answers with it.
    pub(crate) fn promoted(&self, key: &str, before: usize) -> usize {
        let others: Vec<usize> = (0..6).filter(|index| *index != before).collect();
        wait_until("a replica is promoted", || {
            others.iter().all(|index| {
                self.groups(*index).iter().all(|group| group.first() != Some(&self.servers[before].at()))
            })
        });
        self.master_of(key)
    }

    /// This master is killed and started again, or frozen and thawed: it comes back as a replica.
    pub(crate) fn fail_over(&mut self, key: &str, master: usize, kill: bool) {
        if kill {
            self.servers[master].kill()
        } else {
            self.servers[master].freeze()
        }
        self.promoted(key, master);
        if kill {
            self.servers[master].restart()
        } else {
            self.servers[master].thaw()
        }
        self.whole();
    }

    /// Waits until every node that runs sees the cluster whole again.
    pub(crate) fn whole(&self) {
        wait_until("the cluster is whole again", || (0..6).all(|index| self.is_whole(index)));
    }
}
