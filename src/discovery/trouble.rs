//! Which names are in trouble, as a text for `/readyz`. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::source::State;

/// Names in the text; of the others only the count.
const NAMED: usize = 5;

/// A name that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trouble<'a> {
    pub(super) hostname: &'a str,
    pub(super) state: &'static str,
    /// Age of the answer in use.
    pub(super) age: Option<Duration>,
    pub(super) error: Option<&'a str>,
}

impl State {
    /// What is wrong, if anything is.
    pub(super) fn trouble(self) -> Option<&'static str> {
        match self {
            Self::Known => None,
            Self::Unresolved => Some("nothing is known of it"),
            Self::Empty => Some("it does not exist or has no addresses"),
            Self::Stale => Some("look-ups fail"),
            Self::Denied => Some("DNS says that it is gone"),
        }
    }
}

/// `None` if there is no trouble.
pub(super) fn report(mut troubles: Vec<Trouble<'_>>, names: usize) -> Option<String> {
    if troubles.is_empty() {
        return None;
    }
    troubles.sort();
    let mut text = format!("{} of {names} names: ", troubles.len());
    for (position, trouble) in troubles.iter().take(NAMED).enumerate() {
        let separator = if position == 0 { "" } else { "; " };
        let Trouble {
            hostname,
            state,
            age,
            error,
        } = trouble;
        // Writing to a text cannot fail.
        let _ = write!(text, "{separator}`{hostname}`: {state}");
        if let Some(error) = error {
            let _ = write!(text, " ({error})");
        }
        if let Some(age) = age {
            let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
            let _ = write!(text, ", its answer of {age} ago stays in use");
        }
    }
    if troubles.len() > NAMED {
        let _ = write!(text, "; and {} more", troubles.len() - NAMED);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_names_are_told_and_the_others_counted() {
        assert_eq!(report(Vec::new(), 3), None);
        let stale = Trouble {
            hostname: "b.test",
            state: "look-ups fail",
            age: Some(Duration::from_millis(75_300)),
            error: Some("no answer in time"),
        };
        let new = Trouble {
            hostname: "a.test",
            state: "nothing is known of it",
            age: None,
            error: None,
        };
        let few = report(vec![stale.clone(), new.clone()], 3);
        assert_eq!(
            few.as_deref(),
            Some(
                "2 of 3 names: `a.test`: nothing is known of it; `b.test`: look-ups fail (no answer in time), \
                 its answer of 1m 15s ago stays in use"
            )
        );
        let many = report(vec![new; 9], 9).unwrap();
        assert_eq!(many.matches("a.test").count(), NAMED);
        assert!(many.ends_with("; and 4 more"), "{many}");
    }
}
