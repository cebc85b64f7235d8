//! What a run came to: shown while it lasts, judged at the end.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use pixel_canvas::{Epoch, Sequence};
use serde::Serialize;

use crate::crew::{Crew, Performance};
use crate::history::Others;
use crate::view::{Faults, color_in};

/// How many breaches are listed.
const BREACHES_LISTED_MAX: usize = 20;

/// One calm line that says how it goes; nothing where nobody looks.
pub struct Live {
    bar: ProgressBar,
}

impl Live {
    /// A line for work of so many placements, where that is known.
    #[must_use]
    pub fn new(placements: Option<u64>, quiet: bool) -> Self {
        let bar = match (quiet, placements) {
            (true, _) => ProgressBar::hidden(),
            (false, Some(placements)) => ProgressBar::new(placements).with_style(
                ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}").expect("a valid line"),
            ),
            (false, None) => ProgressBar::new_spinner(),
        };
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// Shows how far a crew is.
    pub fn show(&self, crew: &Crew) {
        let tally = &crew.tally;
        self.bar.set_position(tally.accepted.get());
        let mut line = format!(
            "{} connected · {} placed · {} updates received",
            crew.connected.load(Ordering::Relaxed),
            thousands(tally.accepted.get()),
            thousands(tally.messages.get()),
        );
        let (dropped, breaks) = (tally.dropped.get(), tally.breaks.get());
        if dropped > 0 {
            line += &format!(" · {} refused", thousands(dropped));
        }
        if breaks > 0 {
            line += &format!(" · {} connections broke", thousands(breaks));
        }
        self.bar.set_message(line);
    }

    /// Shows a sentence.
    pub fn say(&self, sentence: &str) {
        self.bar.set_message(sentence.to_owned());
    }

    /// Clears the line.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A latency's distribution, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half were faster.
    pub p50_ms: f64,
    /// All but one in 100.
    pub p99_ms: f64,
    /// All but one in 1,000.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1_000.0;
        Self {
            count: histogram.len(),
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            p999_ms: ms(histogram.value_at_quantile(0.999)),
            max_ms: ms(histogram.max()),
        }
    }
}

/// Everything that a run came to. `failures` is empty when every check passed.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How many clients.
    pub clients: usize,
    /// How long they worked.
    pub seconds: f64,
    /// Placements sent.
    pub submitted: u64,
    /// Placements acknowledged.
    pub accepted: u64,
    /// Placements refused and left.
    pub dropped: u64,
    /// Placements that never got an answer.
    pub unanswered: u64,
    /// Placements in the same time by somebody else.
    pub by_others: u64,
    /// How often submissions were refused, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Connections that broke; their clients came back.
    pub breaks: u64,
    /// How often a client was told to load afresh.
    pub resyncs: u64,
    /// Messages with updates.
    pub messages: u64,
    /// What was wrong with the streams, in placements over all receivers.
    pub faults: Faults,
    /// From the moment a placement was due to each receiver.
    pub update_latency: Latency,
    /// From the moment a placement was due to its acknowledgement.
    pub acknowledgement_latency: Latency,
    /// Clients that held every pixel (the others followed positions).
    pub copies: usize,
    /// Clients that were, in the end, where the server is.
    pub settled: usize,
    /// A hash of the server's canvas at the end.
    pub canvas_hash: String,
    /// The first thing that went wrong on the way, even if it was made good.
    pub first_trouble: Option<String>,
    /// Each check that did not pass.
    pub failures: Vec<String>,
}

impl Report {
    /// Judges a performance.
    #[must_use]
    pub fn of(performance: &Performance) -> Self {
        let tally = &performance.crew.tally;
        let figures = tally.figures();
        let (accepted, unanswered) = (tally.accepted.get(), tally.unanswered.get());
        let (after, to) = performance.span;
        let same_epoch = performance.truth.chunks.values().all(|chunk| chunk.epoch == performance.crew.epoch);
        let happened = if same_epoch { to.since(after) } else { 0 };
        let mut report = Self {
            clients: performance.clients,
            seconds: performance.took.as_secs_f64(),
            submitted: tally.submitted.get(),
            accepted,
            dropped: tally.dropped.get(),
            unanswered,
            by_others: happened.saturating_sub(accepted + unanswered),
            refusals: figures.refusals.clone(),
            breaks: tally.breaks.get(),
            resyncs: tally.resyncs.get(),
            messages: tally.messages.get(),
            faults: figures.faults,
            update_latency: Latency::of(&figures.updates),
            acknowledgement_latency: Latency::of(&figures.acknowledgements),
            copies: performance.copies,
            settled: performance.settled,
            canvas_hash: canvas_hash(performance),
            first_trouble: figures.first_trouble.clone(),
            failures: Vec::new(),
        };
        let alone = same_epoch && unanswered == 0 && report.by_others == 0;
        let others = if alone { Others::None(after, to) } else { Others::Some };
        let breaches = figures.history.check(others, BREACHES_LISTED_MAX);
        report.failures.extend(breaches.iter().map(ToString::to_string));
        if alone {
            report.judge_winners(performance, &figures.winners);
        }
        report.judge_counts(tally.stray.get(), tally.not_understood.get());
        report
    }

    fn judge_winners(
        &mut self,
        performance: &Performance,
        winners: &BTreeMap<pixel_canvas::Point, (Sequence, pixel_canvas::Color)>,
    ) {
        let canvas = &performance.crew.canvas;
        let wrong = winners.iter().filter(|(at, (_, color))| {
            let chunk = performance.truth.chunks.get(&at.chunk());
            chunk.is_some_and(|chunk| color_in(&chunk.pixels, **at, canvas) != Some(*color))
        });
        let wrong = wrong.count();
        if wrong > 0 {
            self.failures.push(format!("{wrong} pixels have not the colour of their highest sequence"));
        }
    }

    fn judge_counts(&mut self, stray: u64, not_understood: u64) {
        let Faults { lost, doubled, reordered, invalid } = self.faults;
        let missing = (self.clients - self.settled) as u64;
        let unanswered = if self.breaks == 0 { self.unanswered } else { 0 };
        let checks = [
            (lost, "updates never reached a receiver"),
            (doubled, "updates reached a receiver twice"),
            (reordered, "updates reached a receiver too late"),
            (invalid, "updates named a pixel or colour that is not there"),
            (stray, "answers answered nothing"),
            (not_understood, "messages were not understood by the server"),
            (unanswered, "placements got no answer"),
            (missing, "clients ended with something else than the server's canvas"),
        ];
        for (count, what) in checks {
            if count > 0 {
                self.failures.push(format!("{} {what}", thousands(count)));
            }
        }
    }

    /// Whether every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// One line: what was checked, and whether it held.
    #[must_use]
    pub fn verdict(&self) -> String {
        match self.failures.as_slice() {
            [] => format!(
                "OK  {} placements, {} clients: one order, nothing lost, doubled or out of order, every copy equal",
                thousands(self.accepted),
                self.clients
            ),
            [only] => format!("FAILED  {only}"),
            [first, rest @ ..] => format!("FAILED  {first}, and {} more", rest.len()),
        }
    }

    /// The figures, for people.
    #[must_use]
    pub fn figures(&self) -> String {
        let mut lines = vec![
            format!(
                "placed     {} of {} in {:.1} s ({:.0}/s)",
                thousands(self.accepted),
                thousands(self.submitted),
                self.seconds,
                self.accepted as f64 / self.seconds.max(0.001)
            ),
            latency_line("updates   ", &self.update_latency),
            latency_line("answers   ", &self.acknowledgement_latency),
            format!(
                "receivers  {} clients, {} with every pixel; canvas {}",
                thousands(self.clients as u64),
                thousands(self.copies as u64),
                self.canvas_hash
            ),
        ];
        if !self.refusals.is_empty() {
            let reasons =
                self.refusals.iter().map(|(reason, count)| format!("{} {reason}", thousands(*count)));
            lines.push(format!("refused    {}", reasons.collect::<Vec<_>>().join(", ")));
        }
        let rare = [
            (self.by_others, "placements by others"),
            (self.breaks, "broken connections"),
            (self.resyncs, "resyncs"),
            (self.unanswered, "placements without an answer"),
        ];
        let rare = rare.iter().filter(|(count, _)| *count > 0);
        let rare: Vec<String> = rare.map(|(count, what)| format!("{} {what}", thousands(*count))).collect();
        if !rare.is_empty() {
            lines.push(format!("besides    {}", rare.join(", ")));
        }
        if let Some(trouble) = &self.first_trouble {
            lines.push(format!("trouble    {trouble}"));
        }
        lines.extend(self.failures.iter().map(|failure| format!("  - {failure}")));
        lines.join("\n")
    }
}

fn latency_line(what: &str, latency: &Latency) -> String {
    let Latency { count, p50_ms, p99_ms, p999_ms, max_ms } = latency;
    format!(
        "{what} p50 {p50_ms:.1} ms · p99 {p99_ms:.1} ms · p99.9 {p999_ms:.1} ms · max {max_ms:.1} ms ({} measured)",
        thousands(*count)
    )
}

/// FNV-1a over every chunk: short, and equal wherever the pixels are.
fn canvas_hash(performance: &Performance) -> String {
    let bytes = performance.truth.chunks.values().flat_map(|chunk| chunk.pixels.iter());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Epoch(hash).to_string()
}

/// 1234567 as 1,234,567.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
