//! Scripts for state of the world. `§` numbers are those of the notes on the xDS protocol, `E` numbers measurements on
//! Envoy 1.40; a "trap" is a mistake that real servers made, and that the test catches.

use super::*;
use crate::xds::HeldState;
use crate::xds::testing::{Client, error, kind, snapshot};

type Sotw = Client<SotwStream>;

const MESH: &str = "cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=1";

/// A client that has asked for all of it and accepted it.
fn settled(text: &str) -> Sotw {
    let mut client = Sotw::new(text);
    client.ask("cds", "");
    client.ask("eds", "a b");
    client.ask("lds", "");
    client.ask("rds", "r");
    for of in ["cds", "eds", "lds", "rds"] {
        assert_eq!(client.ack(of), "");
    }
    client
}

#[test]
fn a_client_starts_and_is_sent_what_changes() {
    let mut client = Sotw::new(MESH);
    assert_eq!(client.ask("cds", ""), "cds a=1 b=1");
    assert_eq!(client.ask("eds", "a b"), "eds a=1 b=1");
    assert_eq!(client.ask("lds", ""), "lds l=1");
    assert_eq!(client.ask("rds", "r"), "rds r=1");
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=2; lds l=1; rds r=2"),
        "eds b=2; rds r=2"
    );
}

// §4.2, §5.1
#[test]
fn an_ack_is_not_answered() {
    let mut client = settled(MESH);
    for of in ["cds", "eds", "lds", "rds"] {
        assert_eq!(client.ack(of), "", "{of}");
    }
    assert_eq!(client.publish(MESH), "");
    assert_eq!(client.seconds(3600), "");
    assert_eq!(client.wake_at, None);
}

// §2.2, §2.6, trap 8
#[test]
fn a_stale_nonce_is_ignored_completely() {
    let mut client = Sotw::new(MESH);
    client.ask("eds", "a");
    client.ask("cds", "");
    let old = client.request("eds").response_nonce;
    client.publish("cds a=1 b=1; eds a=2 b=1");
    let cds = client.request("cds").response_nonce;
    for nonce in [old, cds, "no nonce of ours".to_owned()] {
        let mut request = client.request("eds");
        request.resource_names = vec!["b".to_owned()];
        request.response_nonce = nonce;
        assert_eq!(client.send(vec![request]), "");
        assert!(
            client.stream.status().kinds[Kind::Endpoint]
                .pending_since
                .is_some()
        );
    }
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=3 b=2"),
        "eds a=3",
        "still a, and not b"
    );
}

// §4.11: what a stale request leaves out, the client forgets: a later one asks for it anew
#[test]
fn a_name_left_out_of_a_stale_request_is_asked_for_anew() {
    let mut client = settled("eds a=1 b=1");
    let mut stale = client.request("eds");
    stale.resource_names = vec!["b".to_owned()];
    assert_eq!(client.publish("eds a=1 b=2"), "eds b=2");
    assert_eq!(client.send(vec![stale]), "");
    assert_eq!(client.ask("eds", "a b"), "eds a=1");
    assert_eq!(client.ack("eds"), "");
}

// §2.2: the newest nonce counts, and its ACK stands for those before
#[test]
fn the_newest_ack_settles_all() {
    let mut client = settled(MESH);
    for label in 2..9 {
        client.publish(&format!("cds a={label} b=1; eds a=1 b=1; lds l=1; rds r=1"));
    }
    client.ack("cds");
    let cds = &client.stream.status().kinds[Kind::Cluster];
    assert_eq!((cds.acked, cds.pending_since), (cds.sent, None));
}

// §2.3
#[test]
fn an_empty_nonce_asks_anew() {
    let mut client = settled(MESH);
    let mut fresh = |of: &str| {
        let mut request = client.request(of);
        request.response_nonce.clear();
        client.send(vec![request])
    };
    assert_eq!(fresh("cds"), "cds a=1 b=1; eds a=1 b=1");
    assert_eq!(fresh("eds"), "eds a=1 b=1");
    assert_eq!(fresh("rds"), "rds r=1");
}

// §2.4
#[test]
fn a_nonce_of_an_earlier_stream_is_a_reconnect() {
    let mut client = Sotw::new(MESH);
    let mut request = client.request("eds");
    request.resource_names = vec!["a".to_owned()];
    request.response_nonce = "77".to_owned();
    assert_eq!(client.send(vec![request]), "eds a=1");
}

// §2.7
#[test]
fn an_error_makes_a_nack_whatever_its_version() {
    let mut client = Sotw::new("rds r=1");
    client.ask("rds", "r");
    assert_eq!(
        client.nack("rds", "r: no"),
        "",
        "though version and nonce are the newest"
    );
    assert!(matches!(client.events.last(), Some(Event::Rejected { .. })));
    assert_eq!(client.stream.status().kinds[Kind::Route].acked, None);
}

// §4.1
#[test]
fn an_added_name_is_answered() {
    let mut client = settled(MESH);
    assert_eq!(
        client.publish("cds a=1 b=1; eds a=1 b=1 c=1; lds l=1; rds r=1"),
        ""
    );
    assert_eq!(
        client.ask("eds", "c b a"),
        "eds c=1",
        "§4.16: an ACK that carries a name"
    );
    assert_eq!(client.ask("eds", "a b"), "", "§4.3");
    assert_eq!(
        client.ask("eds", "a b c"),
        "eds c=1",
        "it was forgotten in between"
    );
}

// §4.5
#[test]
fn everything_then_a_name_then_only_the_name_then_nothing() {
    let mut client = Sotw::new("cds A=1 B=1");
    assert_eq!(client.ask("cds", ""), "cds A=1 B=1");
    assert_eq!(client.ask("cds", "* A"), "cds A=1 B=1");
    assert_eq!(client.publish("cds A=2 B=2"), "cds A=2 B=2");
    assert_eq!(client.ask("cds", "A"), "");
    assert_eq!(client.publish("cds A=3 B=3"), "cds A=3");
    assert_eq!(client.ask("cds", ""), "");
    assert_eq!(
        client.publish("cds A=4 B=4"),
        "",
        "trap 9: nothing, and not everything"
    );
}

// §4.4, §4.6
#[test]
fn an_empty_list_is_everything_only_for_clusters_and_listeners() {
    for of in ["eds", "sds", "rds", "ecds"] {
        let mut client = Sotw::new("eds a=1; sds a=1; rds a=1; ecds a=1");
        assert_eq!(client.ask(of, ""), "", "{of}");
    }
}

// §4.7, trap 9
#[test]
fn an_empty_name_is_a_name_that_does_not_exist() {
    let mut client = Sotw::new(MESH);
    assert_eq!(client.ask("cds", "''"), "cds");
    assert_eq!(
        client.ask("eds", "''"),
        "eds",
        "no load assignment without a name"
    );
    assert_eq!(client.publish("cds a=2; eds a=2"), "");
    let mut client = settled(MESH);
    assert_eq!(client.ask("eds", "''"), "", "all is unsubscribed");
}

// §8.1: gRPC
#[test]
fn named_listeners_and_clusters_come_all_together() {
    let mut client = Sotw::new("cds c=1 d=1 e=1; eds c=1 d=1; lds greeter=1 other=1; rds r=1");
    assert_eq!(client.ask("lds", "greeter"), "lds greeter=1");
    assert_eq!(client.ask("cds", "c"), "cds c=1");
    assert_eq!(client.ask("cds", "c d nope"), "cds c=1 d=1");
    assert_eq!(
        client.publish("cds c=2 d=1 e=2; eds c=1 d=1; lds other=1; rds r=1"),
        "cds c=2 d=1; lds"
    );
}

// §4.14, §4.19, trap 5
#[test]
fn what_does_not_exist_is_answered_as_far_as_it_can_be_said() {
    for (of, answer) in [
        ("eds", "eds x="),
        ("sds", "sds"),
        ("rds", "rds"),
        ("ecds", "ecds"),
    ] {
        let mut client = Sotw::new("");
        assert_eq!(client.ask(of, "x"), answer);
        assert_eq!(client.publish(&format!("{of} x=1")), format!("{of} x=1"));
        assert_eq!(client.publish(""), "", "§5.3");
        assert_eq!(client.publish(&format!("{of} x=2")), format!("{of} x=2"));
    }
}

#[test]
fn what_is_withheld_is_waited_for() {
    let mut client = Sotw::new("eds a=? b=1");
    assert_eq!(client.ask("eds", "a b"), "eds b=1");
    assert_eq!(client.wait(Duration::from_millis(2999)), "");
    assert_eq!(client.publish("eds a=1 b=1"), "eds a=1");

    let mut client = Sotw::new("eds a=?");
    assert_eq!(client.ask("eds", "a"), "");
    assert_eq!(client.wake_at, Some(Duration::from_secs(3)));
    assert_eq!(client.seconds(3), "eds a=");
    assert_eq!(client.seconds(3600), "");
    assert_eq!(client.publish("eds a=1"), "eds a=1");
    assert_eq!(
        client.publish("eds a=?"),
        "",
        "the client keeps its last good one"
    );
}

// Decision: nobody waits for what may never come, and nobody loses what it has to it. A client that names a version has
// something of an earlier stream.
#[test]
fn what_is_overdue_is_empty_only_for_who_has_none() {
    let mut client = Sotw::new("eds a=! b=1");
    assert_eq!(client.ask("eds", "a b"), "eds b=1 a=", "at once");
    assert_eq!(client.publish("eds a=1 b=1"), "eds a=1");
    assert_eq!(
        client.publish("eds a=! b=1"),
        "",
        "it keeps its last good one"
    );

    for withheld in ["?", "!"] {
        let mut client = Sotw::new(&format!("cds a=1; eds a={withheld} b=1"));
        for kind in [Kind::Cluster, Kind::Endpoint] {
            client.newest[kind].version = "of an earlier stream".to_owned();
        }
        assert_eq!(client.ask("cds", ""), "", "listeners and routes come first");
        assert_eq!(client.ask("eds", "a b"), "eds b=1");
        assert_eq!(client.ask("lds", ""), "lds");
        assert_eq!(client.ack("lds"), "cds a=1");
        assert_eq!(client.seconds(3600), "", "{withheld}");
        assert_eq!(client.publish("cds a=1; eds a=1 b=1"), "eds a=1");
    }
}

// §5.4, trap 11
#[test]
fn the_first_wildcard_is_answered_with_nothing_too() {
    let mut client = Sotw::new("");
    assert_eq!(client.ask("cds", ""), "cds");
    assert_eq!(client.ask("lds", "*"), "lds");
    assert_eq!(client.ack("cds"), "");
}

// §1.4, trap 12
#[test]
fn a_type_that_is_not_served_keeps_the_stream() {
    let mut client = Sotw::new(MESH);
    let unknown = |url: &str, names: &[&str], nonce: &str| SotwRequest {
        type_url: url.to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        response_nonce: nonce.to_owned(),
        ..SotwRequest::default()
    };
    assert_eq!(client.send(vec![unknown("x/a.B", &["x"], "")]), "");
    assert_eq!(client.send(vec![unknown("x/a.C", &[], "")]), "unknown");
    let nonce = client.received[0].nonce.clone();
    assert_eq!(client.send(vec![unknown("x/a.C", &[], &nonce)]), "");
    assert_eq!(client.ask("cds", ""), "cds a=1 b=1");
}

// §1.2
/// A stream of one type answers by what it has: no other type's requests ever come on it.
#[test]
fn a_stream_of_one_type_needs_no_type_and_waits_for_none() {
    let request = |type_url: &str| SotwRequest {
        type_url: type_url.to_owned(),
        version_info: "of another stream".to_owned(),
        ..SotwRequest::default()
    };
    let first = |only: Option<Kind>, type_url: &str| {
        let mut stream = SotwStream::new(Limits::default()).only(only);
        let snapshot = Arc::new(snapshot(MESH));
        stream.step(Duration::ZERO, &snapshot, vec![request(type_url)])
    };
    for type_url in ["", Kind::Cluster.type_url()] {
        let step = first(Some(Kind::Cluster), type_url).unwrap();
        assert_eq!((step.responses.len(), step.wake_at), (1, None));
    }
    // By ADS the same client is first to get its routes.
    let step = first(None, Kind::Cluster.type_url()).unwrap();
    assert_eq!(step.responses.len(), 0);
    let other = Kind::Route.type_url();
    let refused = first(Some(Kind::Cluster), other).unwrap_err();
    assert!(
        matches!(refused, StreamError::OtherType { .. }),
        "{refused}"
    );
}

#[test]
fn how_the_client_stands_is_told_name_by_name() {
    let mut client = settled("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=1");
    client.publish("cds a=2 b=1; eds a=1 b=1; lds l=1; rds r=1");
    client.nack("cds", "Error adding cluster(s) a: broken");
    client.publish("cds a=2 b=1; eds a=1 b=?; lds l=1 m=1; rds r=1");
    client.ask("rds", "r s");
    let mut told = Vec::new();
    for held in client.stream.held() {
        let state = match held.state {
            HeldState::Current => "current",
            HeldState::Unanswered => "unanswered",
            HeldState::Older => "older",
            HeldState::NotSent => "not sent",
            HeldState::Absent => "absent",
            HeldState::Rejected(_) => "rejected",
        };
        told.push(format!("{} {}: {state}", held.kind, held.name));
    }
    assert_eq!(
        told,
        [
            "cds a: rejected",
            "cds b: current",
            "eds a: unanswered",
            "eds b: older",
            "lds l: current",
            "lds m: unanswered",
            "rds r: current",
            "rds s: absent",
        ]
    );
}

#[test]
fn a_request_without_a_type_ends_the_stream() {
    let mut stream = SotwStream::new(Limits::default());
    let end = stream.step(
        Duration::ZERO,
        &Arc::default(),
        vec![SotwRequest::default()],
    );
    assert_eq!(end.unwrap_err(), StreamError::NoTypeUrl);
}

#[test]
fn names_are_limited_per_type() {
    let limits = Limits {
        names: 2,
        ..Limits::default()
    };
    let mut client = Sotw::with(limits, "");
    client.ask("eds", "a b");
    let mut request = client.request("eds");
    request.resource_names.push("c".to_owned());
    let end = client
        .stream
        .step(Duration::ZERO, &client.snapshot, vec![request]);
    assert!(matches!(
        end,
        Err(StreamError::TooManyNames {
            names: 3,
            limit: 2,
            ..
        })
    ));
}

// §3.2, E8b, trap 13: the version that a client names does not tell what it has, so that it is answered; but every server
// computes the same versions
#[test]
fn a_client_that_comes_back_is_answered_whatever_version_it_names() {
    let old = settled(MESH);
    let mut client = Sotw::new(MESH);
    let mut reconnect = |of: &str| {
        let mut request = old.request(of);
        request.response_nonce.clear();
        client.send(vec![request])
    };
    assert_eq!(reconnect("cds"), "");
    assert_eq!(reconnect("eds"), "eds a=1 b=1");
    assert_eq!(reconnect("lds"), "lds l=1");
    assert_eq!(reconnect("rds"), "rds r=1");
    assert_eq!(client.ack("lds"), "");
    client.names[kind("rds")] = vec!["r".to_owned()];
    assert_eq!(client.ack("rds"), "cds a=1 b=1; eds a=1 b=1");
    for of in ["cds", "eds", "lds", "rds"] {
        assert_eq!(
            old.request(of).version_info,
            client.request(of).version_info
        );
    }
}

// §4.19, E12, trap 10
#[test]
fn endpoints_asked_for_first_are_answered_at_once() {
    let mut client = Sotw::new("cds a=1; eds a=1");
    assert_eq!(client.ask("eds", "a g"), "eds a=1 g=");
    assert_eq!(client.ask("cds", ""), "cds a=1; eds a=1");
}

// §6.5: routes that were sent are not sent again because a listener changes
#[test]
fn a_changed_listener_brings_no_routes() {
    let mut client = settled(MESH);
    let next = "cds a=1 b=1; eds a=1 b=1; lds l=2; rds r=1";
    assert_eq!(client.publish(next), "lds l=2");
}

// §6.10: names whose cluster or listener is gone are answered
#[test]
fn orphans_are_answered() {
    let mut client = Sotw::new("cds; lds");
    assert_eq!(client.ask("eds", "gone"), "eds gone=");
    assert_eq!(client.ask("rds", "gone"), "rds");
}

// §5.1, §6.11
#[test]
fn of_several_requests_at_once_the_newest_is_answered() {
    let mut client = Sotw::new(MESH);
    let request = |client: &Sotw, names: &[&str]| SotwRequest {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..client.request("eds")
    };
    let burst = vec![request(&client, &["a"]), request(&client, &["a", "b"])];
    assert_eq!(client.send(burst), "eds a=1 b=1");
}

mod push;
mod rejected;
