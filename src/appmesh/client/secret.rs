//! What of a call nobody else is to read: whoever answers has our signature and our session token, and may send back what it
//! was sent, as error pages do.

use std::sync::Arc;

/// What stands for a secret.
const HIDDEN: &str = "(hidden)";
/// So many characters of a secret's beginning are one: an answer may be cut off.
const LEAST: usize = 12;
/// Hexadecimal digits of a signature, ours or the one that we should have made.
const SIGNATURE: usize = 64;
/// Nobody is shown so much of a text.
const LOOKED_AT: usize = 16_384;

/// What was sent with a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Arc<[String]>);

impl Secrets {
    /// Those in the headers of a signed request, beside those of an earlier try.
    pub(super) fn and(&self, authorization: Option<&str>, token: Option<&str>) -> Self {
        let signature = authorization.and_then(|text| text.split_once("Signature=").map(|at| at.1));
        let new = [signature, token].into_iter().flatten();
        let new = new.map(|text| text.trim().to_owned());
        let new = new.filter(|text| !text.is_empty() && !self.0.contains(text));
        Self(self.0.iter().cloned().chain(new).collect())
    }

    /// A text without them, however what sent it has escaped them.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut rest = match text.char_indices().nth(LOOKED_AT) {
            Some((end, _)) => &text[..end],
            None => text,
        };
        let mut clean = String::with_capacity(rest.len());
        let mut is_in_digits = false;
        while let Some(next) = rest.chars().next() {
            let secrets = self.0.iter().map(|secret| beginning(rest, secret));
            let digits = if is_in_digits { 0 } else { digits(rest) };
            let hidden = secrets.max().unwrap_or(0).max(digits);
            if hidden > 0 {
                clean.push_str(HIDDEN);
                rest = &rest[hidden..];
                is_in_digits = false;
            } else {
                clean.push(next);
                rest = &rest[next.len_utf8()..];
                is_in_digits = next.is_ascii_hexdigit();
            }
        }
        clean
    }
}

/// How much of a text is the beginning of a secret; 0 if it is less than counts.
fn beginning(text: &str, secret: &str) -> usize {
    let (mut end, mut count) = (0, 0);
    for c in secret.chars() {
        let Some(length) = one(&text[end..], c) else {
            break;
        };
        end += length;
        count += 1;
    }
    let is_all = count == secret.chars().count();
    if is_all || count >= LEAST { end } else { 0 }
}

/// How long a character is at the beginning of a text: as it is, or escaped as in a URL, in JSON or in HTML.
fn one(text: &str, c: char) -> Option<usize> {
    if text.starts_with(c) {
        return Some(c.len_utf8());
    }
    if !text.starts_with(['%', '\\', '&']) {
        return None;
    }
    let code = u32::from(c);
    let forms = [
        format!("%{code:02x}"),
        format!("\\{c}"),
        format!("\\u{code:04x}"),
        format!("&#{code};"),
        format!("&#x{code:x};"),
        format!("&#x{code:02x};"),
    ];
    let is_at = |form: &String| {
        let start = text.as_bytes().get(..form.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(form.as_bytes()))
    };
    forms.iter().find(|form| is_at(form)).map(String::len)
}

/// How many hexadecimal digits a text begins with, if these may be a signature.
fn digits(text: &str) -> usize {
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    if digits >= SIGNATURE { digits } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "IQoJb3JpZ2luX2VjEHo/aCXVz+LWVhc3QtMSJHMEUCIQD==";

    fn secrets() -> Secrets {
        let signature = "0a1b".repeat(16);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature={signature}"
        );
        Secrets::default().and(Some(&authorization), Some(TOKEN))
    }

    #[test]
    fn what_was_sent_is_not_repeated_however_it_is_escaped() {
        let html = TOKEN.chars().map(|c| format!("&#{};", u32::from(c)));
        let html = html.collect::<Vec<_>>().concat();
        for token in [
            TOKEN.to_owned(),
            TOKEN.replace('/', "\\/"),
            TOKEN.replace('/', "\\u002F").replace('+', "\\u002b"),
            TOKEN
                .replace('/', "%2F")
                .replace('+', "%2b")
                .replace('=', "%3D"),
            TOKEN.replace('/', "&#x2F;").replace('=', "&#61;"),
            html,
        ] {
            let hidden = secrets().hide(&format!("x-amz-security-token: {token}, and more"));
            assert_eq!(
                hidden, "x-amz-security-token: (hidden), and more",
                "{token}"
            );
        }
        // Cut off.
        let hidden = secrets().hide(&format!("token {}", &TOKEN[..20]));
        assert_eq!(hidden, "token (hidden)");
    }

    #[test]
    fn signatures_are_hidden_also_those_that_were_expected() {
        let ours = "0a1b".repeat(16);
        let theirs = "C0FFEE00".repeat(8);
        let hidden = secrets().hide(&format!("Signature={ours} is not {theirs}."));
        assert_eq!(hidden, "Signature=(hidden) is not (hidden).");
        let second = secrets().and(Some("Signature=short-and-new"), None);
        assert_eq!(second.hide("short-and-new, 0a1b0a1b"), "(hidden), 0a1b0a1b");
    }

    #[test]
    fn all_else_stays() {
        let text = "mesh/production-mesh/virtualNode/checkout-service-of-the-second-region: 100% of Größe \\ & more";
        assert_eq!(secrets().hide(text), text);
        assert_eq!(Secrets::default().hide(text), text);
        assert!(secrets().hide(&"x".repeat(1 << 20)).len() <= LOOKED_AT);
    }
}
