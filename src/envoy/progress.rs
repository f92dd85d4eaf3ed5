//! What a person sees while something takes long: a bar on a terminal, plain lines elsewhere.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a plain line reports how far a download is.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Shows steps on standard error, so that standard output stays what the command prints.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bars,
    Lines,
    Hidden,
}

/// A step that is under way. Dropped without [`Step::done`], it leaves the screen and says nothing.
pub struct Step {
    form: Form,
    text: String,
    started: Instant,
    bar: ProgressBar,
    spoke: Instant,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

impl Progress {
    /// Bars if standard error is a terminal, lines if not.
    pub fn stderr() -> Self {
        let form = if io::stderr().is_terminal() {
            Form::Bars
        } else {
            Form::Lines
        };
        Self { form }
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        Self { form: Form::Hidden }
    }

    /// Begins a step; with a size in bytes, the bar shows how much of it is there.
    pub fn step(&self, text: impl Into<String>, bytes: Option<u64>) -> Step {
        let text = text.into();
        let bar = match self.form {
            Form::Bars => bar(&text, bytes),
            Form::Lines | Form::Hidden => {
                ProgressBar::with_draw_target(bytes, ProgressDrawTarget::hidden())
            }
        };
        let now = Instant::now();
        if self.form == Form::Lines {
            say(&format!("  … {text}"));
        }
        Step {
            form: self.form,
            text,
            started: now,
            bar,
            spoke: now,
        }
    }
}

impl Step {
    /// So many bytes are there.
    pub fn bytes(&mut self, bytes: u64) {
        self.bar
            .set_position(bytes.min(self.bar.length().unwrap_or(u64::MAX)));
        if self.form == Form::Lines && self.spoke.elapsed() >= PLAIN_EVERY {
            self.spoke = Instant::now();
            say(&format!("  … {}: {} MB", self.text, bytes / 1_000_000));
        }
    }

    /// What the step does now.
    pub fn now(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.bar.set_message(self.text.clone());
    }

    /// The step is over: one line says what was done and how long it took.
    pub fn done(self, text: &str) {
        self.bar.finish_and_clear();
        if self.form != Form::Hidden {
            say(&format!(
                "  ✓ {text} ({:.1} s)",
                self.started.elapsed().as_secs_f64()
            ));
        }
    }
}

fn bar(text: &str, bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "  {spinner} {msg} {bar:30} {bytes}/{total_bytes} {eta}",
        ),
        None => (ProgressBar::new_spinner(), "  {spinner} {msg} {elapsed}"),
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bar.with_style(style).with_message(text.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Writes a line to standard error. A closed standard error is no reason to stop.
fn say(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}
