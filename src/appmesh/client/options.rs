//! Which target, and how it is called.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use hyper::Uri;

use super::error::TargetError;
use crate::model::arn::{AccountId, IdentityError};

/// How long a connection may take to open.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the answer to one try may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a call may take with all its tries, unless it is said otherwise.
const PATIENCE: Duration = Duration::from_mins(1);
/// Calls a second to what is not on this machine, unless it is said otherwise: AWS has throttled accounts at some tens.
const RATE: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// A target, and how it is called.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// Such as `https://appmesh.us-east-1.amazonaws.com`.
    pub endpoint: String,
    /// `None`: what the environment or the profile says.
    pub region: Option<String>,
    pub keys: KeySource,
    /// The account that it has to belong to; `None`: whichever it is found to.
    pub account: Option<String>,
    /// Calls a second; `None`: no limit.
    pub rate: Option<NonZeroU32>,
    /// How long one call may take, with all its tries; twice that if it is throttled, and its place in the line besides.
    pub patience: Duration,
}

/// Where the credentials come from.
#[derive(Clone, Default)]
pub enum KeySource {
    /// Where every AWS client looks: the environment, the default profile, what a container or an instance is given.
    #[default]
    Chain,
    /// A profile of AWS's configuration files, whatever is in the environment.
    Profile(String),
    /// These.
    Key { id: String, secret: String },
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("Chain"),
            Self::Profile(name) => f.debug_tuple("Profile").field(name).finish(),
            Self::Key { id, .. } => f
                .debug_struct("Key")
                .field("id", id)
                .finish_non_exhaustive(),
        }
    }
}

/// How an endpoint is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Never AWS itself.
    Http,
    Https,
}

impl TargetOptions {
    /// The target at this address, called as is usual: without a limit if it is on this machine, and else at a pace that
    /// others are left room at.
    pub fn new(endpoint: impl Into<String>) -> Self {
        let endpoint = endpoint.into();
        Self {
            rate: (!is_loopback(&endpoint)).then_some(RATE),
            endpoint,
            region: None,
            keys: KeySource::default(),
            account: None,
            patience: PATIENCE,
        }
    }

    /// With what is said of it beyond that; what is empty is not said. A rate of 0 is no limit.
    #[must_use]
    pub fn with(
        mut self,
        region: Option<String>,
        profile: Option<String>,
        rate: Option<u32>,
    ) -> Self {
        self.region = region.filter(|region| !region.is_empty());
        let profile = profile.filter(|profile| !profile.is_empty());
        self.keys = profile.map_or(KeySource::Chain, KeySource::Profile);
        if let Some(rate) = rate {
            self.rate = NonZeroU32::new(rate);
        }
        self
    }

    /// Checks the address, without calling it.
    ///
    /// # Errors
    /// [`TargetError::Options`] when it is none of a target.
    pub fn check(&self) -> Result<(), TargetError> {
        self.scheme().map(drop)
    }

    /// Checks the address.
    pub(super) fn scheme(&self) -> Result<Scheme, TargetError> {
        if self.endpoint.contains('@') {
            // It may be a secret, which is not repeated.
            return Err(TargetError::Options {
                what: "the target's address has a user in it".to_owned(),
                help: "write `http://HOST:PORT` or `https://HOST`".to_owned(),
            });
        }
        let wrong = |what: &str| TargetError::Options {
            what: format!("`{}` {what}", self.endpoint),
            help: "write `http://HOST:PORT` or `https://HOST`".to_owned(),
        };
        let uri: Uri = self
            .endpoint
            .parse()
            .map_err(|error| wrong(&format!("is no address of a target: {error}")))?;
        if uri.query().is_some() || uri.authority().is_none() {
            return Err(wrong("is no address of a target"));
        }
        match uri.scheme_str() {
            Some("http") => Ok(Scheme::Http),
            Some("https") => Ok(Scheme::Https),
            _ => Err(wrong("does not start with `http://` or `https://`")),
        }
    }
}

/// Reads the id of an account, as it stands in ARNs.
///
/// # Errors
/// When it is none.
pub fn checked_account(text: &str) -> Result<String, String> {
    let account: AccountId = text
        .parse()
        .map_err(|error: IdentityError| error.to_string())?;
    Ok(account.as_str().to_owned())
}

fn is_loopback(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_elsewhere_is_called_at_a_pace() {
        for (endpoint, is_limited) in [
            ("http://127.0.0.1:9080", false),
            ("http://[::1]:9080/", false),
            ("http://localhost", false),
            ("http://standby:9080", true),
            ("https://appmesh.us-east-1.amazonaws.com", true),
            ("http://10.0.0.1", true),
        ] {
            let options = TargetOptions::new(endpoint);
            assert_eq!(options.rate.is_some(), is_limited, "{endpoint}");
            assert!(options.scheme().is_ok(), "{endpoint}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_way_out() {
        for endpoint in [
            "",
            "127.0.0.1:9080",
            "standby",
            "ftp://standby",
            "http://",
            "http://a b",
            "http://user:secret@host",
            "http://host/?a=b",
        ] {
            let error = TargetOptions::new(endpoint).scheme().unwrap_err();
            assert!(
                matches!(error, TargetError::Options { .. }),
                "{endpoint}: {error}"
            );
            let text = error.to_string();
            assert!(text.contains("https://HOST"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let keys = KeySource::Key {
            id: "id".into(),
            secret: "hidden".into(),
        };
        assert!(!format!("{keys:?}").contains("hidden"));
    }
}
