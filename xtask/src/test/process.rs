//! Runs one suite's commands within a budget of time, everything they say in one log.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::suites::Step;

/// How often a running suite is looked at.
const POLL_MS: u64 = 50;
/// The exit code of a program that an interrupt ended.
const INTERRUPTED: i32 = 130;

/// The process group of what runs now; 0 when nothing does.
static RUNNING_GROUP: AtomicU32 = AtomicU32::new(0);

/// How a suite's commands ended.
pub(super) enum End {
    Passed,
    /// The first one that failed, and how.
    Failed(String),
    /// Killed, with everything that it had started.
    OverBudget,
}

/// Makes Ctrl-C or SIGTERM end the suite under way: its commands run in a process group of their
/// own, so that a budget can end servers and browsers too, and neither would reach them there.
pub(super) fn kill_the_running_suite_on_interrupt() -> Result<()> {
    ctrlc::set_handler(|| {
        kill_group(RUNNING_GROUP.load(Ordering::SeqCst));
        println!();
        std::process::exit(INTERRUPTED);
    })
    .context("listen for Ctrl-C")
}

/// Runs `steps` one after the other until one fails or the budget is spent.
///
/// `tick` is told about once a second how long it has taken so far.
pub(super) fn run(
    root: &Path,
    steps: &[Step],
    budget: Duration,
    log: &Path,
    mut tick: impl FnMut(Duration),
) -> Result<(End, Duration)> {
    let mut file = File::create(log).with_context(|| format!("write {}", log.display()))?;
    let stopwatch = Stopwatch::start();
    for step in steps {
        writeln!(file, "$ {}", step.shown())?;
        let mut child = match start(root, step, &file) {
            Ok(child) => child,
            Err(error) => {
                return Ok((
                    End::Failed(format!("{}: {error}", step.program.display())),
                    stopwatch.elapsed(),
                ));
            }
        };
        let group = child.id();
        RUNNING_GROUP.store(group, Ordering::SeqCst);
        let status = wait(&mut child, budget, stopwatch, &mut tick)?;
        // Nothing that a suite started outlives it: no server, no browser.
        kill_group(group);
        RUNNING_GROUP.store(0, Ordering::SeqCst);
        match status {
            None => return Ok((End::OverBudget, stopwatch.elapsed())),
            Some(status) if !status.success() => {
                return Ok((
                    End::Failed(format!("{} ended with {status}", step.name())),
                    stopwatch.elapsed(),
                ));
            }
            Some(_) => {}
        }
    }
    Ok((End::Passed, stopwatch.elapsed()))
}

fn start(root: &Path, step: &Step, log: &File) -> Result<Child> {
    let child = Command::new(&step.program)
        .args(&step.arguments)
        .envs(&step.environment)
        // Logs are read by programs and by people far away: no colours, no progress bars.
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("NO_COLOR", "1")
        .env("TERM", "dumb")
        .current_dir(root.join(step.folder))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .process_group(0)
        .spawn()?;
    Ok(child)
}

/// The exit status, or `None` when the budget ran out first.
fn wait(
    child: &mut Child,
    budget: Duration,
    stopwatch: Stopwatch,
    tick: &mut impl FnMut(Duration),
) -> Result<Option<std::process::ExitStatus>> {
    let mut ticked = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let elapsed = stopwatch.elapsed();
        if elapsed > budget {
            kill_group(child.id());
            child.wait()?;
            return Ok(None);
        }
        if elapsed - ticked >= Duration::from_secs(1) {
            ticked = elapsed;
            tick(elapsed);
        }
        thread::sleep(Duration::from_millis(POLL_MS));
    }
}

/// Ends a process group; one that is gone already is fine. By the `kill` command, since the
/// standard library can only end a single process.
fn kill_group(group: u32) {
    if group != 0 {
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{group}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Time since a start.
#[derive(Clone, Copy)]
struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "budgets are of real time")]
    fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "budgets are of real time")]
    fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, budget: Duration) -> (End, String) {
        let log = std::env::temp_dir().join(format!("xtask-{}-{}.log", std::process::id(), script.len()));
        let step = Step::new("sh", ["-c", script]);
        let (end, _) = run(Path::new("/"), &[step], budget, &log, |_| {}).expect("a shell runs");
        let text = std::fs::read_to_string(&log).expect("the log was written");
        std::fs::remove_file(&log).expect("the log was there");
        (end, text)
    }

    #[test]
    fn both_outputs_are_in_the_log() {
        let (end, log) = check("echo one; echo two >&2", Duration::from_secs(60));
        assert!(matches!(end, End::Passed));
        assert!(log.contains("one\ntwo\n"), "{log}");
    }

    #[test]
    fn a_failing_command_says_how_it_ended() {
        let (end, _) = check("exit 7", Duration::from_secs(60));
        assert!(matches!(end, End::Failed(how) if how.contains('7')));
    }

    #[test]
    fn a_suite_over_its_budget_is_killed_with_its_children() {
        let (end, log) = check("sleep 600 & echo $!; wait", Duration::from_millis(300));
        assert!(matches!(end, End::OverBudget));
        let pid = log.lines().nth(1).expect("the shell said its child's id");
        // The kernel takes a moment to end what was killed.
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let gone = |stat: String| stat.is_empty() || stat.contains(") Z ");
        let mut looks = 0..1_000;
        while !gone(stat()) {
            assert!(looks.next().is_some(), "still running: {}", stat());
            thread::sleep(Duration::from_millis(10));
        }
    }
}
