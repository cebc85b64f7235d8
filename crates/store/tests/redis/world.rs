//! What these tests need: stores on a server, people, patience.

use std::time::Duration;

use pixel_canvas::{
    Author, Canvas, CanvasId, CanvasSpec, Color, Identity, Key, Name, Placement, Point, Refusal,
};
use pixel_store::redis::{Access, Durability, Options, Redis};
use pixel_store::{
    Accepted, Act, Limits, Outcome, Position, Store, StoreError, Submission, SubmissionKey, Tail, Tailed,
};

use tokio::time::Instant;

use crate::server::Server;

/// Long enough that only a defect takes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that takes a moment.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What a server is told that keeps every acknowledged write.
pub(crate) const ALWAYS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Whether the long form was asked for.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what to do")]
pub(crate) fn long() -> bool {
    std::env::var("PIXEL_PLAYGROUND_LONG").is_ok_and(|value| value == "1")
}

pub(crate) fn options(durability: Durability) -> Options {
    let limits = Limits { identity: None, address: None, guests_per_address: 64 };
    Options { access: Access::Write(durability), ..Options::new(limits) }
}

pub(crate) async fn open(server: &Server) -> Redis {
    open_as(server, Durability::AsConfigured).await
}

pub(crate) async fn open_as(server: &Server, durability: Durability) -> Redis {
    Redis::open(server.address(), options(durability)).await.expect("the URL is right")
}

pub(crate) fn main_canvas() -> CanvasId {
    CanvasId::default_canvas()
}

/// A store with a canvas of 256×256.
pub(crate) async fn with_canvas(server: &Server) -> Redis {
    let store = open(server).await;
    make_canvas(&store).await;
    store
}

pub(crate) async fn make_canvas(store: &Redis) {
    make_canvas_of(store, &main_canvas()).await;
}

pub(crate) async fn make_canvas_of(store: &Redis, id: &CanvasId) {
    let spec = CanvasSpec { id: id.to_string(), width: 256, height: 256, ..CanvasSpec::default() };
    store.create(Canvas::parse(&spec).expect("it is right")).await.expect("the canvas is made");
}

/// One pixel of its own and a key of its own for each number below 65,536.
pub(crate) fn numbered(number: u64) -> Submission {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let at = at_of(number);
    Submission {
        author: Author { identity: Identity(bytes), address: None, since: None },
        name: Name::parse("Ada").expect("a name"),
        key: Some(SubmissionKey::Client(Key(bytes))),
        act: Act::Place(vec![Placement { at, color: color_of(number) }]),
    }
}

/// Where that pixel is.
pub(crate) fn at_of(number: u64) -> Point {
    Point { x: (number % 256) as u16, y: (number / 256) as u16 }
}

/// The colour of that pixel.
pub(crate) fn color_of(number: u64) -> Color {
    let [_, r, g, b] = (number as u32 + 1).to_be_bytes();
    Color([r, g, b])
}

pub(crate) async fn place(store: &Redis, submission: Submission) -> Result<Outcome, StoreError> {
    store.place(&main_canvas(), vec![submission]).await.map(|mut outcomes| outcomes.remove(0))
}

/// Places, and is accepted.
pub(crate) async fn paint(store: &Redis, number: u64) -> Accepted {
    match place(store, numbered(number)).await.expect("the store works") {
        Outcome::Accepted(accepted) => accepted,
        Outcome::Refused(refusal) => panic!("refused: {refusal}"),
    }
}

/// Tries with the same key until the store answers.
pub(crate) async fn paint_at_last(store: &Redis, number: u64) -> Accepted {
    let tried = async {
        loop {
            match place(store, numbered(number)).await {
                Ok(Outcome::Accepted(accepted)) => return accepted,
                Ok(Outcome::Refused(Refusal::Unavailable | Refusal::Unknown)) | Err(_) => {}
                Ok(Outcome::Refused(refusal)) => panic!("refused: {refusal}"),
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.expect("the store comes back by itself")
}

/// Where the canvas stands, once the store answers.
pub(crate) async fn position(store: &Redis) -> Position {
    position_of(store, &main_canvas()).await
}

pub(crate) async fn position_of(store: &Redis, canvas: &CanvasId) -> Position {
    let tried = async {
        loop {
            if let Ok(position) = store.position(canvas).await {
                return position.expect("the canvas is there");
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.expect("the store comes back by itself")
}

/// Reads on until the tail says that history may have been rolled back.
pub(crate) async fn until_lost(tail: &mut dyn Tail) {
    let told = async {
        loop {
            match tail.next().await {
                Ok(Tailed::Lost) => return,
                Ok(Tailed::Entry(_)) | Err(StoreError::Unavailable(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the tail is told");
}

/// For figures that are printed.
#[expect(clippy::disallowed_methods, reason = "tests measure")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looked = async {
        while !holds() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("{what}"));
}
