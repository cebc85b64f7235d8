//! A server that lies in one way at a time: the load generator has to notice each lie, and only lies.

#[path = "liar/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use loadgen::crew::{self, Plan};
use loadgen::race::Racer;
use loadgen::remote::Remote;
use loadgen::report::{Live, Report};
use loadgen::schedule::Schedule;
use loadgen::socket::Dialect;
use loadgen::target::Target;
use loadgen::work::Work;
use pixel_canvas::Canvas;

use server::Lie;

/// Lets six clients write 60 times to a server with this lie, and gives what they noticed.
async fn noticed(lie: Lie) -> Vec<String> {
    report(lie, |canvas| Racer::share(canvas, 6, 4, 60, 1)).await.failures
}

/// What is said of clients that do this work at a server with this lie.
async fn report<W: Work>(lie: Lie, works: impl FnOnce(&Arc<Canvas>) -> Vec<W>) -> Report {
    let address = server::start(lie).await;
    let target = Target::parse(&format!("http://{address}")).expect("a URL");
    let remote = Arc::new(Remote::new(target, None, "main"));
    let (canvas, ..) = crew::probe(&remote).await.expect("the server is there");
    let plan = Plan {
        dialects: vec![Dialect::Binary],
        submission_placements_max: 1,
        in_flight_placements_max: 2,
        work_timeout: Some(Duration::from_secs(2)),
        settle_timeout: Duration::from_millis(500),
        seed: 1,
    };
    let works = works(&canvas);
    let performance = crew::perform(remote, &plan, works, &Live::new(None, true)).await;
    Report::of(&performance.expect("the server does not fail"))
}

async fn check(lie: Lie, expected: &str) {
    let failures = noticed(lie).await;
    assert!(failures.iter().any(|failure| failure.contains(expected)), "{lie:?}: {failures:?}");
}

#[tokio::test]
async fn an_honest_server_passes() {
    assert_eq!(noticed(Lie::None).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_update_that_one_client_does_not_get_is_noticed() {
    check(Lie::SkipsAnUpdate, "never reached a receiver").await;
}

#[tokio::test]
async fn an_update_that_comes_twice_is_noticed() {
    check(Lie::RepeatsAnUpdate, "reached a receiver twice").await;
}

#[tokio::test]
async fn an_acknowledgement_of_nothing_is_noticed() {
    check(Lie::AcknowledgesNothing, "both have a sequence in").await;
}

#[tokio::test]
async fn a_sequence_left_out_is_noticed() {
    check(Lie::BurnsASequence, "never reached a receiver").await;
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_noticed() {
    check(Lie::AnswersTwice, "answers answered nothing").await;
}

#[tokio::test]
async fn a_colour_that_one_client_sees_differently_is_noticed() {
    check(Lie::SendsAnotherColor, "ended with something else than the server's canvas").await;
}

#[tokio::test]
async fn a_placement_that_is_not_stored_is_noticed() {
    check(Lie::ForgetsTheLast, "have not the colour of their highest sequence").await;
}

#[tokio::test]
async fn a_missing_answer_is_noticed() {
    check(Lie::SwallowsAnAnswer, "got no answer").await;
}

/// Work that leaves what is refused does not leave what may have been painted.
#[tokio::test]
async fn what_was_doubted_is_asked_for_until_the_server_knows() {
    let schedule = |canvas: &_| Schedule::share(canvas, 6, 60.0, Duration::from_secs(1), 1);
    let report = report(Lie::DoubtsAnAnswer, schedule).await;
    assert_eq!((report.failures, report.dropped), (vec![], 0));
}
