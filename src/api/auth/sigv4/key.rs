//! Keys: the secret as it was given, and what is derived of it for a day, a region and a service.

use std::fmt;

use ring::{digest, hmac};

use super::SignatureError;

/// The last part of every scope.
const TERMINATOR: &str = "aws4_request";

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a signing key is good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// `20150830`.
    pub date: String,
    pub region: String,
    pub service: String,
}

impl Scope {
    pub fn new(date: &str, region: &str, service: &str) -> Self {
        Self {
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
        }
    }

    /// Reads `KEY/20150830/us-east-1/appmesh/aws4_request` into the key's id and its scope.
    pub(super) fn parse(credential: &str) -> Result<(String, Self), SignatureError> {
        // The id may hold slashes where somebody chose it so; the scope has four parts, counted from the end.
        let parts: Vec<&str> = credential.rsplitn(5, '/').collect();
        match parts.as_slice() {
            [TERMINATOR, service, region, date, id] if !id.is_empty() => {
                Ok(((*id).to_owned(), Self::new(date, region, service)))
            }
            _ => Err(SignatureError::Incomplete {
                what: format!(
                    "the credential is not `KEY-ID/YYYYMMDD/REGION/SERVICE/{TERMINATOR}`"
                ),
            }),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            region,
            service,
        } = self;
        write!(f, "{date}/{region}/{service}/{TERMINATOR}")
    }
}

/// A secret, narrowed to a [`Scope`].
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    pub fn derive(secret: &Secret, scope: &Scope) -> Self {
        let first = hmac::Key::new(
            hmac::HMAC_SHA256,
            format!("AWS4{}", secret.expose()).as_bytes(),
        );
        let parts = [&scope.date, &scope.region, &scope.service];
        let parts = parts.map(String::as_str).into_iter().chain([TERMINATOR]);
        Self(parts.fold(first, |key, part| {
            hmac::Key::new(
                hmac::HMAC_SHA256,
                hmac::sign(&key, part.as_bytes()).as_ref(),
            )
        }))
    }

    /// The signature in hex.
    pub(super) fn sign(&self, string_to_sign: &str) -> String {
        hex(hmac::sign(&self.0, string_to_sign.as_bytes()).as_ref())
    }

    /// In constant time.
    pub(super) fn verify(&self, string_to_sign: &str, signature: &[u8]) -> bool {
        hmac::verify(&self.0, string_to_sign.as_bytes(), signature).is_ok()
    }

    /// Whether two texts are one, in constant time: what is compared are their codes under this key.
    pub(super) fn equal(&self, one: &str, other: &str) -> bool {
        let code = hmac::sign(&self.0, one.as_bytes());
        hmac::verify(&self.0, other.as_bytes(), code.as_ref()).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

pub(super) fn hex_digest(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a signature: 64 hexadecimal digits, in lower case as every signer writes them.
pub(super) fn parse_signature(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    (pairs.iter())
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}
