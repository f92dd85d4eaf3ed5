//! Egress route configurations: a virtual host for each service, told apart by the Host header.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost};

use crate::model::spec::Protocol;
use crate::model::{EGRESS_PORT, MeshName, ResourceId, ServiceName};

use super::outside::{AWS_DOMAIN, AWS_PORTS, Outside};
use super::service::{ServicePort, ServiceUnit, TcpTraffic, Traffic};
use super::{Problem, defaults, names, route};

/// The route configuration behind the sidecar's 15001, with what could not be served.
///
/// Services are sorted by name. Envoy refuses two virtual hosts whose domains differ only in case: the first service
/// keeps such a domain.
pub(crate) fn proxy_routes(
    mesh: &MeshName,
    services: &BTreeMap<ServiceName, Arc<ServiceUnit>>,
    outside: Outside,
) -> (RouteConfiguration, Vec<Problem>) {
    let mut hosts = Hosts::new(mesh);
    for (name, unit) in services {
        hosts.add_service(name, unit);
    }
    match outside {
        Outside::Dropped => {}
        Outside::Aws(_) => hosts.add_aws_to_proxy(),
        Outside::Allowed(_) => hosts.add_everything_to_proxy(),
    }
    let configuration = RouteConfiguration {
        name: names::EGRESS_ROUTES.to_owned(),
        virtual_hosts: hosts.list,
        ..Default::default()
    };
    (configuration, hosts.problems)
}

/// The route configuration of redirected calls to one port. What is wrong with a service's name is told by
/// [`proxy_routes`].
pub(crate) fn port_routes<'a>(
    mesh: &'a MeshName,
    port: u16,
    protocol: Protocol,
    services: impl Iterator<Item = (&'a ServiceName, &'a [Route])>,
    outside: Outside,
) -> RouteConfiguration {
    let mut hosts = Hosts::new(mesh);
    for (name, routes) in services {
        if is_host_name(name.as_str()) {
            let domains = vec![name.to_string(), format!("{name}:{port}")];
            hosts.add(name, name.to_string(), domains, routes.to_vec());
        }
    }
    let pass = |name: &str, domains: Vec<String>, cluster: String| VirtualHost {
        name: name.to_owned(),
        domains,
        routes: vec![route::pass("pass", cluster)],
        ..Default::default()
    };
    match outside {
        Outside::Dropped => {}
        Outside::Aws(_) => {
            let domains = vec![AWS_DOMAIN.to_owned(), format!("{AWS_DOMAIN}:{port}")];
            let cluster = names::aws_cluster(mesh);
            hosts.list.push(pass(names::AWS_HOST, domains, cluster));
        }
        Outside::Allowed(_) => {
            let cluster = names::allow_all_cluster(mesh);
            let domains = vec!["*".to_owned()];
            let host = pass(names::ALLOW_ALL_HOST, domains, cluster);
            hosts.list.push(host);
        }
    }
    RouteConfiguration {
        name: names::egress_routes(protocol, port),
        virtual_hosts: hosts.list,
        ..Default::default()
    }
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'*')
}

struct Hosts<'a> {
    mesh: &'a MeshName,
    /// Domains in lower case, and whose they are.
    taken: HashMap<String, &'a ServiceName>,
    list: Vec<VirtualHost>,
    problems: Vec<Problem>,
}

impl<'a> Hosts<'a> {
    fn new(mesh: &'a MeshName) -> Self {
        Self {
            mesh,
            taken: HashMap::new(),
            list: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn add_service(&mut self, name: &'a ServiceName, unit: &ServiceUnit) {
        let host = name.as_str();
        if !is_host_name(host) {
            self.report(
                name,
                "cannot be called, since its name is no host name; rename it".to_owned(),
            );
            return;
        }
        let http = unit.ports.iter().filter_map(|port| match &port.traffic {
            Traffic::Http(routes) => Some((port.port, routes.as_slice())),
            Traffic::Tcp(_) => None,
        });
        let http: Vec<(u16, &[Route])> = http.collect();
        match http.split_first() {
            None if unit.ports.is_empty() => self.add_bare(name, None, &[]),
            None => {}
            Some(((port, routes), rest)) => {
                self.add_bare(name, Some(*port), routes);
                for (port, routes) in rest {
                    let domain = format!("{host}:{port}");
                    self.add(name, domain.clone(), vec![domain], routes.to_vec());
                }
            }
        }
        for port in &unit.ports {
            if let Traffic::Tcp(traffic) = &port.traffic {
                self.add_tunnel(name, port, traffic);
            }
        }
    }

    /// The host that has the service's bare name.
    fn add_bare(&mut self, name: &'a ServiceName, port: Option<u16>, routes: &[Route]) {
        let mut domains = vec![name.to_string()];
        domains.extend(port.map(|port| format!("{name}:{port}")));
        if port != Some(EGRESS_PORT) {
            domains.push(format!("{name}:{EGRESS_PORT}"));
        }
        self.add(name, name.to_string(), domains, routes.to_vec());
    }

    /// For clients that can dial a TCP backend through CONNECT.
    fn add_tunnel(&mut self, name: &'a ServiceName, port: &ServicePort, traffic: &TcpTraffic) {
        let Some(clusters) = route::split(&traffic.targets) else {
            return;
        };
        let domain = format!("{name}:{}", port.port);
        let route = route::tunnel(name.as_str(), clusters, traffic.idle_timeout);
        self.add(name, domain.clone(), vec![domain], vec![route]);
    }

    fn add(
        &mut self,
        service: &'a ServiceName,
        name: String,
        mut domains: Vec<String>,
        routes: Vec<Route>,
    ) {
        let mut refused = Vec::new();
        domains.retain(|domain| {
            let taken = self.taken.get(&domain.to_ascii_lowercase()).copied();
            if let Some(other) = taken {
                refused.push((domain.clone(), other));
            }
            taken.is_none()
        });
        for (domain, other) in refused {
            self.report(
                service,
                format!(
                    "is not called by `{domain}`, which virtual service `{other}` already has, as case makes no difference; \
                     rename one of them"
                ),
            );
        }
        for domain in &domains {
            self.taken.insert(domain.to_ascii_lowercase(), service);
        }
        if !domains.is_empty() {
            self.list.push(VirtualHost {
                name,
                domains,
                routes,
                ..Default::default()
            });
        }
    }

    fn add_everything_to_proxy(&mut self) {
        self.list.push(VirtualHost {
            name: names::NO_LOOP_HOST.to_owned(),
            domains: vec![format!("*:{EGRESS_PORT}")],
            ..Default::default()
        });
        let cluster = names::allow_all_cluster(self.mesh);
        self.forward(names::ALLOW_ALL_HOST, vec!["*".to_owned()], &cluster);
    }

    fn add_aws_to_proxy(&mut self) {
        let mut domains = vec![AWS_DOMAIN.to_owned()];
        domains.extend(AWS_PORTS.iter().map(|port| format!("{AWS_DOMAIN}:{port}")));
        let cluster = names::aws_cluster(self.mesh);
        self.forward(names::AWS_HOST, domains, &cluster);
    }

    /// Requests and tunnels to hosts outside the mesh.
    fn forward(&mut self, name: &str, domains: Vec<String>, cluster: &str) {
        let tunnel = ClusterSpecifier::Cluster(cluster.to_owned());
        self.list.push(VirtualHost {
            name: name.to_owned(),
            domains,
            routes: vec![
                route::tunnel("tunnel", tunnel, defaults::NO_TIMEOUT),
                route::pass("forward", cluster.to_owned()),
            ],
            ..Default::default()
        });
    }

    fn report(&mut self, service: &ServiceName, text: String) {
        let id = ResourceId::VirtualService(self.mesh.clone(), service.clone());
        self.problems.push(Problem::new(id, text));
    }
}
