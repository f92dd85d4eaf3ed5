//! Percent-encoding, and the members of a query.

use std::borrow::Cow;

use super::error::ApiError;

/// Undoes percent-encoding.
///
/// # Errors
/// When it is broken, or what comes out is no UTF-8.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, ApiError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let broken = || ApiError::Encoding {
        text: text.to_owned(),
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            bytes
                .next()
                .and_then(|digit| char::from(digit).to_digit(16))
        };
        let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        let value = value.and_then(|value| u8::try_from(value).ok());
        decoded.push(value.ok_or_else(broken)?);
    }
    let decoded = String::from_utf8(decoded).map_err(|_| broken())?;
    Ok(Cow::Owned(decoded))
}

/// The members of a query that operations know. Others are passed over: presigned requests have some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) limit: Option<String>,
    pub(super) next_token: Option<String>,
    pub(super) mesh_owner: Option<String>,
    pub(super) resource_arn: Option<String>,
    /// Of Outrigger's own list of resources.
    pub(super) mesh: Option<String>,
    /// Of Outrigger's own list of changes.
    pub(super) since: Option<String>,
    pub(super) wait: Option<String>,
}

impl Query {
    /// Reads a query, without its question mark.
    ///
    /// # Errors
    /// When a known member is there twice, or is not encoded as it should be.
    pub(super) fn read(query: &str) -> Result<Self, ApiError> {
        let mut read = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (member, name) = match decode(name).as_deref() {
                Ok("limit") => (&mut read.limit, "limit"),
                Ok("nextToken") => (&mut read.next_token, "nextToken"),
                Ok("meshOwner") => (&mut read.mesh_owner, "meshOwner"),
                Ok("resourceArn") => (&mut read.resource_arn, "resourceArn"),
                Ok("mesh") => (&mut read.mesh, "mesh"),
                Ok("since") => (&mut read.since, "since"),
                Ok("wait") => (&mut read.wait, "wait"),
                Ok(_) | Err(_) => continue,
            };
            let value = value.replace('+', " ");
            let value = decode(&value)?.into_owned();
            if member.replace(value).is_some() {
                return Err(ApiError::Repeated { name });
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_undone_or_refused() {
        for (text, expected) in [
            ("", Some("")),
            ("a.b", Some("a.b")),
            ("a%2Fb%2f", Some("a/b/")),
            ("%C3%A4", Some("ä")),
            ("%", None),
            ("%2", None),
            ("%+1", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn known_members_are_read_and_others_passed_over() {
        let query =
            Query::read("limit=5&&X-Amz-Date=%zz&a&next%54oken=a%20b+c&meshOwner=").unwrap();
        let expected = Query {
            limit: Some("5".into()),
            next_token: Some("a b c".into()),
            mesh_owner: Some(String::new()),
            ..Query::default()
        };
        assert_eq!(query, expected);
        for broken in ["limit=1&limit=1", "limit=%", "meshOwner=%ff"] {
            assert!(Query::read(broken).is_err(), "{broken}");
        }
    }
}
