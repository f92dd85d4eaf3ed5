//! One layer of settings, as it was typed or written: each may be left out, and is then what the layer below says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{AuthMode, ConfigError, QuotaLimit, QuotaSet};
use crate::appmesh::watch::{Drift, checked_interval};
use crate::telemetry::log::Format;
use crate::transport::SocketMode;

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
    /// App Mesh's service quotas to keep the API's clients to: those that AWS granted, or none; what mesh files declare
    /// counts too [default: none]
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
    /// URL of another endpoint of App Mesh's API, another Outrigger's or AWS's, that is kept as the mesh is here; needs
    /// --data-dir [default: none]
    #[arg(long, value_name = "URL", env = "OUTRIGGER_MIRROR_ENDPOINT")]
    pub mirror_endpoint: Option<String>,
    /// Region that calls to --mirror-endpoint are signed for [default: that of the environment or the profile]
    #[arg(long, value_name = "REGION", env = "OUTRIGGER_MIRROR_REGION")]
    pub mirror_region: Option<String>,
    /// Profile of AWS's configuration with the key for --mirror-endpoint [default: where every AWS client looks]
    #[arg(long, value_name = "NAME", env = "OUTRIGGER_MIRROR_PROFILE")]
    pub mirror_profile: Option<String>,
    /// Account that --mirror-endpoint has to belong to [default: whichever it does at first]
    #[arg(long, value_name = "ID", env = "OUTRIGGER_MIRROR_ACCOUNT")]
    pub mirror_account: Option<String>,
    /// Mirror this mesh only; may be repeated [default: all]
    #[arg(
        long,
        value_name = "MESH",
        env = "OUTRIGGER_MIRROR_MESH",
        value_delimiter = ','
    )]
    #[serde(default)]
    pub mirror_mesh: Vec<String>,
    /// Take over what somebody else made at --mirror-endpoint and the mesh here has too
    #[arg(long, env = "OUTRIGGER_MIRROR_ADOPT", num_args = 0..=1, default_missing_value = "true")]
    pub mirror_adopt: Option<bool>,
    /// Delete at --mirror-endpoint what was mirrored and the mesh here no longer has
    #[arg(long, env = "OUTRIGGER_MIRROR_PRUNE", num_args = 0..=1, default_missing_value = "true")]
    pub mirror_prune: Option<bool>,
    /// Calls a second to --mirror-endpoint; 0: no limit [default: 50, and no limit on this machine]
    #[arg(long, value_name = "N", env = "OUTRIGGER_MIRROR_RATE")]
    pub mirror_rate: Option<u32>,
    /// What becomes of what somebody else changes at --mirror-endpoint [default: repair]
    #[arg(long, value_name = "HOW", env = "OUTRIGGER_MIRROR_DRIFT")]
    pub mirror_drift: Option<Drift>,
    /// How often all of --mirror-endpoint is read [default: 5m]
    #[arg(long, value_name = "DURATION", env = "OUTRIGGER_MIRROR_DRIFT_INTERVAL", value_parser = checked_interval)]
    #[serde(default, deserialize_with = "duration")]
    pub mirror_drift_interval: Option<Duration>,
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
        Self {
            mesh: list(self.mesh, below.mesh),
            data_dir: self.data_dir.or(below.data_dir),
            xds_addr: self.xds_addr.or(below.xds_addr),
            xds_socket: self.xds_socket.or(below.xds_socket),
            xds_socket_mode: self.xds_socket_mode.or(below.xds_socket_mode),
            api_addr: self.api_addr.or(below.api_addr),
            admin_addr: self.admin_addr.or(below.admin_addr),
            quotas: self.quotas.or(below.quotas),
            quota: list(self.quota, below.quota),
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
            mirror_endpoint: self.mirror_endpoint.or(below.mirror_endpoint),
            mirror_region: self.mirror_region.or(below.mirror_region),
            mirror_profile: self.mirror_profile.or(below.mirror_profile),
            mirror_account: self.mirror_account.or(below.mirror_account),
            mirror_mesh: list(self.mirror_mesh, below.mirror_mesh),
            mirror_adopt: self.mirror_adopt.or(below.mirror_adopt),
            mirror_prune: self.mirror_prune.or(below.mirror_prune),
            mirror_rate: self.mirror_rate.or(below.mirror_rate),
            mirror_drift: self.mirror_drift.or(below.mirror_drift),
            mirror_drift_interval: self.mirror_drift_interval.or(below.mirror_drift_interval),
            shutdown_grace: self.shutdown_grace.or(below.shutdown_grace),
            log: self.log.or(below.log),
            log_format: self.log_format.or(below.log_format),
        }
    }
}

/// A list, or the one below where it has nothing.
fn list<T>(own: Vec<T>, below: Vec<T>) -> Vec<T> {
    if own.is_empty() { below } else { own }
}

fn duration<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}
