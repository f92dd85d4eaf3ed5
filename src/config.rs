//! Process settings: flag, then environment, then configuration file, then default; validated once.
//!
//! Nothing else reads the environment.

mod api;
mod quotas;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::model::arn::{Identity, IdentityError};
use crate::model::quota::Quotas;
use crate::telemetry::log::Format;
use crate::transport::SocketMode;
use crate::{discovery, translate};

pub use api::{ApiAuth, AuthMode, AwsEnvironment};
pub use quotas::{QuotaLimit, QuotaLimitError, QuotaSet};

/// What was typed, or written in the file: every setting may be left out.
///
/// The same members are flags, variables `OUTRIGGER_…` and members of the configuration file.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Layer {
    /// Mesh file or folder to serve, watched for changes; may be repeated [default: none, the mesh is what the API is told]
    #[arg(
        long,
        value_name = "PATH",
        env = "OUTRIGGER_MESH",
        value_delimiter = ','
    )]
    #[serde(default)]
    pub mesh: Vec<PathBuf>,
    /// Folder for what must outlive the process: what the API is told, registered endpoints, the last good DNS answers [default: none, nothing is kept]
    #[arg(long, value_name = "DIR", env = "OUTRIGGER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address for sidecars: ADS, state of the world and delta [default: 127.0.0.1:18000]
    #[arg(long, value_name = "ADDR", env = "OUTRIGGER_XDS_ADDR")]
    pub xds_addr: Option<SocketAddr>,
    /// Unix socket for sidecars of this machine, beside --xds-addr [default: none]
    #[arg(long, value_name = "PATH", env = "OUTRIGGER_XDS_SOCKET")]
    pub xds_socket: Option<PathBuf>,
    /// Who may connect to --xds-socket, as permission bits in octal [default: 0660, its user and group]
    #[arg(long, value_name = "MODE", env = "OUTRIGGER_XDS_SOCKET_MODE")]
    pub xds_socket_mode: Option<SocketMode>,
    /// Address for operators and API clients [default: 127.0.0.1:9080]
    #[arg(long, value_name = "ADDR", env = "OUTRIGGER_API_ADDR")]
    pub api_addr: Option<SocketAddr>,
    /// Address for /healthz, /readyz and /metrics [default: 127.0.0.1:9081]
    #[arg(long, value_name = "ADDR", env = "OUTRIGGER_ADMIN_ADDR")]
    pub admin_addr: Option<SocketAddr>,
    /// App Mesh's service quotas to keep the API's clients to: those that AWS granted, or none [default: none]
    #[arg(long, value_name = "SET", env = "OUTRIGGER_QUOTAS")]
    pub quotas: Option<QuotaSet>,
    /// One quota of the API's clients, as NAME=N, whatever --quotas says; may be repeated
    #[arg(
        long,
        value_name = "NAME=N",
        env = "OUTRIGGER_QUOTA",
        value_delimiter = ','
    )]
    #[serde(default)]
    pub quota: Vec<QuotaLimit>,
    /// How callers of --api-addr say who they are; beyond loopback `sigv4`, unless --insecure [default: none]
    #[arg(long, value_name = "MODE", env = "OUTRIGGER_API_AUTH")]
    pub api_auth: Option<AuthMode>,
    /// File with the keys of `--api-auth sigv4` and what each may do [default: none]
    #[arg(long, value_name = "FILE", env = "OUTRIGGER_API_CREDENTIALS")]
    pub api_credentials: Option<PathBuf>,
    /// Account in the ARNs of resources: twelve digits [default: 000000000000]
    #[arg(long, value_name = "ID", env = "OUTRIGGER_ACCOUNT_ID")]
    pub account_id: Option<String>,
    /// Region in the ARNs of resources [default: us-east-1]
    #[arg(long, value_name = "REGION", env = "OUTRIGGER_REGION")]
    pub region: Option<String>,
    /// Serve xDS or the API beyond loopback although nobody has to authenticate
    #[arg(long, env = "OUTRIGGER_INSECURE", num_args = 0..=1, default_missing_value = "true")]
    pub insecure: Option<bool>,
    /// DNS server that resolves the mesh's names, address:port; may be repeated [default: the system's]
    #[arg(
        long,
        value_name = "ADDR",
        env = "OUTRIGGER_DNS_SERVER",
        value_delimiter = ','
    )]
    #[serde(default)]
    pub dns_server: Vec<SocketAddr>,
    /// Shortest time between two look-ups of a name, whatever its TTL [default: 1s]
    #[arg(long, value_name = "DURATION", env = "OUTRIGGER_DNS_MIN_TTL", value_parser = humantime::parse_duration)]
    #[serde(default, deserialize_with = "duration")]
    pub dns_min_ttl: Option<Duration>,
    /// Longest time between two look-ups of a name, whatever its TTL [default: 30s]
    #[arg(long, value_name = "DURATION", env = "OUTRIGGER_DNS_MAX_TTL", value_parser = humantime::parse_duration)]
    #[serde(default, deserialize_with = "duration")]
    pub dns_max_ttl: Option<Duration>,
    /// How long a name keeps its last addresses after DNS says that it has none [default: 5m]
    #[arg(long, value_name = "DURATION", env = "OUTRIGGER_DNS_NEGATIVE_GRACE", value_parser = humantime::parse_duration)]
    #[serde(default, deserialize_with = "duration")]
    pub dns_negative_grace: Option<Duration>,
    /// Listener port of a virtual node with discovery and no listener; 0: such a node has none [default: 8080]
    #[arg(long, value_name = "PORT", env = "OUTRIGGER_DEFAULT_LISTENER_PORT")]
    pub default_listener_port: Option<u16>,
    /// Whether a node without `backends` in an `ALLOW_ALL` mesh has every virtual service as backend [default: true]
    #[arg(long, value_name = "BOOL", env = "OUTRIGGER_DEFAULT_BACKENDS")]
    pub default_backends: Option<bool>,
    /// Whether AWS's services (`*.amazonaws.com`) can be called out of a `DROP_ALL` mesh [default: true]
    #[arg(long, env = "OUTRIGGER_AWS_EGRESS", value_name = "BOOL")]
    pub aws_egress: Option<bool>,
    /// Whether routes without a retry policy get App Mesh's default one [default: true]
    #[arg(long, value_name = "BOOL", env = "OUTRIGGER_DEFAULT_RETRY_POLICY")]
    pub default_retry_policy: Option<bool>,
    /// How long a sidecar's connection may last, more or less a tenth; then it is told to connect again, which spreads a
    /// fleet over control planes that came later [default: for ever]
    #[arg(long, value_name = "DURATION", env = "OUTRIGGER_XDS_CONNECTION_AGE", value_parser = humantime::parse_duration)]
    #[serde(default, deserialize_with = "duration")]
    pub xds_connection_age: Option<Duration>,
    /// Longest time that an ordered stop may take [default: 10s]
    #[arg(long, value_name = "DURATION", env = "OUTRIGGER_SHUTDOWN_GRACE", value_parser = humantime::parse_duration)]
    #[serde(default, deserialize_with = "duration")]
    pub shutdown_grace: Option<Duration>,
    /// What to log: a level, or `target=level` pairs [default: info]
    #[arg(long, value_name = "FILTER", env = "OUTRIGGER_LOG")]
    pub log: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "OUTRIGGER_LOG_FORMAT")]
    pub log_format: Option<Format>,
}

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
        "--dns-min-ttl {min:?} is above --dns-max-ttl {max:?}; lower the one or raise the other"
    )]
    TtlRange { min: Duration, max: Duration },
}

impl Layer {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read, or is not a map of known settings.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        serde_saphyr::from_str(&text).map_err(|source| ConfigError::Invalid {
            path: path.to_owned(),
            // The place is in the words; the excerpt would name the file `<input>`.
            source: Box::new(match source {
                serde_saphyr::Error::WithSnippet { error, .. } => *error,
                bare => bare,
            }),
        })
    }

    /// This layer, with what it leaves out taken from the one below.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let list = |own: Vec<_>, below| if own.is_empty() { below } else { own };
        Self {
            mesh: if self.mesh.is_empty() {
                below.mesh
            } else {
                self.mesh
            },
            data_dir: self.data_dir.or(below.data_dir),
            xds_addr: self.xds_addr.or(below.xds_addr),
            xds_socket: self.xds_socket.or(below.xds_socket),
            xds_socket_mode: self.xds_socket_mode.or(below.xds_socket_mode),
            api_addr: self.api_addr.or(below.api_addr),
            admin_addr: self.admin_addr.or(below.admin_addr),
            quotas: self.quotas.or(below.quotas),
            quota: if self.quota.is_empty() {
                below.quota
            } else {
                self.quota
            },
            api_auth: self.api_auth.or(below.api_auth),
            api_credentials: self.api_credentials.or(below.api_credentials),
            account_id: self.account_id.or(below.account_id),
            region: self.region.or(below.region),
            insecure: self.insecure.or(below.insecure),
            dns_server: list(self.dns_server, below.dns_server),
            dns_min_ttl: self.dns_min_ttl.or(below.dns_min_ttl),
            dns_max_ttl: self.dns_max_ttl.or(below.dns_max_ttl),
            dns_negative_grace: self.dns_negative_grace.or(below.dns_negative_grace),
            default_listener_port: self.default_listener_port.or(below.default_listener_port),
            default_backends: self.default_backends.or(below.default_backends),
            aws_egress: self.aws_egress.or(below.aws_egress),
            default_retry_policy: self.default_retry_policy.or(below.default_retry_policy),
            xds_connection_age: self.xds_connection_age.or(below.xds_connection_age),
            shutdown_grace: self.shutdown_grace.or(below.shutdown_grace),
            log: self.log.or(below.log),
            log_format: self.log_format.or(below.log_format),
        }
    }

    /// Fills in the defaults and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`] for settings that do not go together, or that would open the mesh to strangers.
    pub fn into_settings(self) -> Result<Settings, ConfigError> {
        let defaults = Settings::default();
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

fn duration<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(yaml: &str) -> Layer {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn an_upper_layer_wins_member_by_member() {
        let flags = layer("xds-addr: 127.0.0.1:1\ndns-min-ttl: 2s\n");
        let file =
            layer("mesh: [a]\nxds-addr: 127.0.0.1:2\napi-addr: 127.0.0.1:3\nlog-format: json\n");
        let settings = flags.over(file).into_settings().unwrap();
        assert_eq!(settings.mesh, [PathBuf::from("a")]);
        assert_eq!(settings.xds_addr.port(), 1);
        assert_eq!(settings.api_addr.port(), 3);
        assert_eq!(settings.admin_addr, Settings::default().admin_addr);
        assert_eq!(settings.dns.min_ttl, Duration::from_secs(2));
        assert_eq!(settings.log_format, Format::Json);
    }

    #[test]
    fn a_deviation_can_be_switched_off() {
        let settings = layer("mesh: [a]\ndefault-listener-port: 0\ndefault-backends: false\n");
        let translation = settings.into_settings().unwrap().translation;
        assert_eq!(translation.default_listener_port, None);
        assert!(!translation.default_backends && translation.default_retry_policy);
    }

    #[test]
    fn nothing_opens_beyond_loopback_unless_meant() {
        for member in ["xds-addr", "api-addr"] {
            let open = format!("mesh: [a]\n{member}: 0.0.0.0:1\n");
            let error = layer(&open).into_settings().unwrap_err().to_string();
            assert!(
                error.contains(&format!("--{member} 0.0.0.0:1")) && error.contains("--insecure"),
                "{error}"
            );
            assert!(
                layer(&format!("{open}insecure: true\n"))
                    .into_settings()
                    .is_ok()
            );
        }
    }

    #[test]
    fn the_api_beyond_loopback_may_be_open_to_those_who_sign() {
        let open = "mesh: [a]\napi-addr: 0.0.0.0:1\napi-auth: sigv4\n";
        let settings = layer(&format!("{open}api-credentials: keys.yaml\n"));
        let credentials = PathBuf::from("keys.yaml");
        let expected = ApiAuth::Sigv4 { credentials };
        assert_eq!(settings.into_settings().unwrap().api_auth, expected);
        let error = layer(open).into_settings().unwrap_err();
        assert!(matches!(error, ConfigError::NoCredentials), "{error}");
        for unused in ["", "api-auth: none\n"] {
            let unused = layer(&format!("mesh: [a]\n{unused}api-credentials: keys.yaml\n"));
            let error = unused.into_settings().unwrap_err();
            assert!(matches!(error, ConfigError::UnusedCredentials), "{error}");
        }
        let xds =
            layer("mesh: [a]\nxds-addr: 0.0.0.0:1\napi-auth: sigv4\napi-credentials: keys.yaml\n");
        assert!(matches!(xds.into_settings(), Err(ConfigError::Open { .. })));
    }

    #[test]
    fn arns_have_an_account_and_a_region() {
        let settings = layer("mesh: [a]\naccount-id: 012345678901\nregion: eu-central-1\n");
        let settings = settings.into_settings().unwrap();
        assert_eq!(settings.identity.account_id.as_str(), "012345678901");
        assert_eq!(settings.identity.region.as_str(), "eu-central-1");
        for wrong in ["account-id: '1'", "region: Frankfurt"] {
            let error = layer(&format!("mesh: [a]\n{wrong}\n")).into_settings();
            assert!(error.is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_xds_socket_has_a_mode_in_octal() {
        let socket = "mesh: [a]\nxds-socket: /run/outrigger/xds.sock\n";
        let settings = layer(socket).into_settings().unwrap();
        assert_eq!(
            settings.xds_socket.as_deref(),
            Some(Path::new("/run/outrigger/xds.sock"))
        );
        assert_eq!(settings.xds_socket_mode, "0660".parse().unwrap());
        for mode in ["0666", "\"0666\"", "666"] {
            let layer = layer(&format!("{socket}xds-socket-mode: {mode}\n"));
            assert_eq!(layer.xds_socket_mode, Some("0666".parse().unwrap()));
        }
        assert!(serde_saphyr::from_str::<Layer>("xds-socket-mode: rw\n").is_err());
        let none = layer("mesh: [a]\nxds-socket: \"\"\n");
        assert_eq!(none.into_settings().unwrap().xds_socket, None);
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_an_error() {
        assert!(serde_saphyr::from_str::<Layer>("xds-adr: 127.0.0.1:1\n").is_err());
    }

    #[test]
    fn every_setting_has_a_default() {
        let settings = Layer::default().into_settings().unwrap();
        assert!(settings.mesh.is_empty() && settings.data_dir.is_none());
    }

    #[test]
    fn the_example_file_names_every_setting_and_parses() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/outrigger.yaml");
        let example = Layer::from_file(&path).unwrap().into_settings().unwrap();
        assert_eq!(example.xds_addr, Settings::default().xds_addr);
        let text = std::fs::read_to_string(path).unwrap();
        let command = <Layer as clap::Args>::augment_args(clap::Command::new("serve"));
        for flag in command
            .get_arguments()
            .filter_map(|argument| argument.get_long())
        {
            assert!(
                text.contains(&format!("{flag}:")),
                "config/outrigger.yaml does not mention `{flag}`"
            );
        }
    }
}
