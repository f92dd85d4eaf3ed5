//! What is to be redirected, as people say it: flags, or the environment variables of App Mesh's own scripts.
//!
//! Every member is taken as text, so that one run names everything that is wrong. An empty list is an empty list; any
//! other member that is empty counts as left out, for the scripts treat it so.
//!
//! `APPMESH_START_ENABLED` is not read: whoever says `install` means it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::{Intervals, Point, Redirection};
use crate::envoy::bootstrap::ADMIN_PORT;
use crate::model::{EGRESS_PORT, INGRESS_PORT};

/// The user that App Mesh's sidecars run as.
const ENVOY_UID: u32 = 1337;
/// Where EC2 and ECS tell a host who it is.
const METADATA_SERVICES: &str = "169.254.169.254,169.254.170.2";
/// Nobody is to be locked out by a sidecar.
const SSH_PORT: u16 = 22;

/// What was typed or set.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Settings {
    /// Ports that the application listens on: what other hosts send there goes through the sidecar. None: only what the
    /// application sends does
    #[arg(long, value_name = "PORTS", env = APP_PORTS.variable)]
    pub app_ports: Option<String>,
    /// Port where Envoy takes what comes in [default: 15000]
    #[arg(long, value_name = "PORT", env = INGRESS.variable)]
    pub ingress_port: Option<String>,
    /// Port where Envoy takes what applications send [default: 15001]
    #[arg(long, value_name = "PORT", env = EGRESS.variable)]
    pub egress_port: Option<String>,
    /// User ids whose traffic is left alone: the one that Envoy runs as [default: 1337, without --ignore-gid]
    #[arg(long, value_name = "UIDS", env = UID.variable)]
    pub ignore_uid: Option<String>,
    /// Group ids whose traffic is left alone
    #[arg(long, value_name = "GIDS", env = GID.variable)]
    pub ignore_gid: Option<String>,
    /// Addresses and networks, of both families, to which applications connect directly [default:
    /// 169.254.169.254,169.254.170.2]
    #[arg(long, value_name = "ADDRESSES", env = IGNORED_IP.variable)]
    pub egress_ignored_ip: Option<String>,
    /// Ports to which applications connect directly, beside 22
    #[arg(long, value_name = "PORTS", env = IGNORED_PORTS.variable)]
    pub egress_ignored_ports: Option<String>,
    /// Redirect IPv6 too; for nodes and meshes with an `ipPreference`, whose sidecars listen on IPv6 [default: 0]
    #[arg(long, value_name = "BOOL", env = IPV6.variable, num_args = 0..=1, default_missing_value = "1")]
    pub enable_ipv6: Option<String>,
}

/// What a setting is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub flag: &'static str,
    pub variable: &'static str,
}

const fn name(flag: &'static str, variable: &'static str) -> Name {
    Name { flag, variable }
}

const APP_PORTS: Name = name("--app-ports", "APPMESH_APP_PORTS");
const INGRESS: Name = name("--ingress-port", "APPMESH_ENVOY_INGRESS_PORT");
const EGRESS: Name = name("--egress-port", "APPMESH_ENVOY_EGRESS_PORT");
const UID: Name = name("--ignore-uid", "APPMESH_IGNORE_UID");
const GID: Name = name("--ignore-gid", "APPMESH_IGNORE_GID");
const IGNORED_IP: Name = name("--egress-ignored-ip", "APPMESH_EGRESS_IGNORED_IP");
const IGNORED_PORTS: Name = name("--egress-ignored-ports", "APPMESH_EGRESS_IGNORED_PORTS");
const IPV6: Name = name("--enable-ipv6", "APPMESH_ENABLE_IPV6");

/// Everything that is wrong with the settings.
#[derive(Debug, Error)]
#[error("{}", lines(problems))]
pub struct SettingsError {
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("{name} has `{item}`, which is no {expected}")]
    Item {
        name: Name,
        item: String,
        expected: &'static str,
    },
    #[error(
        "{name} has {port}, which is the sidecar's own {purpose}; have the application listen on another port"
    )]
    Reserved {
        name: Name,
        port: u16,
        purpose: &'static str,
    },
    #[error("{INGRESS} and {EGRESS} are both {port}; Envoy needs a port for each")]
    SamePort { port: u16 },
}

impl Settings {
    /// Fills in the defaults and checks the whole.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem.
    pub fn redirection(&self) -> Result<Redirection, SettingsError> {
        let mut problems = Problems::default();
        let ingress_port = problems.port(INGRESS, self.ingress_port.as_deref(), INGRESS_PORT);
        let egress_port = problems.port(EGRESS, self.egress_port.as_deref(), EGRESS_PORT);
        let (ignored_ipv4, ignored_ipv6) = problems.addresses(
            IGNORED_IP,
            self.egress_ignored_ip
                .as_deref()
                .unwrap_or(METADATA_SERVICES),
        );
        let ignored_ports = problems.ports(IGNORED_PORTS, self.egress_ignored_ports.as_deref());
        let mut redirection = Redirection {
            ingress_port,
            egress_port,
            app_ports: Intervals::from_iter(problems.ports(APP_PORTS, self.app_ports.as_deref())),
            ignored_uids: problems.ids(UID, self.ignore_uid.as_deref()),
            ignored_gids: problems.ids(GID, self.ignore_gid.as_deref()),
            ignored_ipv4,
            ignored_ipv6,
            ignored_ports: ignored_ports
                .into_iter()
                .chain([(SSH_PORT, SSH_PORT)])
                .collect(),
            ipv6: problems.switch(IPV6, self.enable_ipv6.as_deref()),
        };
        if redirection.ignored_uids.is_empty() && redirection.ignored_gids.is_empty() {
            redirection.ignored_uids = Intervals::from_iter([(ENVOY_UID, ENVOY_UID)]);
        }
        problems.collisions(&redirection);
        if problems.0.is_empty() {
            return Ok(redirection);
        }
        Err(SettingsError {
            problems: problems.0,
        })
    }
}

/// What was found wrong so far. A reader adds to it, and returns what it can.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn list<T>(
        &mut self,
        name: Name,
        list: &str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let items = list.split(',').map(str::trim);
        let mut values = Vec::new();
        for item in items.filter(|item| !item.is_empty()) {
            match read(item) {
                Some(value) => values.push(value),
                None => self.0.push(Problem::Item {
                    name,
                    item: item.to_owned(),
                    expected,
                }),
            }
        }
        values
    }

    fn ports(&mut self, name: Name, list: Option<&str>) -> Vec<(u16, u16)> {
        let expected = "port from 1 to 65535, nor a range of them such as 8000-8010";
        let list = list.unwrap_or_default();
        self.list(name, list, expected, Intervals::parse_item)
    }

    fn ids(&mut self, name: Name, list: Option<&str>) -> Intervals<u32> {
        let expected = "number of a user or group (`id -u USER`, `id -g USER` say it)";
        let list = list.unwrap_or_default();
        Intervals::from_iter(self.list(name, list, expected, Intervals::parse_item))
    }

    fn addresses(&mut self, name: Name, list: &str) -> (Intervals<Ipv4Addr>, Intervals<Ipv6Addr>) {
        /// One of the two.
        type Either = (Option<(Ipv4Addr, Ipv4Addr)>, Option<(Ipv6Addr, Ipv6Addr)>);
        let expected = "IP address, nor a network such as 10.0.0.0/8 or fd00::/8";
        let read = |item: &str| -> Option<Either> {
            let either = (Intervals::parse_item(item), Intervals::parse_item(item));
            (either.0.is_some() || either.1.is_some()).then_some(either)
        };
        let addresses = self.list(name, list, expected, read);
        (
            addresses.iter().filter_map(|either| either.0).collect(),
            addresses.iter().filter_map(|either| either.1).collect(),
        )
    }

    fn port(&mut self, name: Name, value: Option<&str>, default: u16) -> u16 {
        let value = value.map(str::trim).filter(|value| !value.is_empty());
        let Some(value) = value else { return default };
        Point::parse(value).unwrap_or_else(|| {
            self.0.push(Problem::Item {
                name,
                item: value.to_owned(),
                expected: "port from 1 to 65535",
            });
            default
        })
    }

    fn switch(&mut self, name: Name, value: Option<&str>) -> bool {
        match value.map(str::trim).unwrap_or_default() {
            "1" | "true" => true,
            "" | "0" | "false" => false,
            other => {
                self.0.push(Problem::Item {
                    name,
                    item: other.to_owned(),
                    expected: "answer to yes or no: write 1 or 0",
                });
                false
            }
        }
    }

    /// Ports that one another's listeners would take.
    fn collisions(&mut self, redirection: &Redirection) {
        let own = [
            (redirection.ingress_port, "ingress port"),
            (redirection.egress_port, "egress port"),
            (ADMIN_PORT, "admin port"),
        ];
        for (port, purpose) in own {
            if redirection.app_ports.contains(port) {
                self.0.push(Problem::Reserved {
                    name: APP_PORTS,
                    port,
                    purpose,
                });
            }
        }
        if redirection.ingress_port == redirection.egress_port {
            self.0.push(Problem::SamePort {
                port: redirection.egress_port,
            });
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.flag, self.variable)
    }
}

fn lines(problems: &[Problem]) -> String {
    if let [problem] = problems {
        return problem.to_string();
    }
    let lines: Vec<String> = problems.iter().map(|line| format!("  {line}")).collect();
    let count = problems.len();
    format!("{count} settings cannot be used:\n{}", lines.join("\n"))
}
