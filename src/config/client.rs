//! What client commands take from the environment: the variables of the AWS tools, so that a shell which is set up for
//! those reaches Outrigger too. Profiles and files of the AWS tools are not read.

use std::fmt;

/// Endpoint, credentials and region as the environment has them; an empty variable counts as none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientEnvironment {
    /// `AWS_ENDPOINT_URL_APP_MESH`, or else `AWS_ENDPOINT_URL`; neither where `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` is
    /// true.
    pub endpoint: Option<String>,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, if both are there.
    pub credentials: Option<Credentials>,
    /// `AWS_REGION`, or else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
}

/// A pair of keys to sign requests with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
}

/// Without the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl ClientEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads the environment"
    )]
    pub fn read() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let first = |names: [&str; 2]| names.into_iter().find_map(variable);
        let ignored = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let endpoint = first(["AWS_ENDPOINT_URL_APP_MESH", "AWS_ENDPOINT_URL"]);
        let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        Self {
            endpoint: endpoint.filter(|_| !ignored),
            credentials: keys.map(|(access_key_id, secret_access_key)| Credentials {
                access_key_id,
                secret_access_key,
                session_token: variable("AWS_SESSION_TOKEN"),
            }),
            region: first(["AWS_REGION", "AWS_DEFAULT_REGION"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> ClientEnvironment {
        ClientEnvironment::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_endpoint_of_app_mesh_goes_before_that_of_all_services() {
        let (own, all) = (
            ("AWS_ENDPOINT_URL_APP_MESH", "own"),
            ("AWS_ENDPOINT_URL", "all"),
        );
        let endpoint = |variables: &[_]| with(variables).endpoint;
        assert_eq!(endpoint(&[own, all]).as_deref(), Some("own"));
        assert_eq!(endpoint(&[all]).as_deref(), Some("all"));
        assert_eq!(endpoint(&[("AWS_ENDPOINT_URL", "")]), None);
        let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        assert_eq!(endpoint(&[own, all, ignore]), None);
    }

    #[test]
    fn half_a_pair_of_keys_is_none_and_the_secret_is_not_printed() {
        let (id, secret) = (
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hush"),
        );
        assert_eq!(with(&[id]).credentials, None);
        let both = with(&[id, secret, ("AWS_DEFAULT_REGION", "r")]);
        assert_eq!(both.region.as_deref(), Some("r"));
        let printed = format!("{:?}", both.credentials.unwrap());
        assert!(
            printed.contains("id") && !printed.contains("hush"),
            "{printed}"
        );
    }
}
