//! From the model and what is known of endpoints to what each connected sidecar is sent.
//!
//! Translation is level by level, each level kept: nodes become clusters ([`node`]), services become ports with routes
//! ([`service`]), sets of backends become shared snapshots ([`egress`]), and views add their own listeners ([`view`]).
//! [`state`] knows who depends on whom.
//!
//! **Invariants:**
//! - [`Translator::apply`] on what was there gives what a new translator gives from scratch.
//! - Translation is total: what cannot be served is left out and told as a [`Problem`]; nothing else suffers.
//! - A change costs what depends on it, whatever the size of the mesh.

mod access_log;
mod chain;
mod cluster;
mod defaults;
mod egress;
mod encryption;
mod endpoint;
mod host_routes;
mod index;
mod listener;
mod mesh_units;
mod names;
mod node;
mod outside;
mod proto;
mod proxyless;
mod regex;
mod retry;
mod route;
mod route_match;
mod served;
mod service;
mod sets;
mod state;
mod view;
mod virtual_host;

use std::fmt;
use std::sync::Arc;

use crate::model::endpoint::EndpointTable;
use crate::model::{Model, ResourceId, ViewKey};
use crate::snapshot::Snapshot;

pub use state::Translator;

/// What App Mesh did unasked, and where Outrigger deviates from it on purpose; each can be switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A node with discovery and without listeners counts as one HTTP listener on this port; `None`: as none.
    pub default_listener_port: Option<u16>,
    /// In a mesh that allows all egress, a node without `backends` has every virtual service of its mesh as backend.
    pub default_backends: bool,
    /// In a mesh that drops all egress, AWS's services (`*.amazonaws.com`) can be called all the same.
    pub aws_egress: bool,
    /// HTTP-like routes without a retry policy get App Mesh's default one.
    pub default_retry_policy: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            default_listener_port: Some(8080),
            default_backends: true,
            aws_egress: true,
            default_retry_policy: true,
        }
    }
}

/// Everything that translation depends on: persistent data, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub model: Model,
    pub endpoints: EndpointTable,
    /// The keys of the connected sidecars; nothing else is put together.
    pub views: imbl::OrdSet<ViewKey>,
}

/// What a sidecar gets.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    Serving(Arc<Snapshot>),
    /// The model has no such node, or its mesh is not declared.
    NotFound,
    /// Why this kind of sidecar is not served, and what to do.
    Unsupported(String),
}

/// Something in the model that could not be served as it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub resource: ResourceId,
    /// What is wrong and how to fix it; reads on after the resource's name.
    pub text: String,
}

impl Problem {
    fn new(resource: ResourceId, text: String) -> Self {
        Self { resource, text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource, self.text)
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
