//! The API against its own description: thousands of requests made from it, right ones and wrong ones.
//!
//! `cargo xtask test --only wall` installs schemathesis, which makes them, and says where it is.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::{Server, long};

/// The same requests in every run.
const SEED: &str = "20261127";
/// Requests made up for each operation, besides the systematic ones.
const EXAMPLES: &str = "30";
const EXAMPLES_LONG: &str = "1000";

#[test]
fn answers_are_as_described_and_none_is_an_error_of_the_server() {
    let tools = std::env::var_os("PIXEL_PLAYGROUND_ATTACKERS");
    let tools = tools.expect("`cargo xtask test --only wall` installs schemathesis and runs this");
    let server = Server::start();
    server.make_canvas(
        &json!({"id": "harbour", "width": 300, "height": 300, "palette": ["#FFFFFF", "#1C1917"]}),
    );
    let host = std::fs::read_to_string(server.data().join("admin-token")).expect("the host's token was made");
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/contract.toml");

    // As everybody, and as the host, before whom more doors open.
    for authorization in [None, Some(format!("Authorization: Bearer {}", host.trim()))] {
        let mut schemathesis = Command::new("python3");
        schemathesis.args(["-c", "from schemathesis.cli import schemathesis; schemathesis()"]);
        schemathesis.env("PYTHONPATH", &tools).current_dir(server.folder());
        schemathesis.arg("--config-file").arg(&settings).arg("run");
        schemathesis.args(["--seed", SEED, "--max-examples", if long() { EXAMPLES_LONG } else { EXAMPLES }]);
        schemathesis.args(["--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"]);
        schemathesis.args(["--continue-on-failure", "--output-truncate", "true"]);
        schemathesis.args(authorization.iter().flat_map(|header| ["--header", header]));
        schemathesis.arg(format!("http://{}/api/openapi.json", server.api()));
        let said = schemathesis.output().expect("python3 runs");
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(said.status.success(), "{text}\n{}", String::from_utf8_lossy(&said.stderr));
        let cases = text.lines().find(|line| line.contains(" generated, ")).unwrap_or_default();
        let count: u32 = cases.split_whitespace().next().and_then(|count| count.parse().ok()).unwrap_or(0);
        assert!(count >= 500, "{text}");
        println!("as {}: {}", authorization.map_or("everybody", |_| "the host"), cases.trim());
    }
    assert_eq!(server.said(&["error"]), Vec::<String>::new());
}
