//! Servers behind TLS: the authority is what is trusted, and what is wrong is said in words.

use std::path::Path;

use pixel_store::redis::{Address, Durability, Options, Redis};
use pixel_store::{Condition, Trouble};

use crate::authority::Authority;
use crate::server::{FREE_PORT, Server};
use crate::world::{make_canvas, options, paint, until};

/// A server with these files, and its address with TLS.
fn serve(folder: &Path) -> (Server, Address) {
    let [cert, key, ca] = ["cert", "key", "ca"].map(|name| folder.join(name).display().to_string());
    let server = Server::start(&[
        "--tls-port",
        FREE_PORT,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://127.0.0.1:{}/0", server.second_port());
    (server, Address::parse(&url).expect("an address"))
}

async fn open(address: &Address, ca: Option<Vec<u8>>) -> Redis {
    let options = Options { ca, ..options(Durability::AsConfigured) };
    Redis::open(address.clone(), options).await.expect("the address is right")
}

fn trouble(store: &Redis) -> String {
    match pixel_store::Store::condition(store) {
        Condition::Away(Trouble::Certificate, why) => why,
        other => panic!("it should not be reached: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_is_reached_over_tls_with_its_own_authority() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    authority.sign(folder.path(), 2100);
    let (server, address) = serve(folder.path());
    let store = open(&address, Some(authority.pem())).await;
    make_canvas(&store).await;
    paint(&store, 0).await;

    let untrusted = open(&address, Some(Authority::new("another").pem())).await;
    assert!(trouble(&untrusted).contains("UnknownIssuer"), "{}", trouble(&untrusted));
    let system = open(&address, None).await;
    assert!(trouble(&system).contains("UnknownIssuer"), "{}", trouble(&system));
    let (_, port) = address.to_string().rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let other_name = Address::parse(&format!("rediss://localhost:{port}")).unwrap();
    let misnamed = open(&other_name, Some(authority.pem())).await;
    assert!(trouble(&misnamed).contains("localhost"), "{}", trouble(&misnamed));

    // Who speaks otherwise than the server may look there first.
    for (scheme, port, hint) in [
        ("redis", server.second_port(), "does it want TLS?"),
        ("rediss", server.port(), "does it speak TLS?"),
    ] {
        let url = format!("{scheme}://127.0.0.1:{port}/0");
        let store = open(&Address::parse(&url).unwrap(), Some(authority.pem())).await;
        until(hint, || {
            let found = pixel_store::Store::condition(&store);
            found.trouble().is_some_and(|(_, why)| why.contains(hint))
        })
        .await;
    }

    // It expires while we are connected: what is open goes on, what is new is refused, and said.
    authority.sign(folder.path(), 2021);
    let mut connection = server.connection();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("tls-cert-file").arg(path("cert")).arg("tls-key-file").arg(path("key"));
    set.exec(&mut connection).unwrap();
    let expired = open(&address, Some(authority.pem())).await;
    assert!(trouble(&expired).contains("expired"), "{}", trouble(&expired));
    // Renewed, it is reached again by itself.
    authority.sign(folder.path(), 2100);
    set.exec(&mut connection).unwrap();
    until("it is reached", || pixel_store::Store::condition(&expired) == Condition::Writable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_authority_that_is_none_is_said_at_once() {
    let address = Address::parse("rediss://127.0.0.1:1").unwrap();
    let options = Options { ca: Some(b"rubbish".to_vec()), ..options(Durability::AsConfigured) };
    let refused = Redis::open(address, options).await;
    assert!(matches!(refused, Err(pixel_store::redis::OpenError::Authority)), "{refused:?}");
}
