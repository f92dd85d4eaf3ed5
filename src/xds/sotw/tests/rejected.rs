//! NACKs: quarantine, and the search for what is to blame.

use super::*;

// §5.6, E8b, trap 7
#[test]
fn a_rejected_cluster_is_left_out_and_the_others_sent_again() {
    let mut client = Sotw::new("cds bad2=1 good=1");
    client.ask("cds", "");
    let message = "Error adding/updating cluster(s) bad2: unknown transport socket";
    assert_eq!(client.nack("cds", message), "cds good=1");
    assert_eq!(client.ack("cds"), "");
    assert_eq!(client.publish("cds bad2=1 good=2"), "cds good=2");
    client.ack("cds");
    assert_eq!(client.publish("cds bad2=2 good=2"), "cds bad2=2 good=2");
    client.ack("cds");
    assert!(
        client.stream.status().kinds[Kind::Cluster]
            .rejections
            .is_empty()
    );
}

#[test]
fn the_whole_set_keeps_the_last_good_version_of_a_rejected_one() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=1; eds a=1 b=1; lds k=1 l=2; rds r=1");
    assert_eq!(
        client.nack("lds", "Error adding/updating listener(s) l: no"),
        "lds k=1 l=1"
    );
    client.ack("lds");
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=1; lds k=2 l=2; rds r=1"),
        "lds k=2 l=1"
    );
    client.ack("lds");
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=1; lds k=2; rds r=1"),
        "lds k=2"
    );
}

// A bad one that a newer response still held: nothing of it is good.
#[test]
fn a_nack_of_the_newest_covers_those_before() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=2; eds a=1 b=1; lds l=1; rds r=1");
    client.publish("cds a=2 b=2; eds a=1 b=1; lds l=1; rds r=1");
    assert_eq!(client.nack("cds", "b: no"), "cds a=2 b=1; eds a=1 b=1");
}

#[test]
fn a_rejected_resource_is_tried_again_by_itself() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=2; eds a=1 b=1; lds l=1; rds r=1");
    assert_eq!(client.nack("cds", "b: no"), "");
    assert_eq!(client.wait(Duration::from_millis(29_999)), "");
    assert_eq!(
        client.wait(Duration::from_millis(1)),
        "cds a=1 b=2; eds b=1"
    );
    assert_eq!(client.nack("cds", "b: no"), "");
    assert_eq!(client.seconds(59), "");
    assert_eq!(client.seconds(1), "cds a=1 b=2; eds b=1");
    client.ack("cds");
    assert_eq!(client.seconds(3600), "");
    assert!(
        client.stream.status().kinds[Kind::Cluster]
            .rejections
            .is_empty()
    );
}

#[test]
fn a_rejected_route_is_not_sent_again() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=2");
    assert_eq!(client.nack("rds", "no"), "");
    assert_eq!(client.ack("rds"), "");
    assert_eq!(client.publish(MESH), "", "it still has the one before");
}

// E8: the whole response is rejected, and the error names nothing
#[test]
fn a_nack_that_names_nothing_is_narrowed_down() {
    let mut client = Sotw::new("cds a=1 b=1 c=bad d=1 e=1");
    let mut next = client.ask("cds", "");
    let mut rounds = 0;
    while !next.is_empty() {
        let is_bad = next.contains("bad");
        next = if is_bad {
            client.nack("cds", "Invalid duration")
        } else {
            client.ack("cds")
        };
        rounds += 1;
        assert!(rounds < 10, "too many: {next}");
    }
    let mut names: Vec<_> = client.newest[Kind::Cluster].resources.iter().collect();
    names.sort();
    let names: Vec<_> = names.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "d", "e"]);
    let rejections = &client.stream.status().kinds[Kind::Cluster].rejections;
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].resource.as_deref(), Some("c"));
}

// §2.2: an older NACK of a type whose answers are partial is the only word about what was in it
#[test]
fn an_older_nack_of_a_part_counts_and_changes_no_names() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=1; eds a=2 b=1; lds l=1; rds r=1");
    let mut nack = client.request("eds");
    nack.error_detail = Some(error("a: no"));
    nack.resource_names = Vec::new();
    client.publish("cds a=1 b=1; eds a=2 b=2; lds l=1; rds r=1");
    assert_eq!(client.send(vec![nack]), "");
    let rejections = &client.stream.status().kinds[kind("eds")].rejections;
    assert_eq!(rejections[0].resource.as_deref(), Some("a"));
    client.ack("eds");
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=3 b=3; lds l=1; rds r=1"),
        "eds a=3 b=3"
    );
}

// §6.1: the update reaches the client with the second response, after the endpoints that followed the first
#[test]
fn a_rejected_response_brings_endpoints_after_the_next() {
    let mut client = settled("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=1");
    client.publish("cds a=2 b=bad; eds a=1 b=1; lds l=1; rds r=1");
    let mut nack = client.request("cds");
    nack.error_detail = Some(error("Invalid duration"));
    let next = client.publish("cds a=2 b=2; eds a=1 b=1; lds l=1; rds r=1");
    assert_eq!(next, "cds a=2 b=2; eds a=1 b=1");
    assert_eq!(client.send(vec![nack]), "eds a=1 b=1");
}

/// What Envoy says of a message that breaks a constraint: it took nothing of the response, and names one of several.
const CONSTRAINT: &str =
    "Proto constraint validation failed (ConnectTimeout: value must be greater than 0s): name: ";

#[test]
fn what_came_with_a_blamed_one_is_not_taken_for_accepted() {
    let mut client = Sotw::new("cds a=1 b=1 c=1");
    client.ask("cds", "");
    client.ack("cds");
    client.publish("cds a=2 b=bad c=bad");
    let nack =
        |client: &mut Sotw, name: &str| client.nack("cds", &format!("{CONSTRAINT}\"{name}\""));
    assert_eq!(nack(&mut client, "b"), "cds a=2 c=bad b=1");
    assert_eq!(nack(&mut client, "c"), "cds a=2 b=1 c=1");
    assert_eq!(client.ack("cds"), "");
    assert_eq!(client.publish("cds a=3 b=bad c=bad"), "cds a=3 b=1 c=1");
}

// Envoy applies the good part, if it is for its content that it rejects the rest.
#[test]
fn what_came_with_a_blamed_one_may_be_in_use() {
    let mut client = Sotw::new("cds a=1 b=1");
    client.ask("cds", "");
    client.ack("cds");
    client.publish("cds a=2 b=2");
    // All is as it was, as far as one can see.
    client.snapshot = Arc::new(snapshot("cds a=1 b=1"));
    assert_eq!(client.nack("cds", "b: no"), "cds a=1 b=1");
}

// E8b: applied though its response was rejected, and its newer content is rejected next
#[test]
fn what_is_in_use_stays_in_the_whole_set() {
    let mut client = settled("cds a=1; eds a=1 c=1");
    client.publish("cds a=1 c=1 d=bad; eds a=1 c=1");
    client.publish("cds a=1 c=bad d=bad; eds a=1 c=1");
    assert_eq!(client.nack("cds", "c: no, d: no"), "eds a=1");
    assert_eq!(client.ask("eds", "a c"), "eds c=1");
    assert_eq!(
        client.publish("cds a=2 c=bad d=bad; eds a=1 c=1"),
        "cds a=2 c=1; eds a=1 c=1"
    );
}

// What the set says of a name is what the client has from then on, and so no news.
#[test]
fn what_the_whole_set_said_is_not_said_again() {
    let mut client = settled("cds a=1 b=1; eds a=1 b=1");
    client.publish("cds a=0 b=1; eds a=1 b=1");
    client.publish("cds a=bad b=2; eds a=1 b=1");
    assert_eq!(client.nack("cds", "a: no"), "cds b=2 a=1; eds a=1 b=1");
    assert_eq!(client.ack("cds"), "");
    assert_eq!(client.publish("cds a=1 b=2; eds a=1 b=1"), "");
}

// Of several responses that it heard before it spoke, Envoy says one thing, with the last error, though it took the newest.
#[test]
fn a_nack_may_be_about_one_before() {
    let mut client = Sotw::new("eds a=1 b=1 c=1");
    client.ask("eds", "a b c");
    client.ack("eds");
    client.publish("eds a=bad b=2 c=1");
    client.publish("eds a=bad b=2 c=2");
    assert_eq!(client.nack("eds", "a: no"), "eds b=2 c=2");
    let rejections = &client.stream.status().kinds[kind("eds")].rejections;
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].resource.as_deref(), Some("a"));
}

// Routes do not wait for the endpoints of a cluster that is not there.
#[test]
fn a_rejected_cluster_holds_no_routes_up() {
    let mut client = settled(MESH);
    let next = "cds a=1 b=1 c=bad; eds a=1 b=1 c=1; lds l=1; rds r=2";
    assert_eq!(client.publish(next), "cds a=1 b=1 c=bad");
    assert_eq!(client.nack("cds", "c: no"), "rds r=2");
}

// Of a response of which the client took nothing, some clusters are tried later than others, and routes wait for them.
#[test]
fn routes_wait_for_clusters_that_are_tried_later() {
    let mut client = settled("cds a=1 b=1; eds a=1 b=1 c=1; lds l=1; rds r=1");
    let next = |rds: usize| format!("cds a=bad b=1 c=1; eds a=1 b=1 c=1; lds l=1; rds r={rds}");
    client.ask("eds", "a b c");
    let sent = client.publish(&next(1));
    assert_eq!(sent, "cds a=bad b=1 c=1; eds a=1 c=1");
    assert_eq!(client.nack("cds", "no"), "cds a=bad b=1; eds a=1");
    assert_eq!(client.publish(&next(2)), "");
    assert_eq!(
        client.nack("cds", "no"),
        "cds b=1 c=1 a=1; eds c=1; rds r=2"
    );
}

#[test]
fn what_was_rejected_before_needs_no_words() {
    let mut client = Sotw::new("rds a=bad b=1");
    assert_eq!(client.ask("rds", "a"), "rds a=bad");
    let mut nack = client.request("rds");
    nack.error_detail = Some(error("no"));
    let mut anew = client.request("rds");
    anew.resource_names = vec!["a".to_owned(), "b".to_owned()];
    anew.response_nonce = String::new();
    assert_eq!(client.send(vec![anew]), "rds a=bad b=1");
    client.names[kind("rds")] = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(client.send(vec![nack]), "");
    assert_eq!(client.nack("rds", "no"), "rds b=1");
    assert_eq!(client.ack("rds"), "");
}

#[test]
fn a_cluster_that_is_said_again_on_its_way_out_keeps_its_endpoints() {
    let mut client = settled("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=1");
    let sent = client.publish("cds a=2 b=2 c=bad; eds a=1 b=1; lds l=1; rds r=1");
    assert_eq!(sent, "cds a=2 b=2 c=bad; eds a=1 b=1");
    let sent = client.publish("cds a=2 c=bad; eds a=1; lds l=1; rds r=1");
    assert_eq!(sent, "");
    assert_eq!(client.nack("cds", "c: no"), "cds a=2 b=1; eds a=1");
}
