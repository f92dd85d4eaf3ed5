//! Process settings: flag, then environment, then configuration file, then default; validated once.
//!
//! Nothing else reads the environment.

mod api;
mod layer;
mod mirror;
mod quotas;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::appmesh::client::TargetError;
use crate::appmesh::watch;
use crate::model::NameError;
use crate::model::arn::{Identity, IdentityError};
use crate::model::quota::Quotas;
use crate::telemetry::log::Format;
use crate::transport::SocketMode;
use crate::{discovery, translate};

pub use api::{ApiAuth, AuthMode, AwsEnvironment};
pub use layer::Layer;
pub use quotas::{QuotaLimit, QuotaLimitError, QuotaSet};

/// The settings of `serve`, complete and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub mesh: Vec<PathBuf>,
    /// `None`: nothing outlives the process.
    pub data_dir: Option<PathBuf>,
    pub xds_addr: SocketAddr,
    pub xds_socket: Option<PathBuf>,
    pub xds_socket_mode: SocketMode,
    /// `None`: a connection may last for ever.
    pub xds_connection_age: Option<Duration>,
    pub api_addr: SocketAddr,
    /// What the API's clients may make.
    pub quotas: Quotas,
    pub api_auth: ApiAuth,
    /// Who this control plane is in ARNs.
    pub identity: Identity,
    pub admin_addr: SocketAddr,
    pub dns: discovery::Settings,
    pub translation: translate::Options,
    /// `None`: nothing is mirrored.
    pub mirror: Option<watch::Settings>,
    pub shutdown_grace: Duration,
    pub log: String,
    pub log_format: Format,
}

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read configuration file `{}`; name one that exists with --config", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("configuration file `{}` is not valid", path.display())]
    Invalid {
        path: PathBuf,
        source: Box<serde_saphyr::Error>,
    },
    #[error(
        "{flag} {addr} is reachable from other hosts and nobody has to authenticate there; \
         {}bind a loopback address, or pass --insecure if that is meant",
        if *flag == "--api-addr" { "pass --api-auth sigv4, " } else { "" }
    )]
    Open {
        flag: &'static str,
        addr: SocketAddr,
    },
    #[error("--api-auth sigv4 needs keys; name a file of them with --api-credentials")]
    NoCredentials,
    #[error(
        "--api-credentials names keys and nobody has to use them; pass --api-auth sigv4, or leave the file out"
    )]
    UnusedCredentials,
    /// `--account-id` or `--region`.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "{flag} says how to mirror, and nothing says where; name a target with --mirror-endpoint, or leave it out"
    )]
    MirrorWithoutTarget { flag: &'static str },
    #[error(
        "--mirror-endpoint needs --data-dir, since the target knows the mirror by an id that has to outlive the process; name a folder"
    )]
    MirrorWithoutData,
    /// `--mirror-endpoint`.
    #[error("cannot mirror")]
    MirrorTarget(#[from] TargetError),
    #[error("--mirror-mesh `{mesh}` names no mesh")]
    MirrorMesh { mesh: String, source: NameError },
    #[error("--mirror-drift-interval {interval:?} is too short or too long; use 1s to 365d")]
    MirrorInterval { interval: Duration },
    #[error(
        "--dns-min-ttl {min:?} is above --dns-max-ttl {max:?}; lower the one or raise the other"
    )]
    TtlRange { min: Duration, max: Duration },
}

impl Layer {
    /// Fills in the defaults and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`] for settings that do not go together, or that would open the mesh to strangers.
    pub fn into_settings(mut self) -> Result<Settings, ConfigError> {
        let defaults = Settings::default();
        let mirror = mirror::settings(&mut self)?;
        let insecure = self.insecure.unwrap_or(false);
        let mut dns = discovery::Settings {
            servers: self.dns_server,
            ..defaults.dns
        };
        dns.min_ttl = self.dns_min_ttl.unwrap_or(dns.min_ttl);
        dns.max_ttl = self.dns_max_ttl.unwrap_or(dns.max_ttl);
        dns.negative_grace = self.dns_negative_grace.unwrap_or(dns.negative_grace);
        let mut translation = defaults.translation;
        if let Some(port) = self.default_listener_port {
            translation.default_listener_port = (port != 0).then_some(port);
        }
        translation.default_backends = self
            .default_backends
            .unwrap_or(translation.default_backends);
        translation.aws_egress = self.aws_egress.unwrap_or(translation.aws_egress);
        translation.default_retry_policy = self
            .default_retry_policy
            .unwrap_or(translation.default_retry_policy);
        let credentials = (self.api_credentials).filter(|path| !path.as_os_str().is_empty());
        let api_auth = match (self.api_auth, credentials) {
            (None | Some(AuthMode::None), None) => ApiAuth::None,
            (Some(AuthMode::Sigv4), Some(credentials)) => ApiAuth::Sigv4 { credentials },
            (Some(AuthMode::Sigv4), None) => return Err(ConfigError::NoCredentials),
            (None | Some(AuthMode::None), Some(_)) => return Err(ConfigError::UnusedCredentials),
        };
        let mut identity = defaults.identity;
        if let Some(account_id) = self.account_id {
            identity.account_id = account_id.parse()?;
        }
        if let Some(region) = self.region {
            identity.region = region.parse()?;
        }
        let settings = Settings {
            mesh: self.mesh,
            data_dir: self.data_dir,
            xds_addr: self.xds_addr.unwrap_or(defaults.xds_addr),
            xds_socket: self.xds_socket.filter(|path| !path.as_os_str().is_empty()),
            xds_socket_mode: self.xds_socket_mode.unwrap_or_default(),
            xds_connection_age: self.xds_connection_age.filter(|age| !age.is_zero()),
            api_addr: self.api_addr.unwrap_or(defaults.api_addr),
            quotas: quotas::quotas(self.quotas, &self.quota),
            api_auth,
            identity,
            admin_addr: self.admin_addr.unwrap_or(defaults.admin_addr),
            dns,
            translation,
            mirror,
            shutdown_grace: self.shutdown_grace.unwrap_or(defaults.shutdown_grace),
            log: self.log.unwrap_or(defaults.log),
            log_format: self.log_format.unwrap_or(defaults.log_format),
        };
        settings.check(insecure)?;
        Ok(settings)
    }
}

impl Settings {
    fn check(&self, insecure: bool) -> Result<(), ConfigError> {
        let open = self.api_auth == ApiAuth::None;
        for (flag, addr, open) in [
            ("--xds-addr", self.xds_addr, true),
            ("--api-addr", self.api_addr, open),
        ] {
            if open && !addr.ip().is_loopback() && !insecure {
                return Err(ConfigError::Open { flag, addr });
            }
        }
        if let Some(watch::Settings { drift_interval, .. }) = self.mirror
            && !watch::INTERVALS.contains(&drift_interval)
        {
            let interval = drift_interval;
            return Err(ConfigError::MirrorInterval { interval });
        }
        if self.dns.min_ttl > self.dns.max_ttl {
            return Err(ConfigError::TtlRange {
                min: self.dns.min_ttl,
                max: self.dns.max_ttl,
            });
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            mesh: Vec::new(),
            data_dir: None,
            xds_addr: loopback(18000),
            xds_socket: None,
            xds_socket_mode: SocketMode::default(),
            xds_connection_age: None,
            api_addr: loopback(9080),
            quotas: Quotas::default(),
            api_auth: ApiAuth::None,
            identity: Identity::default(),
            admin_addr: loopback(9081),
            dns: discovery::Settings::default(),
            translation: translate::Options::default(),
            mirror: None,
            shutdown_grace: Duration::from_secs(10),
            log: "info".to_owned(),
            log_format: Format::Text,
        }
    }
}

/// Where programs and their caches lie, and which Envoy is meant: the environment beyond `OUTRIGGER_…` flags.
#[derive(Clone, Debug)]
pub struct EnvoyEnvironment {
    /// `OUTRIGGER_ENVOY`: a binary to use as it is.
    pub binary: Option<PathBuf>,
    /// Where a fetched Envoy is kept: `outrigger` in the user's cache folder.
    pub cache: PathBuf,
}

impl EnvoyEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads the environment"
    )]
    pub fn read() -> Self {
        let folder = |name| {
            std::env::var(name)
                .ok()
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        let cache = folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir);
        Self {
            binary: folder("OUTRIGGER_ENVOY"),
            cache: cache.join("outrigger"),
        }
    }
}
