//! Tags of resources, and the limits that AWS puts on them.

use std::collections::BTreeMap;

/// A resource's tags by key. A tag that was given without a value has an empty one.
pub type Tags = BTreeMap<String, String>;

/// Tags that a resource can have.
pub const MOST: usize = 50;

/// The prefix of keys that are AWS's own.
const RESERVED: &str = "aws:";

/// Whether a key is AWS's own.
pub fn is_reserved(key: &str) -> bool {
    let start = key.get(..RESERVED.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

/// Whether a tag can have a key, apart from its length; otherwise what it must look like.
pub(super) fn check_key(key: &str) -> Result<(), &'static str> {
    if is_reserved(key) {
        Err("use a key that does not start with `aws:`, which is reserved")
    } else {
        check_value(key)
    }
}

/// The same of a value.
///
/// # Errors
/// What to use instead.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    if value.chars().all(is_allowed) {
        Ok(())
    } else {
        Err("use letters, digits, blanks and the characters _ . : / = + - @")
    }
}
