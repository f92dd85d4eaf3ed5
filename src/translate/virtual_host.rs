//! Egress route configurations: a virtual host for each service, told apart by the Host header.
//!
//! A configuration has all services of a set, so it is put together from routes that were encoded with their service, and
//! never exists as one message: that of 1,000 services would be megabytes of it, for each set and each port.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::VirtualHost;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use prost::Message;

use crate::model::spec::Protocol;
use crate::model::{EGRESS_PORT, MeshName, ResourceId, ServiceName};
use crate::snapshot::canonical::{put_field, put_field_header};
use crate::snapshot::{Kind, Resource, ResourceName};

use super::host_routes::HostRoutes;
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
) -> (Resource, Vec<Problem>) {
    let mut hosts = Hosts::new(mesh, names::EGRESS_ROUTES);
    for (name, unit) in services {
        hosts.add_service(name, unit);
    }
    match outside {
        Outside::Dropped => {}
        Outside::Aws(_) => hosts.add_aws_to_proxy(),
        Outside::Allowed(_) => hosts.add_everything_to_proxy(),
    }
    hosts.finish()
}

/// The route configuration of redirected calls to one port. What is wrong with a service's name is told by
/// [`proxy_routes`].
pub(crate) fn port_routes<'a>(
    mesh: &'a MeshName,
    port: u16,
    protocol: Protocol,
    services: impl Iterator<Item = (&'a ServiceName, &'a HostRoutes)>,
    outside: Outside,
) -> Resource {
    let mut hosts = Hosts::new(mesh, &names::egress_routes(protocol, port));
    for (name, routes) in services {
        if is_host_name(name.as_str()) {
            let domains = vec![name.to_string(), format!("{name}:{port}")];
            hosts.add(name, name.to_string(), domains, routes);
        }
    }
    let pass = |cluster| HostRoutes::of([&route::pass("pass", cluster)]);
    match outside {
        Outside::Dropped => {}
        Outside::Aws(_) => {
            let domains = vec![AWS_DOMAIN.to_owned(), format!("{AWS_DOMAIN}:{port}")];
            let routes = pass(names::aws_cluster(mesh));
            hosts.put(names::AWS_HOST.to_owned(), domains, &routes);
        }
        Outside::Allowed(_) => {
            let routes = pass(names::allow_all_cluster(mesh));
            let domains = vec!["*".to_owned()];
            hosts.put(names::ALLOW_ALL_HOST.to_owned(), domains, &routes);
        }
    }
    let (routes, _) = hosts.finish();
    routes
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'*')
}

/// `RouteConfiguration.name`.
const NAME: u32 = 1;
/// `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS: u32 = 2;

struct Hosts<'a> {
    mesh: &'a MeshName,
    name: ResourceName,
    /// The route configuration as far as it has come, encoded canonically.
    encoded: Vec<u8>,
    /// Domains in lower case, and whose they are.
    taken: HashMap<String, &'a ServiceName>,
    problems: Vec<Problem>,
}

impl<'a> Hosts<'a> {
    fn new(mesh: &'a MeshName, name: &str) -> Self {
        let mut encoded = Vec::new();
        put_field(NAME, name.as_bytes(), &mut encoded);
        Self {
            mesh,
            name: name.into(),
            encoded,
            taken: HashMap::new(),
            problems: Vec::new(),
        }
    }

    fn finish(self) -> (Resource, Vec<Problem>) {
        let routes = Resource::of_canonical(Kind::Route, self.name, &self.encoded, None);
        (routes, self.problems)
    }

    fn put(&mut self, name: String, domains: Vec<String>, routes: &HostRoutes) {
        let host = VirtualHost {
            name,
            domains,
            ..Default::default()
        };
        let (head, routes) = (host.encode_to_vec(), routes.as_bytes());
        let out = &mut self.encoded;
        put_field_header(VIRTUAL_HOSTS, head.len() + routes.len(), out);
        out.extend_from_slice(&head);
        out.extend_from_slice(routes);
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
            Traffic::Http(routes) => Some((port.port, routes)),
            Traffic::Tcp(_) => None,
        });
        let http: Vec<(u16, &HostRoutes)> = http.collect();
        match http.split_first() {
            None if unit.ports.is_empty() => self.add_bare(name, None, &HostRoutes::default()),
            None => {}
            Some(((port, routes), rest)) => {
                self.add_bare(name, Some(*port), routes);
                for (port, routes) in rest {
                    let domain = format!("{host}:{port}");
                    self.add(name, domain.clone(), vec![domain], routes);
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
    fn add_bare(&mut self, name: &'a ServiceName, port: Option<u16>, routes: &HostRoutes) {
        let mut domains = vec![name.to_string()];
        domains.extend(port.map(|port| format!("{name}:{port}")));
        if port != Some(EGRESS_PORT) {
            domains.push(format!("{name}:{EGRESS_PORT}"));
        }
        self.add(name, name.to_string(), domains, routes);
    }

    /// For clients that can dial a TCP backend through CONNECT.
    fn add_tunnel(&mut self, name: &'a ServiceName, port: &ServicePort, traffic: &TcpTraffic) {
        let Some(clusters) = route::split(&traffic.targets) else {
            return;
        };
        let domain = format!("{name}:{}", port.port);
        let route = route::tunnel(name.as_str(), clusters, traffic.idle_timeout);
        let routes = HostRoutes::of([&route]);
        self.add(name, domain.clone(), vec![domain], &routes);
    }

    fn add(
        &mut self,
        service: &'a ServiceName,
        name: String,
        mut domains: Vec<String>,
        routes: &HostRoutes,
    ) {
        let mut refused = Vec::new();
        let taken = &mut self.taken;
        domains.retain(|domain| match taken.entry(domain.to_ascii_lowercase()) {
            Entry::Vacant(free) => {
                free.insert(service);
                true
            }
            Entry::Occupied(other) => {
                refused.push((domain.clone(), *other.get()));
                false
            }
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
        if !domains.is_empty() {
            self.put(name, domains, routes);
        }
    }

    fn add_everything_to_proxy(&mut self) {
        let domains = vec![format!("*:{EGRESS_PORT}")];
        self.put(
            names::NO_LOOP_HOST.to_owned(),
            domains,
            &HostRoutes::default(),
        );
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
        let routes = HostRoutes::of([
            &route::tunnel("tunnel", tunnel, defaults::NO_TIMEOUT),
            &route::pass("forward", cluster.to_owned()),
        ]);
        self.put(name.to_owned(), domains, &routes);
    }

    fn report(&mut self, service: &ServiceName, text: String) {
        let id = ResourceId::VirtualService(self.mesh.clone(), service.clone());
        self.problems.push(Problem::new(id, text));
    }
}
