//! What one sidecar needs in order to ask Outrigger, whatever the file that declares it.

mod lost;

use std::path::Path;

use serde_json::Value;

use super::declared::{
    BOOTSTRAP, CONFIG_FILE, Command, Declared, NAMES, SCRIPT, Sidecar, Variables, WRITTEN,
    XDS_ENDPOINT,
};
use super::mount::folder_of;
use super::{MigrateError, Target};
use crate::envoy::binary::RELEASE;
use crate::envoy::bootstrap::{ADMIN_PORT, BootstrapOptions, XdsAddress, bootstrap};
use crate::model::{Capture, NodeRef};
pub(super) use lost::lost;
use lost::{OF_COMMAND, hidden};

/// The user whose traffic is not redirected.
pub(super) const ENVOY_USER: u32 = 1337;
/// How long App Mesh's agent lets connections end before it ends Envoy, in seconds, and what it takes instead.
const DRAIN_SECONDS: i64 = 20;
const DRAIN_SECONDS_TAKEN: std::ops::RangeInclusive<i64> = 5..=110;
/// What the agent takes for Envoy's `--log-level`.
const LOG_LEVELS: [&str; 8] = [
    "info", "debug", "warn", "warning", "error", "trace", "critical", "off",
];
const CLUSTERS: [&str; 2] = ["APPMESH_RESOURCE_CLUSTER", "APPMESH_VIRTUAL_NODE_CLUSTER"];
const ACCESS_PORT: &str = "ENVOY_ADMIN_ACCESS_PORT";

/// What a container runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Start {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
}

/// What is to be changed of a sidecar.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Form {
    pub(super) variables: Vec<(&'static str, String)>,
    /// A folder of the host that is to stand at the same path in the container.
    pub(super) folder: Option<String>,
    pub(super) start: Option<Start>,
    /// If another image is to be used: upstream's, which has neither curl nor App Mesh's agent.
    pub(super) image: Option<String>,
    pub(super) notes: Vec<String>,
}

/// Whether an image is App Mesh's Envoy, from whichever registry.
pub fn is_app_mesh_image(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.starts_with("aws-appmesh-envoy")
}

/// A shell command that succeeds once Envoy is ready, and needs nothing but bash.
pub(super) fn ready(variables: &Variables) -> String {
    let port = admin_port(variables);
    format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && \
         printf 'GET /ready HTTP/1.1\\r\\nHost: envoy\\r\\nConnection: close\\r\\n\\r\\n' >&3 && grep -q LIVE <&3"
    )
}

/// Whether a command calls what upstream's image does not have.
pub(super) fn needs_app_mesh_image(command: &str) -> bool {
    command.contains("curl") || command.contains("/usr/bin/agent")
}

/// What has to change of this sidecar.
pub(super) fn form(sidecar: &Sidecar<'_>, target: &Target) -> Result<Form, MigrateError> {
    let declared = sidecar.declared()?;
    let node = sidecar.node(&declared, target)?;
    if matches!(node, Some(NodeRef::VirtualGateway(..))) {
        return Err(MigrateError::Gateway {
            place: sidecar.place.clone(),
            container: sidecar.container.to_owned(),
        });
    }
    let mut form = match (&target.image, &target.xds) {
        (Some(image), xds) => upstream(sidecar, image, &sidecar.known(node)?, xds)?,
        (None, XdsAddress::Unix(path)) => over_socket(sidecar, &declared, target, path)?,
        (None, xds) => with_bootstrap(sidecar, &sidecar.known(node)?, xds)?,
    };
    if let XdsAddress::Unix(path) = &target.xds {
        form.folder = Some(folder_of(path)?);
    }
    if let Declared::Named(_, id, _) = declared
        && let Some((mesh, owner)) = id.split('/').nth(1).and_then(|mesh| mesh.split_once('@'))
    {
        form.notes.push(sidecar.note(&format!(
            "is of a mesh which `{owner}` owns and shares; with Outrigger it is served as the mesh `{mesh}`, which has to be \
             declared there as one's own"
        )));
    }
    Ok(form)
}

/// App Mesh's own image writes a bootstrap for the socket by itself.
fn over_socket(
    sidecar: &Sidecar<'_>,
    declared: &Declared<'_>,
    target: &Target,
    path: &Path,
) -> Result<Form, MigrateError> {
    let mut notes = Vec::new();
    match sidecar.command() {
        Command::OfImage => {}
        Command::Agent | Command::Envoy => return Err(sidecar.moved_before()),
        Command::Other => notes.push(sidecar.note(&format!(
            "has a command of its own, `{}`, which stays; it asks Outrigger only if that starts App Mesh's agent, \
             `/usr/bin/agent`",
            sidecar.command_line()
        ))),
    }
    sidecar.check_agent(None)?;
    let mut variables = vec![(XDS_ENDPOINT, format!("unix://{}", path.display()))];
    if let Some(node) = &target.node
        && !matches!(declared, Declared::Named(..))
    {
        let [name, ..] = NAMES;
        variables.insert(0, (name, node.to_string()));
    }
    Ok(Form {
        variables,
        notes,
        ..Form::default()
    })
}

/// App Mesh's own image with a bootstrap of ours, which goes in as a variable and is a file before the agent starts.
fn with_bootstrap(
    sidecar: &Sidecar<'_>,
    node: &NodeRef,
    xds: &XdsAddress,
) -> Result<Form, MigrateError> {
    match sidecar.command() {
        Command::OfImage | Command::Agent => {}
        Command::Envoy => return Err(sidecar.moved_before()),
        Command::Other => {
            return Err(MigrateError::OwnCommand {
                place: sidecar.place.clone(),
                container: sidecar.container.to_owned(),
            });
        }
    }
    sidecar.check_agent(Some(WRITTEN))?;
    let mut variables = vec![
        (BOOTSTRAP, text(&options(node, xds, sidecar.variables))?),
        (CONFIG_FILE, WRITTEN.to_owned()),
    ];
    if sidecar.variables.get("ENVOY_ADMIN_MODE") == Some("uds") {
        // The agent asks Envoy where this says.
        variables.push(("ENVOY_ADMIN_MODE", "tcp".to_owned()));
    }
    Ok(Form {
        variables,
        start: Some(Start {
            program: "sh",
            arguments: vec!["-c".to_owned(), SCRIPT.to_owned()],
        }),
        notes: lost(sidecar),
        ..Form::default()
    })
}

/// An image with nothing but Envoy, which is told what App Mesh's agent would have told it.
fn upstream(
    sidecar: &Sidecar<'_>,
    image: &str,
    node: &NodeRef,
    xds: &XdsAddress,
) -> Result<Form, MigrateError> {
    let variables = sidecar.variables;
    let mut arguments = vec![
        "--config-yaml".to_owned(),
        text(&options(node, xds, variables))?,
        "--disable-hot-restart".to_owned(),
    ];
    let level = variables.get("ENVOY_LOG_LEVEL").map(str::to_lowercase);
    if let Some(level) = level.filter(|level| LOG_LEVELS.contains(&level.as_str())) {
        arguments.extend(["--log-level".to_owned(), level]);
    }
    let threads = variables.number("ENVOY_CONCURRENCY");
    if let Some(threads) = threads.filter(|threads| *threads > 0) {
        arguments.extend(["--concurrency".to_owned(), threads.to_string()]);
    }
    let drain = variables.number("LISTENER_DRAIN_WAIT_TIME_S");
    let drain = drain.filter(|seconds| DRAIN_SECONDS_TAKEN.contains(seconds));
    let drain = drain.unwrap_or(DRAIN_SECONDS).to_string();
    arguments.extend(["--drain-time-s".to_owned(), drain]);
    let mut notes = lost(sidecar);
    notes.extend(hidden(sidecar, &OF_COMMAND));
    let of_agent = variables.known.keys();
    let of_agent = of_agent.filter(|name| name.starts_with("APPNET_"));
    let of_agent: Vec<String> = of_agent.map(|name| format!("`{name}`")).collect();
    if !of_agent.is_empty() {
        notes.push(sidecar.note(&format!(
            "sets {}, which only App Mesh's agent reads",
            of_agent.join(", ")
        )));
    }
    if sidecar.command() == Command::Other {
        notes.push(sidecar.note(&format!(
            "runs Envoy now, and its command `{}` is gone; what else that did has to be done elsewhere",
            sidecar.command_line()
        )));
    }
    notes.push(sidecar.note(
        "has Envoy alone, without App Mesh's agent, which let connections end before it ended Envoy; have the orchestrator \
         wait before it stops the sidecar",
    ));
    Ok(Form {
        start: Some(Start {
            program: "envoy",
            arguments,
        }),
        image: Some(image.to_owned()),
        notes,
        ..Form::default()
    })
}

/// The image of upstream's release that Outrigger is tested with.
pub fn upstream_image() -> String {
    format!("envoyproxy/envoy:v{RELEASE}")
}

fn options(node: &NodeRef, xds: &XdsAddress, variables: &Variables) -> BootstrapOptions {
    let mut options = BootstrapOptions::new(node.clone(), xds.clone(), Capture::Redirect);
    let cluster = CLUSTERS.into_iter().find_map(|name| variables.get(name));
    options.cluster = cluster.map(ToOwned::to_owned);
    options.admin = Some(([127, 0, 0, 1], admin_port(variables)).into());
    options
}

/// The bootstrap in one line.
fn text(options: &BootstrapOptions) -> Result<String, MigrateError> {
    Ok(bootstrap(options)?.to_string())
}

/// The bootstrap of a sidecar, for a file of its own.
pub(super) fn file(
    node: &NodeRef,
    xds: &XdsAddress,
    variables: &Variables,
) -> Result<Value, MigrateError> {
    Ok(bootstrap(&options(node, xds, variables))?)
}

pub(super) fn admin_port(variables: &Variables) -> u16 {
    let port = variables.get(ACCESS_PORT);
    port.and_then(|port| port.parse().ok())
        .unwrap_or(ADMIN_PORT)
}
