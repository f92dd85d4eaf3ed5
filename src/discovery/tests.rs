//! Against real name servers on the loopback: sockets, time-outs, TCP. What an answer means is tested in `source`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::DropGuard;

use super::*;
use crate::demo::dns::{DnsServer, Failure, Service, Zone};
use crate::model::endpoint::{Endpoint, EndpointSet};
use crate::model::spec::IpPreference;

const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// A discovery that runs, with all its delays short.
struct Bed {
    sources: watch::Sender<OrdSet<EndpointSource>>,
    table: watch::Receiver<EndpointTable>,
    registry: Registry,
    ready: Ready,
    stop: DropGuard,
    tasks: JoinSet<()>,
}

impl Bed {
    fn new(servers: Vec<SocketAddr>, tasks: JoinSet<()>) -> Self {
        let settings = Settings {
            servers,
            min_ttl: Duration::from_millis(20),
            negative_grace: Duration::from_millis(300),
            query_timeout: Duration::from_millis(250),
            ..Settings::default()
        };
        Self::start(settings, tasks)
    }

    fn start(settings: Settings, tasks: JoinSet<()>) -> Self {
        let registry = Registry::new();
        let mut discovery = Discovery::new(settings, &registry).expect("discovery starts");
        discovery.rules.unresolved_limit = Duration::from_millis(600);
        let stop = CancellationToken::new();
        let (sources, wanted) = watch::channel(OrdSet::new());
        let (published, table) = watch::channel(EndpointTable::new());
        let mut bed = Self {
            sources,
            table,
            registry,
            ready: Ready::default(),
            stop: stop.clone().drop_guard(),
            tasks,
        };
        let ready = Ready::default();
        bed.ready = ready.clone();
        bed.tasks
            .spawn(discovery.run(wanted, published, ready, stop));
        bed
    }

    /// One server with one zone.
    async fn with(zone: &Zone) -> Self {
        let mut tasks = JoinSet::new();
        let server = serve(zone, &mut tasks).await;
        Self::new(vec![server], tasks)
    }

    fn want(&self, sources: &[EndpointSource]) {
        self.sources.send_replace(sources.iter().cloned().collect());
    }

    /// Waits until the source's endpoints are these.
    async fn expect(&mut self, source: &EndpointSource, endpoints: &[Endpoint]) {
        self.expect_set(source, EndpointSet::Known(endpoints.into()))
            .await;
    }

    async fn expect_set(&mut self, source: &EndpointSource, expected: EndpointSet) {
        let is = |table: &EndpointTable| table.get(source) == Some(&expected);
        let reached = timeout(PATIENCE, self.table.wait_for(is)).await.is_ok();
        let current = self.current(source);
        assert!(reached, "{source:?} is {current:?}, not {expected:?}");
    }

    fn current(&self, source: &EndpointSource) -> Option<EndpointSet> {
        self.table.borrow().get(source).cloned()
    }

    fn answers(&self, result: &str) -> u64 {
        labelled(&self.registry, "outrigger_dns_answers_total", result)
    }

    fn sources(&self, state: &str) -> u64 {
        labelled(&self.registry, "outrigger_dns_sources", state)
    }

    fn gauge(&self, name: &str) -> f64 {
        gauge(&self.registry, name)
    }
}

/// The value of the series with this label, be it a counter or a gauge.
fn labelled(registry: &Registry, name: &str, label: &str) -> u64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let metrics = family.map_or(&[][..], |family| family.get_metric());
    let mut metrics = metrics.iter();
    let metric = metrics.find(|metric| metric.get_label()[0].value() == label);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    metric.map_or(0, |metric| {
        (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64
    })
}

fn gauge(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let metric = &family.expect("registered").get_metric()[0];
    metric.get_gauge().get_value()
}

async fn serve(zone: &Zone, tasks: &mut JoinSet<()>) -> SocketAddr {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = DnsServer::bind(any, zone.clone())
        .await
        .expect("a free port");
    let addr = server.addr();
    tasks.spawn(async {
        server.run(CancellationToken::new()).await.expect("serves");
    });
    addr
}

/// Waits for what nobody announces.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(PATIENCE, poll).await.is_ok(), "never: {what}");
}

fn source(hostname: &str) -> EndpointSource {
    preferring(hostname, None)
}

fn preferring(hostname: &str, preference: Option<IpPreference>) -> EndpointSource {
    let hostname = hostname.into();
    EndpointSource::Dns {
        hostname,
        preference,
    }
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
}

fn plain(address: IpAddr) -> Endpoint {
    Endpoint {
        address,
        port: None,
        weight: 1,
    }
}

#[tokio::test]
async fn a_changed_answer_replaces_the_first() {
    let zone = Zone::default();
    zone.set("a.test", NOW, vec![v4(2), v4(1)]);
    let mut bed = Bed::with(&zone).await;
    let a = source("a.test");
    bed.want(std::slice::from_ref(&a));
    bed.expect(&a, &[plain(v4(1)), plain(v4(2))]).await;
    zone.set("a.test", NOW, vec![v4(3)]);
    bed.expect(&a, &[plain(v4(3))]).await;
}

#[tokio::test]
async fn an_answer_with_time_to_live_is_not_asked_for_again() {
    let zone = Zone::default();
    zone.set("long.test", HOUR, vec![v4(1)]);
    zone.set("short.test", NOW, vec![v4(1)]);
    let mut bed = Bed::with(&zone).await;
    let (long, short) = (source("long.test"), source("short.test"));
    bed.want(&[long.clone(), short.clone()]);
    bed.expect(&long, &[plain(v4(1))]).await;
    eventually("the short one is refreshed", || {
        zone.questions("short.test") > 20
    })
    .await;
    assert!(zone.questions("long.test") <= 2, "A and AAAA, once");
}

#[tokio::test]
async fn a_name_without_addresses_is_reported_until_it_has_some() {
    let zone = Zone::default();
    zone.set("there.test", NOW, vec![v4(1)]);
    let bed = Bed::with(&zone).await;
    bed.want(&[source("there.test"), source("typo.test")]);
    let report =
        "ready\ndegraded: DNS: 1 of 2 names: `typo.test`: it does not exist or has no addresses\n";
    eventually("it is named", || bed.ready.report().to_string() == report).await;
    assert_eq!((bed.sources("empty"), bed.sources("known")), (1, 1));
    zone.set("typo.test", NOW, vec![v4(2)]);
    eventually("all is well", || {
        bed.ready.report().to_string() == "ready\n"
    })
    .await;
}

/// The same set again, as every change of the mesh sends it, must not start a second look-up.
#[tokio::test]
async fn a_source_has_one_look_up_under_way() {
    let zone = Zone::default();
    zone.fail("a.test", Some(Failure::Timeout));
    zone.set("fence.test", NOW, vec![v4(1)]);
    let bed = Bed::with(&zone).await;
    let only_v4 = preferring("a.test", Some(IpPreference::Ipv4Only));
    for other in 0..20 {
        let other = source(&format!("10.0.0.{other}"));
        bed.want(&[only_v4.clone(), source("fence.test"), other]);
        let before = zone.questions("fence.test");
        eventually("discovery goes on", || {
            zone.questions("fence.test") > before
        })
        .await;
        let asked = zone.questions("a.test");
        if bed.answers("timeout") > 0 {
            break;
        }
        assert!(asked <= 1, "asked {asked} times at once");
    }
}

/// A cache in the DNS client would hide this.
#[tokio::test]
async fn a_long_time_to_live_is_cut_to_the_ceiling() {
    let zone = Zone::default();
    zone.set("a.test", HOUR, vec![v4(1)]);
    let mut tasks = JoinSet::new();
    let server = serve(&zone, &mut tasks).await;
    let settings = Settings {
        servers: vec![server],
        min_ttl: Duration::from_millis(20),
        max_ttl: Duration::from_millis(40),
        ..Settings::default()
    };
    let mut bed = Bed::start(settings, tasks);
    let a = source("a.test");
    bed.want(std::slice::from_ref(&a));
    bed.expect(&a, &[plain(v4(1))]).await;
    zone.set("a.test", HOUR, vec![v4(2)]);
    bed.expect(&a, &[plain(v4(2))]).await;
}

#[tokio::test]
async fn server_failures_keep_the_last_good_answer() {
    let zone = Zone::default();
    zone.set("a.test", NOW, vec![v4(1)]);
    let mut bed = Bed::with(&zone).await;
    let a = source("a.test");
    bed.want(std::slice::from_ref(&a));
    bed.expect(&a, &[plain(v4(1))]).await;
    for failure in [Failure::ServFail, Failure::Timeout] {
        zone.fail("a.test", Some(failure));
        zone.set("a.test", NOW, vec![v4(2)]);
        let result = match failure {
            Failure::ServFail => "error",
            _ => "timeout",
        };
        eventually("several failures", || bed.answers(result) >= 4).await;
        assert_eq!(
            bed.current(&a),
            Some(EndpointSet::Known([plain(v4(1))].into()))
        );
    }
    eventually("the age is seen", || {
        bed.gauge("outrigger_dns_oldest_answer_age_seconds") > 0.5
    })
    .await;
    zone.fail("a.test", None);
    bed.expect(&a, &[plain(v4(2))]).await;
}

#[tokio::test]
async fn a_removed_name_loses_its_endpoints_after_the_grace() {
    let zone = Zone::default();
    zone.set("a.test", NOW, vec![v4(1)]);
    let mut bed = Bed::with(&zone).await;
    let a = source("a.test");
    bed.want(std::slice::from_ref(&a));
    bed.expect(&a, &[plain(v4(1))]).await;
    let removed = Instant::now();
    zone.remove("a.test");
    bed.expect(&a, &[]).await;
    assert!(removed.elapsed() >= Duration::from_millis(300), "the grace");
    zone.set("a.test", NOW, vec![v4(2)]);
    bed.expect(&a, &[plain(v4(2))]).await;
}

#[tokio::test]
async fn denials_are_told_apart_and_known_at_once() {
    let zone = Zone::default();
    zone.set("six.test", HOUR, vec![v6(1)]);
    let mut bed = Bed::with(&zone).await;
    let nowhere = source("nowhere.test");
    bed.want(std::slice::from_ref(&nowhere));
    let asked = Instant::now();
    bed.expect(&nowhere, &[]).await;
    assert!(
        asked.elapsed() < Duration::from_millis(600),
        "before the limit"
    );
    assert_eq!((bed.answers("nxdomain"), bed.answers("empty")), (2, 0));
    let only_v4 = preferring("six.test", Some(IpPreference::Ipv4Only));
    bed.want(std::slice::from_ref(&only_v4));
    bed.expect(&only_v4, &[]).await;
    assert_eq!(bed.answers("empty"), 1);
}

#[tokio::test]
async fn a_server_that_never_answers_leaves_the_source_unanswered_after_the_limit() {
    assert!(UNRESOLVED_LIMIT < Duration::from_secs(3));
    let zone = Zone::default();
    zone.fail("a.test", Some(Failure::Timeout));
    let mut bed = Bed::with(&zone).await;
    let a = source("a.test");
    let asked = Instant::now();
    bed.want(std::slice::from_ref(&a));
    eventually("a time-out", || bed.answers("timeout") > 0).await;
    assert_eq!(bed.current(&a), None, "unresolved");
    bed.expect_set(&a, EndpointSet::Unanswered).await;
    assert!(asked.elapsed() >= Duration::from_millis(600));
    zone.fail("a.test", None);
    zone.set("a.test", NOW, vec![v4(1)]);
    bed.expect(&a, &[plain(v4(1))]).await;
}

#[tokio::test]
async fn preferences_choose_the_family() {
    let zone = Zone::default();
    zone.set("both.test", HOUR, vec![v6(1), v4(1)]);
    let mut bed = Bed::with(&zone).await;
    let cases = [
        (None, v4(1)),
        (Some(IpPreference::Ipv4Only), v4(1)),
        (Some(IpPreference::Ipv4Preferred), v4(1)),
        (Some(IpPreference::Ipv6Only), v6(1)),
        (Some(IpPreference::Ipv6Preferred), v6(1)),
    ]
    .map(|(preference, address)| (preferring("both.test", preference), address));
    bed.want(&cases.clone().map(|(source, _)| source));
    for (source, address) in &cases {
        bed.expect(source, &[plain(*address)]).await;
    }
}

#[tokio::test]
async fn services_are_resolved_to_the_endpoints_of_their_lowest_priority() {
    let zone = Zone::default();
    let service = |priority, weight, port, target: &str| Service {
        priority,
        weight,
        port,
        target: target.to_owned(),
    };
    let services = [
        service(1, 5, 8001, "one.test"),
        service(1, 0, 8002, "Two.test."),
        service(2, 9, 8003, "backup.test"),
    ];
    zone.set_services("_grpc._tcp.a.test", NOW, &services);
    for (host, last) in [("one.test", 1), ("two.test", 2), ("backup.test", 3)] {
        zone.set(host, HOUR, vec![v4(last)]);
    }
    let mut bed = Bed::with(&zone).await;
    let a = source("_grpc._tcp.a.test");
    bed.want(std::slice::from_ref(&a));
    let endpoint = |last, port, weight| Endpoint {
        port: Some(port),
        weight,
        ..plain(v4(last))
    };
    bed.expect(&a, &[endpoint(1, 8001, 5), endpoint(2, 8002, 1)])
        .await;
    assert_eq!(zone.questions("backup.test"), 0);
    zone.set_services("_grpc._tcp.a.test", NOW, &services[2..]);
    bed.expect(&a, &[endpoint(3, 8003, 9)]).await;
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    let zone = Zone::default();
    let many: Vec<IpAddr> = (0..500_u16)
        .map(|n| Ipv4Addr::new(10, 1, n.to_be_bytes()[0], n.to_be_bytes()[1]).into())
        .collect();
    zone.set("many.test", HOUR, many.clone());
    zone.set("short.test", HOUR, vec![v4(1)]);
    zone.fail("short.test", Some(Failure::Truncate));
    let mut bed = Bed::with(&zone).await;
    let (a, short) = (source("many.test"), source("short.test"));
    bed.want(&[a.clone(), short.clone()]);
    let many: Vec<_> = many.into_iter().map(plain).collect();
    bed.expect(&a, &many).await;
    bed.expect(&short, &[plain(v4(1))]).await;
}

#[tokio::test]
async fn the_shortest_time_to_live_of_an_alias_chain_counts() {
    let zone = Zone::default();
    zone.set("one.test", HOUR, vec![v4(1)]);
    zone.set("two.test", HOUR, vec![v4(2)]);
    zone.set_alias("a.test", NOW, "one.test");
    let mut bed = Bed::with(&zone).await;
    let a = source("a.test");
    bed.want(std::slice::from_ref(&a));
    bed.expect(&a, &[plain(v4(1))]).await;
    zone.set_alias("a.test", NOW, "two.test");
    bed.expect(&a, &[plain(v4(2))]).await;
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails() {
    let good = Zone::default();
    good.set("a.test", NOW, vec![v4(1)]);
    let failing = Zone::default();
    failing.fail("a.test", Some(Failure::ServFail));
    // Held, so that nobody else gets the port; never read.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let closed = {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        socket.local_addr().expect("an address")
    };
    let mut tasks = JoinSet::new();
    let servers = vec![
        closed,
        silent.local_addr().expect("an address"),
        serve(&failing, &mut tasks).await,
        serve(&good, &mut tasks).await,
    ];
    let mut bed = Bed::new(servers, tasks);
    let a = source("a.test");
    bed.want(std::slice::from_ref(&a));
    bed.expect(&a, &[plain(v4(1))]).await;
    assert_eq!(
        bed.answers("timeout") + bed.answers("error"),
        0,
        "of the last one only"
    );
    good.set("a.test", NOW, vec![v4(2)]);
    bed.expect(&a, &[plain(v4(2))]).await;
}

/// Once a server has proved dead, the living one is asked first.
#[tokio::test]
async fn a_dead_server_delays_only_the_first_answer() {
    let zone = Zone::default();
    zone.set("a.test", NOW, vec![v4(1)]);
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let mut tasks = JoinSet::new();
    let dead = silent.local_addr().expect("an address");
    let servers = vec![dead, serve(&zone, &mut tasks).await];
    let mut bed = Bed::new(servers, tasks);
    let a = source("a.test");
    bed.want(std::slice::from_ref(&a));
    bed.expect(&a, &[plain(v4(1))]).await;
    // With the dead server in between, 40 look-ups would take 10 s.
    let (asked, before) = (Instant::now(), zone.questions("a.test"));
    eventually("many refreshes", || zone.questions("a.test") >= before + 80).await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_source_that_goes_and_comes_back_keeps_nothing() {
    let zone = Zone::default();
    zone.set("a.test", NOW, vec![v4(1)]);
    let mut bed = Bed::with(&zone).await;
    let a = source("a.test");
    bed.want(std::slice::from_ref(&a));
    bed.expect(&a, &[plain(v4(1))]).await;
    zone.fail("a.test", Some(Failure::ServFail));
    bed.want(&[]);
    let gone = bed.table.wait_for(|table| !table.contains_key(&a));
    timeout(PATIENCE, gone)
        .await
        .expect("removed")
        .expect("runs");
    bed.want(std::slice::from_ref(&a));
    bed.expect_set(&a, EndpointSet::Unanswered).await;
}

#[tokio::test]
async fn addresses_and_nonsense_need_no_server() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let server = silent.local_addr().expect("an address");
    let mut bed = Bed::new(vec![server], JoinSet::new());
    let (four, six, bad) = (source("10.0.0.7"), source("fd00::7"), source("a..b"));
    let localhost = source("localhost");
    bed.want(&[four.clone(), six.clone(), bad.clone(), localhost.clone()]);
    bed.expect(&localhost, &[plain(Ipv4Addr::LOCALHOST.into())])
        .await;
    bed.expect(&four, &[plain(v4(7))]).await;
    bed.expect(&six, &[plain(v6(7))]).await;
    bed.expect(&bad, &[]).await;
    assert_eq!(bed.answers("timeout") + bed.answers("nxdomain"), 0);
}

#[tokio::test]
async fn a_thousand_names_are_resolved_a_few_at_a_time() {
    let zone = Zone::default();
    let name = |n: u16| format!("n{n}.test");
    for n in 0..1000 {
        zone.set(&name(n), HOUR, vec![v4(1)]);
    }
    let mut bed = Bed::with(&zone).await;
    let sources: Vec<_> = (0..1000).map(|n| source(&name(n))).collect();
    bed.want(&sources);
    let known = [plain(v4(1))];
    let known = EndpointSet::Known(known.as_slice().into());
    let (table, registry) = (&mut bed.table, &bed.registry);
    let all = table.wait_for(|table| {
        assert!(gauge(registry, "outrigger_dns_queries_in_flight") <= 64.0);
        table.len() == 1000 && table.values().all(|set| *set == known)
    });
    let reached = timeout(PATIENCE, all).await.is_ok();
    assert!(reached, "all names are resolved");
    eventually("all counted as known", || bed.sources("known") == 1000).await;
}

#[tokio::test]
async fn it_ends_when_told_to() {
    let zone = Zone::default();
    zone.fail("a.test", Some(Failure::Timeout));
    let mut bed = Bed::new(
        vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 9))],
        JoinSet::new(),
    );
    bed.want(&[source("a.test")]);
    drop(bed.stop);
    let ended = timeout(PATIENCE, bed.tasks.join_next())
        .await
        .expect("in time");
    ended.expect("one task").expect("no panic");
}

#[test]
fn a_registry_takes_one_discovery() {
    let registry = Registry::new();
    let first = Discovery::new(Settings::default(), &registry);
    assert!(first.is_ok(), "needs no runtime: {first:?}");
    let second = Discovery::new(Settings::default(), &registry);
    assert!(matches!(second, Err(DiscoveryError::Metrics { .. })));
}
