//! What one sidecar needs in order to ask Outrigger, whatever the file that declares it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{MigrateError, Place, Target};
use crate::envoy::binary::RELEASE;
use crate::envoy::bootstrap::{ADMIN_PORT, BootstrapOptions, XdsAddress, bootstrap};
use crate::model::{Capture, NodeRef};

/// Who a sidecar is, to App Mesh's agent: the first of these that is set.
pub(super) const NAMES: [&str; 3] = [
    "APPMESH_RESOURCE_ARN",
    "APPMESH_RESOURCE_NAME",
    "APPMESH_VIRTUAL_NODE_NAME",
];
/// Where the agent is told that its control plane is. With `host:port` it keeps TLS and AWS's signatures; over a Unix
/// socket it speaks neither.
pub(super) const XDS_ENDPOINT: &str = "APPMESH_XDS_ENDPOINT";
/// A file that the agent gives to Envoy instead of writing one.
pub(super) const CONFIG_FILE: &str = "ENVOY_CONFIG_FILE";
/// Holds the text of the bootstrap where no file can be mounted.
const BOOTSTRAP: &str = "OUTRIGGER_BOOTSTRAP";
/// Where that text is written. The agent takes regular files only, and no links.
const WRITTEN: &str = "/tmp/outrigger-bootstrap.json";
/// The user whose traffic is not redirected.
pub(super) const ENVOY_USER: u32 = 1337;
/// How long App Mesh's agent lets connections end before it ends Envoy, in seconds.
const DRAIN_SECONDS: &str = "20";

/// Variables by which App Mesh's agent adds to the bootstrap that it writes, and what goes without it.
const LOST: [(&str, &str); 11] = [
    ("ENABLE_ENVOY_XRAY_TRACING", "X-Ray tracing"),
    ("ENABLE_ENVOY_DATADOG_TRACING", "Datadog tracing"),
    ("ENABLE_ENVOY_JAEGER_TRACING", "Jaeger tracing"),
    ("ENVOY_TRACING_CFG_FILE", "the tracing that it configures"),
    ("ENABLE_ENVOY_DOG_STATSD", "DogStatsD"),
    ("ENVOY_STATS_SINKS_CFG_FILE", "the statistics' sinks"),
    ("ENVOY_STATS_CONFIG_FILE", "the statistics' settings"),
    ("ENVOY_STATS_FLUSH_INTERVAL", "the interval"),
    ("ENVOY_RESOURCES_CONFIG_FILE", "the resources in it"),
    (
        "APPMESH_METRIC_EXTENSION_VERSION",
        "App Mesh's metrics extension",
    ),
    ("APPMESH_SDS_SOCKET_PATH", "certificates from that socket"),
];

/// A sidecar's variables; of some it is only known that they are set.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(pub(super) BTreeMap<String, Option<String>>);

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
    /// Of a virtual gateway, nothing is redirected.
    pub(super) is_gateway: bool,
    pub(super) notes: Vec<String>,
}

/// A sidecar as a file declares it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sidecar<'a> {
    pub(super) place: &'a Place,
    pub(super) container: &'a str,
    pub(super) variables: &'a Variables,
    /// Whether the file says what it runs, and not its image.
    pub(super) has_command: bool,
}

impl Variables {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    pub(super) fn is_sidecar(&self) -> bool {
        NAMES.iter().any(|name| self.has(name))
    }
}

/// Whether an image is App Mesh's Envoy, from whichever registry.
pub(super) fn is_app_mesh_image(image: &str) -> bool {
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
    let node = sidecar.node(target)?;
    let is_gateway = matches!(node, Some(NodeRef::VirtualGateway(..)));
    let mut form = match (&target.image, &target.xds) {
        (Some(image), xds) => upstream(sidecar, image, &sidecar.known(node)?, xds)?,
        (None, XdsAddress::Unix(path)) => over_socket(sidecar, target, path)?,
        (None, xds) => with_bootstrap(sidecar, &sidecar.known(node)?, xds)?,
    };
    if let XdsAddress::Unix(path) = &target.xds {
        form.folder = Some(folder_of(path)?);
    }
    form.is_gateway = is_gateway;
    if is_gateway {
        form.notes.push(format!(
            "{}: `{}` is of a virtual gateway, which Outrigger does not serve yet; leave it where it is",
            sidecar.place, sidecar.container
        ));
    }
    Ok(form)
}

impl Sidecar<'_> {
    /// Who it says it is; `None` if the file only says that it says so.
    fn node(&self, target: &Target) -> Result<Option<NodeRef>, MigrateError> {
        if let Some(node) = &target.node {
            return Ok(Some(node.clone()));
        }
        let Some(name) = NAMES.into_iter().find(|name| self.variables.has(name)) else {
            return Err(MigrateError::Unnamed {
                place: self.place.clone(),
                container: self.container.to_owned(),
            });
        };
        let Some(id) = self.variables.get(name) else {
            return Ok(None);
        };
        let node = NodeRef::parse(id).map_err(|source| MigrateError::BadName {
            place: self.place.clone(),
            container: self.container.to_owned(),
            variable: name,
            source,
        })?;
        Ok(Some(node))
    }

    fn known(&self, node: Option<NodeRef>) -> Result<NodeRef, MigrateError> {
        node.ok_or_else(|| MigrateError::HiddenName {
            place: self.place.clone(),
            container: self.container.to_owned(),
        })
    }

    /// Before all else, App Mesh's agent goes by a bootstrap that it is given.
    pub(super) fn check_agent(&self, ours: &str) -> Result<(), MigrateError> {
        let own = self.variables.get(CONFIG_FILE);
        let own = own.filter(|file| *file != ours);
        match own {
            None => Ok(()),
            Some(file) => Err(MigrateError::OwnBootstrap {
                place: self.place.clone(),
                container: self.container.to_owned(),
                file: file.to_owned(),
            }),
        }
    }
}

/// App Mesh's own image writes a bootstrap for the socket by itself.
fn over_socket(sidecar: &Sidecar<'_>, target: &Target, path: &Path) -> Result<Form, MigrateError> {
    sidecar.check_agent(WRITTEN)?;
    let mut variables = vec![(XDS_ENDPOINT, format!("unix://{}", path.display()))];
    if let Some(node) = &target.node {
        let [name, ..] = NAMES;
        variables.insert(0, (name, node.to_string()));
    }
    Ok(Form {
        variables,
        ..Form::default()
    })
}

/// App Mesh's own image with a bootstrap of ours, which goes in as a variable and is a file before the agent starts.
fn with_bootstrap(
    sidecar: &Sidecar<'_>,
    node: &NodeRef,
    xds: &XdsAddress,
) -> Result<Form, MigrateError> {
    sidecar.check_agent(WRITTEN)?;
    if sidecar.has_command && !sidecar.variables.has(BOOTSTRAP) {
        return Err(MigrateError::OwnCommand {
            place: sidecar.place.clone(),
            container: sidecar.container.to_owned(),
        });
    }
    let script =
        format!("printf '%s' \"${BOOTSTRAP}\" > \"${CONFIG_FILE}\" && exec /usr/bin/agent");
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
            arguments: vec!["-c".to_owned(), script],
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
    for (flag, variable, default) in [
        ("--log-level", "ENVOY_LOG_LEVEL", None),
        ("--concurrency", "ENVOY_CONCURRENCY", None),
        (
            "--drain-time-s",
            "LISTENER_DRAIN_WAIT_TIME_S",
            Some(DRAIN_SECONDS),
        ),
    ] {
        if let Some(value) = variables.get(variable).or(default) {
            arguments.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    let mut notes = lost(sidecar);
    notes.push(format!(
        "{}: `{}` has Envoy alone, without App Mesh's agent, which let connections end before it ended Envoy; have the \
         orchestrator wait before it stops the sidecar",
        sidecar.place, sidecar.container
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
    let clusters = ["APPMESH_RESOURCE_CLUSTER", "APPMESH_VIRTUAL_NODE_CLUSTER"];
    let cluster = clusters.into_iter().find_map(|name| variables.get(name));
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

fn admin_port(variables: &Variables) -> u16 {
    let port = variables.get("ENVOY_ADMIN_ACCESS_PORT");
    port.and_then(|port| port.parse().ok())
        .unwrap_or(ADMIN_PORT)
}

/// What the bootstrap that App Mesh's agent wrote had, and Outrigger's has not.
pub(super) fn lost(sidecar: &Sidecar<'_>) -> Vec<String> {
    let is_off = |value: &str| matches!(value, "" | "0" | "false");
    let is_set = |name: &str| {
        let value = sidecar.variables.0.get(name);
        value.is_some_and(|value| !value.as_deref().is_some_and(is_off))
    };
    let lost = LOST.into_iter().filter(|(name, _)| is_set(name));
    lost.map(|(name, what)| {
        format!(
            "{}: `{}` sets `{name}`, which nothing reads any more: {what} has to be added to the bootstrap by hand",
            sidecar.place, sidecar.container
        )
    })
    .collect()
}

/// The folder that is shared with the container: all of it, since a server that starts anew makes its socket anew.
pub(super) fn folder_of(socket: &Path) -> Result<String, MigrateError> {
    let folder = socket.parent().unwrap_or(socket);
    // The root, and what hides a folder of the image's own.
    let is_own = folder.components().count() > 2 && folder != Path::new("/var/run");
    if is_own {
        Ok(folder.display().to_string())
    } else {
        Err(MigrateError::SocketFolder {
            socket: socket.into(),
        })
    }
}
