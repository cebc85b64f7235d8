//! `POST /backup` on the operators' port: the host takes a backup of the store that this process holds.

use std::io::{self, BufWriter, Write};
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper::body::Frame;
use pixel_store::Store;
use pixel_store::backup::take;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tracing::warn;

use super::BUFFER_BYTES;
use crate::clock::Clock;
use crate::identity::{HostCheck, Identities};
use crate::refusal::refuse;

/// The most buffers that wait for a slow reader.
const BUFFERS_WAITING_MAX: usize = 4;

/// What backups of this process are made of, one at a time.
#[derive(Clone)]
pub(crate) struct Backups {
    pub(super) clock: Clock,
    pub(super) making: Arc<Semaphore>,
    source: Arc<OnceLock<Source>>,
}

/// The store, and who knows its host.
type Source = (Arc<dyn Store>, Arc<Identities>);

impl Backups {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, making: Arc::new(Semaphore::new(1)), source: Arc::default() }
    }

    /// This is the store, and who knows its host.
    pub(crate) fn of(&self, store: Arc<dyn Store>, identities: Arc<Identities>) {
        // There is one.
        let _ = self.source.set((store, identities));
    }
}

/// `/backup`.
pub(crate) fn router(backups: Backups) -> Router {
    Router::new().route("/backup", post(back_up)).with_state(backups)
}

async fn back_up(State(backups): State<Backups>, headers: HeaderMap) -> Response {
    let Some((store, identities)) = backups.source.get().cloned() else {
        let sentence = "this process holds no data folder: run pixel-playground backup with the same --store";
        return refuse(StatusCode::NOT_FOUND, sentence);
    };
    match identities.host(&headers) {
        HostCheck::Host => {}
        HostCheck::NoToken => {
            return refuse(
                StatusCode::UNAUTHORIZED,
                "only the host may take a backup: send the token as Authorization: Bearer TOKEN",
            );
        }
        HostCheck::OtherToken => return refuse(StatusCode::FORBIDDEN, "this is not the host's token"),
        HostCheck::NoHost => {
            return refuse(
                StatusCode::FORBIDDEN,
                "the process that has the folder was started without --admin-token-file: nobody is its host",
            );
        }
    }
    let Ok(making) = Arc::clone(&backups.making).try_acquire_owned() else {
        return refuse(StatusCode::CONFLICT, "a backup is being made already: try again when it is done");
    };
    let (sender, buffers) = mpsc::channel(1);
    let (made, written) = sync_channel(BUFFERS_WAITING_MAX);
    // Who drives a task may not block on the runtime's channels: another thread stands between.
    tokio::task::spawn_blocking(move || {
        for buffer in written {
            if sender.blocking_send(buffer).is_err() {
                return;
            }
        }
    });
    let (made_at, runtime) = (backups.clock.unix(), Handle::current());
    tokio::task::spawn_blocking(move || {
        let out = BufWriter::with_capacity(BUFFER_BYTES, Buffers(made.clone()));
        if let Err(error) = runtime.block_on(take(store.as_ref(), made_at, out)) {
            warn!(%error, "a backup was not sent to its end: {error}");
            // Breaks the connection off; the reader may be gone already.
            let _ = made.send(Err(io::Error::other(error)));
        }
        drop(making);
    });
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::new(Sent(buffers))).into_response()
}

/// Where a backup is written to.
struct Buffers(SyncSender<io::Result<Bytes>>);

impl Write for Buffers {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away");
        self.0.send(Ok(Bytes::copy_from_slice(bytes))).map(|()| bytes.len()).map_err(gone)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body that the reader gets.
struct Sent(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|sent| sent.map(|bytes| bytes.map(Frame::data)))
    }
}
