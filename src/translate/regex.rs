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
            '{' => repeated = self.counted()?,
            _ => {}
        }
        (self.repeatable, self.repeated) = (repeatable, repeated);
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,3}`. Anything else behind a `{` stands for itself; then this is false.
    fn counted(&mut self) -> Result<bool, &'static str> {
        let number = |text: &str| -> Option<u32> {
            let digits =
                (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            let plain = digits && (text == "0" || !text.starts_with('0'));
            plain.then(|| text.parse().ok()).flatten()
        };
        let Some((inside, rest)) = self.rest.split_once('}') else {
            return Ok(false);
        };
        let (min, max) = inside.split_once(',').unwrap_or((inside, inside));
        let (Some(min), true) = (number(min), max.is_empty() || number(max).is_some()) else {
            return Ok(false);
        };
        let max = number(max).unwrap_or(min);
        if self.repeated {
            return Err("repeats a repetition; put it in a group");
        }
        if !self.repeatable {
            return Err("repeats nothing");
        }
        if max < min || max > 1000 {
            return Err("repeats from more to fewer times, or more than 1000 times");
        }
        self.rest = rest;
        self.skip("?");
        Ok(true)
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
            letter if letter.is_ascii_alphabetic() && !"AafntrvdDsSwWbBzCpPx".contains(letter) => {
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
        let mut first = true;
        loop {
            match self.take().ok_or(OPEN)? {
                ']' if !first => return Ok(()),
                '[' if self.rest.starts_with(':') => {
                    let end = self.rest.find(":]").map(|at| at + 2);
                    self.rest = end.and_then(|at| self.rest.get(at..)).unwrap_or(self.rest);
                }
                '\\' if self.rest.starts_with(|next| "dDsSwWpP".contains(next)) => {
                    self.take();
                }
                next => {
                    let low = self.member(next)?;
                    if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                        self.take();
                        let next = self.take().ok_or(OPEN)?;
                        let high = self.member(next)?;
                        if low.zip(high).is_some_and(|(low, high)| high < low) {
                            return Err("has a range that ends before it begins");
                        }
                    }
                }
            }
            first = false;
        }
    }

    /// A character of a class; `None` if it is written as a number or a control character.
    fn member(&mut self, next: char) -> Result<Option<char>, &'static str> {
        if next != '\\' {
            return Ok(Some(next));
        }
        let escaped = self.take().ok_or("ends in a single `\\`")?;
        match escaped {
            'x' if self.rest.starts_with('{') => {
                while self.take().is_some_and(|next| next != '}') {}
                Ok(None)
            }
            'x' => {
                self.take();
                self.take();
                Ok(None)
            }
            '0'..='7' => {
                for _ in 0..2 {
                    if self.rest.starts_with(|next| matches!(next, '0'..='7')) {
                        self.take();
                    }
                }
                Ok(None)
            }
            'a' | 'f' | 'n' | 'r' | 't' | 'v' => Ok(None),
            letter if letter.is_ascii_alphanumeric() => {
                Err("has an escape in a class that RE2 does not know")
            }
            other => Ok(Some(other)),
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
        "a{,2}",
        "a{2",
        "a{2,}?",
        "a{01}",
        "(?:a{2})*",
        "x{0}",
        "^*",
        "a{2}{,3}",
        r"[\x2a-9]",
        r"[\--a]",
        r"[\077-\x41]",
        "[[:alpha:]-z]",
        "[a-]",
        "[-a]",
        "[a-b-c]",
        r"[\d-z]",
        r"[\x41-\x5a]",
        r"[\pN\PL]",
        "[é-ü]",
    ];
    const REFUSED: &[&str] = &[
        "(a", "a)", "[a", "*a", "(*a)", "a|+", "a**", "a*+", "(?=a)", "(?<!a)", r"(a)\1", r"a\",
        r"\y", "", "[z-a]", "a{2,1}", "a{1001}", "a{2}*", "a{2}+", "a{2}{3}", "a{2}??", "|{2}",
        "{2}", r"[\y]", r"[\b]", r"a\E",
    ];
}
