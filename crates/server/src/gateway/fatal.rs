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
