//! JSON into a tree of values, as strangers send it.
//!
//! A tree of `serde_json` would lose repeated members; this one keeps them, to be refused. A number that is written with a
//! point but is whole is a whole number, as it was to AWS.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use super::{Key, Located, Value};

/// A text that is no JSON, or is nested too deeply (128 levels; the deepest of the specs has 12).
#[derive(Debug, Error)]
#[error("the body is not valid JSON; mind commas, quotes and brackets")]
pub struct JsonError {
    #[from]
    source: serde_json::Error,
}

impl Located {
    /// Reads one JSON document.
    ///
    /// # Errors
    /// [`JsonError`] when it is none; its source says where it breaks.
    pub fn from_json(text: &[u8]) -> Result<Self, JsonError> {
        Ok(serde_json::from_slice(text)?)
    }
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(ValueVisitor)
            .map(Self::unplaced)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(whole(number).map_or(Value::Float(number), Value::Int))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = entries.next_entry()? {
            members.push((Key { name, span: None }, value));
        }
        Ok(Value::Map(members))
    }
}

/// The whole number that a float is, if it is one and every one of its size can be told from the next.
fn whole(number: f64) -> Option<i128> {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 || number.abs() >= LARGEST {
        return None;
    }
    // In JSON's own digits, since a cast would have to be believed.
    format!("{number:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Located::from_json(text.as_bytes()).unwrap().value
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (text, expected) in [
            ("0", 0),
            ("-9223372036854775808", i64::MIN.into()),
            ("18446744073709551615", u64::MAX.into()),
            ("5000.0", 5000),
            ("5e3", 5000),
            ("-2.0", -2),
            ("-0.0", 0),
        ] {
            assert_eq!(value(text), Value::Int(expected), "{text}");
        }
        for text in ["0.5", "18446744073709551616", "1e300", "9007199254740993.0"] {
            assert!(matches!(value(text), Value::Float(_)), "{text}");
        }
    }

    #[test]
    fn members_keep_their_order_and_repetitions() {
        let read = Located::from_json(br#"{"b": null, "a": [true, "x"], "b": {}}"#).unwrap();
        let names = read.members().unwrap().iter().map(|(key, _)| &*key.name);
        assert_eq!(names.collect::<Vec<_>>(), ["b", "a", "b"]);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(10_000);
        let cases: [&[u8]; 8] = [
            b"",
            b"{",
            b"{} {}",
            b"{'a': 1}",
            b"[01]",
            b"\"\xff\"",
            br#""\ud800""#,
            deep.as_bytes(),
        ];
        for text in cases {
            assert!(
                Located::from_json(text).is_err(),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }
}
