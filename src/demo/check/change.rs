//! Changes, and how long they take to reach the sidecars.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::folder::Folder;
use super::super::layout::{MESH, Network};
use super::super::poll::until;
use super::super::start::Names;
use super::{CheckError, config, traffic};
use crate::clients::{ClientId, ClientState, Clients};
use crate::envoy::admin::Admin;
use crate::snapshot::{Kind, Version};

/// How long a change may take. What is measured is far below; this only ends a check that fails.
const WITHIN: Duration = Duration::from_secs(20);

/// Edits a weight in the mesh's file, as a person would, and waits for the last sidecar that routes to service B.
pub(super) async fn weights(
    network: Network,
    folder: &Folder,
    clients: &Clients,
) -> Result<String, CheckError> {
    let cluster = format!("cds_egress_{MESH}_serviceBNodeV2_http_8080");
    let mut routing = Vec::new();
    for instance in network.instances() {
        let admin = Admin::new(instance.admin());
        if config::weight_percent(admin, &cluster).await? == Some(20) {
            routing.push(admin);
        }
    }
    if routing.is_empty() {
        return Err(CheckError::NotActive {
            sidecar: "all sidecars".to_owned(),
            missing: format!("route that gives {cluster} 20 %"),
        });
    }
    let before = acked_routes(clients);
    let path = folder.weights();
    let edited = std::fs::read_to_string(&path)?
        .replace("weight: 80", "weight: 30")
        .replace("weight: 20", "weight: 70");
    std::fs::write(&path, edited)?;
    let acked = until(WITHIN, async || {
        let now = acked_routes(clients);
        let followed = now.iter().filter(|(id, version)| {
            let old = before.get(id).copied().flatten();
            version.is_some() && **version != old
        });
        followed.count() >= routing.len()
    });
    let active = until(WITHIN, async || {
        for admin in &routing {
            let weight = config::weight_percent(*admin, &cluster).await;
            if !matches!(weight, Ok(Some(70))) {
                return false;
            }
        }
        true
    });
    let (acked, active) = tokio::join!(acked, active);
    let (acked, active) = acked.zip(active).ok_or(CheckError::Late {
        what: "the second version's weight of 70",
        within: WITHIN,
    })?;
    let spread = traffic::spread(network, 70).await?;
    Ok(format!(
        "{} ms from the saved file to the last sidecar's ACK, {} ms until the last one shows it; then {spread}",
        acked.as_millis(),
        active.as_millis()
    ))
}

/// Waits until the sidecars of the mirror, which nobody edits, have the changed weight too.
pub(super) async fn mirrored(mirror: Network) -> Result<String, CheckError> {
    let cluster = format!("cds_egress_{MESH}_serviceBNodeV2_http_8080");
    let [a, ..] = mirror.instances();
    let active = until(WITHIN, async || {
        let weight = config::weight_percent(Admin::new(a.admin()), &cluster).await;
        matches!(weight, Ok(Some(70)))
    });
    active.await.ok_or(CheckError::Late {
        what: "the second version's weight of 70, at the mirror",
        within: WITHIN,
    })?;
    traffic::spread(mirror, 70).await
}

/// The version of each sidecar's routes; `None` while one is on its way.
fn acked_routes(clients: &Clients) -> BTreeMap<ClientId, Option<Version>> {
    let routes = |client: ClientState| {
        let status = &client.status.kinds[Kind::Route];
        let acked = status.acked.filter(|acked| status.sent == Some(*acked));
        (client.id, acked)
    };
    clients.list().into_iter().map(routes).collect()
}

/// Takes a replica out of DNS and puts it back, and waits for the endpoints of service A's sidecar.
pub(super) async fn addresses(network: Network, names: &Names) -> Result<String, CheckError> {
    let cluster = format!("cds_egress_{MESH}_serviceBNode_http_8080");
    let [a, first, second, _] = network.instances();
    let admin = Admin::new(a.admin());
    let one = [first.ingress().to_string()];
    let both = [first.ingress().to_string(), second.ingress().to_string()];

    names.set(first.hostname, [&first]);
    let removed = follows(admin, &cluster, &one).await?;
    names.set(first.hostname, [&first, &second]);
    let added = follows(admin, &cluster, &both).await?;
    Ok(format!(
        "{} ms from a removed address to the sidecar's endpoints, {} ms for it to be back (its TTL is 1 s)",
        removed.as_millis(),
        added.as_millis()
    ))
}

async fn follows(admin: Admin, cluster: &str, wanted: &[String]) -> Result<Duration, CheckError> {
    let holds = until(WITHIN, async || {
        config::endpoints(admin, cluster)
            .await
            .is_ok_and(|endpoints| endpoints.iter().eq(wanted))
    });
    holds.await.ok_or(CheckError::Late {
        what: "the addresses that DNS has for service-b.local",
        within: WITHIN,
    })
}
