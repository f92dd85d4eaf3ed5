//! Which sidecars are served, and which egress set each of them has.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use prost::Name;

use crate::model::spec::{
    Backend, EgressFilterType, IpPreference, MeshSpec, ServiceDiscovery, VirtualNodeSpec,
};
use crate::model::{Capture, ClientKind, MeshName, NodeName, NodeRef, ServiceName, ViewKey};
use crate::snapshot::canonical;

use super::egress::{Backends, EgressKey, Mode};
use super::encryption::Encryption;
use super::outside::Outside;
use super::{Input, Options, View};

/// A sidecar that is served, and the node that it stands for.
pub(crate) struct Served<'a> {
    pub(crate) mesh: &'a MeshName,
    pub(crate) mesh_spec: &'a MeshSpec,
    pub(crate) node: &'a NodeName,
    pub(crate) spec: &'a VirtualNodeSpec,
    pub(crate) capture: &'a Capture,
    pub(crate) client: ClientKind,
}

impl<'a> Served<'a> {
    pub(crate) fn find(input: &'a Input, key: &'a ViewKey) -> Result<Self, View> {
        let mesh = input.model.mesh(key.node.mesh()).ok_or(View::NotFound)?;
        let mesh_spec = mesh.spec.as_deref().ok_or(View::NotFound)?;
        let (name, node) = match &key.node {
            NodeRef::VirtualNode(name, node) => (name, node),
            NodeRef::VirtualGateway(_, gateway) => {
                return if mesh.gateways.contains_key(gateway) {
                    Err(View::Unsupported(GATEWAY_UNSUPPORTED.to_owned()))
                } else {
                    Err(View::NotFound)
                };
            }
        };
        let spec = mesh.nodes.get(node).ok_or(View::NotFound)?;
        Ok(Self {
            mesh: name,
            mesh_spec,
            node,
            spec,
            capture: &key.capture,
            client: key.client,
        })
    }

    /// Which address families the node uses, as far as it or its mesh says so.
    pub(crate) fn preference(&self) -> Option<IpPreference> {
        let own = match &self.spec.service_discovery {
            Some(ServiceDiscovery::Dns(dns)) => dns.ip_preference,
            Some(ServiceDiscovery::AwsCloudMap(map)) => map.ip_preference,
            None => None,
        };
        own.or(self.mesh_spec.ip_preference())
    }

    pub(crate) fn egress_key(&self, log: &[AccessLog], options: &Options) -> EgressKey {
        let allowed = self.mesh_spec.egress() == EgressFilterType::AllowAll;
        let named = self.spec.backends().iter();
        let named: BTreeSet<ServiceName> = named
            .map(|Backend::VirtualService(backend)| backend.virtual_service_name.clone())
            .collect();
        let backends = if options.default_backends && allowed && named.is_empty() {
            Backends::All
        } else {
            Backends::Named(Arc::new(named))
        };
        let (mode, lookup) = match (self.client, self.capture) {
            // Nothing leaves the mesh and nothing is logged: the application does both itself.
            (ClientKind::Grpc, _) => {
                return EgressKey {
                    mesh: self.mesh.clone(),
                    mode: Mode::Grpc,
                    backends,
                    outside: Outside::Dropped,
                    encryption: Encryption::of(self.spec),
                    log: Bytes::new(),
                };
            }
            (ClientKind::Envoy, Capture::Explicit { .. }) => (Mode::Explicit, self.preference()),
            // Nothing is looked up: the application has an address.
            (ClientKind::Envoy, Capture::Redirect) => (Mode::Redirect, None),
        };
        let mut encoded = Vec::new();
        for logger in log {
            encoded.extend_from_slice(&canonical::encode(&AccessLog::type_url(), logger));
        }
        EgressKey {
            mesh: self.mesh.clone(),
            mode,
            backends,
            outside: match (allowed, options.aws_egress) {
                (true, _) => Outside::Allowed(lookup),
                (false, true) => Outside::Aws(lookup),
                (false, false) => Outside::Dropped,
            },
            encryption: Encryption::of(self.spec),
            log: encoded.into(),
        }
    }
}

const GATEWAY_UNSUPPORTED: &str = "virtual gateways are not served yet; run a virtual node's sidecar in front of the mesh instead";
