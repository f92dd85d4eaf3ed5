//! Clients and what they hold, as messages.

use std::time::SystemTime;

use envoy_types::pb::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use envoy_types::pb::google::protobuf::{Any, Timestamp};

use crate::clients::ClientInfo;
use crate::snapshot::{Kind, Resource};
use crate::xds::{Held, HeldState, Rejection};

/// A client; its scope is where it is, which tells replicas of a node apart.
pub(super) fn client(info: &ClientInfo, held: Vec<Held>, contents: bool) -> ClientConfig {
    let configs = held.into_iter().map(|held| config(info, held, contents));
    ClientConfig {
        node: Some(Node {
            id: info.node.to_string(),
            user_agent_name: info.user_agent.clone(),
            ..Default::default()
        }),
        generic_xds_configs: configs.collect(),
        client_scope: info.peer.to_string(),
        ..Default::default()
    }
}

/// Adds a stream's client. The streams of one connection, which may have a type each, are one client's.
pub(super) fn add(clients: &mut Vec<ClientConfig>, new: ClientConfig) {
    let known = clients
        .iter_mut()
        .rev()
        // Clients come sorted by node.
        .take_while(|known| known.node == new.node)
        .find(|known| known.client_scope == new.client_scope);
    match known {
        Some(known) => known.generic_xds_configs.extend(new.generic_xds_configs),
        None => clients.push(new),
    }
}

fn config(info: &ClientInfo, held: Held, contents: bool) -> GenericXdsConfig {
    let (ours, theirs) = match &held.state {
        HeldState::Current => (ConfigStatus::Synced, ClientResourceStatus::Acked),
        HeldState::Unanswered => (ConfigStatus::Stale, ClientResourceStatus::Requested),
        HeldState::Older => (ConfigStatus::Stale, ClientResourceStatus::Acked),
        HeldState::NotSent => (ConfigStatus::NotSent, ClientResourceStatus::Requested),
        HeldState::Absent => (ConfigStatus::NotSent, ClientResourceStatus::DoesNotExist),
        HeldState::Rejected(_) => (ConfigStatus::Error, ClientResourceStatus::Nacked),
    };
    let resource = held.resource.as_deref();
    let content = resource.and_then(|resource| any(resource, contents));
    let error = match held.state {
        HeldState::Rejected(rejection) => Some(error_state(info, &rejection, content.clone())),
        _ => None,
    };
    GenericXdsConfig {
        type_url: held.kind.type_url().to_owned(),
        name: String::from(&*held.name),
        version_info: resource.map_or_else(String::new, |resource| resource.version().to_string()),
        xds_config: content,
        config_status: ours.into(),
        client_status: theirs.into(),
        error_state: error,
        ..Default::default()
    }
}

fn any(resource: &Resource, contents: bool) -> Option<Any> {
    (contents && resource.kind() != Kind::Secret).then(|| Any {
        type_url: resource.kind().type_url().to_owned(),
        value: resource.body().to_vec(),
    })
}

fn error_state(
    info: &ClientInfo,
    rejection: &Rejection,
    content: Option<Any>,
) -> UpdateFailureState {
    let at = info.connected_at + rejection.since;
    let since_epoch = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UpdateFailureState {
        failed_configuration: content,
        last_update_attempt: Some(Timestamp {
            seconds: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(since_epoch.subsec_nanos()).unwrap_or_default(),
        }),
        details: rejection.message.to_string(),
        version_info: rejection
            .version
            .map_or_else(String::new, |version| version.to_string()),
    }
}
