//! A panic of what many clients depend on ends the process instead of leaving them hanging.

/// Held by a thread or task whose end by panic would leave clients without an answer for ever.
/// Whoever restarts the process loses nothing that was acknowledged.
pub(crate) struct EndWithPanic;

impl Drop for EndWithPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    const ABORTED: i32 = 6;

    #[test]
    fn a_panic_ends_the_whole_process() {
        let this = std::env::current_exe().expect("a test has a path");
        let name = concat!(module_path!(), "::panics_in_a_thread");
        let (_, name) = name.split_once("::").expect("a path begins with its crate");
        let ran = Command::new(this).args(["--ignored", "--exact", name]).output().expect("it starts");
        assert_eq!(ran.status.signal(), Some(ABORTED), "{}", String::from_utf8_lossy(&ran.stdout));
    }

    #[test]
    #[ignore = "the test above runs it in a process of its own, which it ends"]
    fn panics_in_a_thread() {
        let thread = std::thread::spawn(|| {
            let _end = EndWithPanic;
            panic!("as if something were wrong");
        });
        thread.join().expect_err("without the guard the process would go on to here, and pass");
    }
}
