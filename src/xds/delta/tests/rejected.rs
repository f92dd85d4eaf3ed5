//! NACKs: quarantine, and the search for what is to blame.

use super::*;

const CLUSTERS: &str = "Error adding/updating cluster(s)";

// §5.6, §3.4, E8b, trap 7
#[test]
fn a_rejected_resource_is_left_out_and_the_others_sent_again() {
    let mut client = Delta::new("cds bad2=1 good=1");
    client.ask("cds", "");
    let message = format!("{CLUSTERS} bad2: unknown transport socket");
    assert_eq!(client.nack("cds", &message), "cds good=1");
    assert_eq!(client.ack("cds"), "");
    assert_eq!(client.publish("cds bad2=1 good=2"), "cds good=2");
    client.ack("cds");
    assert_eq!(
        client.publish("cds bad2=2 good=2"),
        "cds bad2=2",
        "new content is free at once"
    );
    client.ack("cds");
    assert!(
        client.stream.status().kinds[Kind::Cluster]
            .rejections
            .is_empty()
    );
}

// §5.6
#[test]
fn the_client_keeps_its_last_good_version() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=2");
    assert_eq!(client.nack("rds", "r: no"), "");
    assert_eq!(
        client.ask("rds", "+r"),
        "rds r=1",
        "what is asked for is the last good one"
    );
    client.ack("rds");
    assert_eq!(client.publish(MESH), "", "and that is what it has");
}

#[test]
fn a_rejected_resource_without_a_good_version_does_not_exist() {
    let mut client = Delta::new("rds r=1");
    client.ask("rds", "+r");
    assert_eq!(client.nack("rds", "r: no"), "");
    assert_eq!(client.ask("rds", "+r"), "rds -r");
}

// Trap 7: no hot loop
#[test]
fn a_rejected_resource_is_tried_again_after_a_growing_delay() {
    let backoff = Backoff {
        first: Duration::from_secs(10),
        cap: Duration::from_secs(25),
    };
    let limits = Limits {
        retry_rejected: backoff,
        ..Limits::default()
    };
    let mut client = Delta::with(limits, "cds a=1 b=1");
    client.ask("cds", "");
    client.nack("cds", "b: no");
    client.ack("cds");
    for delay in [10, 20, 25, 25] {
        assert_eq!(client.wait(Duration::from_millis(delay * 1000 - 1)), "");
        assert_eq!(
            client.wait(Duration::from_millis(1)),
            "cds b=1",
            "after {delay} s"
        );
        assert_eq!(client.nack("cds", "b: still no"), "");
    }
    assert_eq!(client.seconds(25), "cds b=1");
    assert_eq!(client.ack("cds"), "");
    assert!(
        client.stream.status().kinds[Kind::Cluster]
            .rejections
            .is_empty()
    );
    assert_eq!(client.seconds(3600), "");
}

#[test]
fn a_retry_is_sent_by_itself() {
    let mut client = Delta::new("cds a=1 b=1");
    client.ask("cds", "");
    client.nack("cds", "b: no");
    client.ack("cds");
    client.now += Duration::from_secs(40);
    assert_eq!(client.publish("cds a=2 b=1"), "cds a=2");
    assert_eq!(client.ack("cds"), "cds b=1");
}

// E8: the whole response is rejected, and the error names nothing
#[test]
fn a_nack_that_names_nothing_is_narrowed_down() {
    let mut client = Delta::new("cds a=1 b=1 c=bad d=1 e=1");
    client.ask("cds", "");
    let message = "Invalid duration: Expected positive duration";
    let (mut sent, mut rounds) = (client.newest[Kind::Cluster].clone(), 0);
    let mut has = BTreeSet::new();
    loop {
        let is_bad = sent.resources.iter().any(|(_, label, _)| label == "bad");
        let next = if is_bad {
            client.nack("cds", message)
        } else {
            has.extend(sent.resources.iter().map(|(name, ..)| name.clone()));
            client.ack("cds")
        };
        if next.is_empty() {
            break;
        }
        (sent, rounds) = (client.newest[Kind::Cluster].clone(), rounds + 1);
        assert!(rounds < 10, "too many: {sent:?}");
    }
    assert_eq!(has, ["a", "b", "d", "e"].map(str::to_owned).into());
    let rejections = &client.stream.status().kinds[Kind::Cluster].rejections;
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].resource.as_deref(), Some("c"));
}

#[test]
fn a_nack_of_an_older_response_leaves_the_newer_one() {
    let mut client = settled(MESH);
    client.publish("cds a=1 b=1; eds a=2 b=1; lds l=1; rds r=1");
    let older = client.newest[Kind::Endpoint].nonce.clone();
    client.publish("cds a=1 b=1; eds a=3 b=1; lds l=1; rds r=1");
    let mut nack = Delta::request("eds", "");
    nack.response_nonce = older;
    nack.error_detail = Some(error("a: no"));
    assert_eq!(client.send(vec![nack]), "");
    // Were a=2 taken for the last good one, it would be sent here.
    assert_eq!(client.nack("eds", "a: no"), "");
    assert_eq!(client.ask("eds", "+a"), "eds a=1");
}

#[test]
fn a_new_stream_tries_again() {
    let mut client = Delta::new("cds a=1");
    client.ask("cds", "");
    client.nack("cds", "a: no");
    let mut again = Delta::new("cds a=1");
    assert_eq!(again.ask("cds", ""), "cds a=1");
}

#[test]
fn a_rejection_says_what_and_why() {
    let mut client = Delta::new("cds a=1 b=1");
    client.ask("cds", "");
    let nonce = client.newest[Kind::Cluster].nonce.clone();
    client.nack("cds", "b: no");
    let rejected = Event::Rejected {
        kind: Kind::Cluster,
        nonce,
        message: "b: no".to_owned(),
        resources: vec!["b".into()],
    };
    assert!(client.events.contains(&rejected));
}

#[test]
fn what_is_said_of_a_rejection_is_bounded() {
    let mut client = settled(MESH);
    client.publish("cds a=2 b=1; eds a=1 b=1; lds l=1; rds r=1");
    client.nack("cds", &"é".repeat(100_000));
    let rejected = client.events.iter().find_map(|event| match event {
        Event::Rejected { message, .. } => Some(message.len()),
        _ => None,
    });
    assert_eq!(rejected, Some(4096));
}

// §6.4: no ACK comes while a cluster warms, but the client asks for what it has taken
#[test]
fn the_search_goes_on_while_a_cluster_warms() {
    let mut client = Delta::new("cds a=1 b=bad c=1; eds a=? c=1");
    client.ask("cds", "");
    assert_eq!(client.nack("cds", "no"), "cds a=1 b=bad");
    assert_eq!(client.nack("cds", "no"), "cds a=1");
    assert_eq!(client.ask("eds", "+a"), "cds b=bad");
}
