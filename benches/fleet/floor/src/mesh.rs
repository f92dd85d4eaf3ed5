//! The mesh and its encoded responses, each with its gRPC frame header.
//!
//! Sidecar `i` belongs to group `i % groups`; a group's sidecars all have the
//! same services: service 0, which every group has, and every groups-th one.
//! All responses that a first subscription can get are encoded at the start.

use crate::resources;
use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryResponse, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use std::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;

pub(crate) const TYPES: [&str; 4] = [
    "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "type.googleapis.com/envoy.config.listener.v3.Listener",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
];
const ENDPOINTS: usize = 1;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Variant {
    Sotw,
    Delta,
}

pub(crate) struct Mesh {
    backends: usize,
    pub(crate) groups: usize,
    /// Whether a bump sends all of a group's endpoints on SotW streams, or only those changed.
    sotw_full: bool,
    /// Encoded first responses by variant, group and type.
    first: [Vec<[Bytes; 4]>; 2],
    /// Those with endpoints that a bump has changed; made when a stream asks for one.
    changed_first: [Vec<Mutex<Changed>>; 2],
    /// Encoded endpoints by variant and service.
    endpoints: [Mutex<Vec<Bytes>>; 2],
    subscribers: Vec<Mutex<Subscribers>>,
    bumps: Vec<Mutex<usize>>,
}

/// What a group's first response with endpoints is, once a bump has changed it.
#[derive(Default)]
enum Changed {
    #[default]
    Not,
    ToMake,
    Made(Bytes),
}

#[derive(Default)]
struct Subscribers {
    sotw: Vec<UnboundedSender<Bytes>>,
    delta: Vec<UnboundedSender<Bytes>>,
}

impl Mesh {
    pub(crate) fn new(services: usize, backends: usize, sotw_full: bool) -> Self {
        let groups = services / backends;
        let mut mesh = Self {
            backends,
            groups,
            sotw_full,
            first: [Vec::new(), Vec::new()],
            changed_first: std::array::from_fn(|_| (0..groups).map(|_| Mutex::default()).collect()),
            endpoints: Default::default(),
            subscribers: (0..groups).map(|_| Mutex::default()).collect(),
            bumps: (0..services).map(|_| Mutex::default()).collect(),
        };
        for (index, variant) in [Variant::Sotw, Variant::Delta].into_iter().enumerate() {
            let chunks: [Vec<Vec<u8>>; 4] = std::array::from_fn(|kind| {
                (0..services).map(|k| chunk(variant, kind, k, 0)).collect()
            });
            let response = |kind: usize, group: usize| {
                let mut response = header(variant, kind, 1);
                mesh.services(group)
                    .for_each(|k| response.extend_from_slice(&chunks[kind][k]));
                framed(response)
            };
            mesh.first[index] = (0..groups)
                .map(|group| std::array::from_fn(|kind| response(kind, group)))
                .collect();
            let [_, endpoints, _, _] = chunks;
            mesh.endpoints[index] = Mutex::new(endpoints.into_iter().map(Bytes::from).collect());
        }
        mesh
    }

    pub(crate) fn services_len(&self) -> usize {
        self.bumps.len()
    }

    fn services(&self, group: usize) -> impl Iterator<Item = usize> {
        let groups = self.groups;
        std::iter::once(0).chain((1..self.backends).map(move |j| group + j * groups))
    }

    fn has(&self, group: usize, service: usize) -> bool {
        self.services(group).any(|k| k == service)
    }

    pub(crate) fn first(&self, variant: Variant, group: usize, kind: usize) -> Bytes {
        if kind == ENDPOINTS {
            let mut changed = self.changed_first[variant as usize][group].lock().unwrap();
            if matches!(*changed, Changed::ToMake) {
                *changed = Changed::Made(self.endpoints(variant, self.services(group), 1));
            }
            if let Changed::Made(response) = &*changed {
                return response.clone();
            }
        }
        self.first[variant as usize][group][kind].clone()
    }

    pub(crate) fn subscribe(&self, variant: Variant, group: usize, sender: UnboundedSender<Bytes>) {
        let mut subscribers = self.subscribers[group].lock().unwrap();
        match variant {
            Variant::Sotw => subscribers.sotw.push(sender),
            Variant::Delta => subscribers.delta.push(sender),
        }
    }

    /// Changes one endpoint of a service; returns the number of streams told.
    pub(crate) fn bump(&self, service: usize) -> usize {
        let count = {
            let mut count = self.bumps[service].lock().unwrap();
            *count += 1;
            *count
        };
        for variant in [Variant::Sotw, Variant::Delta] {
            let new = chunk(variant, ENDPOINTS, service, count);
            self.endpoints[variant as usize].lock().unwrap()[service] = new.into();
        }
        let small = |variant| self.endpoints(variant, std::iter::once(service), 1 + count);
        let (small_sotw, small_delta) = (small(Variant::Sotw), small(Variant::Delta));
        let mut told = 0;
        for group in (0..self.groups).filter(|&group| self.has(group, service)) {
            for variant in &self.changed_first {
                *variant[group].lock().unwrap() = Changed::ToMake;
            }
            let mut subscribers = self.subscribers[group].lock().unwrap();
            if !subscribers.sotw.is_empty() {
                let response = if self.sotw_full {
                    self.endpoints(Variant::Sotw, self.services(group), 1 + count)
                } else {
                    small_sotw.clone()
                };
                subscribers
                    .sotw
                    .retain(|stream| stream.send(response.clone()).is_ok());
            }
            subscribers
                .delta
                .retain(|stream| stream.send(small_delta.clone()).is_ok());
            told += subscribers.sotw.len() + subscribers.delta.len();
        }
        told
    }

    /// A response that holds these services' endpoints as they are now.
    fn endpoints(
        &self,
        variant: Variant,
        services: impl Iterator<Item = usize>,
        version: usize,
    ) -> Bytes {
        let endpoints = self.endpoints[variant as usize].lock().unwrap();
        let mut response = header(variant, ENDPOINTS, version);
        services.for_each(|service| response.extend_from_slice(&endpoints[service]));
        framed(response)
    }
}

pub(crate) const FRAME_HEADER: usize = 5;

/// Fills in the frame header that [`header`] left room for.
fn framed(mut response: Vec<u8>) -> Bytes {
    let len = u32::try_from(response.len() - FRAME_HEADER).expect("a response of less than 4 GiB");
    response[1..FRAME_HEADER].copy_from_slice(&len.to_be_bytes());
    response.into()
}

/// Room for a frame header and an encoded response without resources. Resources follow it as [`chunk`]s:
/// protobuf messages that are laid end to end merge.
fn header(variant: Variant, kind: usize, version: usize) -> Vec<u8> {
    let version = version.to_string();
    let nonce = version.clone();
    let type_url = TYPES[kind].to_owned();
    let response = match variant {
        Variant::Sotw => DiscoveryResponse {
            version_info: version,
            type_url,
            nonce,
            ..Default::default()
        }
        .encode_to_vec(),
        Variant::Delta => DeltaDiscoveryResponse {
            system_version_info: version,
            type_url,
            nonce,
            ..Default::default()
        }
        .encode_to_vec(),
    };
    [&[0; FRAME_HEADER], &response[..]].concat()
}

/// One encoded resource as part of a response.
fn chunk(variant: Variant, kind: usize, service: usize, bump: usize) -> Vec<u8> {
    let (name, value) = match kind {
        0 => (resources::service(service), resources::cluster(service)),
        ENDPOINTS => (
            resources::service(service),
            resources::endpoints(service, bump),
        ),
        2 => (
            resources::listener_name(service),
            resources::listener(service),
        ),
        _ => (resources::route_name(service), resources::route(service)),
    };
    let any = Any {
        type_url: TYPES[kind].into(),
        value,
    };
    match variant {
        Variant::Sotw => DiscoveryResponse {
            resources: vec![any],
            ..Default::default()
        }
        .encode_to_vec(),
        Variant::Delta => {
            // A version as long as the SHA-256 that go-control-plane sends.
            let version = "0".repeat(64);
            let resource = Resource {
                name,
                version,
                resource: Some(any),
                ..Default::default()
            };
            DeltaDiscoveryResponse {
                resources: vec![resource],
                ..Default::default()
            }
            .encode_to_vec()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn a_bump_reaches_the_groups_that_have_the_service() {
        let mesh = Mesh::new(20, 4, true); // five groups
        let (a, mut in_a) = unbounded_channel();
        let (b, mut in_b) = unbounded_channel();
        mesh.subscribe(Variant::Sotw, 1, a);
        mesh.subscribe(Variant::Delta, 2, b);
        assert_eq!(mesh.bump(6), 1); // group 1 only
        assert_eq!(mesh.bump(0), 2); // every group
        let full =
            DiscoveryResponse::decode(in_a.try_recv().unwrap().slice(FRAME_HEADER..)).unwrap();
        assert_eq!(full.resources.len(), 4);
        let changed =
            DeltaDiscoveryResponse::decode(in_b.try_recv().unwrap().slice(FRAME_HEADER..)).unwrap();
        assert_eq!(changed.resources[0].name, "svc-0");
    }

    #[test]
    fn who_joins_after_a_bump_gets_the_new_endpoints() {
        let mesh = Mesh::new(20, 4, true);
        let before = mesh.first(Variant::Delta, 1, ENDPOINTS);
        let other = mesh.first(Variant::Delta, 2, ENDPOINTS);
        mesh.bump(6);
        let after = mesh.first(Variant::Delta, 1, ENDPOINTS);
        assert_ne!(before, after);
        let bumped = resources::endpoints(6, 1);
        let read = DeltaDiscoveryResponse::decode(after.slice(FRAME_HEADER..)).unwrap();
        assert!(
            read.resources
                .iter()
                .any(|one| one.resource.as_ref().unwrap().value == bumped)
        );
        assert_eq!(other, mesh.first(Variant::Delta, 2, ENDPOINTS));
    }
}
