//! The one default that is kept with a resource.
//!
//! App Mesh fills in nothing else: what a client left out stays out when it is read back, and what it then means is decided
//! where it is used.

use std::sync::Arc;

use super::registry::Spec;
use super::spec::{HealthCheckPolicy, PortMapping};

/// Fills in `healthCheck.port` of virtual nodes and gateways: a health check asks its listener's port.
pub fn fill_defaults(spec: &mut Spec) {
    match spec {
        Spec::VirtualNode(node) => {
            let lacks =
                |listener: &super::spec::Listener| lacks_port(listener.health_check.as_ref());
            if node.listeners().iter().any(lacks) {
                let listeners = Arc::make_mut(node).listeners.iter_mut().flatten();
                for listener in listeners {
                    fill_port(listener.health_check.as_mut(), &listener.port_mapping);
                }
            }
        }
        Spec::VirtualGateway(gateway) => {
            let lacks = |listener: &super::spec::VirtualGatewayListener| {
                lacks_port(listener.health_check.as_ref())
            };
            if gateway.listeners.iter().any(lacks) {
                for listener in &mut Arc::make_mut(gateway).listeners {
                    fill_port(listener.health_check.as_mut(), &listener.port_mapping);
                }
            }
        }
        Spec::Mesh(_)
        | Spec::VirtualService(_)
        | Spec::VirtualRouter(_)
        | Spec::Route(_)
        | Spec::GatewayRoute(_) => {}
    }
}

fn lacks_port(check: Option<&HealthCheckPolicy>) -> bool {
    check.is_some_and(|check| check.port.is_none())
}

fn fill_port(check: Option<&mut HealthCheckPolicy>, listener: &PortMapping) {
    if let Some(check) = check {
        check.port.get_or_insert(listener.port);
    }
}
