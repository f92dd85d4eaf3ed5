//! As whom a target is called, and for which region: found where every AWS client looks.
//!
//! A target without TLS is never AWS: it may ask for no credentials at all, and has nothing to do with what an instance of
//! AWS's is given.

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::credentials::EnvironmentVariableCredentialsProvider;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::{ProvideRegion, RegionProviderChain};
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_appmesh::config::{
    Credentials, ProvideCredentials, Region, SharedCredentialsProvider, SharedHttpClient,
};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::answer::NO_CREDENTIALS;
use super::error::TargetError;
use super::options::{KeySource, Scheme, TargetOptions};
use super::words::words;

/// The region in signatures for a target without TLS, where nothing names one: an Outrigger takes any.
const DEFAULT_REGION: &str = "us-east-1";
/// What signs where there are no credentials. Whoever asks for a signature refuses it; others read the service in it.
const NOBODY: &str = "outrigger";

/// As whom, and where.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) region: Region,
    pub(super) credentials: SharedCredentialsProvider,
    /// Whether there are any, or only made-up ones.
    pub(super) has_credentials: bool,
}

/// What carries the calls. The certificates of the system's authorities are read for TLS only.
pub(super) fn http_client(scheme: Scheme) -> SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new();
    match scheme {
        Scheme::Http => builder.build_http(),
        Scheme::Https => builder
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https(),
    }
}

/// Looks up what the options leave open.
///
/// # Errors
/// [`TargetError::Options`] without a region, [`TargetError::Credentials`] when they cannot be had; for a target without
/// TLS, it is no error that there are none.
pub(super) async fn find(options: &TargetOptions, scheme: Scheme) -> Result<Login, TargetError> {
    let region = region(options, scheme).await?;
    let (credentials, is_found) = match &options.keys {
        KeySource::Key { id, secret } => {
            let key = Credentials::new(id, secret, None, None, "options");
            (SharedCredentialsProvider::new(key), true)
        }
        source => looked_up(options, source, scheme, &region).await?,
    };
    Ok(Login {
        region,
        credentials,
        has_credentials: is_found,
    })
}

async fn looked_up(
    options: &TargetOptions,
    source: &KeySource,
    scheme: Scheme,
    region: &Region,
) -> Result<(SharedCredentialsProvider, bool), TargetError> {
    // Roles are asked for over TLS, whatever the target has.
    let config = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_http_client(http_client(Scheme::Https));
    let provider = match (source, scheme) {
        (KeySource::Profile(name), _) => SharedCredentialsProvider::new(
            ProfileFileCredentialsProvider::builder()
                .configure(&config)
                .profile_name(name)
                .build(),
        ),
        (_, Scheme::Https) => {
            let chain = DefaultCredentialsChain::builder().region(region.clone());
            SharedCredentialsProvider::new(chain.configure(config).build().await)
        }
        (_, Scheme::Http) => SharedCredentialsProvider::new(without_instance(&config)),
    };
    match provider.provide_credentials().await {
        Ok(_) => Ok((provider, true)),
        // A profile that somebody has named is meant.
        Err(CredentialsError::CredentialsNotLoaded(_))
            if scheme == Scheme::Http && matches!(source, KeySource::Chain) =>
        {
            let nobody = Credentials::new(NOBODY, NOBODY, None, None, "none found");
            Ok((SharedCredentialsProvider::new(nobody), false))
        }
        Err(error) => Err(TargetError::Credentials {
            endpoint: options.endpoint.clone(),
            call: match source {
                KeySource::Profile(name) => format!("sign calls with profile `{name}`"),
                KeySource::Chain | KeySource::Key { .. } => "sign calls".to_owned(),
            },
            reason: match error {
                CredentialsError::CredentialsNotLoaded(_) => "there is no key".to_owned(),
                error => words(&error),
            },
            help: NO_CREDENTIALS,
        }),
    }
}

/// The usual chain without its last link, an instance's metadata service, for which a host without one waits seconds.
fn without_instance(config: &ProviderConfig) -> CredentialsProviderChain {
    let profile = ProfileFileCredentialsProvider::builder().configure(config);
    let token = WebIdentityTokenCredentialsProvider::builder().configure(config);
    let container = EcsCredentialsProvider::builder().configure(config);
    CredentialsProviderChain::first_try(
        "Environment",
        EnvironmentVariableCredentialsProvider::new(),
    )
    .or_else("Profile", profile.build())
    .or_else("WebIdentityToken", token.build())
    .or_else("EcsContainer", container.build())
}

async fn region(options: &TargetOptions, scheme: Scheme) -> Result<Region, TargetError> {
    if let Some(region) = &options.region {
        return Ok(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder();
    let environment = match &options.keys {
        KeySource::Profile(name) => {
            profile = profile.profile_name(name);
            None
        }
        KeySource::Chain | KeySource::Key { .. } => Some(EnvironmentVariableRegionProvider::new()),
    };
    let found = match environment {
        Some(environment) => {
            let chain = RegionProviderChain::first_try(environment).or_else(profile.build());
            chain.region().await
        }
        None => profile.build().region().await,
    };
    match (found, scheme) {
        (Some(region), _) => Ok(region),
        (None, Scheme::Http) => Ok(Region::from_static(DEFAULT_REGION)),
        (None, Scheme::Https) => Err(TargetError::Options {
            what: format!("no region for {}", options.endpoint),
            help: "name one, or set AWS_REGION".to_owned(),
        }),
    }
}
