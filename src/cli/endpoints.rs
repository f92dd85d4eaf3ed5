//! `outrigger endpoints set|get|clear`: registers the endpoints of virtual nodes, as an orchestrator does.

mod table;

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Call, Client, PATIENCE};
use super::connect::ApiArgs;
use super::output::{CliError, Output, render};
use super::paths;
use crate::model::{MeshName, NodeRef};

/// Register the endpoints of a virtual node, which are used instead of its discovery
#[derive(Clone, Debug, clap::Args)]
pub struct EndpointsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Set(SetArgs),
    Get(GetArgs),
    Clear(ClearArgs),
}

/// Register a list of endpoints, in place of what was registered before; the same list again renews its lease
#[derive(Clone, Debug, clap::Args)]
pub struct SetArgs {
    /// Virtual node: `mesh/MESH/virtualNode/NODE`, or an ARN
    node: String,
    /// Address of an endpoint; without a port it is reached on the ports of the node's listeners
    #[arg(value_name = "ADDRESS[:PORT]", required_unless_present_any = ["file", "none"])]
    addresses: Vec<Address>,
    /// Read the list from this file instead, JSON or YAML, each with `address`, and `port`, `weight` and `zone` if needed;
    /// `-` is standard input
    #[arg(long, value_name = "PATH", conflicts_with = "addresses")]
    file: Option<PathBuf>,
    /// Register that the node has no endpoints
    #[arg(long, conflicts_with_all = ["addresses", "file"])]
    none: bool,
    /// Forget the list after this long, unless it is set again, as in `30s` [default: it stays]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    lease: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

/// Show what is registered, and how long ago it was renewed
#[derive(Clone, Debug, clap::Args)]
pub struct GetArgs {
    /// Only this virtual node, or this mesh: `mesh/MESH/virtualNode/NODE`, `mesh/MESH`, or an ARN
    node: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Forget what is registered for a virtual node, so that its discovery counts again
#[derive(Clone, Debug, clap::Args)]
pub struct ClearArgs {
    /// Virtual node: `mesh/MESH/virtualNode/NODE`, or an ARN
    node: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// `10.0.0.1`, `10.0.0.1:80`, `::1` or `[::1]:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    ip: IpAddr,
    port: Option<u16>,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { ip, port: None });
        }
        let socket: SocketAddr = text.parse().map_err(
            |_| "it is no IP address, with or without a port, as in 10.0.0.1:8080 or [::1]:8080",
        )?;
        Ok(Self {
            ip: socket.ip(),
            port: Some(socket.port()),
        })
    }
}

/// Calls the API and returns what to print.
///
/// # Errors
/// When it cannot be reached, refuses the list, or has nothing registered for the node.
pub async fn run(args: EndpointsArgs) -> Result<String, CliError> {
    match args.command {
        Command::Set(args) => {
            let path = node_path(&args.node)?;
            // A lease that is shorter than a second is refused there.
            let lease = args.lease.map(|lease| lease.as_secs());
            let body = json!({ "endpoints": list(&args)?, "leaseSeconds": lease });
            call(&args.common, Method::PUT, path, Some(body), table::set).await
        }
        Command::Get(args) => {
            let path = match &args.node {
                None => paths::ALL_ENDPOINTS.to_owned(),
                Some(id) => match mesh(id) {
                    Some(mesh) => paths::endpoints_of_mesh(&mesh),
                    None => node_path(id)?,
                },
            };
            call(&args.common, Method::GET, path, None, table::get).await
        }
        Command::Clear(args) => {
            let path = node_path(&args.node)?;
            call(&args.common, Method::DELETE, path, None, table::clear).await
        }
    }
}

/// The mesh, where an id names nothing else.
fn mesh(id: &str) -> Option<MeshName> {
    let mesh = id.strip_prefix("mesh/")?;
    let is_name = !mesh.is_empty() && !mesh.contains('/');
    is_name.then(|| MeshName::new(mesh))
}

fn node_path(id: &str) -> Result<String, CliError> {
    match NodeRef::parse(id).map_err(CliError::unable_error)? {
        NodeRef::VirtualNode(mesh, node) => Ok(paths::endpoints(&mesh, &node)),
        NodeRef::VirtualGateway(..) => Err(CliError::unable(miette::miette!(
            help = "name a virtual node: mesh/MESH/virtualNode/NODE",
            "`{id}` is a virtual gateway, which has no endpoints that others call"
        ))),
    }
}

/// The endpoints that were typed, or are in the file.
fn list(args: &SetArgs) -> Result<Value, CliError> {
    let Some(path) = &args.file else {
        let entry = |address: &Address| match address.port {
            None => json!({ "address": address.ip }),
            Some(port) => json!({ "address": address.ip, "port": port }),
        };
        return Ok(args.addresses.iter().map(entry).collect());
    };
    let text = read(path).map_err(|error| {
        CliError::unable(miette::miette!("cannot read `{}`: {error}", path.display()))
    })?;
    let json: Result<Value, _> = serde_json::from_str(&text);
    let list = match json {
        Ok(list) => list,
        Err(_) => serde_saphyr::from_str(&text).map_err(|error| {
            CliError::unable(miette::miette!(
                "`{}` is neither JSON nor YAML: {error}",
                path.display()
            ))
        })?,
    };
    if list.is_array() {
        return Ok(list);
    }
    Err(CliError::unable(miette::miette!(
        help = "write it like [{{\"address\": \"10.0.0.1\", \"port\": 8080}}], or in YAML",
        "`{}` is no list of endpoints",
        path.display()
    )))
}

fn read(path: &Path) -> std::io::Result<String> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Calls the API and prints its answer.
async fn call(
    common: &Common,
    method: Method,
    path: String,
    body: Option<Value>,
    table: fn(&Value) -> String,
) -> Result<String, CliError> {
    let client = Client::new(&common.api, PATIENCE)?;
    let answer = client.call(&Call { method, path, body }).await?;
    render(common.output, &answer, table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_port() {
        let read = |text: &str| {
            text.parse()
                .map(|one: Address| (one.ip.to_string(), one.port))
        };
        assert_eq!(read("10.0.0.1"), Ok(("10.0.0.1".to_owned(), None)));
        assert_eq!(read("10.0.0.1:80"), Ok(("10.0.0.1".to_owned(), Some(80))));
        assert_eq!(read("::1"), Ok(("::1".to_owned(), None)));
        assert_eq!(read("[::1]:80"), Ok(("::1".to_owned(), Some(80))));
        assert!(read("service-a.local:80").is_err());
    }

    #[test]
    fn a_name_is_one_segment_of_the_path() {
        let path = node_path("mesh/my mesh/virtualNode/ä?").unwrap();
        assert_eq!(
            path,
            "/outrigger/v1/meshes/my%20mesh/virtualNodes/%C3%A4%3F/endpoints"
        );
        let error = node_path("mesh/m/virtualGateway/g").unwrap_err();
        assert!(error.to_string().contains("virtual gateway"), "{error}");
        assert_eq!(mesh("mesh/m"), Some(MeshName::new("m")));
        assert_eq!(mesh("mesh/m/virtualNode/n"), None);
    }
}
