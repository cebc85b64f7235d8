//! From a gateway to an api in another process: one call in, its outcomes out.
//!
//! A call travels as one signed HTTP request over kept-alive connections. They spread over every
//! address of every `--api-url` and live 30 s at most, so that a new api gets work. Where an api
//! is lost or silent between question and answer, another is asked with the same idempotency keys:
//! nothing is lost or painted twice. One that is known to be silent is asked last.

mod connections;
mod round;
pub(crate) mod wire;

use std::net::SocketAddr;
#[cfg(test)]
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use bytes::Bytes;
use hyper::StatusCode;
use pixel_canvas::{CanvasId, Key, Refusal};
use pixel_store::{Act, Outcome, StoreError, Submission, SubmissionKey, Trouble};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, error};

pub(crate) use self::connections::{Answered, Unanswered};
use self::connections::{Call, Connections};
use self::round::Round;
use self::wire::Version;
use crate::clock::Clock;
use crate::config::Url;
use crate::identity::Identities;
use crate::telemetry::HopMetrics;

/// Wait before the apis are tried again when none of them took the call.
const RETRY: Duration = Duration::from_millis(50);

/// The way to the apis.
pub(crate) struct Hop {
    carrier: Carrier,
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
        let nothing = sealed(&identities, wire::encode_call(&CanvasId::default_canvas(), &[]));
        let connections = Connections::open(urls, nothing, metrics.clone(), clock);
        Self { carrier: Carrier::Http(connections), identities, metrics, clock }
    }

    /// A way over a simulated network.
    #[cfg(test)]
    pub(crate) fn simulated(
        carry: Box<Carry>,
        identities: Arc<Identities>,
        metrics: HopMetrics,
        clock: Clock,
    ) -> Self {
        Self { carrier: Carrier::Simulated(carry.into()), identities, metrics, clock }
    }

    /// Places submissions in their order; one outcome each, in the same order, and what keeps the api from
    /// placing where it says so. An error when no api answered by the deadline, however many were tried.
    pub(crate) async fn place(
        &self,
        canvas: &CanvasId,
        mut submissions: Vec<Submission>,
        deadline: Instant,
    ) -> Result<Placed, StoreError> {
        for submission in &mut submissions {
            // With a key for each, asking twice does no harm.
            submission.key.get_or_insert_with(|| SubmissionKey::Gateway(Key(rand::random())));
        }
        match self.ask(canvas, &submissions, deadline).await? {
            Answer::Placed(placed) => Ok(placed),
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
    ) -> Result<Placed, StoreError> {
        let is_plain = |submission: &Submission| matches!(submission.act, Act::Place(_));
        let known: Vec<bool> = submissions.iter().map(is_plain).collect();
        let plain: Vec<Submission> = submissions.into_iter().filter(is_plain).collect();
        let nothing = Placed { outcomes: Vec::new(), trouble: None };
        let Placed { outcomes: placed, trouble } = match plain.is_empty() {
            true => nothing,
            false => match self.ask(canvas, &plain, deadline).await? {
                Answer::Placed(placed) => placed,
                Answer::OfTheVersionBefore => nothing,
            },
        };
        let mut placed = placed.into_iter();
        let outcome = |known: bool| known.then(|| placed.next()).flatten();
        let refused = || Outcome::Refused(Refusal::Unavailable);
        let outcomes =
            known.into_iter().map(outcome).map(|outcome| outcome.unwrap_or_else(refused)).collect();
        Ok(Placed { outcomes, trouble })
    }

    /// Asks until an api answers; an error when none did in time.
    async fn ask(
        &self,
        canvas: &CanvasId,
        submissions: &[Submission],
        deadline: Instant,
    ) -> Result<Answer, StoreError> {
        let (count, version) = (submissions.len(), Version::of(submissions));
        let call = sealed(&self.identities, wire::encode_call(canvas, submissions));
        let mut round = self.round(deadline).await;
        let mut tries = JoinSet::new();
        // An api that gave no answer may have done it.
        let mut unanswered = false;
        let mut why = "no api answers".to_owned();
        loop {
            let now = self.clock.tokio();
            if now >= deadline {
                return Err(given_up(unanswered || round.is_waiting(), why));
            }
            let is_first = !unanswered && !round.is_waiting();
            if let Some(address) = round.ask_next(now) {
                let (carrier, call) = (self.carrier.clone(), call.clone());
                tries.spawn(async move { (address, carrier.ask(address, &call).await) });
                if !is_first {
                    self.metrics.retries.inc();
                }
            }
            let until = round.due(now).map_or(deadline, |due| due.min(deadline));
            let Ok(ended) = timeout_at(until, tries.join_next()).await else { continue };
            let Some(ended) = ended else {
                sleep(RETRY).await;
                round = self.round(deadline).await;
                continue;
            };
            let (address, tried) = ended.map_err(|stopped| StoreError::Unknown(stopped.into()))?;
            round.end(address);
            let Answered { status, body, trouble } = match tried {
                Ok(answered) => answered,
                Err(failed) => {
                    debug!(?failed, "the api at {address} did not answer, another is asked");
                    unanswered |= matches!(failed, Unanswered::NoAnswer(_));
                    let (Unanswered::NotAsked(failure) | Unanswered::NoAnswer(failure)) = failed;
                    why = failure;
                    continue;
                }
            };
            let undecided = unanswered || round.is_waiting();
            match status {
                StatusCode::OK => {
                    round.silent(self.clock.tokio()).for_each(|silent| self.carrier.note_silent(silent));
                    let Some(mut outcomes) = wire::decode_outcomes(&body, version, count) else {
                        error!("an api's answer cannot be read: is it of another version?");
                        return Ok(Answer::Placed(Placed {
                            outcomes: vec![Outcome::Refused(Refusal::Unknown); count],
                            trouble,
                        }));
                    };
                    if undecided {
                        outcomes = outcomes.into_iter().map(in_doubt).collect();
                    }
                    return Ok(Answer::Placed(Placed { outcomes, trouble }));
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    debug!("the api at {address} takes no calls: {}", String::from_utf8_lossy(&body));
                    why = format!("an api takes no calls: {status}");
                }
                StatusCode::UNSUPPORTED_MEDIA_TYPE if version == Version::Acts && !undecided => {
                    debug!("an api is of an earlier version: {}", String::from_utf8_lossy(&body));
                    return Ok(Answer::OfTheVersionBefore);
                }
                status => {
                    let said = String::from_utf8_lossy(&body);
                    error!(http.response.status_code = status.as_u16(), "an api refused a call: {said}");
                    return Err(given_up(undecided, format!("an api refused a call: {status}")));
                }
            }
        }
    }

    /// Once round all apis, as far as they are found by the deadline.
    async fn round(&self, deadline: Instant) -> Round {
        let order = timeout_at(deadline, self.carrier.in_turn()).await.unwrap_or_default();
        Round::new(order, self.clock.tokio(), deadline)
    }
}

fn sealed(identities: &Identities, body: Vec<u8>) -> Call {
    Call { seal: identities.seal(&body).into(), body: body.into() }
}

/// What carries calls to apis, and their answers back.
#[derive(Clone)]
enum Carrier {
    Http(Arc<Connections>),
    #[cfg(test)]
    Simulated(Arc<Carry>),
}

/// As [`Connections::ask`] does, to whichever api.
#[cfg(test)]
pub(crate) type Carry = dyn Fn(Bytes, String) -> Pin<Box<dyn Future<Output = Carried> + Send>> + Send + Sync;

/// What came back.
type Carried = Result<Answered, Unanswered>;

impl Carrier {
    async fn in_turn(&self) -> Vec<SocketAddr> {
        match self {
            Self::Http(connections) => connections.in_turn().await,
            // Two, so that a call that is not answered has somebody else to go to.
            #[cfg(test)]
            Self::Simulated(_) => vec![([0, 0, 0, 0], 1).into(), ([0, 0, 0, 0], 2).into()],
        }
    }

    async fn ask(&self, address: SocketAddr, call: &Call) -> Carried {
        match self {
            Self::Http(connections) => connections.ask(address, call).await,
            #[cfg(test)]
            Self::Simulated(carry) => carry(call.body.clone(), call.seal.to_string()).await,
        }
    }

    fn note_silent(&self, address: SocketAddr) {
        match self {
            Self::Http(connections) => connections.note_silent(address),
            #[cfg(test)]
            Self::Simulated(_) => {}
        }
    }
}

/// What became of submissions.
pub(crate) struct Placed {
    pub(crate) outcomes: Vec<Outcome>,
    /// What keeps the api from placing, where it says so.
    pub(crate) trouble: Option<Trouble>,
}

/// What an api made of a call.
enum Answer {
    Placed(Placed),
    /// It does not know what is asked, and did nothing.
    OfTheVersionBefore,
}

/// What the answer of another api says, where the one before was asked and did not answer: that one may have
/// placed it, or may do so yet, so that nothing but what can never be placed is known not to have been.
fn in_doubt(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Refused(
            Refusal::Unavailable
            | Refusal::Busy { .. }
            | Refusal::Rate { .. }
            | Refusal::Cooldown { .. }
            | Refusal::Frozen
            | Refusal::NoCanvas
            | Refusal::NothingToUndo
            | Refusal::NothingToRedo,
        ) => Outcome::Refused(Refusal::Unknown),
        known => known,
    }
}

fn given_up(asked: bool, why: String) -> StoreError {
    if asked { StoreError::Unknown(why.into()) } else { StoreError::Unavailable(why.into()) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::response::{IntoResponse, Response};
    use axum::routing::post;
    use pixel_canvas::{
        Author, Color, Epoch, Identity, Name, Placement, Point, Sequence, Standing, Timestamp, Turn,
    };
    use pixel_store::Accepted;
    use tokio::net::TcpListener;

    use super::*;
    use crate::identity::{HostToken, IdentityKey};
    use crate::telemetry::Metrics;

    /// As long as a placement has.
    const BOUND: Duration = Duration::from_millis(1_800);

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

    /// An api that takes every connection and answers none, and how many it took.
    async fn silent_api() -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                open.push(connection);
            }
        });
        (at, taken)
    }

    async fn served(router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        at
    }

    fn hop_to(apis: &[SocketAddr]) -> Hop {
        let identities = Arc::new(Identities::new(IdentityKey([1; 32]), HostToken::new(None)));
        let metrics = Metrics::new("0", Timestamp(0)).hop;
        let url = |at: &SocketAddr| Url { host: at.ip().to_string(), port: at.port() };
        Hop::new(apis.iter().map(url).collect(), identities, metrics, Clock)
    }

    fn submission(act: Act) -> Submission {
        let author = Author { identity: Identity([1; 16]), address: None, since: None };
        Submission { author, name: Name::anonymous(), key: None, act }
    }

    fn placing() -> Submission {
        submission(Act::Place(vec![Placement { at: Point { x: 1, y: 1 }, color: Color([1; 3]) }]))
    }

    async fn firsts(hop: &Hop, call: Vec<Submission>) -> Vec<Result<u64, Refusal>> {
        let first = |outcome| match outcome {
            Outcome::Accepted(accepted) => Ok(accepted.first.0),
            Outcome::Refused(refusal) => Err(refusal),
        };
        let placed = hop.place(&CanvasId::default_canvas(), call, Clock.tokio() + BOUND).await;
        placed.expect("an api answers").outcomes.into_iter().map(first).collect()
    }

    /// The first api had painted it, and was killed before it said so: the client was told that nothing was.
    #[tokio::test]
    async fn what_another_api_refuses_after_one_was_lost_is_unknown() {
        let identities = Arc::new(Identities::new(IdentityKey([1; 32]), HostToken::new(None)));
        let metrics = Metrics::new("0", Timestamp(0)).hop;
        for (refusal, expected) in [
            (Refusal::Unavailable, Refusal::Unknown),
            (Refusal::Busy { wait_ms: 1 }, Refusal::Unknown),
            (Refusal::Cooldown { wait_ms: 1 }, Refusal::Unknown),
            (Refusal::KeyReused, Refusal::KeyReused),
        ] {
            for lost in [false, true] {
                let calls = std::sync::atomic::AtomicU32::new(0);
                let answer = wire::encode_outcomes(Version::Placements, &[Outcome::Refused(refusal.clone())]);
                let carry = Box::new(move |_, _| {
                    let first = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
                    let carried = match first && lost {
                        true => Err(Unanswered::NoAnswer("killed".into())),
                        false => Ok(Answered {
                            status: StatusCode::OK,
                            body: answer.clone().into(),
                            trouble: None,
                        }),
                    };
                    let carried: Pin<Box<dyn Future<Output = Carried> + Send>> = Box::pin(async { carried });
                    carried
                });
                let hop = Hop::simulated(carry, Arc::clone(&identities), metrics.clone(), Clock);
                let deadline = Clock.tokio() + BOUND;
                let outcomes = hop.place(&CanvasId::default_canvas(), vec![placing()], deadline).await;
                let expected = if lost { expected.clone() } else { refusal.clone() };
                assert_eq!(outcomes.expect("an api answers").outcomes, [Outcome::Refused(expected)]);
            }
        }
    }

    #[tokio::test]
    async fn an_api_of_the_version_before_places_what_it_knows_and_the_rest_is_refused() {
        let hop = hop_to(&[served(Router::new().route(wire::PATH, post(api_before))).await]);
        let undo = || submission(Act::Retrace { turn: Turn::Undo, count: 1 });
        assert_eq!(firsts(&hop, vec![placing(), placing()]).await, [Ok(1), Ok(2)]);
        let refused = || Err(Refusal::Unavailable);
        assert_eq!(firsts(&hop, vec![placing(), undo(), placing()]).await, [Ok(1), refused(), Ok(2)]);
        assert_eq!(firsts(&hop, vec![undo()]).await, [refused()]);
    }

    #[tokio::test]
    async fn a_silent_api_keeps_one_call_waiting_and_no_other() {
        let answering = served(Router::new().route(wire::PATH, post(api_before))).await;
        let (silent, asked) = silent_api().await;
        let hop = hop_to(&[silent, answering]);
        for _ in 0..30 {
            assert_eq!(firsts(&hop, vec![placing()]).await, [Ok(1)]);
        }
        // Besides by the call that met it, it may have been asked whether it answers again.
        let asked = asked.load(Ordering::SeqCst);
        assert!((1..=2).contains(&asked), "{asked} calls");
    }

    #[tokio::test]
    async fn nothing_was_painted_is_not_said_while_a_silent_api_may_have_painted() {
        let refusing = |refusal: Refusal| {
            let answer = move || {
                let outcomes = [Outcome::Refused(refusal.clone())];
                std::future::ready(wire::encode_outcomes(Version::Placements, &outcomes))
            };
            Router::new().route(wire::PATH, post(answer))
        };
        for (refusal, told) in [
            (Refusal::Unavailable, Refusal::Unknown),
            (Refusal::Busy { wait_ms: 5 }, Refusal::Unknown),
            (Refusal::Rate { wait_ms: 5 }, Refusal::Unknown),
            (Refusal::KeyReused, Refusal::KeyReused),
        ] {
            let away = served(refusing(refusal.clone())).await;
            assert_eq!(firsts(&hop_to(&[away]), vec![placing()]).await, [Err(refusal.clone())]);
            let (silent, _) = silent_api().await;
            let hop = hop_to(&[silent, away]);
            // The addresses are asked in their order, which the ports make: the first call may not meet it.
            let met = [firsts(&hop, vec![placing()]).await, firsts(&hop, vec![placing()]).await].concat();
            assert!(met.contains(&Err(told)), "{met:?}");
        }
    }
}
