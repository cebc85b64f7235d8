//! From a gateway to an api in another process: one call in, its outcomes out.
//!
//! A call travels as one signed HTTP request over kept-alive connections. They spread over every
//! address of every `--api-url` and live 30 s at most, so that a new api gets work. Where an api
//! is lost between question and answer, another is asked with the same idempotency keys: nothing is
//! lost or painted twice.

mod connections;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use pixel_canvas::{CanvasId, Key, Refusal};
use pixel_store::{Outcome, Submission, SubmissionKey};
use tokio::time::{sleep, timeout_at};
use tracing::{debug, error};

use self::connections::{Connections, Trouble};
use crate::clock::Clock;
use crate::config::Url;
use crate::identity::Identities;
use crate::telemetry::HopMetrics;

/// How long a call may take, with every api that is tried.
const CALL_TIMEOUT: Duration = Duration::from_millis(1_900);
/// How long one api has for its answer before another is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_700);
/// Wait before the apis are tried again when none could be reached.
const RETRY: Duration = Duration::from_millis(50);

/// The way to the apis.
pub(crate) struct Hop {
    connections: Arc<Connections>,
    identities: Arc<Identities>,
    metrics: HopMetrics,
    clock: Clock,
}

impl Hop {
    /// A way to every address of these URLs. Looks them up for as long as it lives.
    pub(crate) fn new(
        urls: Vec<Url>,
        identities: Arc<Identities>,
        metrics: HopMetrics,
        clock: Clock,
    ) -> Self {
        let connections = Connections::open(urls, metrics.clone(), clock);
        Self { connections, identities, metrics, clock }
    }

    /// Places submissions in their order; one outcome each, in the same order.
    pub(crate) async fn place(&self, canvas: &CanvasId, mut submissions: Vec<Submission>) -> Vec<Outcome> {
        for submission in &mut submissions {
            // With a key for each, asking twice does no harm.
            submission.key.get_or_insert_with(|| SubmissionKey::Gateway(Key(rand::random())));
        }
        let count = submissions.len();
        let body = Bytes::from(wire::encode_call(canvas, &submissions));
        let seal = self.identities.seal(&body);
        let deadline = self.clock.tokio() + CALL_TIMEOUT;
        let mut asked = false;
        loop {
            let tried = timeout_at(deadline, self.connections.ask(body.clone(), &seal, ANSWER_TIMEOUT)).await;
            match tried {
                Ok(Ok((StatusCode::OK, answer))) => match wire::decode_outcomes(&answer, count) {
                    Some(outcomes) => return outcomes,
                    None => {
                        error!("an api's answer cannot be read: is it of another version?");
                        return vec![Outcome::Refused(Refusal::Unknown); count];
                    }
                },
                Ok(Ok((status, answer))) => {
                    let said = String::from_utf8_lossy(&answer);
                    if status != StatusCode::SERVICE_UNAVAILABLE {
                        error!(%status, "an api refused a call: {said}");
                        return vec![self.given_up(asked); count];
                    }
                    debug!(%status, "an api takes no calls: {said}");
                    sleep(RETRY).await;
                }
                Ok(Err(Trouble::NotAsked(why))) => {
                    debug!(error = %why, "no api could be asked");
                    sleep(RETRY).await;
                }
                Ok(Err(Trouble::NoAnswer(why))) => {
                    debug!(error = %why, "an api did not answer, another is asked");
                    asked = true;
                    self.metrics.retries.inc();
                }
                // It may have been asked just then.
                Err(_) => return vec![self.given_up(true); count],
            }
            if self.clock.tokio() >= deadline {
                return vec![self.given_up(asked); count];
            }
        }
    }

    fn given_up(&self, asked: bool) -> Outcome {
        Outcome::Refused(if asked { Refusal::Unknown } else { Refusal::Unavailable })
    }
}
