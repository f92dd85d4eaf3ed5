use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn source(hostname: &str) -> SavedSource {
    SavedSource {
        hostname: hostname.into(),
        preference: Some(IpPreference::Ipv6Only),
        services: Some(SavedRecords {
            records: vec![Service {
                target: "b.test".into(),
                port: 80,
                weight: 1,
            }],
            found_at: 7,
            denied_for: 9,
        }),
        hosts: vec![SavedHost {
            name: "b.test".into(),
            v4: Some(SavedRecords {
                records: vec![Ipv4Addr::LOCALHOST.into()],
                found_at: 5,
                denied_for: 0,
            }),
            v6: None,
        }],
    }
}

#[test]
fn the_form_is_what_it_was() {
    let text = "{\"format\":\"outrigger-dns-answers\",\"version\":1,\"sources\":1}\n\
        {\"hostname\":\"_a._tcp.test\",\"preference\":\"IPv6_ONLY\",\"services\":{\"records\":\
        [{\"target\":\"b.test\",\"port\":80,\"weight\":1}],\"found_at\":7,\"denied_for\":9},\"hosts\":\
        [{\"name\":\"b.test\",\"v4\":{\"records\":[\"127.0.0.1\"],\"found_at\":5}}]}\n";
    let sources = vec![source("_a._tcp.test")];
    assert_eq!(print(&sources), text);
    assert_eq!(parse(text), Ok(sources));
    assert_eq!(parse(&print(&[])), Ok(Vec::new()));
}

#[test]
fn what_is_not_whole_is_refused_with_its_place() {
    let text = print(&[source("a.test"), source("b.test")]);
    let lines: Vec<&str> = text.lines().collect();
    for (text, expected) in [
        (String::new(), "it is empty".to_owned()),
        (
            "kind: Mesh\n".to_owned(),
            "line 1 is not the head of a file of DNS answers".to_owned(),
        ),
        (
            text.replace("\"version\":1", "\"version\":2"),
            "it has version 2, and this program knows version 1".to_owned(),
        ),
        (
            format!("{}\n{}\n", lines[0], lines[1]),
            "it is cut off: 1 of 2 sources are there".to_owned(),
        ),
    ] {
        assert_eq!(parse(&text).unwrap_err().to_string(), expected);
    }
    let error = parse(&text.replace("b.test\",\"pre", "b.test\",\"ore")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("line 3: unknown field `oreference`"),
        "{text}"
    );
}

#[test]
fn a_clock_that_was_set_back_makes_answers_new() {
    let clocks = Clocks::now();
    let later = clocks.to_seconds(clocks.now) + 1000;
    assert_eq!(clocks.to_instant(later), clocks.now);
    let hour = Duration::from_hours(1);
    let before = clocks.to_instant(clocks.to_seconds(clocks.now) - hour.as_secs());
    let age = clocks.now - before;
    assert!(
        age >= hour && age < hour + Duration::from_secs(2),
        "{age:?}"
    );
}

proptest! {
    /// However a file is cut, it is not taken for a whole one.
    #[test]
    fn a_cut_is_seen_wherever_it_is(keep in 0.0..1.0) {
        let text = print(&[source("a.test"), source("b.test"), source("c.test")]);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let end = (text.len() as f64 * keep) as usize;
        prop_assert!(parse(&text[..end]).is_err());
    }
}
