//! Reads JSON bodies: bounded in size and time, with a sentence for what is wrong.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::refusal::Refused;

/// A body of one pixel, or of a host's change, in bytes.
pub(crate) const SMALL_BODY_BYTES_MAX: usize = 16 * 1_024;
/// A body of many pixels, in bytes.
pub(crate) const PIXELS_BODY_BYTES_MAX: usize = 256 * 1_024;
/// How much of the place of an error in a body is shown, in characters.
const PATH_CHARACTERS_MAX: usize = 100;
/// A body must be complete so long after its head.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the body as JSON, whatever its `Content-Type` calls it.
pub(crate) async fn read_json<T: DeserializeOwned>(
    request: Request<Body>,
    bytes_max: usize,
) -> Result<T, Refused> {
    parse_json(&read(request.into_body(), bytes_max).await?)
}

/// The same where the body may be left out; `null` counts as that.
pub(crate) async fn read_json_if_any<T: DeserializeOwned + Default>(
    request: Request<Body>,
    bytes_max: usize,
) -> Result<T, Refused> {
    match read(request.into_body(), bytes_max).await? {
        bytes if matches!(bytes.trim_ascii(), b"" | b"null") => Ok(T::default()),
        bytes => parse_json(&bytes),
    }
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    // A derived reader would take a list for an object, its members in order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Refused::wrong("the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        match error.path().to_string().as_str() {
            "." | "?" => Refused::wrong(format!("the body cannot be read: {}", error.into_inner())),
            path => {
                let path: String = path.chars().take(PATH_CHARACTERS_MAX).collect();
                Refused::wrong(format!("{path}: {}", error.inner()))
            }
        }
    })?;
    json.end().map_err(|error| Refused::wrong(format!("the body cannot be read: {error}")))?;
    Ok(value)
}

/// What a request for this path may bring, in bytes.
pub(crate) fn bytes_max(path: &str) -> usize {
    if path.ends_with("/pixels") { PIXELS_BODY_BYTES_MAX } else { SMALL_BODY_BYTES_MAX }
}

/// Reads the body, bounded in size and time.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<axum::body::Bytes, Refused> {
    let too_large = || {
        let sentence = format!("the body is larger than the {bytes_max} bytes allowed here");
        Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, sentence))
    };
    // By the length that it declares, before any of it came.
    if body.size_hint().lower() > bytes_max as u64 {
        return too_large();
    }
    match timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_large(),
        Ok(Err(_)) => Err(Refused::wrong("the body broke off")),
        Err(_) => Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}
