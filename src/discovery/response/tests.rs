use std::net::Ipv4Addr;

use hickory_resolver::proto::op::OpCode;
use hickory_resolver::proto::rr::rdata::{A, NS, SOA};

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(owner: &str, seconds: u32, last: u8) -> Record {
    let address = RData::A(A(Ipv4Addr::new(10, 0, 0, last)));
    Record::from_rdata(name(owner), seconds, address)
}

fn alias(owner: &str, seconds: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), seconds, RData::CNAME(CNAME(name(target))))
}

fn message(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.metadata.response_code = code;
    (message.answers, message.authorities) = (answers, authorities);
    message
}

fn answer(answers: Vec<Record>) -> Message {
    message(ResponseCode::NoError, answers, Vec::new())
}

/// What a message says of the addresses of `a.test.`, as text.
fn says(message: &Message) -> String {
    match read(message, &name("a.test."), RecordType::A) {
        Reading::Found { records, ttl } => {
            let addresses = records.iter().map(|record| record.data.to_string());
            let addresses: Vec<_> = addresses.collect();
            format!("{} for {}", addresses.join(" "), ttl.as_secs())
        }
        Reading::Alias { target, ttl, steps } => {
            format!("{target} after {steps} for {}", ttl.as_secs())
        }
        Reading::NoName { ttl } if ttl == Duration::MAX => "no name".to_owned(),
        Reading::NoName { ttl } => format!("no name for {}", ttl.as_secs()),
        Reading::NoRecords { ttl } if ttl == Duration::MAX => "no records".to_owned(),
        Reading::NoRecords { ttl } => format!("no records for {}", ttl.as_secs()),
        Reading::Useless(text) => text,
    }
}

#[test]
fn addresses_count_for_the_shortest_of_their_times() {
    let found = answer(vec![a("a.test.", 9, 1), a("A.Test.", 7, 2)]);
    assert_eq!(says(&found), "10.0.0.1 10.0.0.2 for 7");
    let long = answer(vec![a("a.test.", i32::MAX.unsigned_abs(), 1)]);
    assert_eq!(says(&long), "10.0.0.1 for 2147483647");
    let absurd = answer(vec![a("a.test.", 1 << 31, 1)]);
    assert_eq!(says(&absurd), "10.0.0.1 for 0", "RFC 2181, section 8");
}

#[test]
fn aliases_are_followed_in_any_order() {
    let chain = vec![
        a("c.test.", 9, 1),
        alias("b.test.", 3, "c.test."),
        alias("a.test.", 5, "b.test."),
    ];
    assert_eq!(says(&answer(chain.clone())), "10.0.0.1 for 3");
    let without_end = answer(chain[1..].to_vec());
    assert_eq!(says(&without_end), "c.test. after 2 for 3");
    let denied = message(ResponseCode::NXDomain, chain[2..].to_vec(), Vec::new());
    assert_eq!(says(&denied), "b.test. after 1 for 5");
}

#[test]
fn a_circle_of_aliases_is_no_answer() {
    let circle = answer(vec![
        alias("a.test.", 5, "b.test."),
        alias("b.test.", 5, "a.test."),
    ]);
    assert_eq!(says(&circle), too_many_aliases());
    let own = answer(vec![alias("a.test.", 5, "a.test.")]);
    assert_eq!(says(&own), too_many_aliases());
}

#[test]
fn only_what_was_asked_for_counts() {
    let other = answer(vec![a("evil.test.", 9, 6)]);
    let text = "the answer is about other names than the one asked for";
    assert_eq!(says(&other), text);
    let both = answer(vec![a("evil.test.", 9, 6), a("a.test.", 9, 1)]);
    assert_eq!(says(&both), "10.0.0.1 for 9");
    let mut beside = answer(Vec::new());
    beside.additionals.push(a("a.test.", 9, 6));
    assert_eq!(says(&beside), "no records");
}

#[test]
fn denials_are_told_from_servers_that_cannot_say() {
    let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 4);
    let soa = Record::from_rdata(Name::root(), 60, RData::SOA(soa));
    let ns = Record::from_rdata(name("test."), 60, RData::NS(NS(name("ns.test."))));
    let refers = "the server refers to others instead of asking them (it does not recurse)";
    for (code, authorities, expected) in [
        (ResponseCode::NXDomain, vec![soa.clone()], "no name for 4"),
        (ResponseCode::NXDomain, vec![], "no name"),
        (ResponseCode::NoError, vec![soa.clone()], "no records for 4"),
        (
            ResponseCode::NoError,
            vec![ns.clone(), soa],
            "no records for 4",
        ),
        (ResponseCode::NoError, vec![], "no records"),
        (ResponseCode::NoError, vec![ns], refers),
        (
            ResponseCode::Refused,
            vec![],
            "the server answers Query Refused",
        ),
    ] {
        assert_eq!(says(&message(code, Vec::new(), authorities)), expected);
    }
}
