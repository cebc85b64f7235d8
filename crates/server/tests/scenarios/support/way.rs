//! A way to a server on which its answers take as long as a scenario says; they stay in order.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::server::unused_address;

/// The way. What goes to the server is not held up.
pub struct Way {
    at: SocketAddr,
    traffic: Arc<Traffic>,
}

#[derive(Default)]
struct Traffic {
    late_ms: AtomicU64,
    /// All that went to the server.
    asked: Mutex<Vec<u8>>,
    closed: AtomicBool,
}

impl Way {
    /// A way to the server at this address, without delay until [`Way::is_late_by`].
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((unused_address(), server.port())).expect("a free port");
        let way =
            Self { at: listener.local_addr().expect("it is bound"), traffic: Arc::new(Traffic::default()) };
        let traffic = Arc::clone(&way.traffic);
        thread::spawn(move || {
            for client in listener.incoming() {
                if traffic.closed.load(Ordering::SeqCst) {
                    break;
                }
                // Where the server takes nobody, neither does the way: the client is closed.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) {
                    traffic.join(client, server);
                }
            }
        });
        way
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// From now on each answer comes so much later.
    pub fn is_late_by(&self, delay: Duration) {
        self.traffic.late_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Whether somebody said this to the server.
    pub fn carried(&self, words: &str) -> bool {
        let asked = self.traffic.asked.lock().expect("nobody panicked");
        asked.windows(words.len()).any(|window| window == words.as_bytes())
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.traffic.closed.store(true, Ordering::SeqCst);
        // Wakes who waits for clients.
        let _ = TcpStream::connect(self.at);
    }
}

impl Traffic {
    /// Carries both ways until either end closes.
    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let ends = [client.set_nodelay(true), server.set_nodelay(true)];
        assert!(ends.iter().all(Result::is_ok), "a socket takes its options");
        let (mut from_client, mut to_client) = (client.try_clone().expect("a second handle"), client);
        let (mut from_server, mut to_server) = (server.try_clone().expect("a second handle"), server);
        let (asked, answered) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || {
            each_piece(&mut from_client, |piece| {
                asked.asked.lock().expect("nobody panicked").extend_from_slice(piece);
                to_server.write_all(piece).is_ok()
            });
            let _ = to_server.shutdown(Shutdown::Both);
        });
        let (late, due) = mpsc::channel::<(Instant, Vec<u8>)>();
        thread::spawn(move || {
            each_piece(&mut from_server, |piece| {
                let delay = Duration::from_millis(answered.late_ms.load(Ordering::SeqCst));
                late.send((Instant::now() + delay, piece.to_vec())).is_ok()
            });
        });
        thread::spawn(move || {
            for (at, piece) in due {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                if to_client.write_all(&piece).is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown(Shutdown::Both);
        });
    }
}

/// Hands on what comes, until an end or until nobody takes it.
fn each_piece(from: &mut TcpStream, mut take: impl FnMut(&[u8]) -> bool) {
    let mut piece = vec![0; 64 * 1_024];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if !take(&piece[..length]) {
            break;
        }
    }
}
