//! `outrigger bootstrap`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::ValueEnum;

use super::output::CliError;
use crate::envoy::bootstrap::{self, BootstrapOptions, XdsAddress, XdsProtocol};
use crate::model::{Capture, NodeRef};

/// Print the bootstrap of a virtual node's Envoy, or of a gRPC client without one, as JSON
#[derive(Debug, clap::Args)]
pub struct BootstrapArgs {
    /// mesh/MESH/virtualNode/NODE, or the whole ARN
    node: String,
    /// Where the sidecar finds the control plane: `host:port`, or `unix:///PATH` for its --xds-socket
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:18000")]
    xds_addr: String,
    /// What reads it: the other options below are Envoy's
    #[arg(long, value_enum, default_value_t = Client::Envoy)]
    client: Client,
    /// How traffic enters the sidecar [default: explicit]
    #[arg(long, value_enum)]
    capture: Option<CaptureMode>,
    /// The IP address that the sidecar's listeners bind; not the application's own [default: 127.0.0.2]
    #[arg(long, value_name = "ADDR")]
    bind: Option<IpAddr>,
    /// Where the application answers for a listener's port; may be repeated [default: 127.0.0.1 and the same port]
    #[arg(long, value_name = "PORT=ADDR", value_parser = bootstrap::parse_application)]
    app: Vec<(u16, SocketAddr)>,
    /// Envoy's admin address [default: port 9901 of --bind if that is loopback, else of 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    admin_addr: Option<SocketAddr>,
    /// Where Prometheus may scrape /stats/prometheus and an orchestrator ask /ready, and nothing else of admin
    #[arg(long, value_name = "ADDR")]
    stats_addr: Option<SocketAddr>,
    /// Ask for changes only (the default)
    #[arg(long, conflicts_with = "sotw")]
    delta: bool,
    /// Ask for the state of the world, as App Mesh's sidecars do
    #[arg(long)]
    sotw: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Client {
    /// The sidecar
    Envoy,
    /// An application that calls `xds:///SERVICE` by itself; name the file in `GRPC_XDS_BOOTSTRAP`
    Grpc,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CaptureMode {
    /// The sidecar binds the node's ports itself; no privileges
    Explicit,
    /// The kernel redirects the application's traffic
    Redirect,
}

impl BootstrapArgs {
    /// Refuses what only Envoy has a use for.
    fn check_grpc(&self) -> Result<(), CliError> {
        let given = [
            ("--capture", self.capture.is_some()),
            ("--bind", self.bind.is_some()),
            ("--app", !self.app.is_empty()),
            ("--admin-addr", self.admin_addr.is_some()),
            ("--stats-addr", self.stats_addr.is_some()),
            ("--delta", self.delta),
            ("--sotw", self.sotw),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(CliError::unable(miette::miette!(
                "`{option}` is Envoy's; a gRPC client has no sidecar, so leave it out with `--client grpc`"
            ))),
        }
    }
}

/// The bootstrap as text.
pub fn run(args: BootstrapArgs) -> Result<String, CliError> {
    let node = NodeRef::parse(&args.node).map_err(CliError::unable_error)?;
    let xds: XdsAddress = args.xds_addr.parse().map_err(CliError::unable_error)?;
    if args.client == Client::Grpc {
        args.check_grpc()?;
        return Ok(format!("{:#}\n", bootstrap::grpc_bootstrap(&node, &xds)));
    }
    let capture = match args.capture.unwrap_or(CaptureMode::Explicit) {
        CaptureMode::Redirect => Capture::Redirect,
        CaptureMode::Explicit => Capture::Explicit {
            bind: args.bind.unwrap_or(Ipv4Addr::new(127, 0, 0, 2).into()),
            applications: args.app.into_iter().collect::<BTreeMap<_, _>>(),
        },
    };
    let mut options = BootstrapOptions::new(node, xds, capture);
    options.admin = args.admin_addr;
    options.stats = args.stats_addr;
    options.protocol = if args.sotw {
        XdsProtocol::StateOfTheWorld
    } else {
        XdsProtocol::Delta
    };
    let bootstrap = bootstrap::bootstrap(&options).map_err(CliError::unable_error)?;
    Ok(format!("{bootstrap:#}\n"))
}
