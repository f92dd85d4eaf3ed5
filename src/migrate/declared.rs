//! A sidecar as a file declares it: its variables, who it is, and what it runs.

use std::collections::BTreeMap;

use super::words::quoted;
use super::{MigrateError, Place, Target};
use crate::envoy::bootstrap::XDS_CLUSTER;
use crate::model::NodeRef;

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
pub(super) const BOOTSTRAP: &str = "OUTRIGGER_BOOTSTRAP";
/// Where that text is written. The agent takes regular files only, and no links.
pub(super) const WRITTEN: &str = "/tmp/outrigger-bootstrap.json";
/// Where it is in a sidecar that the controller injects. Kubernetes shows the files of a `ConfigMap` as links, which App Mesh's agent
/// refuses; by way of `..data`, which is the link that all of them go through, it is a regular file.
pub(super) const MOUNTED: &str = "/etc/outrigger/..data/envoy.json";
/// Writes it, and has the agent go by it.
pub(super) const SCRIPT: &str =
    "printf '%s' \"$OUTRIGGER_BOOTSTRAP\" > \"$ENVOY_CONFIG_FILE\" && exec /usr/bin/agent";

/// A sidecar's variables; of some it is only known that they are set.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    pub(super) known: BTreeMap<String, Option<String>>,
    /// Whether a file or an object elsewhere sets more.
    pub(super) are_more: bool,
}

/// A sidecar as a file declares it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sidecar<'a> {
    pub(super) place: &'a Place,
    pub(super) container: &'a str,
    pub(super) variables: &'a Variables,
    /// What it runs, if that is said by the file and not by its image.
    pub(super) command: &'a [String],
}

/// What a sidecar runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Command {
    OfImage,
    /// App Mesh's agent, with a bootstrap of ours.
    Agent,
    /// Envoy, with a bootstrap of ours.
    Envoy,
    Other,
}

/// Who a sidecar says that it is.
pub(super) enum Declared<'a> {
    Named(&'static str, &'a str, NodeRef),
    /// Its value stands elsewhere.
    Hidden,
    Nobody,
}

impl Variables {
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// A value that is no empty text, as the agent reads it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.known.get(name)?.as_deref()?.trim();
        (!value.is_empty()).then_some(value)
    }

    pub(super) fn is_hidden(&self, name: &str) -> bool {
        self.known.get(name).is_some_and(Option::is_none)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Whether nobody can know whose sidecar has these.
    pub(super) fn are_nobodys(&self) -> bool {
        let is_named = |name| self.is_hidden(name) || self.get(name).is_some();
        !self.are_more && !NAMES.into_iter().any(is_named)
    }

    pub(super) fn is_sidecar(&self) -> bool {
        NAMES.iter().any(|name| self.has(name))
    }
}

impl<'a> Sidecar<'a> {
    pub(super) fn declared(&self) -> Result<Declared<'a>, MigrateError> {
        for name in NAMES {
            if self.variables.is_hidden(name) {
                return Ok(Declared::Hidden);
            }
            if let Some(id) = self.variables.get(name) {
                let node = NodeRef::parse(id).map_err(|source| MigrateError::BadName {
                    place: self.place.clone(),
                    container: self.container.to_owned(),
                    variable: name,
                    source,
                })?;
                return Ok(Declared::Named(name, id, node));
            }
        }
        Ok(if self.variables.are_more {
            Declared::Hidden
        } else {
            Declared::Nobody
        })
    }

    /// Who it is; `None` if the file only says that it says so.
    pub(super) fn node(
        &self,
        declared: &Declared<'_>,
        target: &Target,
    ) -> Result<Option<NodeRef>, MigrateError> {
        match (declared, &target.node) {
            (Declared::Named(variable, _, own), Some(node)) if own != node => {
                Err(MigrateError::OtherNode {
                    place: self.place.clone(),
                    container: self.container.to_owned(),
                    variable,
                    own: own.clone().into(),
                    node: node.clone().into(),
                })
            }
            (Declared::Named(_, _, node), _) | (_, Some(node)) => Ok(Some(node.clone())),
            (Declared::Hidden, None) => Ok(None),
            (Declared::Nobody, None) => Err(MigrateError::Unnamed {
                place: self.place.clone(),
                container: self.container.to_owned(),
            }),
        }
    }

    pub(super) fn known(&self, node: Option<NodeRef>) -> Result<NodeRef, MigrateError> {
        node.ok_or_else(|| MigrateError::HiddenName {
            place: self.place.clone(),
            container: self.container.to_owned(),
        })
    }

    pub(super) fn command(&self) -> Command {
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => Command::OfImage,
            ["sh", "-c", SCRIPT] => Command::Agent,
            ["envoy", "--config-yaml", bootstrap, ..] if bootstrap.contains(XDS_CLUSTER) => {
                Command::Envoy
            }
            _ => Command::Other,
        }
    }

    /// Before all else, App Mesh's agent goes by a bootstrap that it is given: by `ours`, if we give it one.
    pub(super) fn check_agent(&self, ours: Option<&str>) -> Result<(), MigrateError> {
        let own = self.variables.get(CONFIG_FILE);
        let is_hidden = self.variables.is_hidden(CONFIG_FILE);
        if own == ours && !is_hidden {
            return Ok(());
        }
        match own {
            None if !is_hidden => Ok(()),
            Some(file) if is_ours(file) => Err(self.moved_before()),
            _ => Err(MigrateError::OwnBootstrap {
                place: self.place.clone(),
                container: self.container.to_owned(),
                file: own.unwrap_or("…").to_owned(),
            }),
        }
    }

    pub(super) fn moved_before(&self) -> MigrateError {
        MigrateError::MovedBefore {
            place: self.place.clone(),
            container: self.container.to_owned(),
        }
    }

    /// A sentence on it.
    pub(super) fn note(&self, what: &str) -> String {
        format!("{}: `{}` {what}", self.place, self.container)
    }

    pub(super) fn command_line(&self) -> String {
        let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        words.join(" ")
    }
}

pub(super) fn is_ours(file: &str) -> bool {
    [WRITTEN, MOUNTED].contains(&file)
}
