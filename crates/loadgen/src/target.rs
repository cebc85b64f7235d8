//! Where a server is: its URL, and connections to it, with TLS where the URL says so.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long a connection may take to open, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's origin, such as `https://pixels.example`.
#[derive(Clone)]
pub struct Target {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
}

impl Target {
    /// Reads `http://host[:port]` or `https://host[:port]`; `ws` and `wss` mean the same.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url
            .split_once("://")
            .with_context(|| format!("{url:?} is not a URL: write it as http://localhost:3000"))?;
        let secure = match scheme {
            "http" | "ws" => false,
            "https" | "wss" => true,
            other => bail!("{other:?} is not a scheme for {url:?}: use http or https"),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            bail!("{url:?} has more than a host and a port: write it as http://localhost:3000");
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of a bare IPv6 address separate no port.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().with_context(|| format!("{port:?} is not a port, in {url:?}"))?)
            }
            _ => (authority, if secure { 443 } else { 80 }),
        };
        if host.is_empty() {
            bail!("{url:?} names no host: write it as http://localhost:3000");
        }
        let tls = secure.then(tls_connector).transpose()?;
        Ok(Self { host: host.to_owned(), port, tls })
    }

    /// What stands in the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Opens a connection.
    pub async fn connect(&self) -> io::Result<Connection> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the connection did not open in time");
        tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await.map_err(late)?
    }

    async fn open(&self) -> io::Result<Connection> {
        let host = self.host.trim_matches(['[', ']']);
        let plain = TcpStream::connect((host, self.port)).await?;
        plain.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Connection::Plain(plain)) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Connection::Tls(Box::new(tls.connect(name, plain).await?)))
    }
}

/// TLS that trusts what this machine trusts.
fn tls_connector() -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        bail!("this machine trusts no certificate authority: https cannot be checked");
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection, with or without TLS.
pub enum Connection {
    /// Without.
    Plain(TcpStream),
    /// With.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_scheme_a_host_and_perhaps_a_port() {
        let authority = |url: &str| Target::parse(url).map(|target| target.authority()).ok();
        assert_eq!(authority("http://localhost:3000").as_deref(), Some("localhost:3000"));
        assert_eq!(authority("ws://localhost/").as_deref(), Some("localhost:80"));
        assert_eq!(authority("http://[::1]:4000").as_deref(), Some("[::1]:4000"));
        assert_eq!(authority("http://[::1]").as_deref(), Some("[::1]:80"));
        for wrong in
            ["localhost:3000", "ftp://host", "http://", "http://host:port", "http://host/path", "http://a@b"]
        {
            assert_eq!(authority(wrong), None, "{wrong}");
        }
    }
}
