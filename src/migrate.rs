//! App Mesh's sidecars, moved over: the file that declares one, with what has to change so that it asks Outrigger.
//!
//! Read are a task definition of ECS, Kubernetes' pods and what makes them, and a line of `docker run`. [`form`] knows what a
//! sidecar needs, one file for each of the three where that goes, and [`edit`] how to put it into a text.
//!
//! All of it is pure: text in, text and notes out. What needs no change is returned as it was written, to the byte.

mod declared;
mod docker;
mod ecs;
mod edit;
mod form;
mod kubernetes;
mod mount;
mod new;
mod words;

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::envoy::bootstrap::{BootstrapError, XdsAddress};
use crate::files;
use crate::model::document::{Located, Value};
use crate::model::{NodeRef, NodeRefError};
use declared::Variables;
use edit::{Editor, with_line_ends_of};
pub use form::{is_app_mesh_image, upstream_image};
use new::New;

/// Where Outrigger is, and what the sidecar is to be.
#[derive(Clone, Debug)]
pub struct Target {
    pub xds: XdsAddress,
    /// An image with nothing but Envoy, to be used instead of App Mesh's own.
    pub image: Option<String>,
    /// Who the sidecar is, where the file does not say.
    pub node: Option<NodeRef>,
}

/// A file that was moved over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    pub text: String,
    /// What whoever uses the text should know, a sentence each.
    pub notes: Vec<String>,
}

/// What in a file is spoken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    what: String,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {})", self.what, self.line)
    }
}

/// Why a file cannot be moved over.
#[derive(Debug, Error)]
pub enum MigrateError {
    #[error("line {line}: {what}; {help}")]
    Syntax {
        line: usize,
        what: String,
        help: String,
    },
    #[error(
        "this is no task definition of ECS (`containerDefinitions`, or a list of containers), no object of Kubernetes (`apiVersion` and `kind`) and \
         no `docker run` line; name a file with one of them"
    )]
    Unknown,
    #[error(
        "{place} has no App Mesh sidecar: no container has `APPMESH_RESOURCE_ARN` or the image `aws-appmesh-envoy`; \
         name the file that declares it"
    )]
    NoSidecar { place: Place },
    #[error(
        "no pod of this file has an App Mesh sidecar: no container has `APPMESH_RESOURCE_ARN` or the image \
         `aws-appmesh-envoy`, and no pod template an annotation `appmesh.k8s.aws/…`; if the controller injects one because \
         the namespace says so, add `appmesh.k8s.aws/sidecarInjectorWebhook: enabled` to the pod template's annotations"
    )]
    NoPodWithSidecar,
    #[error(
        "{place} has several App Mesh sidecars, {}; leave one of them, since all would take the same ports",
        containers.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
    )]
    Several {
        place: Place,
        containers: Vec<String>,
    },
    #[error(
        "{place}: `{container}` has App Mesh's image and no `APPMESH_RESOURCE_ARN`, so that nobody knows whose sidecar it \
         is; add the variable, or say `--node mesh/MESH/virtualNode/NODE`"
    )]
    Unnamed { place: Place, container: String },
    #[error(
        "{place}: `{container}` has App Mesh's image and no `APPMESH_RESOURCE_ARN`; if it is a virtual gateway's, the controller \
         adds it, and Outrigger does not serve gateways yet; for a virtual node's sidecar add the variable, or say `--node \
         mesh/MESH/virtualNode/NODE`"
    )]
    UnnamedPod { place: Place, container: String },
    #[error(
        "{place}: `{container}` is of a virtual gateway, which Outrigger does not serve yet; leave it where it is, and move \
         what else there is in a file without it"
    )]
    Gateway { place: Place, container: String },
    #[error(
        "{place}: which node `{container}` is stands in no value of this file; say `--node mesh/MESH/virtualNode/NODE`"
    )]
    HiddenName { place: Place, container: String },
    #[error("{place}: `{variable}` of `{container}` names no node")]
    BadName {
        place: Place,
        container: String,
        variable: &'static str,
        source: NodeRefError,
    },
    #[error(
        "{place}: `{container}` is the sidecar of `{own}` (`{variable}`), and `--node` names `{node}`; leave `--node` out, or \
         change the file"
    )]
    OtherNode {
        place: Place,
        container: String,
        variable: &'static str,
        own: Box<NodeRef>,
        node: Box<NodeRef>,
    },
    #[error(
        "{place}: `{variable}` of `{container}` is one of its `secrets`, and may not be set twice; take `{variable}` out of those"
    )]
    Secret {
        place: Place,
        container: String,
        variable: &'static str,
    },
    #[error(
        "{place}: `{container}` was moved before, in a form that leaves nothing of App Mesh's own; begin with the file as it \
         was for App Mesh"
    )]
    MovedBefore { place: Place, container: String },
    #[error(
        "{place}: `{container}` starts Envoy with a file of its own, `{file}` (`ENVOY_CONFIG_FILE`); remove the variable, or \
         put what `outrigger bootstrap` prints into that file"
    )]
    OwnBootstrap {
        place: Place,
        container: String,
        file: String,
    },
    #[error(
        "{place}: `{container}` has a command of its own, in whose place the bootstrap would be written; remove the command, \
         or use `--xds-socket` or `--image upstream`"
    )]
    OwnCommand { place: Place, container: String },
    #[error(
        "{place} runs on Fargate, where a task sees no socket of its host; say where Outrigger is with `--xds-addr HOST:PORT`"
    )]
    Fargate { place: Place },
    #[error(
        "{place}: the controller injects this sidecar with its own command, so that its image cannot be upstream's; keep App \
         Mesh's image, or write the sidecar into the pod and disable `appmesh.k8s.aws/sidecarInjectorWebhook`"
    )]
    InjectedImage { place: Place },
    #[error(
        "{place}: which node the injected sidecar is, only the controller knows; say `--node mesh/MESH/virtualNode/NODE`, or \
         use `--xds-socket`, which needs no bootstrap"
    )]
    InjectedNode { place: Place },
    #[error(
        "{place}: the annotation `{annotation}` is `{value}`, which is no list of `{form}`; mend it first"
    )]
    Annotation {
        place: Place,
        annotation: &'static str,
        value: String,
        form: &'static str,
    },
    #[error(
        "{place}: the annotation `{annotation}` sets `{name}` too, and counts before the others; remove it there"
    )]
    Twice {
        place: Place,
        annotation: &'static str,
        name: String,
    },
    #[error(
        "{place} is one of several pods with a sidecar, and `--node` names one node; use a file for each"
    )]
    OneNode { place: Place },
    #[error(
        "`{}` is in a folder that a container has itself, and the whole folder is mounted; put the socket in a folder of its \
         own, such as `/run/outrigger/xds.sock`",
        socket.display()
    )]
    SocketFolder { socket: PathBuf },
    #[error(
        "`{}` is no path that a volume can have (no `..`, no `:`); name its plain path, such as `/run/outrigger/xds.sock`",
        socket.display()
    )]
    SocketPath { socket: PathBuf },
    #[error(
        "{place}: `{container}` has the volume `{volume}` at `{folder}`, which is not that folder of the host; put the socket \
         into another folder"
    )]
    Mounted {
        place: Place,
        container: String,
        volume: String,
        folder: String,
    },
    #[error(
        "{place} stands where an option or the image should, and is known only when the script runs; write it out, or remove it \
         for the move"
    )]
    Expansion { place: Place },
    #[error(
        "line {line}: a quote begins here and does not end, as far as a shell is concerned; if this is no shell script, or the \
         quote is in a text of it, put the `docker run` line into a file of its own"
    )]
    Quote { line: usize },
    #[error(
        "{place} has parts that are written elsewhere and referred to (`*name`); write them out, as `kubectl get --output \
         yaml` and `yq 'explode(.)'` do"
    )]
    References { place: Place },
    #[error(
        "{place} is laid out in a way that cannot be edited in place; pass it through `yq` or `jq` first"
    )]
    Layout { place: Place },
    #[error("the sidecar's bootstrap cannot be made")]
    Bootstrap(#[from] BootstrapError),
}

/// A file on its way.
struct Draft<'t> {
    text: &'t str,
    editor: Editor<'t>,
    notes: Vec<String>,
    /// Documents to be added at the end, as JSON or YAML as the rest is.
    appended: Vec<String>,
}

/// Has the App Mesh sidecars of a file ask Outrigger.
///
/// # Errors
/// [`MigrateError`] when the file is none that is known, has no sidecar, or one that cannot be moved.
pub fn sidecar(text: &str, target: &Target) -> Result<Migrated, MigrateError> {
    let (migrated, place) = moved(text, target)?;
    // Whatever the editor does not know of a layout: what is printed can be read, and says what was meant.
    match moved(&migrated.text, target) {
        Ok((again, _)) if again.text == migrated.text => Ok(migrated),
        _ => Err(MigrateError::Layout { place }),
    }
}

fn moved(text: &str, target: &Target) -> Result<(Migrated, Place), MigrateError> {
    let mut draft = Draft {
        text,
        editor: Editor::new(text),
        notes: Vec::new(),
        appended: Vec::new(),
    };
    let place = documents(target, &mut draft)?;
    let Draft {
        editor,
        mut notes,
        appended,
        ..
    } = draft;
    let layout = || MigrateError::Layout {
        place: place.clone(),
    };
    let mut migrated = editor.finish().ok_or_else(layout)?;
    for document in appended {
        if !migrated.ends_with('\n') {
            migrated += &with_line_ends_of(text, "\n");
        }
        migrated += &with_line_ends_of(text, &document);
    }
    notes.push(reaching(target));
    let migrated = Migrated {
        text: migrated,
        notes,
    };
    Ok((migrated, place))
}

/// Moves what the text declares, and says what was moved first.
fn documents(target: &Target, draft: &mut Draft<'_>) -> Result<Place, MigrateError> {
    let text = draft.text;
    let (documents, problems) = files::parse(text);
    let is_kubernetes = documents.iter().any(kubernetes::is_object);
    let tasks: Vec<_> = documents
        .iter()
        .filter_map(|document| ecs::read(document, text))
        .collect();
    // A script may be YAML too, but one that declares nothing.
    if tasks.is_empty() && !is_kubernetes {
        let runs = docker::read(text)?;
        if !runs.is_empty() {
            return docker::migrate(&runs, target, draft);
        }
    }
    if let Some(problem) = problems.into_iter().next() {
        return Err(MigrateError::Syntax {
            line: line_of(text, problem.span.map_or(0, |span| span.start)),
            what: problem.what,
            help: problem.help,
        });
    }
    for task in &tasks {
        task.migrate(target, draft)?;
    }
    let moved = kubernetes::migrate(&documents, target, draft)?;
    let task = tasks.into_iter().next().map(|task| task.place);
    match task.or(moved) {
        Some(place) => Ok(place),
        None if is_kubernetes => Err(MigrateError::NoPodWithSidecar),
        None => Err(MigrateError::Unknown),
    }
}

/// What the sidecars need of `outrigger serve`.
fn reaching(target: &Target) -> String {
    match &target.xds {
        XdsAddress::Unix(path) => format!(
            "`outrigger serve --xds-socket {}` has to run on the sidecar's host, with a socket that the sidecar's user (1337 by \
             default) may use: in that user's group, or with `--xds-socket-mode 0666` in a folder that only sidecars can enter",
            path.display()
        ),
        XdsAddress::Ip(address) if address.ip().is_loopback() => format!(
            "{address} is the sidecar's own host or container; name the host of `outrigger serve` if that is another"
        ),
        XdsAddress::Ip(_) | XdsAddress::Name { .. } => format!(
            "{} is asked in plain text and without a password: keep it on a network that only the mesh's hosts reach \
             (`outrigger serve --xds-addr … --insecure`)",
            target.xds
        ),
    }
}

/// Where a thing stands in the text.
fn place(what: &str, name: Option<&str>, node: &Located, text: &str) -> Place {
    let start = node.pointer().map_or(0, |span| span.start);
    Place {
        what: name.map_or(what.to_owned(), |name| format!("{what} `{name}`")),
        line: line_of(text, start),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.get(..at).map_or(0, |head| head.matches('\n').count())
}

/// The one App Mesh sidecar among some containers, with its name and variables.
fn find<'d>(
    place: &Place,
    containers: impl Iterator<Item = &'d Located>,
    variables: impl Fn(&Located) -> Variables,
) -> Result<Option<Found<'d>>, MigrateError> {
    let mut found = Vec::new();
    for container in containers {
        let name = container.get("name").and_then(Located::as_str);
        let image = container.get("image").and_then(Located::as_str);
        let variables = variables(container);
        if variables.is_sidecar() || image.is_some_and(is_app_mesh_image) {
            found.push(Found {
                container,
                name: name.unwrap_or_default(),
                variables,
            });
        }
    }
    if found.len() > 1 {
        return Err(MigrateError::Several {
            place: place.clone(),
            containers: found.iter().map(|found| found.name.to_owned()).collect(),
        });
    }
    Ok(found.pop())
}

/// A container that is an App Mesh sidecar.
struct Found<'d> {
    container: &'d Located,
    name: &'d str,
    variables: Variables,
}

/// The variables of a list of names and values, as ECS and Kubernetes have it.
fn listed(list: Option<&Located>) -> impl Iterator<Item = (String, Option<String>)> + '_ {
    list.into_iter()
        .flat_map(Located::items)
        .filter_map(|item| {
            let name = item.get("name")?.as_str()?;
            let value = item.get("value").map(shown);
            Some((name.to_owned(), value))
        })
}

/// A scalar as the container gets it.
fn shown(value: &Located) -> String {
    match &value.value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => String::new(),
    }
}

/// Sets variables in a list of names and values; of those that have one name the last counts.
fn set_listed(editor: &mut Editor<'_>, container: &Located, list: &str, form: &form::Form) {
    let Some(variables) = container.get(list) else {
        let new = form.variables.iter().map(variable);
        editor.push(container, list, new.collect());
        return;
    };
    let mut new = Vec::new();
    for pair in &form.variables {
        let is_it = |item: &&Located| item.get("name").and_then(Located::as_str) == Some(pair.0);
        match variables.items().iter().rfind(is_it) {
            // A value and where it comes from may not stand beside each other.
            Some(item) if item.get("valueFrom").is_some() => {
                editor.replace_item(variables, item, &variable(pair));
            }
            Some(item) => editor.set(item, "value", &New::text(&pair.1)),
            None => new.push(variable(pair)),
        }
    }
    editor.push(container, list, new);
}

fn variable((name, value): &(&'static str, String)) -> New {
    New::map([("name", New::text(*name)), ("value", New::text(value))])
}

/// The words of a container's command, whose parts are these members.
fn command(container: &Located, parts: [&str; 2]) -> Vec<String> {
    let parts = parts.into_iter().filter_map(|part| container.get(part));
    parts.flat_map(Located::items).map(shown).collect()
}

#[cfg(test)]
mod tests;
