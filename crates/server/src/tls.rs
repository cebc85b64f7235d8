//! TLS on the public ports, from two files that are read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use pixel_canvas::Timestamp;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};
use x509_parser::parse_x509_certificate;

/// How often the files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);
/// From so long before its end on, operators are told of a certificate.
const EXPIRY_WARNING_SECONDS: i64 = 7 * DAY_SECONDS;
const DAY_SECONDS: i64 = 86_400;

/// The certificate in use.
pub(crate) struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Loaded>,
}

struct Loaded {
    cert: Vec<u8>,
    key: Vec<u8>,
    acceptor: TlsAcceptor,
    /// Unix time.
    expires_seconds: i64,
}

impl Tls {
    /// Reads certificate chain and key, both PEM.
    pub(crate) fn load(cert_file: &Path, key_file: &Path) -> anyhow::Result<Self> {
        let loaded = Loaded::read(cert_file, key_file)?;
        Ok(Self { cert_file: cert_file.into(), key_file: key_file.into(), current: RwLock::new(loaded) })
    }

    /// What new connections are accepted with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// When the certificate in use expires: Unix time in seconds.
    pub(crate) fn expires_seconds(&self) -> i64 {
        self.current.read().unwrap_or_else(PoisonError::into_inner).expires_seconds
    }

    /// What operators should know of the certificate in use: that it expired, or will soon.
    pub(crate) fn caution(&self, now: Timestamp) -> Option<String> {
        match self.expires_seconds() - (now.0 / 1_000) as i64 {
            ..=0 => Some("the certificate of tls-cert-file has expired: browsers refuse it".to_owned()),
            left @ ..=EXPIRY_WARNING_SECONDS => Some(format!(
                "the certificate of tls-cert-file expires in {} days: renew it in place",
                left / DAY_SECONDS
            )),
            _ => None,
        }
    }

    /// Looks at the files until `stop` turns true. A pair that does not fit leaves the old one in use.
    pub(crate) async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut complaint = String::new();
        loop {
            tokio::select! {
                _ = async { stop.wait_for(|stop| *stop).await.is_ok() } => return,
                () = tokio::time::sleep(RELOAD_INTERVAL) => {}
            }
            let tls = Arc::clone(&self);
            let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
            match reloaded.unwrap_or_else(|panic| Err(panic.into())) {
                Ok(true) => info!("the TLS certificate changed: new connections use it"),
                Ok(false) => complaint.clear(),
                Err(error) => {
                    // Said once: files are often replaced one after the other.
                    let said = format!("{error:#}");
                    if said != complaint {
                        warn!("the TLS certificate changed and cannot be used, keeping the old one: {said}");
                    }
                    complaint = said;
                }
            }
        }
    }

    /// Takes the files' contents if they changed; says whether they did.
    fn reload(&self) -> anyhow::Result<bool> {
        let cert = std::fs::read(&self.cert_file).with_context(|| self.cert_file.display().to_string())?;
        let key = std::fs::read(&self.key_file).with_context(|| self.key_file.display().to_string())?;
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if current.cert == cert && current.key == key {
                return Ok(false);
            }
        }
        let loaded = Loaded::parse(cert, key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(true)
    }
}

impl Loaded {
    fn read(cert_file: &Path, key_file: &Path) -> anyhow::Result<Self> {
        let cert =
            std::fs::read(cert_file).with_context(|| format!("tls-cert-file {}", cert_file.display()))?;
        let key = std::fs::read(key_file).with_context(|| format!("tls-key-file {}", key_file.display()))?;
        Self::parse(cert, key)
    }

    fn parse(cert: Vec<u8>, key: Vec<u8>) -> anyhow::Result<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert)
            .collect::<Result<_, _>>()
            .context("tls-cert-file is not a PEM certificate chain")?;
        let Some(own) = chain.first() else {
            bail!("tls-cert-file holds no certificate: it must be PEM, the server's own first");
        };
        let (_, certificate) =
            parse_x509_certificate(own).context("tls-cert-file holds no X.509 certificate")?;
        let expires_seconds = certificate.validity().not_after.timestamp();
        let private = PrivateKeyDer::from_pem_slice(&key).context("tls-key-file is not a PEM private key")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS 1.2 and 1.3 are always possible")?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .context("tls-cert-file and tls-key-file do not fit together")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { cert, key, acceptor: TlsAcceptor::from(Arc::new(config)), expires_seconds })
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Extension, Router};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::listen::{Peer, Serving, bind};

    /// A folder with a certificate for localhost, and its DER.
    fn write_certificate(folder: &Path) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(folder.join("cert"), made.cert.pem()).expect("a file is written");
        std::fs::write(folder.join("key"), made.signing_key.serialize_pem()).expect("a file is written");
        made.cert.der().clone()
    }

    fn load(folder: &Path) -> anyhow::Result<Tls> {
        Tls::load(&folder.join("cert"), &folder.join("key"))
    }

    async fn ask(address: std::net::SocketAddr, trusted: CertificateDer<'static>) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let name = "localhost".try_into().expect("a name");
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_certificate_that_changes_is_used_and_a_wrong_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = write_certificate(folder.path());
        let tls = Arc::new(load(folder.path()).expect("a pair"));
        let bound = bind("--api-listen", "127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = bound.address();
        let router = Router::new()
            .route("/", get(async |Extension(peer): Extension<Peer>| format!("secure {}", peer.secure)));
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(bound.serve(router, Serving::new(8, Some(Arc::clone(&tls)), stopped)));
        let answer = ask(address, first.clone()).await.expect("an answer");
        assert!(answer.ends_with("secure true"), "{answer}");

        assert!(!tls.reload().expect("nothing changed"));
        let second = write_certificate(folder.path());
        assert!(tls.reload().expect("a pair"));
        ask(address, second.clone()).await.expect("the new one is used");
        assert!(ask(address, first).await.is_err(), "the old one is not");
        std::fs::write(folder.path().join("cert"), "rubbish").expect("a file is written");
        assert!(tls.reload().is_err());
        ask(address, second).await.expect("the one before rubbish stays");
    }

    #[test]
    fn it_knows_when_the_certificate_expires_and_says_so_a_week_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut asked = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        asked.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let made = asked.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("cert"), made.pem()).expect("a file is written");
        std::fs::write(folder.path().join("key"), key.serialize_pem()).expect("a file is written");
        let tls = load(folder.path()).expect("a pair");
        assert_eq!(tls.expires_seconds(), 1_893_456_000);
        let said = |days_before: i64| {
            tls.caution(Timestamp((1_893_456_000 - days_before * DAY_SECONDS) as u64 * 1_000))
                .unwrap_or_default()
        };
        assert_eq!(said(8), "");
        assert!(said(7).contains("expires in 7 days"), "{}", said(7));
        assert!(said(0).contains("has expired"), "{}", said(0));
        assert!(said(-100).contains("has expired"), "{}", said(-100));
    }

    #[test]
    fn files_that_do_not_fit_say_which_key_is_wrong() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = |folder: &Path| load(folder).err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(said(folder.path()).starts_with("tls-cert-file"));
        write_certificate(folder.path());
        let key = std::fs::read(folder.path().join("key")).expect("a file");
        write_certificate(folder.path());
        assert_eq!(said(folder.path()), "");
        std::fs::write(folder.path().join("key"), key).expect("a file is written");
        assert!(said(folder.path()).contains("do not fit together"), "{}", said(folder.path()));
        std::fs::write(folder.path().join("key"), "rubbish").expect("a file is written");
        assert!(said(folder.path()).starts_with("tls-key-file"));
    }
}
