//! Regular expressions that Envoy would refuse, and with them the whole route configuration they are in.
//!
//! Only what RE2 refuses for certain is found here; an expression that passes may still be refused, for its size or for
//! rarer faults.

/// # Errors
/// What is wrong with the expression.
pub(crate) fn check(pattern: &str) -> Result<(), &'static str> {
    if pattern.is_empty() {
        return Err("is empty");
    }
    let mut scan = Scan {
        rest: pattern,
        open: 0,
        repeatable: false,
        repeated: false,
    };
    while let Some(next) = scan.take() {
        scan.step(next)?;
    }
    if scan.open > 0 {
        return Err("has a `(` that is not closed");
    }
    Ok(())
}

struct Scan<'a> {
    rest: &'a str,
    /// Groups that are open.
    open: usize,
    /// Whether what stands before can be repeated.
    repeatable: bool,
    /// Whether what stands before is a repetition.
    repeated: bool,
}

impl Scan<'_> {
    fn take(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = self.rest.get(next.len_utf8()..)?;
        Some(next)
    }

    fn skip(&mut self, wanted: &str) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn step(&mut self, next: char) -> Result<(), &'static str> {
        let (mut repeatable, mut repeated) = (true, false);
        match next {
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' => {
                self.group()?;
                repeatable = false;
            }
            ')' => {
                self.open = self
                    .open
                    .checked_sub(1)
                    .ok_or("has a `)` that closes nothing")?;
            }
            '|' => repeatable = false,
            '*' | '+' | '?' => {
                if self.repeated {
                    return Err("repeats a repetition; put it in a group");
                }
                if !self.repeatable {
                    return Err("repeats nothing");
                }
                self.skip("?");
                repeated = true;
            }
            _ => {}
        }
        (self.repeatable, self.repeated) = (repeatable, repeated);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let escaped = self.take().ok_or("ends in a single `\\`")?;
        match escaped {
            'Q' => {
                let end = self.rest.find("\\E").map(|at| at + 2);
                self.rest = end.and_then(|at| self.rest.get(at..)).unwrap_or("");
                Ok(())
            }
            '1'..='7' if self.rest.starts_with(|next| matches!(next, '0'..='7')) => Ok(()),
            '1'..='9' => Err("refers back to a group, which RE2 cannot"),
            letter if letter.is_ascii_alphabetic() && !"AafntrvdDsSwWbBzCpPxE".contains(letter) => {
                Err("has an escape that RE2 does not know")
            }
            _ => Ok(()),
        }
    }

    fn group(&mut self) -> Result<(), &'static str> {
        if ["?=", "?!", "?<=", "?<!"]
            .iter()
            .any(|around| self.rest.starts_with(around))
        {
            return Err("looks ahead or behind, which RE2 cannot");
        }
        self.open += 1;
        if self.skip("?") {
            // Flags or a name; what follows them is the group's own.
            while let Some(next) = self.take() {
                match next {
                    ':' | '>' => break,
                    ')' => {
                        self.open -= 1;
                        break;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), &'static str> {
        const OPEN: &str = "has a `[` that is not closed";
        self.skip("^");
        self.skip("]");
        loop {
            match self.take().ok_or(OPEN)? {
                ']' => return Ok(()),
                '\\' => drop(self.take().ok_or(OPEN)?),
                '[' if self.rest.starts_with(':') => {
                    let end = self.rest.find(":]").map(|at| at + 2);
                    self.rest = end.and_then(|at| self.rest.get(at..)).unwrap_or(self.rest);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    /// Each was put to Envoy 1.40 as the path of a route, which it accepted.
    #[test]
    fn what_envoy_accepts_passes() {
        for pattern in ACCEPTED {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    /// Each was put to Envoy 1.40 as the path of a route, which it refused.
    #[test]
    fn what_envoy_refuses_does_not() {
        for pattern in REFUSED {
            assert!(check(pattern).is_err(), "{pattern}");
        }
    }

    const ACCEPTED: &[&str] = &[
        "/v[0-9]+/.*",
        "/v1/{id}",
        "a*?b+?c??",
        "(a|b|)*",
        "(?i:x)",
        "(?P<name>x)+",
        "(?i)x",
        "[]a]",
        "[^]a]",
        "[[:alpha:]_]+",
        r"[\]]",
        r"\Qa(b\E+",
        r"\d\w\s\pN\x41",
        r"/a\.b\/",
        "^/x$",
        "a{2,3}",
        r"\b12",
    ];
    const REFUSED: &[&str] = &[
        "(a", "a)", "[a", "*a", "(*a)", "a|+", "a**", "a*+", "(?=a)", "(?<!a)", r"(a)\1", r"a\",
        r"\y", "",
    ];
}
