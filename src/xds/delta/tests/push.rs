//! Order, warming, and what waits for what.

use super::*;

// §6.1, §6.3, §6.4, E3, E4, E7, traps 1 and 2
#[test]
fn an_updated_cluster_is_followed_by_its_endpoints() {
    let mut client = settled(MESH);
    let update = |label: u32| format!("cds a={label} b=1; eds a=1 b=1; lds l=1; rds r=1");
    // Envoy holds back the ACK of clusters as long as one warms: no ACK comes, and it must not matter.
    for label in 2..100 {
        let sent = client.publish(&update(label));
        assert_eq!(sent, format!("cds a={label}; eds a=1"));
    }
    assert_eq!(client.ack("cds"), "");
}

// §6.3: the ACK of older endpoints does not stand for those after the cluster
#[test]
fn an_update_outdates_the_endpoints_in_flight() {
    let mut client = settled("cds a=1 b=1; eds a=? b=1; lds l=1; rds r=1");
    client.publish("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=1");
    let in_flight = client.newest[Kind::Endpoint].nonce.clone();
    client.publish("cds a=2 b=1; eds a=? b=1; lds l=1; rds r=1");
    let mut ack = Delta::request("eds", "");
    ack.response_nonce = in_flight;
    assert_eq!(client.send(vec![ack]), "");
    assert_eq!(
        client.publish("cds a=2 b=1; eds a=1 b=1; lds l=1; rds r=1"),
        "eds a=1"
    );
}

// §6.6
#[test]
fn a_push_goes_from_the_named_to_what_names_it() {
    let text = |n: u32| {
        let kinds = ["ecds", "rds", "lds", "sds", "eds", "cds"];
        let parts: Vec<_> = kinds.iter().map(|of| format!("{of} x={n}")).collect();
        parts.join(";")
    };
    let mut client = Delta::new(&text(1));
    let all = ["ecds", "rds", "lds", "sds", "eds", "cds"];
    client.send(all.iter().map(|of| Delta::request(of, "+x")).collect());
    let sent = client.publish(&text(2));
    assert_eq!(
        sent,
        "cds x=2; eds x=2; sds x=2; lds x=2; rds x=2; ecds x=2"
    );
}

// §6.6, trap 16
#[test]
fn a_cluster_goes_after_the_routes_that_named_it() {
    let mut client = settled(MESH);
    let next = "cds a=1 c=1; eds a=1; lds l=2; rds r=2";
    assert_eq!(client.publish(next), "cds c=1; lds l=2; rds r=2");
    assert_eq!(client.ack("lds"), "");
    // What is under way still goes by the routes of before.
    assert_eq!(client.ack("rds"), "");
    assert_eq!(client.seconds(5), "cds -b");
    assert_eq!(client.seconds(60), "");
}

// §6.6: no ACK comes, and the cluster goes all the same
#[test]
fn a_removal_does_not_wait_for_ever() {
    let mut client = settled(MESH);
    assert_eq!(
        client.publish("cds a=1; eds a=1; lds l=1; rds r=2"),
        "rds r=2"
    );
    assert_eq!(client.wake_at, Some(Duration::from_secs(5)));
    assert_eq!(client.wait(Duration::from_millis(4999)), "");
    assert_eq!(client.wait(Duration::from_millis(1)), "cds -b");
}

#[test]
fn a_cluster_that_comes_back_in_time_is_not_removed() {
    let mut client = settled(MESH);
    client.publish("cds a=1; eds a=1 b=1; lds l=1; rds r=2");
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=3"),
        "rds r=3"
    );
    client.ack("rds");
    assert_eq!(client.seconds(60), "");
}

#[test]
fn a_listener_is_removed_with_what_replaces_it() {
    let mut client = settled(MESH);
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=1; lds m=1; rds r=1"),
        "lds m=1 -l"
    );
}

// §6.7
#[test]
fn routes_wait_for_the_endpoints_of_new_clusters() {
    let mut client = settled(MESH);
    let next = |eds: &str| format!("cds a=1 b=1 c=1; eds a=1 b=1 {eds}; lds l=2; rds r=2");
    assert_eq!(client.publish(&next("c=1")), "cds c=1");
    assert_eq!(client.ask("eds", "+c"), "eds c=1; lds l=2; rds r=2");

    let mut client = settled(MESH);
    assert_eq!(client.publish(&next("c=?")), "cds c=1");
    assert_eq!(client.ask("eds", "+c"), "");
    assert_eq!(client.publish(&next("c=1")), "eds c=1; lds l=2; rds r=2");

    let mut client = settled(MESH);
    assert_eq!(client.publish(&next("c=?")), "cds c=1");
    assert_eq!(client.ask("eds", "+c"), "");
    assert_eq!(client.wake_at, Some(Duration::from_secs(3)));
    assert_eq!(client.seconds(3), "eds -c; lds l=2; rds r=2");
}

// §4.14, §6.7: what a client asks for is not part of a push, and waits for nothing
#[test]
fn a_request_for_routes_is_answered_whatever_warms() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=1 c=1; eds a=1 b=1 c=?; lds l=1; rds r=1 q=1");
    assert_eq!(client.ask("rds", "+q"), "rds q=1");
}

// §5.3, E10
#[test]
fn endpoints_that_vanish_are_not_removed() {
    let mut client = settled(MESH);
    assert_eq!(client.publish("cds a=1 b=1; eds a=1; lds l=1; rds r=1"), "");
    assert_eq!(client.publish(MESH), "", "the client still has them");
    assert_eq!(
        client.publish("cds a=1 b=2; eds a=1; lds l=1; rds r=1"),
        "cds b=2; eds -b"
    );
}

#[test]
fn intermediate_snapshots_are_skipped() {
    let mut client = settled(MESH);
    client.snapshot = Arc::new(crate::xds::testing::snapshot("cds a=1 b=1; eds a=2 b=1"));
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=3 b=1; lds l=1; rds r=1"),
        "eds a=3"
    );
}

#[test]
fn a_stream_without_acks_stays_small() {
    let mut client = settled(MESH);
    for label in 0..1000 {
        client.publish(&format!(
            "cds a=1 b=1; eds a=x{label} b=1; lds l=1; rds r=1"
        ));
    }
    let status = client.stream.status();
    assert_eq!(status.kinds[Kind::Endpoint].resources, 2);
    assert!(client.stream.engine.kinds[Kind::Endpoint].behind.is_empty());
}

// §3.4
#[test]
fn the_status_tells_sent_from_accepted() {
    let mut client = settled(MESH);
    let before = client.stream.status();
    let eds = &before.kinds[Kind::Endpoint];
    assert!(eds.subscribed && eds.sent.is_some());
    assert_eq!(
        (eds.sent, eds.pending_since, eds.resources),
        (eds.acked, None, 2)
    );
    assert!(!before.kinds[Kind::Secret].subscribed);
    client.seconds(7);
    client.publish("cds a=1 b=1; eds a=2 b=1; lds l=1; rds r=1");
    let after = &client.stream.status().kinds[Kind::Endpoint];
    assert_eq!(
        (after.acked, after.pending_since),
        (eds.acked, Some(Duration::from_secs(7)))
    );
    assert_ne!(after.sent, after.acked);
    client.seconds(1);
    client.nack("eds", "no");
    let rejected = &client.stream.status().kinds[Kind::Endpoint];
    assert_eq!((rejected.acked, rejected.pending_since), (eds.acked, None));
    assert_eq!(rejected.rejections[0].resource.as_deref(), Some("a"));
    client.publish("cds a=1 b=1; eds a=3 b=1; lds l=1; rds r=1");
    client.seconds(2);
    client.ack("eds");
    let acked = Event::Acked {
        kind: Kind::Endpoint,
        after: Duration::from_secs(2),
    };
    assert_eq!(client.events.last(), Some(&acked));
    let accepted = &client.stream.status().kinds[Kind::Endpoint];
    assert_eq!(
        (accepted.sent, accepted.rejections.len()),
        (accepted.acked, 0)
    );
}

// §6.6: what names a cluster goes before it, also where nothing takes its place
#[test]
fn a_cluster_goes_after_the_listener_that_goes_with_it() {
    let mut client = settled("cds a=1 b=1; eds a=1 b=1; lds l=1 m=1; rds r=1");
    assert_eq!(
        client.publish("cds a=1; eds a=1; lds l=1; rds r=1"),
        "lds -m"
    );
    assert_eq!(client.ack("lds"), "");
    assert_eq!(client.seconds(5), "cds -b");
}

#[test]
fn new_clusters_one_after_the_other_do_not_hold_routes_up_for_ever() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=1 c=1; eds a=1 b=1 c=?; lds l=1; rds r=2");
    client.ask("eds", "+c");
    client.seconds(2);
    let next = "cds a=1 b=1 c=1 d=1; eds a=1 b=1 c=? d=?; lds l=1; rds r=3";
    assert_eq!(client.publish(next), "cds d=1");
    assert_eq!(client.ask("eds", "+d"), "");
    assert_eq!(client.seconds(1), "eds -c; rds r=3");
}

#[test]
fn routes_that_were_rejected_wait_for_new_clusters_as_others_do() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=2");
    client.nack("rds", "r: no");
    client.seconds(20);
    let mended = "cds a=1 b=1 c=1; eds a=1 b=1 c=?; lds l=1; rds r=3";
    assert_eq!(client.publish(mended), "cds c=1");
    assert_eq!(client.seconds(3), "rds r=3");
}

// §6.7
#[test]
fn a_client_that_comes_back_gets_a_new_cluster_with_its_endpoints_before_its_routes() {
    let mut client = Delta::new("cds a=1 c=1; eds a=1 c=?; lds l=1; rds r=2");
    assert_eq!(client.ask("cds", "a=1 b=1"), "cds c=1");
    assert_eq!(client.ask("eds", "+a +b a=1 b=1"), "eds -b");
    assert_eq!(client.ask("lds", "l=1"), "lds");
    assert_eq!(client.ask("rds", "+r r=1"), "");
    assert_eq!(client.ask("eds", "+c -b"), "");
    let resolved = "cds a=1 c=1; eds a=1 c=1; lds l=1; rds r=2";
    assert_eq!(client.publish(resolved), "eds c=1; rds r=2");
    assert_eq!(client.seconds(5), "cds -b");
}

// A client that comes back while a cluster warms asks for clusters last (measured on Envoy 1.40).
#[test]
fn routes_wait_for_a_client_that_is_yet_to_ask_for_its_clusters() {
    let text = "cds a=1 c=1; eds a=2 c=1; lds l=1; rds r=2";
    let mut client = Delta::new(text);
    assert_eq!(client.ask("eds", "+a a=1"), "eds a=2");
    assert_eq!(client.ask("lds", "l=1"), "lds");
    assert_eq!(client.ask("rds", "+r r=1"), "");
    assert_eq!(client.ask("cds", "a=1"), "cds c=1");
    assert_eq!(client.ask("eds", "+c"), "eds c=1; rds r=2");
    // Not for ever.
    let mut client = Delta::new(text);
    client.ask("eds", "+a a=1");
    client.ask("rds", "+r r=1");
    assert_eq!(client.wait(Duration::from_millis(2999)), "");
    assert_eq!(client.wait(Duration::from_millis(1)), "rds r=2");
    // Nor if it has them all.
    let mut client = Delta::new(text);
    client.ask("eds", "+a +c a=2 c=1");
    assert_eq!(client.ask("rds", "+r r=1"), "rds r=2");
}
