//! TLS on the public ports, from two files that are read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};

/// How often the files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

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
        if chain.is_empty() {
            bail!("tls-cert-file holds no certificate: it must be PEM, the server's own first");
        }
        let private = PrivateKeyDer::from_pem_slice(&key).context("tls-key-file is not a PEM private key")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS 1.2 and 1.3 are always possible")?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .context("tls-cert-file and tls-key-file do not fit together")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { cert, key, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}
