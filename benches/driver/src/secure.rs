//! TLS as a crowd speaks it: a certificate of its own, and sockets that are plain or secure.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use mio::net::TcpStream;
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What makes ours speak TLS, with the files that [`write_certificate`] puts where it runs.
pub(crate) const FLAGS: &[&str] = &["--tls-cert-file", CERT_FILE, "--tls-key-file", KEY_FILE];
const CERT_FILE: &str = "tls-cert.pem";
const KEY_FILE: &str = "tls-key.pem";
const NAME: &str = "localhost";

/// What servers show and clients trust.
struct Certificate {
    cert: String,
    key: String,
    client: Arc<ClientConfig>,
}

impl Certificate {
    /// The one of this process.
    fn own() -> Result<&'static Self> {
        static OWN: OnceLock<Certificate> = OnceLock::new();
        if let Some(own) = OWN.get() {
            return Ok(own);
        }
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).context("make a certificate")?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        Ok(OWN.get_or_init(|| Self { cert, key, client: Arc::new(client) }))
    }
}

/// Puts certificate and key into the folder that ours runs in.
pub(crate) fn write_certificate(folder: &Path) -> Result<()> {
    let own = Certificate::own()?;
    fs::write(folder.join(CERT_FILE), &own.cert)?;
    Ok(fs::write(folder.join(KEY_FILE), &own.key)?)
}

/// A client's socket.
pub(crate) struct Socket {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, secure: bool) -> Result<Self> {
        if !secure {
            return Ok(Self { tcp, tls: None });
        }
        let client = Arc::clone(&Certificate::own()?.client);
        Ok(Self { tcp, tls: Some(Box::new(ClientConnection::new(client, NAME.try_into()?)?)) })
    }

    /// Whether a read that is short has emptied it, so that epoll will tell of what comes next.
    pub(crate) fn short_read_is_last(&self) -> bool {
        self.tls.is_none()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.tcp.read(buffer),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.tcp).read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.tcp.write(bytes),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.tcp).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => self.tcp.flush(),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.tcp).flush(),
        }
    }
}
