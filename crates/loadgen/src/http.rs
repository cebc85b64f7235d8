//! Single HTTP requests, a connection each.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::target::Target;

/// How long an answer may take, its body included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest body taken: a picture of 65,536² would be refused by the server long before.
const BODY_BYTES_MAX: usize = 1 << 30;

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The answer, or an error that quotes what the server said.
    pub fn success(self, what: &str) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let said = String::from_utf8_lossy(&self.body);
        let said: String = said.chars().take(300).collect();
        bail!("{what}: the server answered {}: {said}", self.status)
    }
}

/// Sends a request and reads the whole answer. `token` is sent as the bearer's, `json` as the body.
pub async fn request(
    target: &Target,
    method: Method,
    path: &str,
    token: Option<&str>,
    json: Option<String>,
) -> Result<Answer> {
    let exchange = async {
        let connection = target.connect().await?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await?;
        let driver = tokio::spawn(driver);
        let mut request = Request::builder().method(method).uri(path).header(HOST, target.authority());
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if json.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(json.unwrap_or_default()));
        let answer = sender.send_request(request.body(body)?).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        driver.abort();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await;
    answer
        .context("no answer within 60 s")
        .flatten()
        .with_context(|| format!("{} {path}", target.authority()))
}
