//! `outrigger bootstrap`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;

use super::output::CliError;
use crate::envoy::bootstrap::{self, BootstrapOptions, XdsAddress, XdsProtocol};
use crate::model::{Capture, NodeRef};

/// Print Envoy's bootstrap for a virtual node, as JSON
#[derive(Debug, clap::Args)]
pub struct BootstrapArgs {
    /// mesh/MESH/virtualNode/NODE, or the whole ARN
    node: String,
    /// Where the sidecar finds the control plane: `host:port`, or `unix:///PATH` for its --xds-socket
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:18000")]
    xds_addr: String,
    /// How traffic enters the sidecar
    #[arg(long, value_enum, default_value_t = CaptureMode::Explicit)]
    capture: CaptureMode,
    /// The IP address that the sidecar's listeners bind; not the application's own
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.2")]
    bind: IpAddr,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CaptureMode {
    /// The sidecar binds the node's ports itself; no privileges
    Explicit,
    /// The kernel redirects the application's traffic
    Redirect,
}

/// The bootstrap as text.
pub fn run(args: BootstrapArgs) -> Result<String, CliError> {
    let node = NodeRef::parse(&args.node).map_err(CliError::unable_error)?;
    let xds: XdsAddress = args.xds_addr.parse().map_err(CliError::unable_error)?;
    let capture = match args.capture {
        CaptureMode::Redirect => Capture::Redirect,
        CaptureMode::Explicit => Capture::Explicit {
            bind: args.bind,
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
