//! The playground as separate processes: apis and gateways over one Redis, and a frontend before them.

use std::net::SocketAddr;

use super::redis::Redis;
use super::server::own_host;
use super::stores::server::Host;
use super::{Request, Server, eventually};

/// The host's token of every api.
pub const HOST_TOKEN: &str = "the host of all";

/// Services over one store.
pub struct Split<R = Redis> {
    pub redis: R,
    pub apis: Vec<Server>,
    pub gateways: Vec<Server>,
    pub frontend: Server,
    /// Holds what the processes read.
    _folder: tempfile::TempDir,
}

impl Split {
    /// So many of each, ready, over a Redis that syncs each write, with these flags for every api and gateway.
    pub fn start(apis: usize, gateways: usize, flags: &[&str]) -> Self {
        let split = Self::over(Redis::start(), apis, gateways, flags);
        split.wait_until_ready();
        split
    }

    /// The same over this Redis, which may not run yet.
    pub fn over(redis: Redis, apis: usize, gateways: usize, flags: &[&str]) -> Self {
        let url = redis.url();
        let flags = [&["--store", &url, "--durability", "fsync"][..], flags].concat();
        Self::on(redis, (apis, &flags), (gateways, &flags))
    }
}

impl<R> Split<R> {
    /// So many apis and gateways with these flags, which say where the store is.
    pub fn on(
        redis: R,
        (apis, api_flags): (usize, &[&str]),
        (gateways, gateway_flags): (usize, &[&str]),
    ) -> Self {
        let hosts = |count: usize| (0..count).map(|_| own_host()).collect::<Vec<_>>();
        Self::across(redis, (&hosts(apis), api_flags), (&hosts(gateways), gateway_flags), own_host())
    }

    /// The same, each on a host; the last one is the frontend's.
    pub fn across(
        redis: R,
        (apis, api_flags): (&[Host], &[&str]),
        (gateways, gateway_flags): (&[Host], &[&str]),
        frontend: Host,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let token = folder.path().join("admin-token");
        std::fs::write(&token, HOST_TOKEN).expect("a file is written");
        let start = |hosts: &[Host], flags: &[&str]| -> Vec<Server> {
            hosts.iter().map(|host| Server::on(host.clone(), flags)).collect()
        };
        let api = ["--target", "api", "--admin-token-file", token.to_str().expect("a plain path")];
        let apis = start(apis, &[&api, api_flags].concat());
        let api_urls = urls(apis.iter().map(Server::api));
        let gateway = ["--target", "gateway", "--api-url", &api_urls];
        let gateways = start(gateways, &[&gateway, gateway_flags].concat());
        let gateway_urls = urls(gateways.iter().map(Server::gateway));
        let flags = ["--target", "frontend", "--api-url", &api_urls, "--gateway-url", &gateway_urls];
        let frontend = Server::on(frontend, &flags);
        Self { redis, apis, gateways, frontend, _folder: folder }
    }

    /// Waits until every process that has a store reached it.
    pub fn wait_until_ready(&self) {
        for server in self.apis.iter().chain(&self.gateways) {
            eventually("a service is ready", || {
                Request::new("GET", "/readyz").try_send(server.ops()).is_ok_and(|answer| answer.status == 200)
            });
        }
    }

    /// Makes a canvas.
    pub fn make_canvas(&self, description: &serde_json::Value) {
        let request = Request::new("POST", "/api/canvases").json(description).bearer(HOST_TOKEN);
        let answer = request.send(self.apis[0].api());
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

fn urls(addresses: impl Iterator<Item = SocketAddr>) -> String {
    addresses.map(|address| format!("http://{address}")).collect::<Vec<_>>().join(",")
}
