//! The ports: binding them, accepting, TLS, and the limits of a connection that is still HTTP.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::address::{AddressConnections, AddressGuard, TrustedProxies};
use crate::tls::Tls;

/// HTTP connections that the public ports of a process hold at a time. Upgraded sockets do not count.
pub(crate) const HTTP_CONNECTIONS_MAX: usize = 8_192;
/// How many of them one address may hold, so that it cannot lock the others out. Trusted proxies may
/// hold them all.
pub(crate) const ADDRESS_HTTP_CONNECTIONS_MAX: u32 = 2_048;
/// The ops port's own, so that a crowd cannot lock the operator out.
pub(crate) const OPS_CONNECTIONS_MAX: usize = 64;
/// How many of those one address may hold, so that probes get through beside whatever watches.
pub(crate) const ADDRESS_OPS_CONNECTIONS_MAX: u32 = 32;
/// A request's head must be complete so long after the connection was ready for it; it is also how
/// long an idle connection is kept.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// A TLS handshake must be complete so long after the connection.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Header lines of a request.
pub(crate) const HEADERS_MAX: usize = 64;
/// Bytes of a request's head, and of what is buffered of a body.
const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Bytes that a shortcut looks at: those of a handshake with a few cookies. Longer ones go the long way.
const SHORTCUT_BYTES_MAX: usize = 4 * 1_024;
/// How long a shortcut waits for the first bytes; then [`HEAD_TIMEOUT`] begins.
const SHORTCUT_PATIENCE: Duration = Duration::from_secs(1);
/// How long a connection is used for HTTP; an upgraded one is the gateway's.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(300);
/// The answer under way at the end of that time gets so long to be read.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections that the kernel holds until they are accepted.
const BACKLOG_CONNECTIONS: i32 = 4_096;
/// Requests under way when the process stops get so long to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait after a failed accept: the process is out of descriptors, and some will be freed.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection that a request came on: an extension of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The socket's own address; a proxy's, where there is one.
    pub(crate) address: SocketAddr,
    /// Whether TLS ends here.
    pub(crate) secure: bool,
}

/// Takes connections before HTTP is spoken on them, by the first that they sent and by who they are. The
/// others it leaves as they are.
pub(crate) type Shortcut = Arc<dyn Fn(&[u8], SocketAddr) -> Option<Taken> + Send + Sync>;

/// A connection that a [`Shortcut`] takes.
pub(crate) struct Taken {
    /// Bytes of its request. What lies behind them is not read here.
    pub(crate) head_bytes: usize,
    /// Hands the socket over; it does not block.
    pub(crate) hand_over: Box<dyn FnOnce(std::net::TcpStream) + Send>,
}

/// A port could not be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Another process has it.
    #[error("port {} is taken: choose another with {flag} {example}", address.port())]
    Taken { flag: &'static str, address: SocketAddr, example: SocketAddr },
    /// The address is not ours, or the port needs rights we lack.
    #[error("{flag} {address}: {source}")]
    Refused { flag: &'static str, address: SocketAddr, source: io::Error },
}

/// A bound port that does not accept yet.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// What all ports that serve together share.
#[derive(Clone)]
pub(crate) struct Serving {
    tls: Option<Arc<Tls>>,
    connections: Arc<Semaphore>,
    share: Option<Share>,
    shortcut: Option<Shortcut>,
    stop: watch::Receiver<bool>,
}

/// What each address may hold of the connections.
#[derive(Clone)]
struct Share {
    held: AddressConnections,
    proxies: Arc<TrustedProxies>,
}

impl Share {
    /// Counts one more of this address; `None` when it has its share. The inner `None`: not counted.
    fn enter(&self, ip: IpAddr) -> Option<Option<AddressGuard>> {
        if self.proxies.trusts(ip) {
            return Some(None);
        }
        self.held.enter(ip).map(Some)
    }
}

impl Serving {
    /// At most `connections` at a time, until `stop` turns true.
    pub(crate) fn new(connections: usize, tls: Option<Arc<Tls>>, stop: watch::Receiver<bool>) -> Self {
        Self { tls, connections: Arc::new(Semaphore::new(connections)), share: None, shortcut: None, stop }
    }

    /// The same, with at most `max` of the connections for one address that is no trusted proxy.
    pub(crate) fn shared(self, max: u32, proxies: Arc<TrustedProxies>) -> Self {
        Self { share: Some(Share { held: AddressConnections::new(max), proxies }), ..self }
    }

    /// The same, with a shortcut for connections without TLS.
    pub(crate) fn with(self, shortcut: Shortcut) -> Self {
        Self { shortcut: Some(shortcut), ..self }
    }
}

/// Binds a port; `flag` is the one that changes it.
pub(crate) fn bind(flag: &'static str, address: SocketAddr) -> Result<Bound, BindError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the connections of the process before to time out.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG_CONNECTIONS)?;
        let listener = std::net::TcpListener::from(socket);
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    open().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => {
            let other_port = address.port().checked_add(100).unwrap_or(8_080);
            BindError::Taken { flag, address, example: SocketAddr::new(address.ip(), other_port) }
        }
        _ => BindError::Refused { flag, address, source },
    })
}

impl Bound {
    /// The address it is bound to, with the port that was chosen where 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop, then lets the requests under way finish.
    pub(crate) async fn serve(self, router: Router, serving: Serving) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        // Every connection holds a sender; when all are gone, so are the connections.
        let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
        let mut stop = serving.stop.clone();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut stop) => break,
                accepted = accept(&listener, &serving) => accepted,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    failing = false;
                    let (router, serving) = (router.clone(), serving.clone());
                    let open = open.clone();
                    tokio::spawn(async move {
                        converse(stream, peer, router, serving).await;
                        drop((place, open));
                    });
                }
                Err(error) => {
                    if !failing {
                        warn!(%error, "cannot accept connections on {}, trying again", self.address);
                    }
                    failing = true;
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
        drop((listener, open));
        if timeout(DRAIN_TIMEOUT, all_closed.recv()).await.is_err() {
            debug!("requests were still under way {DRAIN_TIMEOUT:?} after the stop");
        }
        Ok(())
    }
}

/// Waits until the process stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can say stop any more, which is the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

type Accepted = (TcpStream, SocketAddr, Place);

/// A connection's place among all, and among those of its address.
type Place = (OwnedSemaphorePermit, Option<AddressGuard>);

/// Accepts one connection when there is room for it. Safe to cancel.
async fn accept(listener: &TcpListener, serving: &Serving) -> io::Result<Accepted> {
    let permit =
        Arc::clone(&serving.connections).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer must not wait for the next one to share its packet.
                stream.set_nodelay(true).ok();
                match serving.share.as_ref().map_or(Some(None), |share| share.enter(peer.ip())) {
                    Some(guard) => return Ok((stream, peer, (permit, guard))),
                    None => debug!(client.address = %peer, "this address holds its share of the connections"),
                }
            }
            // The client gave up while it waited; the next one is not to blame.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Serves one connection to its end, or to its upgrade.
async fn converse(mut stream: TcpStream, address: SocketAddr, router: Router, serving: Serving) {
    let Serving { tls, shortcut, mut stop, .. } = serving;
    let peer = Peer { address, secure: tls.is_some() };
    let Some(tls) = tls else {
        if let Some(shortcut) = shortcut {
            match go_short(stream, address, &shortcut, &mut stop).await {
                Some(left) => stream = left,
                None => return,
            }
        }
        // Apart, since most who take the shortcut need none of it.
        return Box::pin(speak_http(stream, peer, router, stop)).await;
    };
    match timeout(TLS_HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => speak_http(stream, peer, router, stop).await,
        Ok(Err(error)) => debug!(client.address = %address, %error, "TLS handshake failed"),
        Err(_) => debug!(client.address = %address, "TLS handshake took too long"),
    }
}

/// Lets a connection take the shortcut; gives one back that does not, with nothing of it read.
async fn go_short(
    stream: TcpStream,
    address: SocketAddr,
    shortcut: &Shortcut,
    stop: &mut watch::Receiver<bool>,
) -> Option<TcpStream> {
    let look = poll_fn(|context| {
        let mut bytes = [MaybeUninit::uninit(); SHORTCUT_BYTES_MAX];
        let mut first = ReadBuf::uninit(&mut bytes);
        Poll::Ready(match ready!(stream.poll_peek(context, &mut first)) {
            Ok(_) => shortcut(first.filled(), address),
            Err(_) => None,
        })
    });
    let taken = tokio::select! {
        biased;
        taken = look => taken,
        () = stopped(stop) => None,
        () = sleep(SHORTCUT_PATIENCE) => None,
    };
    let Some(Taken { head_bytes, hand_over }) = taken else { return Some(stream) };
    let mut head = [0; SHORTCUT_BYTES_MAX];
    match stream.try_read(&mut head[..head_bytes]).and_then(|read| Ok((read, stream.into_std()?))) {
        Ok((read, stream)) if read == head_bytes => hand_over(stream),
        Ok(_) => debug!(client.address = %address, "a request was gone before it was read"),
        Err(error) => debug!(client.address = %address, %error, "a connection broke off"),
    }
    None
}

async fn speak_http<S>(stream: S, peer: Peer, router: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let router = router.clone();
        async move {
            let answered: Result<Response<Body>, Infallible> = router.oneshot(request.map(Body::new)).await;
            answered
        }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut http = pin!(http);
    let ended = tokio::select! {
        ended = http.as_mut() => ended,
        () = stopped(&mut stop) => {
            http.as_mut().graceful_shutdown();
            http.await
        }
        // Whoever does not read its answers holds its place no longer than this.
        () = sleep(CONNECTION_LIFETIME) => {
            http.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER_TIMEOUT, http).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // What a client does to its own connection is no news to an operator.
        debug!(client.address = %peer.address, %error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const ANY: &str = "127.0.0.1:0";

    async fn talk(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("the port accepts");
        stream.write_all(request.as_bytes()).await.expect("a request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer comes");
        answer
    }

    #[test]
    fn a_taken_port_names_the_flag_that_changes_it() {
        let first = bind("--frontend-listen", ANY.parse().expect("an address")).expect("a free port");
        let error = bind("--frontend-listen", first.address()).expect_err("it is taken").to_string();
        let port = first.address().port();
        let expected = format!("port {port} is taken: choose another with --frontend-listen 127.0.0.1:");
        assert!(error.starts_with(&expected), "{error}");
    }

    #[tokio::test]
    async fn requests_know_their_peer_and_finish_when_the_process_stops() {
        let (stop, stopped) = watch::channel(false);
        let stop = Arc::new(stop);
        let trigger = Arc::clone(&stop);
        let router = Router::new().route(
            "/",
            get(move |Extension(peer): Extension<Peer>| async move {
                trigger.send_replace(true);
                tokio::task::yield_now().await;
                format!("{} {}", peer.address.ip(), peer.secure)
            }),
        );
        let bound = bind("--frontend-listen", ANY.parse().expect("an address")).expect("a free port");
        let address = bound.address();
        let serving = tokio::spawn(bound.serve(router, Serving::new(4, None, stopped)));
        let answer = talk(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1 false"), "{answer}");
        serving.await.expect("no panic").expect("no error");
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn one_address_cannot_hold_every_connection() {
        let (_stop, stopped) = watch::channel(false);
        let bound = bind("--api-listen", ANY.parse().expect("an address")).expect("a free port");
        let address = bound.address();
        let serving = Serving::new(4, None, stopped).shared(2, Arc::default());
        tokio::spawn(bound.serve(Router::new(), serving));
        let idle = [TcpStream::connect(address).await, TcpStream::connect(address).await];
        let mut refused = TcpStream::connect(address).await.expect("the port accepts");
        assert_eq!(refused.read(&mut [0]).await.unwrap_or(0), 0, "the third is closed at once");
        drop(idle);
        let answer = loop {
            let mut stream = TcpStream::connect(address).await.expect("the port accepts");
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ok();
            let mut answer = String::new();
            if stream.read_to_string(&mut answer).await.is_ok() && !answer.is_empty() {
                break answer;
            }
        };
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }

    #[tokio::test]
    async fn heads_beyond_the_limits_are_refused() {
        let (_stop, stopped) = watch::channel(false);
        let bound = bind("--api-listen", ANY.parse().expect("an address")).expect("a free port");
        let address = bound.address();
        tokio::spawn(bound.serve(Router::new(), Serving::new(4, None, stopped)));
        let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
        let answer = talk(address, &format!("GET / HTTP/1.1\r\n{many}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}
