//! Submissions on their way to the store, and their outcomes on the way back.

use pixel_canvas::Refusal;
use pixel_store::Outcome;

use super::Sweeper;
use super::inbox::Command;
use crate::gateway::audience::{ACKNOWLEDGEMENT_HOLD, Audience, Held, Seat};
use crate::gateway::fatal::EndWithPanic;
use crate::gateway::session::{self, Ticket};

impl Sweeper {
    /// Hands what was gathered on, one call at a time for each canvas.
    pub(super) fn call(&mut self) {
        for &canvas in &self.waiting {
            let Some(audience) = self.audiences.get_mut(&canvas) else { continue };
            let Some(call) = audience.next_call() else { continue };
            let (id, inbox) = (audience.canvas.id.clone(), self.inbox.clone());
            let placer = self.tools.placer.clone();
            self.tools.runtime.spawn(async move {
                let _end = EndWithPanic;
                let deadline = placer.deadline(call.since);
                let outcomes = placer.place(&id, call.submissions, deadline).await;
                let settled = call.authors.into_iter().zip(outcomes);
                let settled = settled.map(|((seat, ticket), outcome)| (seat, ticket, outcome)).collect();
                inbox.send(Command::Outcomes(canvas, settled));
            });
        }
    }

    pub(super) fn settle(&mut self, canvas: u32, outcomes: Vec<(Seat, Ticket, Outcome)>) {
        let deadline = self.tools.clock.now() + ACKNOWLEDGEMENT_HOLD;
        if let Some(audience) = self.audiences.get_mut(&canvas) {
            audience.calling = false;
        }
        for (seat, ticket, outcome) in outcomes {
            let Some(audience) = self.audiences.get_mut(&canvas) else { return };
            match outcome {
                Outcome::Accepted(accepted) if !audience.carries(&accepted) => {
                    audience.hold(Held { seat, ticket, accepted, deadline });
                    self.waiting.insert(canvas);
                }
                outcome => self.answer(canvas, seat, &ticket, &outcome),
            }
        }
    }

    /// Sends acknowledgements whose updates are in the logs, or that waited long enough.
    pub(super) fn release(&mut self) {
        let now = self.tools.clock.now();
        let mut waiting = std::mem::take(&mut self.waiting);
        for &canvas in &waiting {
            while let Some(held) = self.audiences.get_mut(&canvas).and_then(|audience| audience.release(now))
            {
                self.answer(canvas, held.seat, &held.ticket, &Outcome::Accepted(held.accepted));
            }
        }
        waiting.retain(|canvas| self.audiences.get(canvas).is_some_and(Audience::is_waiting));
        self.waiting = waiting;
    }

    pub(super) fn answer(&mut self, canvas: u32, seat: Seat, ticket: &Ticket, outcome: &Outcome) {
        let Some(audience) = self.audiences.get(&canvas) else { return };
        let Some(connection) = self.connections.get_mut(seat.place) else { return };
        if connection.serial != seat.serial {
            return;
        }
        connection.session.settle(ticket);
        if connection.goodbye().is_none() {
            let canvas = &audience.canvas;
            let why = match outcome {
                Outcome::Refused(Refusal::Unavailable) => Some(self.tools.placer.unavailable(&canvas.id)),
                Outcome::Refused(_) | Outcome::Accepted(_) => None,
            };
            session::answer(connection.reader.direct(), ticket, outcome, why, canvas);
        }
        self.read_on(seat.place);
        self.owe(seat.place);
    }
}
