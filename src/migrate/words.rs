//! A shell script's commands as words, each with its place; expansions are not made.

use std::ops::Range;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) range: Range<usize>,
    /// Without its quotes.
    pub(super) text: String,
    /// Whether the shell would put something else in place of a part of it.
    pub(super) is_expanded: bool,
}

/// The commands of a script, those in `$(…)` too, without what only the shell makes of them. If a quote does not end, where it
/// begins.
pub(super) fn commands(script: &str) -> Result<Vec<Vec<Word>>, usize> {
    let mut reader = Reader {
        script,
        at: 0,
        opened: 0,
        word: None,
        command: Vec::new(),
        commands: Vec::new(),
    };
    while let Some(c) = reader.next() {
        let start = reader.at - c.len_utf8();
        reader.opened = start;
        if reader.read(c).is_none() {
            return Err(reader.opened);
        }
    }
    reader.end_command();
    Ok(reader.commands)
}

/// A text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

struct Reader<'s> {
    script: &'s str,
    at: usize,
    /// Where what is being read began.
    opened: usize,
    word: Option<Word>,
    command: Vec<Word>,
    commands: Vec<Vec<Word>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn rest(&self) -> &str {
        self.script.get(self.at..).unwrap_or_default()
    }

    fn read(&mut self, c: char) -> Option<()> {
        match c {
            '\\' if self.rest().starts_with('\n') || self.rest().starts_with("\r\n") => {
                self.at += self.rest().find('\n')? + 1;
            }
            ' ' | '\t' | '\r' => self.end_word(),
            '<' | '>' => {
                // `2>` says of which stream.
                let is_stream = |word: &mut Word| word.text.chars().all(|c| c.is_ascii_digit());
                self.word.take_if(is_stream);
                self.end_command();
            }
            '\n' | ';' | '|' | '&' | '(' | ')' => self.end_command(),
            '#' if self.word.is_none() => {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            }
            '\\' => {
                self.word();
                let next = self.next()?;
                self.push(next);
            }
            '\'' => {
                let inner = self.until('\'')?;
                self.word().text += &inner;
            }
            '"' => self.double_quoted()?,
            '$' | '`' => self.expansion(c)?,
            _ => self.push(c),
        }
        if let Some(word) = &mut self.word {
            word.range.end = self.at;
        }
        Some(())
    }

    fn double_quoted(&mut self) -> Option<()> {
        self.word();
        loop {
            match self.next()? {
                '"' => return Some(()),
                '\\' => match self.next()? {
                    '\n' => {}
                    next @ ('"' | '\\' | '$' | '`') => self.push(next),
                    next => {
                        self.push('\\');
                        self.push(next);
                    }
                },
                c @ ('$' | '`') => self.expansion(c)?,
                c => self.push(c),
            }
        }
    }

    /// `$name`, `${name}`, `$(command)`: taken as it is.
    fn expansion(&mut self, c: char) -> Option<()> {
        self.word().is_expanded = true;
        self.push(c);
        if c == '$' && self.rest().starts_with('(') && !self.rest().starts_with("((") {
            return self.substitution();
        }
        let close = match (c, self.rest().chars().next()) {
            ('`', _) => '`',
            (_, Some('(')) => ')',
            (_, Some('{')) => '}',
            _ => return Some(()),
        };
        let open = if close == ')' { '(' } else { '{' };
        let mut depth = 0;
        loop {
            let c = self.next()?;
            self.push(c);
            if c == open {
                depth += 1;
            } else if c == close {
                depth -= 1;
                if depth <= 0 {
                    return Some(());
                }
            }
        }
    }

    /// `$(…)`, whose commands are the script's too. Quotes in it are its own.
    fn substitution(&mut self) -> Option<()> {
        let outer = (self.word.take(), std::mem::take(&mut self.command));
        let start = self.at;
        let mut depth = 0;
        loop {
            self.opened = self.at;
            let Some(c) = self.next() else {
                self.opened = start - 1;
                return None;
            };
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                c => {
                    self.read(c)?;
                    continue;
                }
            }
            self.end_command();
            if depth == 0 {
                break;
            }
        }
        let inner = self.script.get(start..self.at)?;
        (self.word, self.command) = outer;
        self.word().text += inner;
        Some(())
    }

    fn until(&mut self, end: char) -> Option<String> {
        self.word();
        let length = self.rest().find(end)?;
        let inner = self.rest().get(..length)?.to_owned();
        self.at += length + end.len_utf8();
        Some(inner)
    }

    fn push(&mut self, c: char) {
        let start = self.at - c.len_utf8();
        self.word_from(start).text.push(c);
    }

    /// The word that is being read; a new one begins with the quote or sign that was read last.
    fn word(&mut self) -> &mut Word {
        self.word_from(self.at - 1)
    }

    fn word_from(&mut self, start: usize) -> &mut Word {
        self.word.get_or_insert(Word {
            range: start..start,
            text: String::new(),
            is_expanded: false,
        })
    }

    fn end_word(&mut self) {
        self.command.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.command.is_empty() {
            self.commands.push(std::mem::take(&mut self.command));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(script: &str) -> Vec<Vec<String>> {
        let commands = commands(script).unwrap().into_iter();
        let words = |words: Vec<Word>| words.into_iter().map(|word| word.text).collect();
        commands.map(words).collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (script, expected) in [
            ("a 'b c' \"d e\"", vec![vec!["a", "b c", "d e"]]),
            ("a\\ b c\\'d", vec![vec!["a b", "c'd"]]),
            ("a \\\n  b # c\nd", vec![vec!["a", "b"], vec!["d"]]),
            ("a#b '#' # c", vec![vec!["a#b", "#"]]),
            (
                "a; b && c | d 2>e",
                vec![vec!["a"], vec!["b"], vec!["c"], vec!["d"], vec!["e"]],
            ),
            ("a \"\\\"\\$\\n\" ''", vec![vec!["a", "\"$\\n", ""]]),
            (
                "a=\"$(b \"c d\")\" ${e} `f g`",
                vec![vec!["b", "c d"], vec!["a=$(b \"c d\")", "${e}", "`f g`"]],
            ),
            (
                "a $(b ')' $(c); (d)) $((1 << 2)) e",
                vec![
                    vec!["c"],
                    vec!["b", ")", "$(c)"],
                    vec!["d"],
                    vec!["a", "$(b ')' $(c); (d))", "$((1 << 2))", "e"],
                ],
            ),
            (
                "(a b) && f() { c; }",
                vec![vec!["a", "b"], vec!["f"], vec!["{", "c"], vec!["}"]],
            ),
        ] {
            assert_eq!(texts(script), expected, "{script}");
        }
        for unfinished in ["a 'b", "a \"b", "a `b", "a $(b", "a \\"] {
            assert_eq!(commands(unfinished), Err(2), "{unfinished}");
        }
        assert_eq!(commands("a \"$(b 'c)\""), Err(7));
    }

    #[test]
    fn a_word_knows_its_place_and_what_the_shell_would_change() {
        let script = "run -e A='b c' \"$D\" e";
        let words = commands(script).unwrap().remove(0);
        let at: Vec<&str> = words
            .iter()
            .map(|word| &script[word.range.clone()])
            .collect();
        assert_eq!(at, ["run", "-e", "A='b c'", "\"$D\"", "e"]);
        let is_expanded: Vec<bool> = words.iter().map(|word| word.is_expanded).collect();
        assert_eq!(is_expanded, [false, false, false, true, false]);
    }

    proptest! {
        #[test]
        fn a_quoted_text_is_one_word(text in "[ -~\\n\u{e4}]{1,20}") {
            let script = format!("a {} b", quoted(&text));
            prop_assert_eq!(texts(&script), [["a", text.as_str(), "b"]]);
        }
    }
}
