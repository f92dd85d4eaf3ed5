//! DNS that misbehaves, and what it must not do to traffic. The servers are real: one that lies over raw sockets, the
//! demo's own, and dnsmasq.

mod dnsmasq;
mod liar;
mod modes;
mod restart;
mod servers;
mod sidecar;

use std::net::SocketAddr;
use std::time::Duration;

use imbl::OrdSet;
use outrigger::discovery::{Discovery, Settings};
use outrigger::model::endpoint::{EndpointSet, EndpointSource, EndpointTable};
use outrigger::model::spec::IpPreference;
use outrigger::telemetry::Ready;
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::world::PATIENCE;

/// A discovery that runs by itself, and asks often.
struct Bed {
    sources: watch::Sender<OrdSet<EndpointSource>>,
    table: watch::Receiver<EndpointTable>,
    ready: Ready,
    _stop: DropGuard,
}

impl Bed {
    fn start(servers: Vec<SocketAddr>) -> Self {
        let settings = Settings {
            servers,
            min_ttl: Duration::from_millis(20),
            query_timeout: Duration::from_millis(200),
            ..Settings::default()
        };
        let discovery = Discovery::new(settings, &Registry::new()).unwrap();
        let (sources, wanted) = watch::channel(OrdSet::new());
        let (published, table) = watch::channel(EndpointTable::new());
        let (ready, stop) = (Ready::default(), CancellationToken::new());
        tokio::spawn(discovery.run(wanted, published, ready.clone(), stop.clone()));
        Self {
            sources,
            table,
            ready,
            _stop: stop.drop_guard(),
        }
    }

    fn want(&self, sources: impl IntoIterator<Item = EndpointSource>) {
        self.sources.send_replace(sources.into_iter().collect());
    }

    /// Waits until a source has these addresses.
    async fn expect(&mut self, source: &EndpointSource, addresses: &[&str]) {
        let is =
            |table: &EndpointTable| known(table, source).is_some_and(|known| known == addresses);
        let reached = tokio::time::timeout(PATIENCE, self.table.wait_for(is))
            .await
            .is_ok();
        let now = known(&self.table.borrow(), source);
        assert!(reached, "{source:?} is {now:?}, not {addresses:?}");
    }

    fn known(&self, source: &EndpointSource) -> Option<Vec<String>> {
        known(&self.table.borrow(), source)
    }
}

fn known(table: &EndpointTable, source: &EndpointSource) -> Option<Vec<String>> {
    match table.get(source) {
        Some(EndpointSet::Known(endpoints)) => {
            let addresses = endpoints.iter().map(|one| one.address.to_string());
            Some(addresses.collect())
        }
        _ => None,
    }
}

fn source(hostname: &str, preference: Option<IpPreference>) -> EndpointSource {
    let hostname = hostname.into();
    EndpointSource::Dns {
        hostname,
        preference,
    }
}
