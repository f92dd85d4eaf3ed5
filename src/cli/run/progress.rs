//! How far many writes are, on standard error: a bar on a terminal, now and then a line elsewhere; nothing where it is
//! quick.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, sleep_until};

/// What takes less says nothing.
const QUICK: Duration = Duration::from_secs(1);
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(in crate::cli) struct Progress {
    bar: ProgressBar,
    total: usize,
    done: usize,
    /// When something is shown next.
    next: Instant,
    terminal: bool,
}

impl Progress {
    pub(in crate::cli) fn new(total: usize) -> Self {
        let terminal = stderr().is_terminal();
        let length = u64::try_from(total).ok();
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("  {spinner} {bar:30} {pos}/{len} {elapsed}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: bar.with_style(style),
            total,
            done: 0,
            next: Instant::now() + if terminal { QUICK } else { LINE_EVERY },
            terminal,
        }
    }

    /// Waits for something, and meanwhile shows how far it is. Nothing is lost where the waiting is cancelled.
    pub(super) async fn until<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                found = &mut what => return found,
                () = sleep_until(self.next) => self.show(),
            }
        }
    }

    /// Says how far something is whose end moves.
    pub(in crate::cli) fn at(&mut self, done: usize, total: usize) {
        (self.done, self.total) = (done, total);
        let [done, total] = [done, total].map(|count| u64::try_from(count).unwrap_or_default());
        self.bar.set_length(total);
        self.bar.set_position(done);
        if self.next <= Instant::now() {
            self.show();
        }
    }

    pub(in crate::cli) fn advance(&mut self) {
        self.done += 1;
        self.bar.inc(1);
        if self.next <= Instant::now() {
            self.show();
        }
    }

    pub(in crate::cli) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self) {
        let now = Instant::now();
        if self.terminal {
            // From now on the bar draws itself.
            if self.bar.is_hidden() {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
                self.bar.enable_steady_tick(Duration::from_millis(100));
            }
            self.next = now + Duration::from_hours(1);
            return;
        }
        self.next = now + LINE_EVERY;
        let line = format!("  … {} of {}\n", self.done, self.total);
        // A closed standard error is no reason to stop.
        drop(stderr().write_all(line.as_bytes()));
    }
}
