//! How many tests a log says passed and failed.

use std::iter::Sum;

/// Tests counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, next| Self {
            passed: sum.passed + next.passed,
            failed: sum.failed + next.failed,
        })
    }
}

/// Whose closing lines a suite's log holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counts {
    /// None: the suite is one check, which passes or fails as a whole.
    Whole,
    /// `test result: ok. 3 passed; 0 failed; …`, once for each test program.
    Cargo,
    /// `# pass 3` and `# fail 0` of node's runner, in either of its looks.
    Node,
    /// `3 passed, 0 failed` alone on a line.
    Plain,
}

impl Counts {
    /// Adds up the closing lines of `log`; `succeeded` says how the whole suite ended.
    pub(super) fn read(self, log: &str, succeeded: bool) -> Tally {
        match self {
            Self::Whole => Tally { passed: u64::from(succeeded), failed: u64::from(!succeeded) },
            Self::Cargo => log.lines().filter_map(cargo).sum(),
            Self::Node => log.lines().filter_map(node).sum(),
            Self::Plain => log.lines().filter_map(plain).sum(),
        }
    }
}

fn cargo(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = counts.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some(Tally { passed, failed })
}

fn node(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "))?;
    let (word, number) = counts.split_once(' ')?;
    let number = number.parse().ok()?;
    match word {
        "pass" => Some(Tally { passed: number, failed: 0 }),
        "fail" | "cancelled" => Some(Tally { passed: 0, failed: number }),
        _ => None,
    }
}

fn plain(line: &str) -> Option<Tally> {
    let (passed, failed) = line.trim().split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some(Tally { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: Counts, log: &str, passed: u64, failed: u64) {
        assert_eq!(counts.read(log, true), Tally { passed, failed }, "{counts:?} of {log:?}");
    }

    #[test]
    fn every_test_program_of_cargo_counts() {
        let log = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n\
                   test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured\n";
        check(Counts::Cargo, log, 7, 2);
    }

    #[test]
    fn both_looks_of_nodes_runner_count() {
        check(Counts::Node, "# tests 3\n# pass 2\n# fail 1\n# cancelled 0\n", 2, 1);
        check(Counts::Node, "ℹ tests 3\nℹ pass 1\nℹ fail 0\nℹ cancelled 2\n", 1, 2);
    }

    #[test]
    fn a_plain_line_counts_and_prose_does_not() {
        check(Counts::Plain, "1 passed, 0 failed of something\n12 passed, 3 failed\n", 12, 3);
    }

    #[test]
    fn a_log_without_a_closing_line_ran_no_test() {
        for counts in [Counts::Cargo, Counts::Node, Counts::Plain] {
            check(counts, "Compiling pixel-canvas\n", 0, 0);
        }
    }
}
