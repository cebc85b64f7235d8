//! Users with no more rights than they need, as docs/operations.md lists them.

use pixel_store::redis::{Access, Address, Durability, Options, Redis};
use pixel_store::{Condition, Limits, Store, StoreError, Tailed};
use tokio::time::timeout;

use crate::server::Server;
use crate::world::{ALWAYS, PATIENCE, at_of, main_canvas, make_canvas, numbered, paint, place, position};

async fn open(server: &Server, user: &str, access: Access) -> Redis {
    server.make_user(user, "secret");
    let address = Address::parse(&format!("redis://{user}:secret@127.0.0.1:{}/0", server.port())).unwrap();
    let limits = Limits { identity: None, address: None, guests_per_address: 64 };
    Redis::open(address, Options { access, ..Options::new(limits) }).await.expect("the address is right")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_service_does_its_work_with_the_rights_of_the_handbook() {
    let server = Server::start(&ALWAYS);
    let api = open(&server, "pixel-api", Access::Write(Durability::Fsync)).await;
    assert_eq!(api.condition(), Condition::Writable);
    make_canvas(&api).await;
    paint(&api, 0).await;
    api.make_identity_key([1; 32]).await.expect("it may");
    let gateway = open(&server, "pixel-gateway", Access::Read).await;
    assert_eq!(gateway.condition(), Condition::Writable);
    assert_eq!(gateway.identity_key().await.expect("it may"), Some([1; 32]));
    assert_eq!(gateway.canvases().await.expect("it may").len(), 1);
    let start = gateway.tail_start(&main_canvas(), 1 << 20).await.expect("it may").expect("a canvas");
    let mut tail = gateway.tail(&main_canvas(), start).await.expect("it may").expect("a canvas");
    assert!(matches!(tail.next().await.expect("it may"), Tailed::Entry(_)));
    assert!(gateway.overview(&main_canvas()).await.expect("it may").is_some());
    let at = at_of(0);
    assert!(gateway.pixel(&main_canvas(), at).await.expect("it may").expect("a canvas").painted.is_some());
    let (mut said, mut heard) = (api.line("pp:presence"), gateway.line("pp:presence"));
    let passed = async {
        loop {
            gateway.line("pp:presence").publish.send(b"gateway".to_vec()).await.unwrap();
            said.publish.send(b"api".to_vec()).await.unwrap();
            let wait = std::time::Duration::from_millis(50);
            let (a, b) =
                tokio::join!(timeout(wait, said.received.recv()), timeout(wait, heard.received.recv()));
            if a.is_ok() && b.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, passed).await.expect("both may speak and hear");

    // A gateway cannot write, whatever becomes of it.
    let refused = place(&gateway, numbered(1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(gateway.reset(&main_canvas()).await.is_err() && gateway.delete(&main_canvas()).await.is_err());
    assert!(gateway.make_identity_key([2; 32]).await.is_err());
    assert_eq!(position(&api).await.sequence.0, 1);
    // And neither can do what no service does.
    for user in ["pixel-api", "pixel-gateway"] {
        let client =
            redis::Client::open(format!("redis://{user}:secret@127.0.0.1:{}/0", server.port())).unwrap();
        let mut connection = client.get_connection().unwrap();
        for forbidden in [
            "FLUSHALL",
            "KEYS *",
            "SCAN 0",
            "RANDOMKEY",
            "DBSIZE",
            "FUNCTION FLUSH",
            "SCRIPT FLUSH",
            "CONFIG SET maxmemory 1",
            "GET secrets",
            "SHUTDOWN",
            "SET x y",
        ] {
            let mut words = forbidden.split(' ');
            let mut command = redis::cmd(words.next().unwrap());
            for word in words {
                command.arg(word);
            }
            let denied = command.exec(&mut connection).expect_err(forbidden);
            assert_eq!(denied.code(), Some("NOPERM"), "{user}: {forbidden}");
        }
    }
}
