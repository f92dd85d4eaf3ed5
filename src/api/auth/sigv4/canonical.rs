//! The canonical request: the one form that the signer and the verifier make of a request, each by itself.
//!
//! A path is signed as it is sent, normalised and encoded once more; S3 alone does otherwise. Of a query, the order and the
//! way in which it is encoded do not matter.

use axum::http::header;

use super::{Request, TOKEN};

/// The query's members of a presigned URL.
pub(super) const SIGNATURE: &str = "X-Amz-Signature";
const QUERY_TOKEN: &str = "X-Amz-Security-Token";

/// The canonical request with these signed headers, which are sorted. It is bytes, as header values are.
pub(super) fn request(
    request: &Request<'_>,
    signed_headers: &[String],
    payload_hash: &str,
) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    let line = |text: &mut Vec<u8>, line: &str| {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    };
    line(&mut text, request.method);
    line(&mut text, &path(request.path));
    line(&mut text, &query(request.query));
    for name in signed_headers {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend(header_value(request, name));
        text.push(b'\n');
    }
    text.push(b'\n');
    line(&mut text, &signed_headers.join(";"));
    text.extend_from_slice(payload_hash.as_bytes());
    text
}

/// For people: the canonical request with the caller's token left out.
pub(super) fn without_token(canonical: &[u8], token: Option<&str>) -> String {
    let text = String::from_utf8_lossy(canonical);
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return text.into_owned();
    };
    let query = format!("{QUERY_TOKEN}={}", encode(token));
    text.replace(&query, &format!("{QUERY_TOKEN}=…"))
        .replace(&format!("{TOKEN}:{token}"), &format!("{TOKEN}:…"))
}

/// The path without empty, `.` and `..` segments, encoded once more.
fn path(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(encode(segment)),
        }
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let end = if is_folder && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", kept.join("/"))
}

/// Sorted by name, then by value; a presigned URL's signature is no part of it.
fn query(query: &str) -> String {
    let mut members: Vec<(String, String)> = pairs(query)
        .filter(|(name, _)| name != SIGNATURE.as_bytes())
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    members.sort();
    let members = members
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    members.collect::<Vec<_>>().join("&")
}

/// The values of a header, each trimmed and with single spaces, in the order in which they came.
fn header_value(request: &Request<'_>, name: &str) -> Vec<u8> {
    let values = request.headers.get_all(name);
    let mut values: Vec<Vec<u8>> = values.iter().map(|one| trim_all(one.as_bytes())).collect();
    if values.is_empty() && name == header::HOST.as_str() {
        values.extend(request.authority.map(|host| trim_all(host.as_bytes())));
    }
    values.join(&b","[..])
}

fn trim_all(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace);
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    words.join(&b" "[..])
}

/// The members of a query, decoded.
pub(in super::super) fn pairs(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let members = query.split('&').filter(|member| !member.is_empty());
    members.map(|member| {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        (decode(name), decode(value))
    })
}

/// Undoes percent-encoding. A percent sign with no two digits behind it, and a plus, are themselves.
pub(in super::super) fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| {
            let (high, low) = (digit(bytes.get(at + 1))?, digit(bytes.get(at + 2))?);
            u8::try_from(high << 4 | low).ok()
        });
        if let Some(escaped) = escaped.flatten() {
            decoded.push(escaped);
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    decoded
}

/// Escapes every byte but RFC 3986's unreserved ones, as for one segment of a path or one value of a query.
pub(crate) fn encode(text: impl AsRef<[u8]>) -> String {
    use std::fmt::Write;
    let bytes = text.as_ref().iter();
    bytes.fold(String::new(), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte));
            }
            // Writing to a string does not fail.
            byte => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}
