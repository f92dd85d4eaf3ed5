//! `outrigger capture`: the redirection of this host's traffic into its sidecar.

use serde::Serialize;

use super::output::{self, CliError, Exit, Output};
use crate::capture::listing::InForce;
use crate::capture::settings::Settings;
use crate::capture::{Intervals, Point, Redirection, nft, ruleset};

/// Redirect this host's TCP traffic into its sidecar, as App Mesh's `proxyinit` did
#[derive(Debug, clap::Args)]
pub struct CaptureArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Set the redirection up, in place of an older one; connections that are open stay as they are
    Install(InstallArgs),
    /// Take the redirection away; connections that go through the sidecar end
    Remove,
    /// Show what is redirected; exits with 1 if nothing is
    Show {
        /// Form of the output
        #[arg(long, short, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    #[command(flatten)]
    settings: Settings,
    /// Print the rules, as input for `nft --file -`, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Does it and returns what to print, and the exit code of an answer that is no.
///
/// # Errors
/// When settings are wrong, or the rules cannot be read or changed.
pub async fn run(args: CaptureArgs) -> Result<(String, Option<Exit>), CliError> {
    match args.action {
        Action::Install(args) => Ok((install(&args).await?, None)),
        Action::Remove => {
            let removed = nft::remove().await.map_err(CliError::unable_error)?;
            let text = if removed {
                "removed\n"
            } else {
                "nothing was redirected\n"
            };
            Ok((text.to_owned(), None))
        }
        Action::Show { output } => {
            let found = nft::in_force().await.map_err(CliError::unable_error)?;
            let exit = found.is_none().then_some(Exit::No);
            let text = output::render(output, &Shown::from(found), table)?;
            Ok((text, exit))
        }
    }
}

async fn install(args: &InstallArgs) -> Result<String, CliError> {
    let settings = &args.settings;
    let redirection = settings.redirection().map_err(CliError::unable_error)?;
    if args.dry_run {
        return Ok(ruleset::installation(&redirection));
    }
    nft::install(&redirection)
        .await
        .map_err(CliError::unable_error)?;
    Ok(columns(&Installed::new(redirection), |_| String::new()))
}

/// What is printed as JSON and YAML.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    installed: bool,
    #[serde(flatten)]
    redirection: Option<Installed>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Installed {
    ingress: Ingress,
    egress: Egress,
    ipv6: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ingress {
    app_ports: Intervals<u16>,
    port: u16,
    connections: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Egress {
    port: u16,
    ignored_uids: Intervals<u32>,
    ignored_gids: Intervals<u32>,
    ignored_addresses: Vec<String>,
    ignored_ports: Intervals<u16>,
    connections: u64,
}

impl Installed {
    fn new(redirection: Redirection) -> Self {
        let mut ignored_addresses = redirection.ignored_ipv4.items();
        ignored_addresses.extend(redirection.ignored_ipv6.items());
        Self {
            ingress: Ingress {
                app_ports: redirection.app_ports,
                port: redirection.ingress_port,
                connections: 0,
            },
            egress: Egress {
                port: redirection.egress_port,
                ignored_uids: redirection.ignored_uids,
                ignored_gids: redirection.ignored_gids,
                ignored_addresses,
                ignored_ports: redirection.ignored_ports,
                connections: 0,
            },
            ipv6: redirection.ipv6,
        }
    }
}

impl From<Option<InForce>> for Shown {
    fn from(found: Option<InForce>) -> Self {
        let redirection = found.map(|found| {
            let mut installed = Installed::new(found.redirection);
            installed.ingress.connections = found.ingress_connections;
            installed.egress.connections = found.egress_connections;
            installed
        });
        Self {
            installed: redirection.is_some(),
            redirection,
        }
    }
}

fn table(shown: &Shown) -> String {
    let so_far = |connections| format!("; connections so far: {connections}");
    match &shown.redirection {
        Some(installed) => columns(installed, so_far),
        None => "nothing is redirected; `outrigger capture install` sets it up\n".to_owned(),
    }
}

fn columns(installed: &Installed, count: impl Fn(u64) -> String) -> String {
    let Installed {
        ingress,
        egress,
        ipv6,
    } = installed;
    let incoming = if ingress.app_ports.is_empty() {
        "nothing".to_owned()
    } else {
        let to = format!("TCP ports {} to {}", ingress.app_ports, ingress.port);
        to + &count(ingress.connections)
    };
    let outgoing = format!("TCP to {}", egress.port) + &count(egress.connections);
    let families = if *ipv6 { "IPv4, IPv6" } else { "IPv4" };
    let rows = [
        ("ingress", incoming),
        ("egress", outgoing),
        ("families", families.to_owned()),
        ("except uid", listed(&egress.ignored_uids)),
        ("except gid", listed(&egress.ignored_gids)),
        ("except address", dash(egress.ignored_addresses.join(", "))),
        ("except port", listed(&egress.ignored_ports)),
    ];
    let rows = rows.map(|(what, value)| [what.to_owned(), value]);
    output::columns(["REDIRECTED", ""].map(str::to_owned), rows)
}

fn listed<T: Point>(intervals: &Intervals<T>) -> String {
    dash(intervals.to_string())
}

fn dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}
