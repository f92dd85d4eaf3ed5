//! What went wrong on the way to an answer, in words of our own: the SDK's are about its parts.

use std::error::Error;
use std::io::{self, ErrorKind};

use aws_sdk_appmesh::error::ConnectorError;

/// What the SDK and its HTTP client say of any trouble, whatever it is.
const SAYS_NOTHING: [&str; 9] = [
    "an error occurred while loading credentials",
    "client error (Connect)",
    "client error (SendRequest)",
    "dispatch failure",
    "io error",
    "other",
    "service error",
    "timeout",
    "unhandled error",
];
/// What the standard library says before the resolver's own words.
const LOOK_UP: &str = "failed to lookup address information: ";

/// An error, as somebody can do something about it who knows nothing of the SDK.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    if let Some(io) = find::<io::Error>(error) {
        return of_io(io);
    }
    if find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message) {
        return ENDED.to_owned();
    }
    if find::<ConnectorError>(error).is_some_and(ConnectorError::is_timeout) {
        return "no connection to it came up in time".to_owned();
    }
    let mut said: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        let text = error.to_string();
        if !SAYS_NOTHING.contains(&&*text) && !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

/// How a connection ends that is cut.
const ENDED: &str = "the connection ended before the answer came";

fn of_io(outer: &io::Error) -> String {
    let mut error = outer;
    // One in another is none of its sources.
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        error = inner;
    }
    let text = error.to_string();
    if let Some(why) = text.strip_prefix(LOOK_UP) {
        return format!("its name cannot be looked up: {why}");
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => "the connection is refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            ENDED.to_owned()
        }
        // That of `rustls`.
        ErrorKind::InvalidData => format!("TLS fails with it: {text}"),
        _ => format!("the connection fails: {text}"),
    }
}

/// The innermost error of a kind among those that led to this one.
pub(super) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref())
        .last()
}
