use super::*;
use crate::protocol::{Delta, Sotw};
use crate::wire::Resource;

/// A cluster (EDS) or any other resource that only has a name.
fn resource(name: &str, eds: bool) -> Resource {
    let mut body = vec![0x0a, u8::try_from(name.len()).unwrap()];
    body.extend(name.as_bytes());
    if eds {
        body.extend([0x10, 3]);
    }
    Resource::named(
        Bytes::copy_from_slice(name.as_bytes()),
        format!("{name}-1"),
        body.into(),
    )
}

fn response(kind: Kind, nonce: &str, resources: Vec<Resource>) -> Incoming {
    Incoming {
        type_url: kind.type_url().into(),
        nonce: nonce.into(),
        version: format!("v{nonce}"),
        resources,
        removed: vec![],
    }
}

fn session<P: Protocol>(targets: &[&str]) -> Session<P> {
    let targets = targets.iter().enumerate();
    let plan = Plan {
        targets: targets
            .map(|(i, name)| (name.as_bytes().into(), i))
            .collect(),
        keeps_versions: true,
        ..Plan::default()
    };
    Session::new("node".into(), plan.into())
}

fn receive<P: Protocol>(s: &mut Session<P>, r: &Incoming) -> (Vec<P::Request>, Vec<Event>) {
    let (mut requests, mut events) = (vec![], vec![]);
    s.receive(r, &mut requests, &mut events).unwrap();
    (requests, events)
}

#[test]
fn sotw_start_up_walks_cds_eds_lds() {
    let mut s = session::<Sotw>(&["b"]);
    let [first] = &s.start()[..] else { panic!() };
    assert!(first.node.is_some() && first.resource_names.is_empty());

    let clusters = vec![
        resource("b", true),
        resource("a", true),
        resource("static", false),
    ];
    let (requests, events) = receive(&mut s, &response(Kind::Cluster, "1", clusters));
    assert!(events.is_empty());
    let [ack, eds] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (ack.version_info.as_str(), ack.response_nonce.as_str()),
        ("v1", "1")
    );
    assert!(ack.node.is_none());
    assert_eq!(eds.resource_names, ["a", "b"]);

    // Half of the endpoints: only the ACK.
    let (requests, _) = receive(
        &mut s,
        &response(Kind::Endpoints, "2", vec![resource("a", false)]),
    );
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].resource_names, ["a", "b"]);

    let (requests, events) = receive(
        &mut s,
        &response(Kind::Endpoints, "3", vec![resource("b", false)]),
    );
    assert!(matches!(events[..], [Event::Tracking(0, _)]), "{events:?}");
    assert_eq!(requests[1].type_url, Kind::Listener.type_url().as_bytes());

    // No listener names a route, so the configuration is complete.
    let (_, events) = receive(&mut s, &response(Kind::Listener, "4", vec![]));
    assert_eq!(events, [Event::Complete]);
}

#[test]
fn delta_subscribes_to_differences_only() {
    let mut s = session::<Delta>(&[]);
    s.start();
    let (requests, _) = receive(
        &mut s,
        &response(Kind::Cluster, "1", vec![resource("a", true)]),
    );
    assert_eq!(requests[0].response_nonce, "1");
    assert_eq!(requests[1].resource_names_subscribe, ["a"]);
    assert!(requests[1].response_nonce.is_empty());

    let mut change = response(Kind::Cluster, "2", vec![resource("b", true)]);
    change.removed = vec!["a".into()];
    let (requests, _) = receive(&mut s, &change);
    assert_eq!(requests[1].resource_names_subscribe, ["b"]);
    assert_eq!(requests[1].resource_names_unsubscribe, ["a"]);
}

#[test]
fn only_new_content_counts_as_a_change() {
    let mut s = session::<Delta>(&["a"]);
    s.start();
    receive(
        &mut s,
        &response(Kind::Cluster, "1", vec![resource("a", true)]),
    );
    let (_, events) = receive(
        &mut s,
        &response(Kind::Endpoints, "2", vec![resource("a", false)]),
    );
    assert!(matches!(events[..], [Event::Tracking(0, _)]), "{events:?}");
    let (_, events) = receive(
        &mut s,
        &response(Kind::Endpoints, "3", vec![resource("a", false)]),
    );
    assert_eq!(events, [Event::Resent(1)], "the version is the one held");
    let changed = Resource::named(
        "a".into(),
        String::new(),
        Bytes::from_static(b"\x0a\x01a\x10\x07"),
    );
    let (_, events) = receive(&mut s, &response(Kind::Endpoints, "4", vec![changed]));
    assert!(
        matches!(events[..], [Event::Changed(0, old, new)] if old != new),
        "{events:?}"
    );
}

#[test]
fn a_delta_stream_that_replaces_another_says_what_is_held() {
    let mut s = session::<Delta>(&[]);
    s.start();
    let clusters = vec![resource("a", true), resource("b", true)];
    receive(&mut s, &response(Kind::Cluster, "1", clusters));
    let endpoints = vec![resource("a", false), resource("b", false)];
    receive(&mut s, &response(Kind::Endpoints, "2", endpoints));
    let mut change = response(Kind::Cluster, "3", vec![]);
    change.removed = vec!["b".into()];
    receive(&mut s, &change);

    let requests = s.start();
    let [clusters, endpoints, listeners] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert!(clusters.node.is_some() && endpoints.node.is_none());
    assert!(clusters.resource_names_subscribe.is_empty());
    let held = |name: &str| Versions::from([(name.into(), format!("{name}-1"))]);
    assert_eq!(clusters.initial_resource_versions, held("a"));
    assert_eq!(endpoints.initial_resource_versions, held("a"));
    assert_eq!(endpoints.resource_names_subscribe, ["a"]);
    assert!(listeners.initial_resource_versions.is_empty());
    assert!(
        requests
            .iter()
            .all(|request| request.response_nonce.is_empty())
    );
}

#[test]
fn a_sotw_stream_that_replaces_another_waits_for_what_it_named() {
    let mut s = session::<Sotw>(&[]);
    s.start();
    receive(
        &mut s,
        &response(Kind::Cluster, "1", vec![resource("a", true)]),
    );
    receive(
        &mut s,
        &response(Kind::Endpoints, "2", vec![resource("a", false)]),
    );
    receive(&mut s, &response(Kind::Listener, "3", vec![]));

    let requests = s.start();
    let [clusters, endpoints, _listeners] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (
            clusters.version_info.as_str(),
            clusters.response_nonce.as_str()
        ),
        ("v1", "")
    );
    assert_eq!(endpoints.resource_names, ["a"]);
    let (_, events) = receive(
        &mut s,
        &response(Kind::Cluster, "1", vec![resource("a", true)]),
    );
    assert!(events.is_empty());
    let (_, events) = receive(
        &mut s,
        &response(Kind::Endpoints, "2", vec![resource("a", false)]),
    );
    assert_eq!(events, [Event::Answered]);
}

#[test]
fn the_node_rides_on_every_request_where_asked() {
    let mut s = session::<Sotw>(&[]);
    s.plan = Arc::new(Plan {
        is_node_repeated: true,
        ..Plan::default()
    });
    s.start();
    let (requests, _) = receive(
        &mut s,
        &response(Kind::Cluster, "1", vec![resource("a", true)]),
    );
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.node.is_some()));
}

#[test]
fn unknown_type_is_an_error() {
    let mut s = session::<Sotw>(&[]);
    s.start();
    let mut r = response(Kind::Cluster, "1", vec![]);
    r.type_url = "type.googleapis.com/x".into();
    assert!(s.receive(&r, &mut vec![], &mut vec![]).is_err());
}
