//! What a process serves, held against `docs/access.md`.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::OpenApi;

use super::*;

const TABLE: &str = include_str!("../../../../docs/access.md");
/// What the table calls the paths of a fallback.
const OTHERS: &str = "any other";

/// A way in: port, method, path.
type Route = (String, String, String);

/// The rows of the table under this heading, cell by cell.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let section = TABLE.split("\n## ").find_map(|section| section.strip_prefix(heading));
    let lines = section.expect("the heading is there").lines().filter(|line| line.starts_with("| "));
    // The first names the columns.
    lines
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect()
}

/// The routes of a router, as it shows itself: `ANY` where a handler takes every method.
fn routes_of(port: &str, router: &Router) -> BTreeSet<Route> {
    let shown = format!("{router:?}");
    let (own, fallback) = shown.split_once("fallback_router: ").expect("a router shows its fallback");
    let (endpoints, paths) = own.split_once("node: Node { paths: {").expect("a router shows its paths");
    let methods: BTreeMap<&str, String> = numbered(endpoints)
        .filter_map(|(id, endpoint)| {
            let (_, allow) = endpoint.split_once("allow_header: ")?;
            let listed = allow.split_once("Bytes(b\"").and_then(|(_, listed)| listed.split('"').next());
            Some((id, listed.map_or_else(|| "ANY".to_owned(), str::to_owned)))
        })
        .collect();
    let mut routes = BTreeSet::new();
    for (id, shown) in numbered(paths) {
        let path = shown.split('"').nth(1).expect("a path");
        let methods = methods.get(id).expect("a path has an endpoint");
        // What answers GET answers HEAD.
        for method in methods.split(',').filter(|method| *method != "HEAD") {
            routes.insert((port.to_owned(), method.to_owned(), path.to_owned()));
        }
    }
    assert!(!routes.is_empty(), "a router shows no route: is it another version's way? {shown}");
    if fallback.contains("default_fallback: false") {
        routes.insert((port.to_owned(), "ANY".to_owned(), OTHERS.to_owned()));
    }
    routes
}

/// `RouteId(7): SHOWN, RouteId(8): SHOWN` apart.
fn numbered(shown: &str) -> impl Iterator<Item = (&str, &str)> {
    shown.split("RouteId(").filter_map(|part| part.split_once("): "))
}

fn config(flags: &[&str]) -> Config {
    let flags = flags.iter().map(|flag| (*flag).to_owned());
    let (_, config) = crate::config::read(flags, std::iter::empty()).expect("good flags");
    config.expect("a configuration")
}

fn wired(config: &Config, opened: Option<&Opened>) -> Wired {
    let metrics = Arc::new(Metrics::new("0", pixel_canvas::Timestamp(0)));
    let origins = Arc::new(Origins::default());
    wire(config, opened, None, AddressConnections::new(1), &metrics, &origins, Clock).expect("it is wired")
}

#[tokio::test]
async fn every_route_stands_in_the_table_of_who_may_use_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("embedded:{}", folder.path().display());
    let all = config(&["--store", &store]);
    let opened = open_folder(&all, folder.path(), Clock).await.expect("a store");
    let all = wired(&all, Some(&opened));
    let apart =
        ["--target", "frontend", "--api-url", "http://127.0.0.1:1", "--gateway-url", "http://127.0.0.1:1"];
    let apart = wired(&config(&apart), None);
    let metrics = Arc::new(Metrics::new("0", pixel_canvas::Timestamp(0)));
    let ops = ops_router(&metrics, &ops::Readiness::new(None), &Backups::new(Clock));
    let ports = [
        ("frontend", all.frontend.as_ref()),
        ("apart", apart.frontend.as_ref()),
        ("api", all.api.as_ref()),
        ("gateway", all.gateway_port.as_ref()),
        ("ops", Some(&ops)),
    ];
    let mut served: BTreeSet<Route> =
        ports.into_iter().flat_map(|(port, router)| routes_of(port, router.expect("it is wired"))).collect();
    // One of them is a path of its own only in the description: an image, by the end of the canvas' name.
    for (path, item) in api::Description::openapi().paths.paths {
        let methods = [
            ("GET", &item.get),
            ("PUT", &item.put),
            ("POST", &item.post),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        for (method, _) in methods.into_iter().filter(|(_, operation)| operation.is_some()) {
            for port in ["frontend", "api"] {
                served.insert((port.to_owned(), method.to_owned(), path.clone()));
            }
        }
    }

    let mut listed = BTreeSet::new();
    for row in rows("Routes") {
        let [ports, method, path, ..] = row[..] else { panic!("a short row: {row:?}") };
        for port in ports.split(", ") {
            assert!(listed.insert((port.to_owned(), method.to_owned(), path.to_owned())), "twice: {row:?}");
        }
    }
    let unlisted: Vec<_> = served.difference(&listed).collect();
    assert!(unlisted.is_empty(), "in no row of docs/access.md: {unlisted:#?}");
    let gone: Vec<_> = listed.difference(&served).collect();
    assert!(gone.is_empty(), "in docs/access.md, and served by nobody: {gone:#?}");
}
