//! Entrants take turns, A B A B, so that whatever the machine does meanwhile happens to all; the median counts.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::ledger::Faults;

/// A round in which others used more of the machine than this does not count.
const FOREIGN_MAX: f64 = 0.10;

/// What one entrant did in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// The share of the machine that others used.
    pub(crate) foreign: f64,
    pub(crate) faults: Faults,
    pub(crate) values: BTreeMap<&'static str, f64>,
}

/// Somebody who is measured again and again.
pub(crate) struct Entrant<'a> {
    pub(crate) name: String,
    pub(crate) run: Box<dyn Fn() -> Result<Sample> + 'a>,
}

impl<'a> Entrant<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl Fn() -> Result<Sample> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// A figure over the rounds that count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

/// What an entrant did over all rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) spreads: BTreeMap<&'static str, Spread>,
    /// Rounds that count.
    pub(crate) rounds: usize,
    /// Rounds in which the machine was not its own.
    pub(crate) dropped: usize,
    /// No round was undisturbed, so that the disturbed ones had to count.
    pub(crate) disturbed: bool,
    pub(crate) faults: Faults,
    /// It did not get through, and why.
    pub(crate) failed: Option<String>,
}

impl Standing {
    /// The median of a figure; `NaN` where there is none, which no comparison passes.
    pub(crate) fn median(&self, key: &str) -> f64 {
        self.spreads.get(key).map_or(f64::NAN, |spread| spread.median)
    }

    fn sum_up(name: String, samples: Vec<Sample>, failed: Option<String>) -> Self {
        let mut faults = Faults::default();
        samples.iter().for_each(|sample| faults.add(&sample.faults));
        let all = samples.len();
        let calm: Vec<&Sample> = samples.iter().filter(|sample| sample.foreign <= FOREIGN_MAX).collect();
        let disturbed = calm.is_empty() && all > 0;
        let counted = if disturbed { samples.iter().collect() } else { calm };
        let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (key, value) in counted.iter().flat_map(|sample| &sample.values) {
            values.entry(key).or_default().push(*value);
        }
        let spreads =
            values.into_iter().filter_map(|(key, values)| Some((key, Spread::of(values)?))).collect();
        let rounds = counted.len();
        Self { name, spreads, rounds, dropped: all - rounds, disturbed, faults, failed }
    }
}

/// The median of somebody's figure against somebody else's; `NaN`, which no comparison passes, where one is missing.
pub(crate) fn ratio(standings: &[Standing], of: &str, to: &str, key: &str) -> f64 {
    median(standings, of, key) / median(standings, to, key)
}

/// The median of somebody's figure.
pub(crate) fn median(standings: &[Standing], of: &str, key: &str) -> f64 {
    standings.iter().find(|standing| standing.name == of).map_or(f64::NAN, |standing| standing.median(key))
}

/// Runs everybody in turn. Who was disturbed has up to as many rounds again.
pub(crate) fn interleave(rounds: usize, entrants: &[Entrant<'_>]) -> Vec<Standing> {
    let mut samples: Vec<Vec<Sample>> = entrants.iter().map(|_| Vec::new()).collect();
    let mut failures: Vec<Option<String>> = entrants.iter().map(|_| None).collect();
    let again = if rounds > 1 { rounds } else { 0 };
    for round in 0..rounds + again {
        for (index, entrant) in entrants.iter().enumerate() {
            let calm = samples[index].iter().filter(|sample| sample.foreign <= FOREIGN_MAX).count();
            if failures[index].is_some() || calm >= rounds {
                continue;
            }
            eprint!("  round {:<2} {:<36}", round + 1, entrant.name);
            match (entrant.run)() {
                Ok(sample) => {
                    let figures = sample.values.iter().map(|(key, value)| format!("{key} {value:.3}"));
                    let figures = figures.collect::<Vec<_>>().join("  ");
                    eprintln!("{figures}  foreign {:.0} %", sample.foreign * 100.0);
                    samples[index].push(sample);
                }
                Err(error) => {
                    eprintln!("failed: {error:#}");
                    failures[index] = Some(format!("{error:#}"));
                }
            }
        }
    }
    let all = entrants.iter().zip(samples).zip(failures);
    all.map(|((entrant, samples), failed)| Standing::sum_up(entrant.name.clone(), samples, failed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(foreign: f64, value: f64) -> Sample {
        Sample { foreign, values: BTreeMap::from([("x", value)]), ..Sample::default() }
    }

    #[test]
    fn the_median_is_of_undisturbed_rounds() {
        let samples = vec![sample(0.0, 3.0), sample(0.5, 100.0), sample(0.1, 1.0), sample(0.0, 2.0)];
        let standing = Standing::sum_up("a".to_owned(), samples, None);
        assert_eq!(standing.spreads["x"], Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!((standing.rounds, standing.dropped, standing.disturbed), (3, 1, false));
    }

    #[test]
    fn where_all_rounds_were_disturbed_that_is_said() {
        let standing = Standing::sum_up("a".to_owned(), vec![sample(0.2, 1.0), sample(0.3, 2.0)], None);
        assert_eq!((standing.median("x"), standing.disturbed), (1.5, true));
        assert!(standing.median("y").is_nan());
    }

    #[test]
    fn who_fails_is_not_asked_again() {
        let asked = std::cell::Cell::new(0);
        let failing = Entrant::new("a", || {
            asked.set(asked.get() + 1);
            anyhow::bail!("gone")
        });
        let standings = interleave(3, &[failing]);
        assert_eq!((asked.get(), standings[0].failed.as_deref()), (1, Some("gone")));
    }
}
