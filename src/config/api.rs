//! Settings of the API, and the environment that AWS's own clients read.

use std::path::PathBuf;

use serde::Deserialize;

/// How a caller of the API says who it is, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMode {
    /// Not at all: whoever reaches the API may do everything.
    None,
    /// With AWS Signature Version 4, and a key of --api-credentials.
    Sigv4,
}

/// How a caller of the API says who it is, with what that needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiAuth {
    None,
    Sigv4 { credentials: PathBuf },
}

/// Where client commands call and the key with which they sign, from the variables that every AWS client reads; an empty
/// one counts as none. A secret is never a flag: the command line of a process is for everybody to see.
#[derive(Clone, Default)]
pub struct AwsEnvironment {
    /// `AWS_ENDPOINT_URL_APP_MESH`, or else `AWS_ENDPOINT_URL`; neither where `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` is
    /// true.
    pub endpoint: Option<String>,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, if both are set.
    pub key: Option<(String, String)>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<String>,
    /// `AWS_REGION`, or else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
}

impl AwsEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads the environment"
    )]
    pub fn read() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|text| !text.is_empty());
        let ignored = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let endpoint =
            variable("AWS_ENDPOINT_URL_APP_MESH").or_else(|| variable("AWS_ENDPOINT_URL"));
        Self {
            endpoint: endpoint.filter(|_| !ignored),
            key: variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY")),
            session_token: variable("AWS_SESSION_TOKEN"),
            region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
        }
    }
}

impl std::fmt::Debug for AwsEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsEnvironment")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let environment = AwsEnvironment {
            key: Some(("AKID".to_owned(), "hidden".to_owned())),
            session_token: Some("hidden".to_owned()),
            ..AwsEnvironment::default()
        };
        assert!(!format!("{environment:?}").contains("hidden"));
    }

    #[test]
    fn the_endpoint_of_app_mesh_goes_before_that_of_all_services() {
        let endpoint = |variables: &[(&str, &str)]| {
            let read = AwsEnvironment::of(|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            });
            read.endpoint
        };
        let own = ("AWS_ENDPOINT_URL_APP_MESH", "own");
        let all = ("AWS_ENDPOINT_URL", "all");
        assert_eq!(endpoint(&[own, all]).as_deref(), Some("own"));
        assert_eq!(endpoint(&[all]).as_deref(), Some("all"));
        assert_eq!(endpoint(&[("AWS_ENDPOINT_URL", "")]), None);
        let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        assert_eq!(endpoint(&[own, all, ignore]), None);
    }
}
