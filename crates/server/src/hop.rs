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
use pixel_store::{Act, Outcome, StoreError, Submission, SubmissionKey};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, error};

use self::connections::{Connections, Trouble};
use self::wire::Version;
use crate::clock::Clock;
use crate::config::Url;
use crate::identity::Identities;
use crate::telemetry::HopMetrics;

/// How long one api has for its answer before another is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_650);
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

    /// Places submissions in their order; one outcome each, in the same order. An error when no api
    /// answered by the deadline, however many were tried.
    pub(crate) async fn place(
        &self,
        canvas: &CanvasId,
        mut submissions: Vec<Submission>,
        deadline: Instant,
    ) -> Result<Vec<Outcome>, StoreError> {
        for submission in &mut submissions {
            // With a key for each, asking twice does no harm.
            submission.key.get_or_insert_with(|| SubmissionKey::Gateway(Key(rand::random())));
        }
        match self.ask(canvas, &submissions, deadline).await? {
            Answer::Outcomes(outcomes) => Ok(outcomes),
            Answer::OfTheVersionBefore => self.place_what_is_known(canvas, submissions, deadline).await,
        }
    }

    /// The api is of the version before, during a rollout: it takes placements alone, and the others
    /// are refused.
    async fn place_what_is_known(
        &self,
        canvas: &CanvasId,
        submissions: Vec<Submission>,
        deadline: Instant,
    ) -> Result<Vec<Outcome>, StoreError> {
        let is_plain = |submission: &Submission| matches!(submission.act, Act::Place(_));
        let known: Vec<bool> = submissions.iter().map(is_plain).collect();
        let plain: Vec<Submission> = submissions.into_iter().filter(is_plain).collect();
        let placed = match plain.is_empty() {
            true => Vec::new(),
            false => match self.ask(canvas, &plain, deadline).await? {
                Answer::Outcomes(outcomes) => outcomes,
                Answer::OfTheVersionBefore => Vec::new(),
            },
        };
        let mut placed = placed.into_iter();
        let outcome = |known: bool| known.then(|| placed.next()).flatten();
        let refused = || Outcome::Refused(Refusal::Unavailable);
        Ok(known.into_iter().map(outcome).map(|outcome| outcome.unwrap_or_else(refused)).collect())
    }

    /// Asks until an api answers; an error when none did in time.
    async fn ask(
        &self,
        canvas: &CanvasId,
        submissions: &[Submission],
        deadline: Instant,
    ) -> Result<Answer, StoreError> {
        let (count, version) = (submissions.len(), Version::of(submissions));
        let body = Bytes::from(wire::encode_call(canvas, submissions));
        let seal = self.identities.seal(&body);
        let mut asked = false;
        loop {
            let tried = timeout_at(deadline, self.connections.ask(body.clone(), &seal, ANSWER_TIMEOUT)).await;
            let why = match tried {
                Ok(Ok((StatusCode::OK, answer))) => match wire::decode_outcomes(&answer, version, count) {
                    Some(outcomes) => return Ok(Answer::Outcomes(outcomes)),
                    None => {
                        error!("an api's answer cannot be read: is it of another version?");
                        return Ok(Answer::Outcomes(vec![Outcome::Refused(Refusal::Unknown); count]));
                    }
                },
                Ok(Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, answer)))
                    if version == Version::Acts && !asked =>
                {
                    debug!("an api is of an earlier version: {}", String::from_utf8_lossy(&answer));
                    return Ok(Answer::OfTheVersionBefore);
                }
                Ok(Ok((status, answer))) => {
                    let said = String::from_utf8_lossy(&answer);
                    if status != StatusCode::SERVICE_UNAVAILABLE {
                        error!(http.response.status_code = status.as_u16(), "an api refused a call: {said}");
                        return Err(given_up(asked, format!("an api refused a call: {status}")));
                    }
                    debug!(http.response.status_code = status.as_u16(), "an api takes no calls: {said}");
                    sleep(RETRY).await;
                    format!("an api takes no calls: {status}")
                }
                Ok(Err(Trouble::NotAsked(failure))) => {
                    debug!(error = %failure, "no api could be asked");
                    sleep(RETRY).await;
                    failure
                }
                Ok(Err(Trouble::NoAnswer(failure))) => {
                    debug!(error = %failure, "an api did not answer, another is asked");
                    asked = true;
                    self.metrics.retries.inc();
                    failure
                }
                // It may have been asked just then.
                Err(_) => return Err(given_up(true, "no api answers".into())),
            };
            if self.clock.tokio() >= deadline {
                return Err(given_up(asked, why));
            }
        }
    }
}

/// What an api made of a call.
enum Answer {
    Outcomes(Vec<Outcome>),
    /// It does not know what is asked, and did nothing.
    OfTheVersionBefore,
}

fn given_up(asked: bool, why: String) -> StoreError {
    if asked { StoreError::Unknown(why.into()) } else { StoreError::Unavailable(why.into()) }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::StatusCode;
    use axum::response::{IntoResponse, Response};
    use axum::routing::post;
    use pixel_canvas::{
        Author, Color, Epoch, Identity, Name, Placement, Point, Sequence, Standing, Timestamp, Turn,
    };
    use pixel_store::Accepted;

    use super::*;
    use crate::identity::{HostToken, IdentityKey};
    use crate::telemetry::Metrics;

    /// An api as the version before answered: it knows calls of version 1, and accepts all of them.
    /// That one's executable is not built with this version's, so no real one can be run here; by hand
    /// `tests/scenarios/rolling.rs` takes one.
    async fn api_before(body: Bytes) -> Response {
        if body[0] != 1 {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
        }
        let (version, _, submissions) = wire::decode_call(&body).expect("a call");
        let accepted = |index: usize| {
            let (first, at, standing) = (Sequence(index as u64 + 1), Timestamp(7), Standing::UNLIMITED);
            Outcome::Accepted(Accepted { first, count: 1, epoch: Epoch(1), at, standing })
        };
        let outcomes: Vec<Outcome> = (0..submissions.len()).map(accepted).collect();
        wire::encode_outcomes(version, &outcomes).into_response()
    }

    #[tokio::test]
    async fn an_api_of_the_version_before_places_what_it_knows_and_the_rest_is_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let router = Router::new().route(wire::PATH, post(api_before));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let identities = Arc::new(Identities::new(IdentityKey([1; 32]), HostToken::new(None)));
        let metrics = Metrics::new("0", Timestamp(0)).hop;
        let hop = Hop::new(vec![Url { host: "127.0.0.1".into(), port }], identities, metrics, Clock);

        let author = Author { identity: Identity([1; 16]), address: None, since: None };
        let of = |act| Submission { author, name: Name::anonymous(), key: None, act };
        let place = || of(Act::Place(vec![Placement { at: Point { x: 1, y: 1 }, color: Color([1; 3]) }]));
        let undo = || of(Act::Retrace { turn: Turn::Undo, count: 1 });
        let canvas = CanvasId::default_canvas();
        let firsts = async |call| -> Vec<Result<u64, Refusal>> {
            let first = |outcome| match outcome {
                Outcome::Accepted(accepted) => Ok(accepted.first.0),
                Outcome::Refused(refusal) => Err(refusal),
            };
            let outcomes =
                hop.place(&canvas, call, Clock.tokio() + ANSWER_TIMEOUT).await.expect("the api answers");
            outcomes.into_iter().map(first).collect()
        };
        assert_eq!(firsts(vec![place(), place()]).await, [Ok(1), Ok(2)]);
        let refused = || Err(Refusal::Unavailable);
        assert_eq!(firsts(vec![place(), undo(), place()]).await, [Ok(1), refused(), Ok(2)]);
        assert_eq!(firsts(vec![undo()]).await, [refused()]);
    }
}
