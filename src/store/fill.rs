//! The one default that is stored, and so echoed, though the caller left it out: the port that a health check asks.
//!
//! App Mesh echoes the listener's own port there, and its clients compare.

use std::sync::Arc;

use crate::model::spec::{HealthCheckPolicy, PortMapping};
use crate::model::{Resource, Spec};

/// The resource as it is stored.
pub(super) fn fill(mut resource: Resource) -> Resource {
    match &mut resource.spec {
        Spec::VirtualNode(spec) => {
            let listeners = spec.listeners();
            let lacks = listeners
                .iter()
                .any(|one| lacks_port(one.health_check.as_ref()));
            if lacks {
                let listeners = Arc::make_mut(spec).listeners.iter_mut().flatten();
                for one in listeners {
                    fill_port(one.health_check.as_mut(), &one.port_mapping);
                }
            }
        }
        Spec::VirtualGateway(spec) => {
            let mut listeners = spec.listeners.iter();
            if listeners.any(|one| lacks_port(one.health_check.as_ref())) {
                for one in &mut Arc::make_mut(spec).listeners {
                    fill_port(one.health_check.as_mut(), &one.port_mapping);
                }
            }
        }
        Spec::Mesh(_)
        | Spec::VirtualService(_)
        | Spec::VirtualRouter(_)
        | Spec::Route(_)
        | Spec::GatewayRoute(_) => {}
    }
    resource
}

fn lacks_port(check: Option<&HealthCheckPolicy>) -> bool {
    check.is_some_and(|check| check.port.is_none())
}

fn fill_port(check: Option<&mut HealthCheckPolicy>, mapping: &PortMapping) {
    if let Some(check) = check {
        check.port.get_or_insert(mapping.port);
    }
}
