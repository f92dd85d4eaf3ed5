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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::document::Located;
    use crate::model::schema;

    fn spec(kind: &str, name: &str, port: Option<u16>) -> Spec {
        let check = json!({
            "port": port, "protocol": "http", "healthyThreshold": 2, "unhealthyThreshold": 2,
            "intervalMillis": 5000, "timeoutMillis": 2000,
        });
        let mut spec = json!({ "listeners": [
            { "portMapping": { "port": 80, "protocol": "http" } },
            { "portMapping": { "port": 81, "protocol": "http" }, "healthCheck": check },
        ] });
        if kind == "VirtualNode" {
            spec["serviceDiscovery"] = json!({ "dns": { "hostname": "a.local" } });
        }
        let document = json!({ "kind": kind, "meshName": "m", name: "x", "spec": spec });
        let read = schema::read(&Located::from(document));
        read.resource
            .unwrap_or_else(|| panic!("{:#?}", read.problems))
            .spec
    }

    #[test]
    fn a_health_check_asks_its_own_listeners_port() {
        for (kind, name) in [
            ("VirtualNode", "virtualNodeName"),
            ("VirtualGateway", "virtualGatewayName"),
        ] {
            let mut filled = spec(kind, name, None);
            fill_defaults(&mut filled);
            let expected = spec(kind, name, Some(81));
            assert_eq!(filled, expected);
            fill_defaults(&mut filled);
            assert_eq!(filled, expected);
        }
    }

    #[test]
    fn a_spec_that_has_it_stays_shared() {
        let before = spec("VirtualNode", "virtualNodeName", Some(81));
        let mut after = before.clone();
        fill_defaults(&mut after);
        let (Spec::VirtualNode(before), Spec::VirtualNode(after)) = (before, after) else {
            panic!("both are nodes")
        };
        assert!(Arc::ptr_eq(&before, &after));
    }
}
