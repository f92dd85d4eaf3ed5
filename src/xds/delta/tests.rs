//! Scripts for the delta variant. `§` numbers are those of the notes on the xDS protocol, `E` numbers measurements on
//! Envoy 1.40; a "trap" is a mistake that real servers made, and that the test catches.

use super::*;
use crate::xds::limits::Backoff;
use crate::xds::testing::{Client, error, kind};

type Delta = Client<DeltaStream>;

const MESH: &str = "cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=1";

/// A client that has asked for all of it and accepted it.
fn settled(text: &str) -> Delta {
    let mut client = Delta::new(text);
    client.ask("cds", "");
    client.ask("eds", "+a +b");
    client.ask("lds", "");
    client.ask("rds", "+r");
    for of in ["cds", "eds", "lds", "rds"] {
        assert_eq!(client.ack(of), "");
    }
    client
}

#[test]
fn a_client_starts_and_is_sent_what_changes() {
    let mut client = Delta::new(MESH);
    assert_eq!(client.ask("cds", ""), "cds a=1 b=1");
    assert_eq!(client.ask("eds", "+a +b"), "eds a=1 b=1");
    assert_eq!(client.ask("lds", ""), "lds l=1");
    assert_eq!(client.ask("rds", "+r"), "rds r=1");
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=2; lds l=1; rds r=2"),
        "eds b=2; rds r=2"
    );
}

// §6.5: routes that were sent are not sent again because a listener changes
#[test]
fn a_changed_listener_brings_no_routes() {
    let mut client = settled(MESH);
    let next = "cds a=1 b=1; eds a=1 b=1; lds l=2; rds r=1";
    assert_eq!(client.publish(next), "lds l=2");
}

// §6.10: names whose cluster or listener is gone are answered, however well the client knew them
#[test]
fn orphans_are_answered() {
    let mut client = Delta::new("cds; lds");
    assert_eq!(client.ask("eds", "+gone gone=1"), "eds -gone");
    assert_eq!(client.ask("rds", "+gone gone=1"), "rds -gone");
}

// §5.1, §2.8
#[test]
fn nothing_new_is_nothing_sent() {
    let mut client = settled(MESH);
    assert_eq!(client.publish(MESH), "");
    assert_eq!(
        client.ask("cds", ""),
        "",
        "§4.9: an empty request means nothing later"
    );
    assert_eq!(client.seconds(3600), "");
    assert_eq!(client.wake_at, None);
}

// §2.5, trap 8
#[test]
fn a_stale_nonce_does_not_hide_a_subscription() {
    let mut client = Delta::new(MESH);
    client.ask("eds", "+a");
    let old = client.newest[Kind::Endpoint].nonce.clone();
    client.publish("eds a=2 b=1");
    for nonce in [old.as_str(), old.as_str(), "no nonce of ours"] {
        let mut request = Delta::request("eds", "+b");
        request.response_nonce = nonce.to_owned();
        assert_eq!(client.send(vec![request]), "eds b=1");
        let mut request = Delta::request("eds", "-b");
        request.response_nonce = nonce.to_owned();
        assert_eq!(client.send(vec![request]), "");
    }
    assert_eq!(client.publish("eds a=2 b=2"), "", "b is unsubscribed");
}

// §4.16
#[test]
fn an_ack_and_a_nack_may_carry_names() {
    let mut client = Delta::new(MESH);
    client.ask("eds", "+a");
    let mut ack = Delta::request("eds", "+b");
    ack.response_nonce = client.newest[Kind::Endpoint].nonce.clone();
    assert_eq!(client.send(vec![ack]), "eds b=1");
    let mut nack = Delta::request("eds", "+c -a");
    nack.response_nonce = client.newest[Kind::Endpoint].nonce.clone();
    nack.error_detail = Some(error("b: no"));
    assert_eq!(client.send(vec![nack]), "eds -c");
    assert_eq!(client.publish("eds a=2 b=1 c=1"), "eds c=1");
}

// §2.7
#[test]
fn an_error_makes_a_nack_whatever_its_code() {
    let mut client = Delta::new("cds a=1");
    client.ask("cds", "");
    let mut nack = Delta::request("cds", "");
    nack.response_nonce = client.newest[Kind::Cluster].nonce.clone();
    nack.error_detail = Some(super::super::message::ErrorDetail::default());
    client.send(vec![nack]);
    assert!(matches!(client.events.last(), Some(Event::Rejected { .. })));
}

// §4.8
#[test]
fn everything_then_a_name_then_only_the_name_then_nothing() {
    let mut client = Delta::new(MESH);
    assert_eq!(client.ask("cds", ""), "cds a=1 b=1");
    assert_eq!(client.ask("cds", "+a"), "cds a=1", "§4.11");
    assert_eq!(client.publish("cds a=2 b=2"), "cds a=2 b=2");
    assert_eq!(client.ask("cds", "-*"), "");
    assert_eq!(client.publish("cds a=3 b=3"), "cds a=3");
    assert_eq!(client.ask("cds", "-a"), "");
    assert_eq!(client.publish("cds a=4 b=4"), "");
}

// §4.8
#[test]
fn a_name_at_first_is_no_wildcard() {
    let mut client = Delta::new(MESH);
    assert_eq!(client.ask("cds", "+a"), "cds a=1");
    assert_eq!(client.ask("cds", ""), "");
    assert_eq!(client.publish("cds a=1 b=2 c=1"), "");
    assert_eq!(client.ask("cds", "+*"), "cds b=2 c=1");
}

// §4.6: only listeners and clusters have a legacy wildcard
#[test]
fn an_empty_first_request_for_endpoints_asks_for_nothing() {
    for of in ["eds", "sds", "rds", "ecds"] {
        let mut client = Delta::new("eds a=1; sds a=1; rds a=1; ecds a=1");
        assert_eq!(client.ask(of, ""), "", "{of}");
    }
}

// §4.10
#[test]
fn wildcard_on_and_off_at_once_is_nothing() {
    let mut client = Delta::new(MESH);
    assert_eq!(client.ask("cds", "+* -*"), "");
    assert_eq!(client.publish("cds a=2"), "");
    assert_eq!(client.ask("cds", "+a"), "cds a=2");
}

// §4.11, trap 3
#[test]
fn a_name_asked_for_again_is_sent_again() {
    let mut client = settled(MESH);
    assert_eq!(client.ask("eds", "+a"), "eds a=1");
    assert_eq!(client.ask("rds", "+r"), "rds r=1");
    assert_eq!(client.ask("eds", "-a"), "");
    assert_eq!(client.ask("eds", "+a"), "eds a=1");
}

// §4.12
#[test]
fn unsubscribing() {
    let mut client = Delta::new(MESH);
    client.ask("cds", "");
    assert_eq!(client.ask("cds", "-a"), "", "never subscribed by name");
    client.ask("cds", "+a +c");
    assert_eq!(client.ask("cds", "-a -c"), "cds a=1 -c");
    assert_eq!(
        client.publish("cds a=2 b=1"),
        "cds a=2",
        "the wildcard still has it"
    );
}

// §4.13
#[test]
fn a_name_in_both_lists_stays() {
    let mut client = Delta::new(MESH);
    client.ask("eds", "+a");
    assert_eq!(client.ask("eds", "+a -a"), "eds a=1");
    assert_eq!(client.publish("eds a=2"), "eds a=2");
}

// §4.14, traps 4 and 5
#[test]
fn what_does_not_exist_is_said_to_and_stays_subscribed() {
    for of in ["cds", "eds", "sds", "lds", "rds", "ecds"] {
        let mut client = Delta::new("");
        assert_eq!(client.ask(of, "+x"), format!("{of} -x"));
        assert_eq!(client.publish(&format!("{of} x=1")), format!("{of} x=1"));
        client.ack(of);
        let gone = client.publish("") + &client.seconds(5);
        let is_removed = kind(of).is_wildcard();
        assert_eq!(
            gone,
            if is_removed {
                format!("{of} -x")
            } else {
                String::new()
            },
            "§5.3"
        );
        assert_eq!(client.publish(&format!("{of} x=2")), format!("{of} x=2"));
    }
}

// Decision: a restarted server is still looking names up when its clients come back; what turns out to be as it was is
// not sent again, and is up to date all the same.
#[test]
fn what_is_withheld_at_a_reconnect_is_sent_only_if_it_changed() {
    let mut client = Client::<DeltaStream>::new("eds a=? b=?");
    client.ask("cds", "");
    assert_eq!(client.ask("eds", "+a +b a=1 b=1"), "");
    assert_eq!(client.seconds(10), "", "it has what it needs meanwhile");
    assert_eq!(client.stream.status().kinds[Kind::Endpoint].sent, None);
    assert_eq!(client.publish("eds a=1 b=?"), "");
    assert_eq!(client.publish("eds a=1 b=1"), "");
    let status = client.stream.status().kinds[Kind::Endpoint].clone();
    assert_eq!(status.acked, Some(client.snapshot.version(Kind::Endpoint)));
    assert_eq!(status.sent, status.acked);
    assert_eq!(client.publish("eds a=1 b=2"), "eds b=2");

    let mut client = Client::<DeltaStream>::new("eds a=?");
    client.ask("eds", "+a a=1");
    assert_eq!(client.publish("eds a=2"), "eds a=2");
}

// Decision: an answer waits for a withheld resource, 3 s at most.
#[test]
fn what_is_withheld_is_waited_for() {
    let mut client = Delta::new("eds a=? b=1");
    assert_eq!(client.ask("eds", "+a +b"), "eds b=1");
    assert_eq!(client.wait(Duration::from_millis(2999)), "");
    assert_eq!(client.publish("eds a=1 b=1"), "eds a=1");

    let mut client = Delta::new("eds a=?");
    assert_eq!(client.ask("eds", "+a"), "");
    assert_eq!(client.wake_at, Some(Duration::from_secs(3)));
    assert_eq!(client.seconds(3), "eds -a");
    assert_eq!(client.seconds(3600), "");
    assert_eq!(client.publish("eds a=1"), "eds a=1");
    assert_eq!(
        client.publish("eds a=?"),
        "",
        "the client keeps its last good one"
    );
    assert_eq!(client.publish("eds a=1"), "", "which it still has");
}

// Decision: nobody waits for what may never come, and nobody loses what it has to it.
#[test]
fn what_is_overdue_is_absent_only_for_who_has_none() {
    let mut client = Delta::new("eds a=! b=1");
    assert_eq!(client.ask("eds", "+a +b"), "eds b=1 -a", "at once");
    assert_eq!(client.publish("eds a=1 b=1"), "eds a=1");
    assert_eq!(
        client.publish("eds a=! b=1"),
        "",
        "it keeps its last good one"
    );

    let mut client = Delta::new("eds a=! b=!");
    client.ask("cds", "");
    assert_eq!(client.ask("eds", "+a +b a=1 b=1"), "");
    assert_eq!(client.seconds(3600), "", "what it came with stays");
    assert_eq!(client.publish("eds a=1 b=2"), "eds b=2");

    let mut client = Delta::new("eds a=?");
    assert_eq!(client.ask("eds", "+a"), "");
    assert_eq!(client.publish("eds a=!"), "eds -a", "no longer waited for");
}

// §5.4, trap 11
#[test]
fn the_first_wildcard_is_answered_with_nothing_too() {
    let mut client = Delta::new("");
    assert_eq!(client.ask("cds", ""), "cds");
    assert_eq!(client.ask("lds", "+*"), "lds");
    assert_eq!(client.ask("cds", ""), "");
}

// §1.4, trap 12
#[test]
fn a_type_that_is_not_served_keeps_the_stream() {
    let mut client = Delta::new(MESH);
    let unknown = |names: &[&str]| DeltaRequest {
        type_url: "type.googleapis.com/envoy.service.runtime.v3.Runtime".to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaRequest::default()
    };
    assert_eq!(client.send(vec![unknown(&["x", "y"])]), "unknown -x -y");
    let mut ack = unknown(&[]);
    ack.response_nonce = client.received[0].nonce.clone();
    assert_eq!(client.send(vec![ack]), "");
    assert_eq!(client.ask("cds", ""), "cds a=1 b=1");
}

// §1.2
#[test]
fn a_request_without_a_type_ends_the_stream() {
    let mut stream = DeltaStream::new(Limits::default());
    let end = stream.step(
        Duration::ZERO,
        &Arc::default(),
        vec![DeltaRequest::default()],
    );
    assert_eq!(end.unwrap_err(), StreamError::NoTypeUrl);
}

#[test]
fn names_are_limited_per_type() {
    let limits = Limits {
        names: 2,
        ..Limits::default()
    };
    let mut client = Delta::with(limits.clone(), "");
    client.ask("eds", "+a +b");
    client.ask("rds", "+c");
    let comes_back_with = |names: &str| {
        let mut client = Delta::with(limits.clone(), "");
        let request = Delta::request("cds", names);
        let end = (client.stream).step(Duration::ZERO, &client.snapshot, vec![request]);
        end.map(drop)
    };
    assert_eq!(comes_back_with("a=1 b=1"), Ok(()));
    let request = Delta::request("eds", "+d");
    let end = client
        .stream
        .step(Duration::ZERO, &client.snapshot, vec![request]);
    for end in [end.map(drop), comes_back_with("a=1 b=1 c=1")] {
        assert!(matches!(
            end,
            Err(StreamError::TooManyNames {
                names: 3,
                limit: 2,
                ..
            })
        ));
    }
}

// §4.17, trap 6
#[test]
fn a_client_that_comes_back_gets_the_difference() {
    let mut client = Delta::new("cds a=1 b=2 d=1; eds a=1 b=1");
    assert_eq!(client.ask("cds", "a=1 b=1 c=1"), "cds b=2 d=1");
    assert_eq!(client.ask("eds", "+a +b +c a=1 b=0 c=1"), "eds b=1 -c");
    // Listeners and routes that name the removed cluster are brought up to date first.
    assert_eq!(client.ask("lds", ""), "lds");
    assert_eq!(client.ack("lds"), "");
    assert_eq!(client.seconds(5), "cds -c");
    assert_eq!(client.publish("cds a=1 b=2 d=1; eds a=1 b=1"), "");
}

// §4.17
#[test]
fn a_removed_cluster_goes_though_nobody_asks_for_listeners() {
    let mut client = Delta::new("");
    assert_eq!(client.ask("cds", "c=1"), "cds");
    assert_eq!(client.seconds(5), "cds -c");
}

// §4.17: and §5.4, an answer all the same
#[test]
fn a_client_that_is_up_to_date_is_sent_no_resource() {
    let mut client = Delta::new(MESH);
    assert_eq!(client.ask("cds", "a=1 b=1"), "cds");
    assert_eq!(client.ask("eds", "+a +b a=1 b=1"), "");
    assert_eq!(client.ask("lds", "l=1"), "lds");
    assert_eq!(client.ask("rds", "+r r=1"), "");
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=2"),
        "rds r=2"
    );
}

// §4.18
#[test]
fn versions_of_names_that_are_not_subscribed_mean_nothing() {
    let mut client = Delta::new(MESH);
    client.ask("cds", "a=1 b=1");
    assert_eq!(client.ask("eds", "+a a=1 b=7 z=1"), "");
    assert_eq!(
        client.ask("eds", "z=1 a=7"),
        "",
        "only the first request's count"
    );
}

// §4.19, trap 10
#[test]
fn endpoints_asked_for_first_are_answered_at_once() {
    let mut client = Delta::new("cds a=1; eds a=1");
    assert_eq!(client.ask("eds", "+a +g a=0 g=1"), "eds a=1 -g");
}

// §4.20
#[test]
fn a_cluster_sent_again_is_followed_though_the_client_has_its_endpoints() {
    let mut client = Delta::new(MESH);
    assert_eq!(client.ask("cds", "a=0 b=1"), "cds a=1");
    assert_eq!(client.ask("eds", "+a +b a=1 b=1"), "eds a=1");
}

// E12: such a client says nothing of clusters before one that warms has its load assignment, which may be the one it lists
#[test]
fn endpoints_asked_for_before_clusters_are_sent_though_the_client_lists_them() {
    let mut client = Delta::new("cds a=1; eds a=1");
    assert_eq!(client.ask("eds", "+a a=1"), "eds a=1");

    let mut client = Delta::new("cds a=1; eds a=?");
    assert_eq!(client.ask("eds", "+a a=1"), "");
    assert_eq!(client.seconds(3600), "", "what it came with stays");
    assert_eq!(client.publish("cds a=1; eds a=1"), "eds a=1");

    let mut client = Delta::new("cds a=1; eds a=?");
    client.ask("eds", "+a a=1");
    assert_eq!(client.publish("cds"), "eds -a");
}

// §4.11
#[test]
fn a_withheld_name_asked_for_again_is_sent_once_it_is_known() {
    let mut client = Delta::new("cds a=1; eds a=?");
    client.ask("cds", "a=1");
    assert_eq!(client.ask("eds", "+a a=1"), "");
    for _ in 0..2 {
        assert_eq!(client.ask("eds", "+a"), "");
        assert_eq!(client.seconds(3600), "", "what it may have stays");
    }
    assert_eq!(client.publish("cds a=1; eds a=1"), "eds a=1");
}

mod push;
mod rejected;
