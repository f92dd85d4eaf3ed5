//! A panic on a path of our own, as trouble to be told and tried again, and not the end of everything else in the process.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

/// Does something. The error is what it panicked with; what it worked on may then be in any state.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(words(&*panic))),
        }
    })
    .await
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_wherever_it_happens() {
        assert_eq!(caught(async { 1 }).await, Ok(1));
        let late = caught(async {
            yield_now().await;
            assert_ne!(1, 1, "told {}", "so");
        });
        assert!(late.await.unwrap_err().contains("told so"));
        let in_a_task = caught(async {
            let mut tasks = JoinSet::new();
            tasks.spawn(async { panic!("of a task") });
            let ended: Result<(), _> = tasks.join_next().await.unwrap();
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        });
        assert_eq!(in_a_task.await, Err("of a task".to_owned()));
    }
}
