//! Work that would hold up a thread of the runtime.

use thiserror::Error;
use tokio::task::spawn_blocking;
use tracing::error;

/// The work came to no end, through no fault of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a mistake of the control plane's ended this call before it changed anything; try again, and report what its log says \
     if that does not help"
)]
pub(super) struct Lost;

/// Does work on a thread that may be held up.
///
/// # Errors
/// [`Lost`] when the work panicked, which is logged.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Lost> {
    spawn_blocking(work).await.map_err(|error| {
        error!(%error, "work for the API came to no end");
        Lost
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_lost() {
        assert_eq!(off_thread(|| 7).await, Ok(7));
        let lost = off_thread(|| -> u8 { panic!("the panic of a test") }).await;
        assert_eq!(lost, Err(Lost));
    }
}
