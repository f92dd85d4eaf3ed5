//! Interim forms of resources whose listeners change: a route names its router's port, say, before the router has a second.

use serde_json::{Map, Value};

use crate::appmesh::known::{json, typed};
use crate::model::spec::VirtualServiceProvider;
use crate::model::{MeshName, Model, NodeName, Resource, ResourceId, ServiceName, Spec};

/// A member of a spec that says which listener of another resource is meant.
struct Pointer {
    of: ResourceId,
    /// The object that `port` stands in, as a JSON pointer.
    place: String,
}

/// The port of what has one listener.
pub(super) fn only_port(spec: Option<&Spec>) -> Option<u16> {
    match spec?.port_mappings()[..] {
        [only] => Some(only.port),
        _ => None,
    }
}

/// The resources whose listeners a resource means.
pub(super) fn meant(resource: &Resource, model: &Model) -> Vec<ResourceId> {
    let pointers = pointers(&resource.id, &json(&resource.spec), model).into_iter();
    pointers.map(|pointer| pointer.of).collect()
}

/// Those of them that it means without a port.
pub(super) fn meant_without_port(resource: &Resource, model: &Model) -> Vec<ResourceId> {
    let spec = json(&resource.spec);
    let has_port = |place: &str| spec.pointer(&format!("{place}/port")).is_some();
    let pointers = pointers(&resource.id, &spec, model).into_iter();
    let without = pointers.filter(|pointer| !has_port(&pointer.place));
    without.map(|pointer| pointer.of).collect()
}

/// A resource with ports named where it names none; nothing if that changes nothing.
pub(super) fn pin(
    resource: &Resource,
    model: &Model,
    port: impl Fn(&ResourceId) -> Option<u16>,
) -> Option<Resource> {
    let mut spec = json(&resource.spec);
    let mut is_changed = false;
    for Pointer { of, place } in pointers(&resource.id, &spec, model) {
        if let Some(port) = port(&of) {
            is_changed |= name_port(&mut spec, &place, port);
        }
    }
    if !is_changed {
        return None;
    }
    Some(Resource {
        spec: typed(&resource.id, &spec)?,
        id: resource.id.clone(),
    })
}

/// A resource with the listeners besides that another form of it has on other ports; nothing if there are none.
pub(super) fn with_listeners_of(resource: &Resource, other: &Spec) -> Option<Resource> {
    let taken: Vec<u16> = (resource.spec.port_mappings().iter())
        .map(|mapping| mapping.port)
        .collect();
    let other = json(other);
    let others = other
        .get("listeners")?
        .as_array()?
        .iter()
        .filter(|listener| {
            let port = listener
                .pointer("/portMapping/port")
                .and_then(Value::as_u64);
            port.is_some_and(|port| !taken.iter().any(|taken| u64::from(*taken) == port))
        });
    let mut spec = json(&resource.spec);
    let listeners = spec
        .as_object_mut()?
        .entry("listeners")
        .or_insert_with(|| Value::Array(Vec::new()));
    let before = taken.len();
    let listeners = listeners.as_array_mut()?;
    listeners.extend(others.cloned());
    if listeners.len() == before {
        return None;
    }
    Some(Resource {
        spec: typed(&resource.id, &spec)?,
        id: resource.id.clone(),
    })
}

fn pointers(id: &ResourceId, spec: &Value, model: &Model) -> Vec<Pointer> {
    let fields = ["grpcRoute", "http2Route", "httpRoute", "tcpRoute"];
    let Some(field) = fields.into_iter().find(|field| spec.get(field).is_some()) else {
        return Vec::new();
    };
    match id {
        ResourceId::Route(mesh, router, _) => {
            let mut pointers = vec![Pointer {
                of: ResourceId::VirtualRouter(mesh.clone(), router.clone()),
                place: format!("/{field}/match"),
            }];
            let targets = spec.pointer(&format!("/{field}/action/weightedTargets"));
            let targets = targets.and_then(Value::as_array).into_iter().flatten();
            pointers.extend(targets.enumerate().filter_map(|(index, target)| {
                let node = NodeName::new(target.get("virtualNode")?.as_str()?);
                Some(Pointer {
                    of: ResourceId::VirtualNode(mesh.clone(), node),
                    place: format!("/{field}/action/weightedTargets/{index}"),
                })
            }));
            pointers
        }
        ResourceId::GatewayRoute(mesh, gateway, _) => {
            let mut pointers = vec![Pointer {
                of: ResourceId::VirtualGateway(mesh.clone(), gateway.clone()),
                place: format!("/{field}/match"),
            }];
            let place = format!("/{field}/action/target");
            let service = spec.pointer(&format!("{place}/virtualService/virtualServiceName"));
            let service = service.and_then(Value::as_str).map(ServiceName::new);
            let provider = service.and_then(|service| provider(mesh, &service, model));
            pointers.extend(provider.map(|of| Pointer { of, place }));
            pointers
        }
        _ => Vec::new(),
    }
}

/// Whose listeners a service has.
fn provider(mesh: &MeshName, service: &ServiceName, model: &Model) -> Option<ResourceId> {
    let service = model.mesh(mesh)?.services.get(service)?;
    Some(match service.provider.as_ref()? {
        VirtualServiceProvider::VirtualNode(node) => {
            ResourceId::VirtualNode(mesh.clone(), node.virtual_node_name.clone())
        }
        VirtualServiceProvider::VirtualRouter(router) => {
            ResourceId::VirtualRouter(mesh.clone(), router.virtual_router_name.clone())
        }
    })
}

/// Says a port where none is said.
fn name_port(spec: &mut Value, place: &str, port: u16) -> bool {
    if spec.pointer(place).is_none()
        && let Some((above, name)) = place.rsplit_once('/')
        && let Some(Value::Object(above)) = spec.pointer_mut(above)
    {
        // A TCP route may be without `match`.
        above.insert(name.to_owned(), Value::Object(Map::new()));
    }
    let Some(Value::Object(place)) = spec.pointer_mut(place) else {
        return false;
    };
    if place.contains_key("port") {
        return false;
    }
    place.insert("port".to_owned(), port.into());
    true
}
