//! One call's way round the apis: who is asked next and when, and who let it wait.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// How long the api that was asked last has for its answer before another is asked, too.
const PATIENCE: Duration = Duration::from_millis(600);

/// Every api is asked once at most.
#[derive(Debug)]
pub(super) struct Round {
    next: VecDeque<SocketAddr>,
    /// Asked at these times, and without an answer so far; the newest last.
    waiting: Vec<(SocketAddr, Instant)>,
    patience: Duration,
}

impl Round {
    /// Asks in this order, and leaves whoever is second at least half of what is left until the deadline.
    pub(super) fn new(order: Vec<SocketAddr>, now: Instant, deadline: Instant) -> Self {
        let patience = PATIENCE.min(deadline.saturating_duration_since(now) / 2);
        Self { next: order.into(), waiting: Vec::new(), patience }
    }

    /// When [`Self::ask_next`] has somebody, if nothing ends before; never where nobody is left.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let after = |&(_, since): &(SocketAddr, Instant)| since + self.patience;
        (!self.next.is_empty()).then(|| self.waiting.last().map_or(now, after))
    }

    /// Who is to be asked now: one after the other, the next as soon as nobody is waited for.
    pub(super) fn ask_next(&mut self, now: Instant) -> Option<SocketAddr> {
        let address = self.due(now).filter(|due| *due <= now).and_then(|_| self.next.pop_front())?;
        self.waiting.push((address, now));
        Some(address)
    }

    /// One answered, or never will.
    pub(super) fn end(&mut self, address: SocketAddr) {
        self.waiting.retain(|&(asked, _)| asked != address);
    }

    /// Whether somebody was asked who may yet do it.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Who let the call wait for longer than an answer takes.
    pub(super) fn silent(&self, now: Instant) -> impl Iterator<Item = SocketAddr> {
        let silent = move |&&(_, since): &&(SocketAddr, Instant)| since + PATIENCE <= now;
        self.waiting.iter().filter(silent).map(|&(address, _)| address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const BOUND: Duration = Duration::from_millis(1_800);

    fn api(number: u16) -> SocketAddr {
        ([127, 0, 0, 1], number).into()
    }

    #[test]
    fn another_is_asked_while_the_first_keeps_silent_and_that_one_is_told() {
        let now = Clock.tokio();
        let mut round = Round::new(vec![api(1), api(2)], now, now + BOUND);
        assert_eq!((round.due(now), round.ask_next(now)), (Some(now), Some(api(1))));
        let later = now + PATIENCE;
        assert_eq!((round.due(now), round.ask_next(later - Duration::from_millis(1))), (Some(later), None));
        assert_eq!(round.ask_next(later), Some(api(2)));
        assert_eq!((round.due(later), round.ask_next(later + BOUND)), (None, None), "each is asked once");
        // The second answers soon.
        round.end(api(2));
        assert!(round.is_waiting());
        assert_eq!(round.silent(later).collect::<Vec<_>>(), [api(1)]);
    }

    #[test]
    fn who_cannot_be_asked_is_followed_at_once_and_nobody_is_silent() {
        let now = Clock.tokio();
        let mut round = Round::new(vec![api(1), api(2)], now, now + BOUND);
        assert_eq!(round.ask_next(now), Some(api(1)));
        round.end(api(1));
        assert_eq!((round.due(now), round.ask_next(now)), (Some(now), Some(api(2))));
        assert_eq!(round.silent(now).count(), 0);
    }

    #[test]
    fn a_call_that_came_late_leaves_half_of_its_time_and_blames_nobody_for_that() {
        let now = Clock.tokio();
        let left = Duration::from_millis(300);
        let mut round = Round::new(vec![api(1), api(2)], now, now + left);
        assert_eq!(round.ask_next(now), Some(api(1)));
        assert_eq!(round.ask_next(now + left / 2), Some(api(2)));
        assert_eq!(round.silent(now + left).count(), 0);
    }
}
