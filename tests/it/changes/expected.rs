//! What each sidecar is to have: translated here from the same files and addresses, so that "it has acknowledged the
//! change" is a comparison of versions and no guess.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger::api::operator::generated::{Client, State};
use outrigger::model::endpoint::{Endpoint, EndpointSet, EndpointSource};
use outrigger::model::{Capture, ClientKind, NodeRef, ViewKey};
use outrigger::reconcile::endpoint_sources;
use outrigger::snapshot::{Kind, ResourceName, Snapshot, Version};
use outrigger::translate::{Input, Options, Translator, View};

use crate::references::references;

/// The sidecars of a test and what they are to have.
pub(crate) struct Expected {
    translator: Translator,
    views: BTreeMap<ViewKey, Wanted>,
}

#[derive(Default)]
struct Wanted {
    snapshot: Arc<Snapshot>,
    /// The newest version of each resource that it ever was to have: a cluster that is gone stays for a while.
    told: BTreeMap<(Kind, ResourceName), Version>,
    /// Which versions the newest response of each kind can have: there must have been one of the first.
    versions: BTreeMap<&'static str, Vec<String>>,
}

impl Expected {
    pub(crate) fn new(sidecars: impl IntoIterator<Item = (&'static str, Capture)>) -> Self {
        let key = |(node, capture)| ViewKey {
            node: NodeRef::parse(node).unwrap(),
            capture,
            client: ClientKind::Envoy,
        };
        let views = sidecars.into_iter().map(key);
        Self {
            translator: Translator::new(Options::default()),
            views: views.map(|key| (key, Wanted::default())).collect(),
        }
    }

    /// Takes what is declared and where names lead.
    pub(crate) fn is(&mut self, yaml: &str, address: impl Fn(&str) -> Vec<IpAddr>) {
        let model = crate::plane::model(yaml);
        let known = |source: EndpointSource| {
            let EndpointSource::Dns { hostname, .. } = &source;
            let mut addresses = address(hostname);
            addresses.sort();
            let endpoint = |address| Endpoint {
                address,
                port: None,
                weight: 1,
            };
            let known = addresses.into_iter().map(endpoint).collect();
            (source, EndpointSet::Known(known))
        };
        let endpoints = endpoint_sources(&model).into_iter().map(known).collect();
        self.translator.apply(Input {
            model,
            endpoints,
            views: self.views.keys().cloned().collect(),
        });
        for (key, wanted) in &mut self.views {
            let Some(View::Serving(snapshot)) = self.translator.view(key) else {
                panic!("{} is served", key.node);
            };
            wanted.becomes(snapshot);
        }
    }

    /// What a sidecar still lacks, if anything.
    pub(crate) fn lacking(&self, clients: &[Client]) -> Option<String> {
        self.views.iter().find_map(|(key, wanted)| {
            let Capture::Explicit { bind, .. } = &key.capture else {
                panic!("only sidecars in explicit mode can be told apart");
            };
            let bind = bind.to_string();
            let is_it =
                |client: &&Client| client.view.as_ref().is_some_and(|view| view.bind == bind);
            let mut lacking = match clients.iter().find(is_it) {
                Some(client) => wanted.lacking(client)?,
                None => "not connected".to_owned(),
            };
            lacking.insert_str(0, &format!("{} at {bind}: ", key.node));
            Some(lacking)
        })
    }
}

impl Wanted {
    fn becomes(&mut self, snapshot: &Arc<Snapshot>) {
        let wildcards = [Kind::Cluster, Kind::Listener].into_iter();
        let resources = wildcards.flat_map(|kind| snapshot.resources(kind));
        let named: BTreeSet<_> = resources
            .flat_map(|resource| references(resource.kind(), resource.body()))
            .collect();
        for kind in Kind::ALL {
            let is_named = |name: &str| named.contains(&(kind, name.to_owned()));
            let mut is_sent = kind == Kind::Listener && !self.snapshot.same(snapshot, kind);
            for resource in snapshot.resources(kind) {
                // Nobody is sent what nothing names, nor what it still has from before.
                let name = resource.name();
                if kind.is_wildcard() || is_named(name) {
                    let told = self
                        .told
                        .insert((kind, Arc::clone(name)), resource.version());
                    is_sent |= told != Some(resource.version());
                }
            }
            if !kind.is_wildcard() && !named.iter().any(|(named, _)| *named == kind) {
                self.versions.remove(kind.as_str());
            }
            let version = snapshot.version(kind).to_string();
            if is_sent {
                self.versions.insert(kind.as_str(), vec![version]);
            } else if let Some(versions) = self.versions.get_mut(kind.as_str()) {
                versions.push(version);
            }
        }
        self.snapshot = Arc::clone(snapshot);
    }

    fn lacking(&self, client: &Client) -> Option<String> {
        self.versions.iter().find_map(|(name, versions)| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == *name)?;
            let Some(status) = client.kinds.iter().find(|status| status.kind == *name) else {
                return Some(format!("{name} is not asked for"));
            };
            let is_newest = versions.contains(&status.acked_version);
            let is_whole =
                !kind.is_wildcard() || status.resources >= self.snapshot.len(kind) as u64;
            let is_synced = status.state() == State::Synced;
            (!is_newest || !is_whole || !is_synced)
                .then(|| format!("{name} is to be one of {versions:?}, and is {status:?}"))
        })
    }
}
