//! Whether the process can serve, and what is wrong with it though it can.
//!
//! **Invariant:** ready means that every guard was dropped and nobody called [`Ready::drain`]. What is degraded shows in
//! the report and changes nothing else: a mesh file with an error must not take sidecars' control plane away.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Readiness of the process. A clone is a handle on the same.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<watch::Sender<Report>>);

/// What is not ready and what is degraded. Prints as a text for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What has still to come up, and how many guards wait for it.
    waiting: BTreeMap<String, usize>,
    degraded: BTreeMap<String, String>,
    draining: bool,
}

impl Ready {
    /// Unready until the guard is dropped.
    pub fn register(&self, what: impl Into<String>) -> Guard {
        let what = what.into();
        self.0.send_modify(|report| {
            *report.waiting.entry(what.clone()).or_default() += 1;
        });
        Guard {
            ready: self.clone(),
            what,
        }
    }

    /// Unready from now on: the process is about to end.
    pub fn drain(&self) {
        self.0.send_modify(|report| report.draining = true);
    }

    /// Says what is wrong with `what`, or with `None` that nothing is.
    pub fn set_degraded(&self, what: &str, problem: Option<String>) {
        self.0.send_if_modified(|report| match problem {
            Some(problem) => {
                let old = report.degraded.insert(what.to_owned(), problem);
                old.as_ref() != report.degraded.get(what)
            }
            None => report.degraded.remove(what).is_some(),
        });
    }

    pub fn report(&self) -> Report {
        self.0.borrow().clone()
    }

    /// Returns once the process is ready. Cancel-safe.
    pub async fn wait(&self) {
        // The sender is behind `self`, so the only error, a dropped sender, cannot come.
        drop(self.0.subscribe().wait_for(Report::is_ready).await);
    }
}

impl Report {
    pub fn is_ready(&self) -> bool {
        self.waiting.is_empty() && !self.draining
    }

    /// What is degraded, and how.
    pub fn degraded(&self) -> impl Iterator<Item = (&str, &str)> {
        self.degraded
            .iter()
            .map(|(what, how)| (what.as_str(), how.as_str()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}",
            if self.is_ready() {
                "ready"
            } else {
                "not ready"
            }
        )?;
        if self.draining {
            writeln!(f, "draining: the process is about to end")?;
        }
        for what in self.waiting.keys() {
            writeln!(f, "waiting for: {what}")?;
        }
        for (what, problem) in &self.degraded {
            writeln!(f, "degraded: {what}: {problem}")?;
        }
        Ok(())
    }
}

/// Something that has still to come up; dropping it says that it has.
#[derive(Debug)]
#[must_use = "dropping it says that what it stands for is ready"]
pub struct Guard {
    ready: Ready,
    what: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.ready.0.send_modify(|report| {
            if let Some(count) = report.waiting.get_mut(&self.what) {
                *count -= 1;
                if *count == 0 {
                    report.waiting.remove(&self.what);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_guard_is_dropped() {
        let ready = Ready::default();
        assert!(ready.report().is_ready());
        let model = ready.register("mesh files");
        let names = ready.register("first DNS answers");
        assert_eq!(
            ready.report().to_string(),
            "not ready\nwaiting for: first DNS answers\nwaiting for: mesh files\n"
        );
        drop(model);
        assert!(!ready.report().is_ready());
        drop(names);
        assert_eq!(ready.report().to_string(), "ready\n");
    }

    #[test]
    fn two_guards_of_one_name_are_two() {
        let ready = Ready::default();
        let (first, second) = (ready.register("streams"), ready.register("streams"));
        drop(first);
        assert!(!ready.report().is_ready());
        drop(second);
        assert!(ready.report().is_ready());
    }

    #[test]
    fn draining_is_unready_for_good() {
        let ready = Ready::default();
        ready.drain();
        drop(ready.register("mesh files"));
        assert_eq!(
            ready.report().to_string(),
            "not ready\ndraining: the process is about to end\n"
        );
    }

    #[test]
    fn what_is_degraded_shows_and_stays_ready() {
        let ready = Ready::default();
        ready.set_degraded("mesh files", Some("mesh.yaml:3: no".to_owned()));
        assert!(ready.report().is_ready());
        assert_eq!(
            ready.report().to_string(),
            "ready\ndegraded: mesh files: mesh.yaml:3: no\n"
        );
        ready.set_degraded("mesh files", None);
        assert_eq!(ready.report(), Report::default());
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_guard_goes() {
        let ready = Ready::default();
        let guard = ready.register("mesh files");
        let mut waiting = std::pin::pin!(ready.wait());
        let early = poll_once(waiting.as_mut());
        assert!(early.is_none(), "returned although a guard is alive");
        drop(guard);
        waiting.await;
    }

    /// Polls once.
    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
