//! The page over a socket: its headers, and that nothing but it is ever served.

use crate::support::{Request, Server, get};

#[test]
fn the_page_has_a_strict_policy_and_a_canvas() {
    let server = Server::start();
    let page = get(server.frontend(), "/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert!(page.text().contains("<canvas"), "the drawing surface stands in the HTML");
    assert!(page.header("cache-control").contains("no-cache"));
    let cookie = page.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite"), "{cookie}");
}

#[test]
fn every_file_that_the_page_names_is_served_and_never_changes() {
    let server = Server::start();
    let page = get(server.frontend(), "/").text();
    let named: Vec<&str> = page.split(['"', '\'']).filter(|part| part.starts_with("/assets/")).collect();
    assert!(!named.is_empty(), "the page names its files");
    for path in named {
        let file = get(server.frontend(), path);
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("cache-control").contains("immutable"), "{path}: {file:?}");
        assert!(!file.header("etag").is_empty(), "{path}");
    }
    for part in page.split(['"', '\'']).filter(|part| part.contains("//")) {
        assert!(!part.starts_with("http") && !part.starts_with("//"), "a foreign host: {part}");
    }
}

#[test]
fn no_path_leads_out_of_the_page_s_folder() {
    let server = Server::start();
    for path in [
        "/../Cargo.toml",
        "/assets/../Cargo.toml",
        "/assets/../../../../../../etc/passwd",
        "/%2e%2e/Cargo.toml",
        "/assets/%2e%2e%2f%2e%2e%2fCargo.toml",
        "/assets/..%5c..%5cCargo.toml",
        "/assets/%252e%252e/Cargo.toml",
        "/assets//etc/passwd",
        "/etc/passwd",
        "/assets/%00",
        "/package.json",
        "/node_modules/typescript/package.json",
        "/test/browser.mjs",
        "/c/../../Cargo.toml",
    ] {
        let answer = get(server.frontend(), path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        let text = answer.text();
        assert!(
            !text.contains("[workspace]") && !text.contains("root:") && !text.contains("dependencies"),
            "{path}"
        );
        assert!(!answer.header("content-security-policy").is_empty(), "{path}: {answer:?}");
    }
}

#[test]
fn each_canvas_has_a_page_and_others_have_none() {
    let server = Server::start();
    assert_eq!(get(server.frontend(), "/c/main").status, 200);
    for path in ["/c/none", "/c/", "/c/UPPER", "/c/main/more"] {
        assert_eq!(get(server.frontend(), path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        Request::new(method, "/").send(server.frontend()).refused(405);
    }
}

#[test]
fn the_api_describes_itself() {
    let server = Server::start();
    let description = get(server.api(), "/api/openapi.json").json();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    for path in [
        "/api/canvas",
        "/api/pixel",
        "/api/pixel/{x}/{y}",
        "/api/pixels",
        "/api/canvas/reset",
        "/api/canvases",
        "/api/canvases/{id}",
        "/api/canvases/{id}/chunks/{cx}/{cy}",
        "/api/canvases/{id}/pixels",
        "/api/guests",
    ] {
        assert!(description["paths"][path].is_object(), "{path} is missing");
    }
}
