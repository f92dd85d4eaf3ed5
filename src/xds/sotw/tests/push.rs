//! Order, warming, and what waits for what.

use super::*;

// §6.1, §6.4, E2, E3, E4, E7, traps 1 and 2
#[test]
fn an_updated_cluster_is_followed_by_its_endpoints() {
    let mut client = settled(MESH);
    // Envoy holds back the ACK of clusters as long as one warms: no ACK comes, and it must not matter.
    for label in 2..100 {
        let sent = client.publish(&format!("cds a={label} b=1; eds a=1 b=1; lds l=1; rds r=1"));
        assert_eq!(sent, format!("cds a={label} b=1; eds a=1"));
        assert_eq!(client.ack("eds"), "", "E2: looks like an ACK, and is one");
    }
    assert_eq!(client.ack("cds"), "");
}

// §6.1: what the client may not have taken follows again; that it asks for the endpoints of a cluster says that it has
#[test]
fn a_change_while_a_client_starts_costs_the_change() {
    let text = |label: u32| format!("cds a=1 b=1 c={label}; eds a=1 b=? c=1");
    let mut client = Sotw::new(&text(1));
    assert_eq!(client.ask("cds", ""), "cds a=1 b=1 c=1");
    assert_eq!(client.ask("eds", "a b c"), "eds a=1 c=1");
    // `b` warms, so that nothing is said of the clusters.
    for label in 2..40 {
        let sent = format!("cds a=1 b=1 c={label}; eds c=1");
        assert_eq!(client.publish(&text(label)), sent);
    }

    // This one may have asked for what it has of an earlier stream.
    let mut client = Sotw::new(&text(1));
    client.newest[Kind::Cluster].version = "7".to_owned();
    client.ask("cds", "");
    assert_eq!(client.ask("eds", "a b c"), "eds a=1 c=1");
    assert_eq!(client.seconds(3), "cds a=1 b=1 c=1; eds a=1 c=1 b=");
    let sent = "cds a=1 b=1 c=2; eds a=1 c=1";
    assert_eq!(client.publish(&text(2)), sent);
}

// §6.6
#[test]
fn a_push_goes_from_the_named_to_what_names_it() {
    let kinds = ["ecds", "rds", "lds", "sds", "eds", "cds"];
    let text = |n: u32| kinds.map(|of| format!("{of} x={n}")).join(";");
    let mut client = Sotw::new(&text(1));
    for of in kinds {
        client.ask(of, "x");
    }
    let sent = client.publish(&text(2));
    assert_eq!(
        sent,
        "cds x=2; eds x=2; sds x=2; lds x=2; rds x=2; ecds x=2"
    );
}

// §5.2
#[test]
fn clusters_and_listeners_come_whole_and_the_rest_in_parts() {
    let text = |n: u32| format!("cds a=1 b={n}; eds a=1 b={n}; lds k=1 l={n}; rds q=1 r={n}");
    let mut client = Sotw::new(&text(1));
    for (of, names) in [("cds", ""), ("eds", "a b"), ("lds", ""), ("rds", "q r")] {
        client.ask(of, names);
        client.ack(of);
    }
    assert_eq!(
        client.publish(&text(2)),
        "cds a=1 b=2; eds b=2; lds k=1 l=2; rds r=2"
    );
}

// §6.6, trap 16
#[test]
fn a_cluster_goes_after_the_routes_that_named_it() {
    let mut client = settled(MESH);
    let next = "cds a=1 c=1; eds a=1; lds l=2; rds r=2";
    assert_eq!(client.publish(next), "cds a=1 c=1 b=1; lds l=2; rds r=2");
    assert_eq!(client.ack("cds"), "");
    assert_eq!(client.ack("lds"), "");
    // What is under way still goes by the routes of before.
    assert_eq!(client.ack("rds"), "");
    assert_eq!(client.seconds(5), "cds a=1 c=1");
    assert_eq!(client.ack("cds"), "");
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
    assert_eq!(client.wait(Duration::from_millis(1)), "cds a=1");
}

// F11
#[test]
fn a_listener_is_removed_with_what_replaces_it() {
    let mut client = settled(MESH);
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=1; lds m=1; rds r=1"),
        "lds m=1"
    );
    assert_eq!(client.publish("cds a=1 b=1; eds a=1 b=1; rds r=1"), "lds");
}

// §6.7
#[test]
fn routes_wait_for_the_endpoints_of_new_clusters() {
    let mut client = settled(MESH);
    let next = |eds: &str| format!("cds a=1 b=1 c=1; eds a=1 b=1 {eds}; lds l=2; rds r=2");
    assert_eq!(client.publish(&next("c=1")), "cds a=1 b=1 c=1");
    assert_eq!(client.ask("eds", "a b c"), "eds c=1; lds l=2; rds r=2");

    let mut client = settled(MESH);
    assert_eq!(client.publish(&next("c=?")), "cds a=1 b=1 c=1");
    assert_eq!(client.ask("eds", "a b c"), "");
    assert_eq!(client.wake_at, Some(Duration::from_secs(3)));
    assert_eq!(client.seconds(3), "eds c=; lds l=2; rds r=2");
}

// A cluster that was sent while its endpoints were overdue is as new as any, once there are some.
#[test]
fn routes_wait_for_endpoints_that_turn_up() {
    let mut client = settled(MESH);
    let next =
        |eds: &str, rds: usize| format!("cds a=1 b=1 c=1; eds a=1 b=1 {eds}; lds l=1; rds r={rds}");
    assert_eq!(client.publish(&next("c=!", 2)), "cds a=1 b=1 c=1; rds r=2");
    assert_eq!(client.publish(&next("c=1", 3)), "");
    assert_eq!(client.ask("eds", "a b c"), "eds c=1; rds r=3");
}

// §5.3, E10: of a live cluster, endpoints are emptied only by an empty load assignment
#[test]
fn endpoints_that_vanish_are_not_taken_away() {
    let mut client = settled(MESH);
    assert_eq!(client.publish("cds a=1 b=1; eds a=1; lds l=1; rds r=1"), "");
    assert_eq!(client.publish(MESH), "");
}

#[test]
fn intermediate_snapshots_are_skipped() {
    let mut client = settled(MESH);
    client.snapshot = Arc::new(snapshot("cds a=1 b=1; eds a=2 b=1"));
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=3 b=1; lds l=1; rds r=1"),
        "eds a=3"
    );
}

// §6.6
#[test]
fn a_cluster_goes_after_the_listener_that_goes_with_it() {
    let mut client = settled("cds a=1 b=1; eds a=1 b=1; lds l=1 m=1; rds r=1");
    assert_eq!(
        client.publish("cds a=1; eds a=1; lds l=1; rds r=1"),
        "lds l=1"
    );
    assert_eq!(client.ack("lds"), "");
    assert_eq!(client.seconds(5), "cds a=1");
}

/// A client that has been served before, and asks again for all that it knew.
fn returned(text: &str, endpoints: &str) -> (Sotw, String) {
    let mut client = Sotw::new(text);
    let mut sent = Vec::new();
    for (of, names) in [("cds", ""), ("eds", endpoints), ("lds", ""), ("rds", "r")] {
        client.newest[kind(of)].version = "7".to_owned();
        sent.push(client.ask(of, names));
    }
    sent.retain(|text| !text.is_empty());
    (client, sent.join("; "))
}

// §5.2: what is left out is deleted, and the client's routes still name `b`
#[test]
fn a_client_that_comes_back_gets_its_routes_before_it_loses_a_cluster() {
    let (mut client, sent) = returned("cds a=1; eds a=1; lds l=1; rds r=2", "a b");
    assert_eq!(sent, "eds a=1; lds l=1; rds r=2");
    assert_eq!(client.ack("lds"), "");
    assert_eq!(client.ack("rds"), "cds a=1; eds a=1 b=");
    assert_eq!(client.seconds(60), "");
}

#[test]
fn a_client_that_comes_back_gets_a_new_cluster_before_its_routes() {
    let (mut client, sent) = returned("cds a=1 c=1; eds a=1 c=1; lds l=1; rds r=2", "a b");
    assert_eq!(sent, "cds a=1 c=1; eds a=1 b=; lds l=1");
    assert_eq!(client.ask("eds", "a c"), "eds c=1; rds r=2");
}

// Decision: an answer is owed within 3 s
#[test]
fn a_client_that_comes_back_waits_for_clusters_no_longer_than_for_anything() {
    let (mut client, _) = returned("cds a=1; eds a=1; lds l=1; rds r=2", "a b");
    assert_eq!(client.wait(Duration::from_millis(2999)), "");
    assert_eq!(client.wait(Duration::from_millis(1)), "cds a=1; eds a=1 b=");
}

/// Routes still lead to it, and there is nobody else to ask.
#[test]
fn a_cluster_on_its_way_out_keeps_its_endpoints() {
    let mut client = settled("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=1");
    let sent = client.publish("cds a=2 b=2; eds a=1 b=1; lds l=1; rds r=1");
    assert_eq!(sent, "cds a=2 b=2; eds a=1 b=1");
    let sent = client.publish("cds a=3; eds a=1; lds l=1; rds r=1");
    assert_eq!(sent, "cds a=3 b=2; eds a=1");
}
