//! What is known of clients and views, as the operator service's messages.

use std::time::{Duration, Instant};

use prost_types::Any;

use super::generated::{
    self, Client, KindStatus, MirrorResource, Rejection, Resource, State, View,
};
use crate::appmesh::status;
use crate::clients::{self, ClientState, RefusedNode, Variant};
use crate::model::{Capture, ClientKind, ViewKey};
use crate::snapshot::{Kind, Snapshot, Version};
use crate::store::Revision;

pub(super) fn client(client: &ClientState) -> Client {
    let info = &client.info;
    let variant = match info.variant {
        Variant::Sotw => generated::Variant::Sotw,
        Variant::Delta => generated::Variant::Delta,
    };
    Client {
        node: info.node.to_string(),
        peer: info.peer.to_string(),
        user_agent: info.user_agent.clone(),
        variant: variant.into(),
        view: Some(view(&info.key)),
        connected_at: Some(info.connected_at.into()),
        connected_for: wire(client.age),
        kinds: (client.status.kinds.iter())
            .filter(|(_, status)| status.subscribed)
            .map(|(kind, status)| kind_status(kind, status, client.age))
            .collect(),
    }
}

/// How a mirror stands, now.
pub fn mirror(mirror: &status::Mirror) -> generated::Mirror {
    let status = mirror.status();
    let (error, next_try) = match &status.state {
        status::State::Unavailable { error, next_try }
        | status::State::Refused { error, next_try } => (error.clone(), Some(*next_try)),
        _ => (String::new(), None),
    };
    let resources = status.others.iter().map(|(id, standing)| MirrorResource {
        id: id.to_string(),
        standing: standing.as_str().to_owned(),
        detail: standing.detail(),
    });
    generated::Mirror {
        endpoint: status.endpoint.clone(),
        state: status.state.as_str().to_owned(),
        in_state_for: wire(status.since.elapsed()),
        error,
        next_try_in: next_try.and_then(|at| wire(at.saturating_duration_since(Instant::now()))),
        source_revision: mirror.source_revision().as_u64(),
        mirrored_revision: status.mirrored.map(Revision::as_u64),
        lag: wire(mirror.lag()),
        last_success: status.last_success.map(Into::into),
        last_read: status.last_read.and_then(|read| wire(read.elapsed())),
        in_step: u64::try_from(status.in_step()).unwrap_or(u64::MAX),
        beside: u64::try_from(status.beside).unwrap_or(u64::MAX),
        resources: resources.collect(),
    }
}

pub(super) fn refused(refused: RefusedNode) -> generated::RefusedNode {
    generated::RefusedNode {
        node: refused.node,
        peer: refused.peer.to_string(),
        user_agent: refused.user_agent,
        reason: refused.reason.as_str().to_owned(),
        message: refused.message,
        count: refused.count,
        first_refused: wire(refused.first.elapsed()),
        last_refused: wire(refused.last.elapsed()),
    }
}

fn kind_status(kind: Kind, status: &clients::KindStatus, age: Duration) -> KindStatus {
    let state = if !status.rejections.is_empty() {
        State::Rejected
    } else if status.pending_since.is_some() || status.sent.is_none() {
        State::Pending
    } else {
        State::Synced
    };
    let rejections = status.rejections.iter().map(|rejection| Rejection {
        resource: text(rejection.resource.as_deref()),
        version: version(rejection.version),
        message: rejection.message.to_string(),
        rejected_for: wire(age.saturating_sub(rejection.since)),
    });
    KindStatus {
        kind: kind.to_string(),
        resources: status.resources as u64,
        state: state.into(),
        sent_version: version(status.sent),
        acked_version: version(status.acked),
        pending_for: (status.pending_since).and_then(|since| wire(age.saturating_sub(since))),
        rejections: rejections.collect(),
    }
}

pub(super) fn view(key: &ViewKey) -> View {
    let mut view = View {
        client: match key.client {
            ClientKind::Envoy => "envoy".to_owned(),
            ClientKind::Grpc => "grpc".to_owned(),
        },
        ..View::default()
    };
    match &key.capture {
        Capture::Explicit { bind, applications } => {
            "explicit".clone_into(&mut view.capture);
            view.bind = bind.to_string();
            view.applications = (applications.iter())
                .map(|(port, application)| (u32::from(*port), application.to_string()))
                .collect();
        }
        Capture::Redirect => "redirect".clone_into(&mut view.capture),
    }
    view
}

pub(super) fn resources(snapshot: &Snapshot, kinds: &[Kind]) -> Vec<Resource> {
    let mut resources = Vec::new();
    for &kind in kinds {
        let start = resources.len();
        resources.extend(snapshot.resources(kind).map(|resource| Resource {
            kind: kind.to_string(),
            name: resource.name().to_string(),
            version: resource.version().to_string(),
            body: (kind != Kind::Secret).then(|| Any {
                type_url: kind.type_url().to_owned(),
                value: resource.body().to_vec(),
            }),
        }));
        resources.extend(snapshot.withheld(kind).map(|name| Resource {
            kind: kind.to_string(),
            name: name.to_string(),
            version: String::new(),
            body: None,
        }));
        if let Some(added) = resources.get_mut(start..) {
            added.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
    resources
}

fn version(version: Option<Version>) -> String {
    version
        .map(|version| version.to_string())
        .unwrap_or_default()
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

/// `None` only for what is longer than protobuf's ten thousand years.
fn wire(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}
