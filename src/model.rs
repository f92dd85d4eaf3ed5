//! App Mesh's model: the seven kinds, their names, and the plain data that the edges feed into translation.
//!
//! The types are the API's JSON ([`spec`]): what a client wrote is what it reads back, absent members included.
//!
//! **Invariant:** nothing here performs I/O, reads a clock or the environment, or logs.

pub mod admission;
pub mod arn;
#[cfg(test)]
pub(crate) mod cases;
pub mod defaults;
pub mod difference;
pub mod document;
pub mod endpoint;
mod names;
pub mod order;
pub mod problem;
pub mod quota;
mod registry;
pub mod schema;
pub mod spec;
pub mod tags;
pub mod validate;
mod view;

pub use names::{
    GatewayName, GatewayRouteName, MeshName, NameError, NodeName, NodeRef, NodeRefError,
    ResourceId, ResourceIdError, ResourceKind, RouteName, RouterName, ServiceName,
};
pub use registry::{Mesh, Model, Resource, Spec};
pub use view::{Capture, ClientKind, EGRESS_PORT, INGRESS_PORT, LOCAL_CLUSTER, ViewKey, metadata};
