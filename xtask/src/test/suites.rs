//! The suites: what each runs, what it needs and how many minutes it may take.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tally::Counts;
use super::tools::{
    ATTACKERS, CARGO_AUDIT_PROGRAM, CARGO_DENY, DEPLOY, HADOLINT_PROGRAM, PODMAN_COMPOSE, Tool, valkey_server,
};

/// What Prometheus judges by.
const RULES: &str = "deploy/helm/pixel-playground/files/rules.yaml";

/// Runs an image.
const IMAGE_TEST: &str = "deploy/image/image.test.mjs";
/// The image that the Dockerfile makes, from the repository's root.
const OF_DOCKERFILE: &str = "target/image/dockerfile.tar";

/// Where the chart's objects are put for the scenarios, a file for each set of values, from the repository's root.
const CHART: &str = "target/xtask/chart";

/// Known weaknesses of crates, from the repository's root; where that is not there, nothing is compared.
const ADVISORIES: &str = "../shared/advisory-db";

/// One suite.
pub(super) struct Suite {
    /// What `--only` calls it.
    pub(super) name: &'static str,
    /// What it makes sure of.
    pub(super) about: &'static str,
    /// Beyond this it is killed and has failed.
    pub(super) budget: Duration,
    /// What has to be installed first.
    pub(super) needs: Vec<Tool>,
    /// How its tests are counted.
    pub(super) counts: Counts,
    /// What it runs, in order.
    pub(super) steps: Vec<Step>,
}

/// One command of a suite.
pub(super) struct Step {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// From the repository's root; empty for the root itself.
    pub(super) folder: &'static str,
    pub(super) environment: BTreeMap<&'static str, OsString>,
}

impl Step {
    pub(super) fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments, folder: "", environment: BTreeMap::new() }
    }

    fn cargo(line: &str) -> Self {
        Self::new("cargo", line.split(' '))
    }

    fn within(self, folder: &'static str) -> Self {
        Self { folder, ..self }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.insert(key, value.into());
        self
    }

    /// The program and its first argument.
    pub(super) fn name(&self) -> String {
        let words =
            [self.program.as_os_str()].into_iter().chain(self.arguments.first().map(OsString::as_os_str));
        join(words)
    }

    /// The command as one would type it.
    pub(super) fn shown(&self) -> String {
        let settings = self.environment.iter().map(|(key, value)| format!("{key}={} ", value.display()));
        let words =
            [self.program.as_os_str()].into_iter().chain(self.arguments.iter().map(OsString::as_os_str));
        format!("{}{}", settings.collect::<String>(), join(words))
    }
}

fn join<'a>(words: impl Iterator<Item = &'a std::ffi::OsStr>) -> String {
    words.map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// Every suite, cheapest first, so that a slip shows early.
pub(super) fn all(root: &Path, long: bool) -> Vec<Suite> {
    // Settings of the server start like this too; the tests keep these two from it.
    let executable = root.join("target/release/pixel-playground");
    // Those of the wall have a suite of their own.
    let scenarios =
        Step::cargo("test --locked --package pixel-playground --test scenarios -- --skip contract::")
            .with("PIXEL_PLAYGROUND_BIN", &executable)
            .with("PIXEL_PLAYGROUND_NEXT_BIN", root.join("target/debug/pixel-playground-next"))
            .with("PIXEL_PLAYGROUND_CHART", root.join(CHART))
            .with("PIXEL_PLAYGROUND_TRAEFIK", root.join(DEPLOY).join("bin/traefik"))
            .with("PIXEL_PLAYGROUND_LONG", if long { "1" } else { "0" });
    let crashes = Step::cargo("test --locked --package pixel-store --test recovery --test redis")
        .with("PIXEL_PLAYGROUND_LONG", "1");
    let over_valkey =
        |line: &str| Step::cargo(line).with("PIXEL_PLAYGROUND_REDIS_SERVER", valkey_server(root));
    // It is built without TLS.
    let store_over_valkey = over_valkey(
        "test --locked --package pixel-store --test conformance --test redis -- --skip embedded --skip tls",
    );
    // What servers may do differently: keep over a kill, fail over, be in trouble.
    let services_over_valkey = over_valkey(
        "test --locked --package pixel-playground --test scenarios -- two_gateways people_of_all_gateways kills:: \
         failover:: redis_frozen redis_stopped redis_out_of_memory",
    )
    .with("PIXEL_PLAYGROUND_BIN", &executable);
    let browser =
        Step::new("node", ["test/browser.mjs"]).within("web").with("PIXEL_PLAYGROUND_BIN", &executable);
    // A picture of every state, and axe looks at each: minutes.
    let pictures = Step::new("node", ["test/screenshots.mjs", "../target/xtask/looks"])
        .within("web")
        .with("PIXEL_PLAYGROUND_BIN", &executable);
    let judge = |arguments: &[&OsStr]| {
        Step::new("python3", [&["check.py".as_ref()], arguments].concat())
            .within("deploy/check")
            .with("PYTHONPATH", root.join(DEPLOY))
    };
    let podman = |test: &str| Step::new("node", ["--test", test]);
    let alone = ["--net", "--mount", "sh", "deploy/single/test/alone.sh"];
    let compose = Step::new(
        "unshare",
        alone.into_iter().chain(["node", "--test", "deploy/single/test/compose.test.mjs"]),
    )
    .with("PYTHONPATH", root.join(PODMAN_COMPOSE));
    // Minutes of other systems' packages, and of a build without what is built already.
    let whole_systems = vec![
        podman("deploy/single/test/unit.test.mjs"),
        Step::new("node", ["deploy/image/build.mjs", OF_DOCKERFILE]),
        podman(IMAGE_TEST).with("PIXEL_PLAYGROUND_IMAGE", root.join(OF_DOCKERFILE)),
    ];
    let unit_tests = ["--test".to_owned()].into_iter().chain(web_unit_tests(root));
    let audit = Step::new(
        CARGO_AUDIT_PROGRAM,
        ["audit", "--deny", "warnings", "--db", ADVISORIES, "--no-fetch", "--stale"],
    );
    let advisories = root.join(ADVISORIES).exists();
    let attackers = root.join(ATTACKERS);
    let attack = |line: &str| {
        Step::cargo(line)
            .with("PIXEL_PLAYGROUND_BIN", &executable)
            .with("PIXEL_PLAYGROUND_ATTACKERS", &attackers)
            .with("PIXEL_PLAYGROUND_LONG", if long { "1" } else { "0" })
    };
    let either = |short, long_form| if long { long_form } else { short };

    vec![
        suite("format", "every Rust file as rustfmt writes it", 1).step(Step::cargo("fmt --all --check")),
        suite("types", "the page's JSDoc types hold (tsc --checkJs)", 1)
            .needs(&[Tool::Node, Tool::NodePackages])
            .step(Step::new("node", ["node_modules/typescript/bin/tsc", "--project", "."]).within("web")),
        suite("web", "the page's own parts, golden frames included", 1)
            .needs(&[Tool::Node])
            .counts(Counts::Node)
            .step(Step::new("node", unit_tests).within("web")),
        suite("licences", "what is depended on: licences, bans, sources, known weaknesses", 1)
            .needs(&[Tool::CargoDeny, Tool::CargoAudit])
            .step(Step::new(CARGO_DENY, ["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
            .steps(if advisories { vec![audit] } else { vec![] }),
        suite("lint", "clippy without a warning", 7)
            .step(Step::cargo("clippy --locked --workspace --all-targets -- --deny warnings"))
            // Those that only run by name are no target of all.
            .step(Step::cargo(
                "clippy --locked --package pixel-playground --test scenarios -- --deny warnings",
            ))
            .step(Step::cargo(
                "clippy --locked --package pixel-protocol --test conformance -- --deny warnings",
            )),
        suite("unit", "rules, wire, store: unit, property, conformance", either(8, 60))
            .needs(&[Tool::RedisServer])
            .counts(Counts::Cargo)
            .step(Step::cargo("test --locked --workspace"))
            .steps(if long { vec![crashes] } else { vec![] }),
        suite("valkey", "the store's tests again, on Valkey instead of Redis", 4)
            .needs(&[Tool::Valkey])
            .counts(Counts::Cargo)
            .step(store_over_valkey),
        suite("build", "the executables as they ship", 9)
            .step(Step::cargo("build --locked --release --package pixel-playground --package loadgen"))
            // What is rolled out and back; its own crates alone are built for it.
            .step(Step::cargo(
                "build --locked --package pixel-playground --features next-version --bin pixel-playground-next",
            )),
        suite("watching", "rules and log lines, by the tools that will read them", 1)
            .needs(&[Tool::Node, Tool::LogSchema, Tool::Prometheus])
            .counts(Counts::Node)
            .step(Step::new("promtool", ["check", "rules", RULES]))
            .step(Step::new("promtool", ["test", "rules", "deploy/watching/rules_test.yaml"]))
            .step(Step::new("promtool", ["check", "config", "--syntax-only", "deploy/watching/prometheus.yml"]))
            .step(
                Step::new("node", ["--test", "ecs.test.mjs"])
                    .within("deploy/logging/test")
                    .with("PIXEL_PLAYGROUND_BIN", &executable),
            ),
        suite("image", "the container image: built, linted, run by podman and podman-compose", either(6, 60))
            .needs(&[Tool::Node, Tool::Podman, Tool::PodmanCompose, Tool::Worlds, Tool::RedisServer])
            .needs(&[Tool::Musl, Tool::Hadolint, Tool::Syft])
            .needs(if long { &[Tool::Mmdebstrap] } else { &[] })
            .counts(Counts::Node)
            .step(Step::new(HADOLINT_PROGRAM, ["Dockerfile"]))
            .step(Step::cargo("run --locked --package xtask -- image"))
            .step(podman(IMAGE_TEST))
            .step(compose)
            .steps(if long { whole_systems } else { vec![] }),
        suite("chart", "the Helm chart and the files for one host, as strictly as without a cluster", 2)
            .needs(&[Tool::Node, Tool::RedisServer, Tool::DeployModels, Tool::DeployJudges, Tool::Systemd])
            .needs(&[Tool::Prometheus])
            .counts(Counts::Plain)
            .step(judge(&[executable.as_os_str()])),
        suite("scenarios", "the real executable: races, crashes, bad input", either(10, 90))
            .needs(&[Tool::RedisServer, Tool::Valkey, Tool::Prometheus, Tool::Nginx, Tool::Worlds])
            .needs(&[Tool::DeployJudges])
            .counts(Counts::Cargo)
            .step(judge(&["--objects".as_ref(), root.join(CHART).as_os_str()]))
            .step(scenarios)
            .step(services_over_valkey),
        suite("wall", "the server under attack: the rules of WebSockets, the API's own description", either(2, 60))
            .needs(&[Tool::Attackers])
            .counts(Counts::Cargo)
            .step(attack("test --locked --package pixel-protocol --test conformance"))
            .step(attack("test --locked --package pixel-playground --test scenarios -- contract::")),
        suite("benches", "the benchmarks deliver and count rightly; nothing is timed", 2)
            .needs(&[Tool::Node, Tool::NodePeer])
            .step(Step::cargo("build --locked --package bench-driver --package bench-peer-axum"))
            .step(Step::new(root.join("target/debug/bench-driver"), ["smoke".as_ref(), executable.as_os_str()])),
        suite("browser", "the page in a real browser: hands, sizes, trouble", either(5, 30))
            .needs(&[Tool::Node, Tool::NodePackages, Tool::Chromium, Tool::RedisServer])
            .counts(Counts::Plain)
            .step(browser)
            .steps(if long { vec![pictures] } else { vec![] }),
    ]
}

fn suite(name: &'static str, about: &'static str, budget_minutes: u64) -> Suite {
    let budget = Duration::from_secs(budget_minutes * 60);
    Suite { name, about, budget, needs: Vec::new(), counts: Counts::Whole, steps: Vec::new() }
}

impl Suite {
    fn needs(mut self, needs: &[Tool]) -> Self {
        self.needs.extend(needs);
        self
    }

    fn counts(self, counts: Counts) -> Self {
        Self { counts, ..self }
    }

    fn step(self, step: Step) -> Self {
        self.steps(vec![step])
    }

    fn steps(mut self, steps: Vec<Step>) -> Self {
        self.steps.extend(steps);
        self
    }
}

/// Every `web/test/*.test.*`, from `web/`. Named one by one: told to look for itself, node's
/// runner takes the browser's test for one of its own.
fn web_unit_tests(root: &Path) -> Vec<String> {
    let files = fs::read_dir(root.join("web/test")).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    let mut tests: Vec<_> =
        names.filter(|name| name.contains(".test.")).map(|name| format!("test/{name}")).collect();
    tests.sort();
    tests
}
