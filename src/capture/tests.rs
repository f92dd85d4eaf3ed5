use std::net::{Ipv4Addr, Ipv6Addr};

use clap::Args;
use proptest::prelude::*;

use super::settings::{Problem, Settings};
use super::{Intervals, Point, Redirection, listing, ruleset};

fn redirection(settings: &Settings) -> Redirection {
    settings.redirection().unwrap()
}

#[test]
fn without_settings_it_is_what_app_mesh_did_for_a_client() {
    let redirection = redirection(&Settings::default());
    assert_eq!(
        (redirection.ingress_port, redirection.egress_port),
        (15000, 15001)
    );
    assert!(redirection.app_ports.is_empty() && redirection.ignored_gids.is_empty());
    assert_eq!(redirection.ignored_uids.to_string(), "1337");
    assert_eq!(
        redirection.ignored_ipv4.to_string(),
        "169.254.169.254, 169.254.170.2"
    );
    assert_eq!(redirection.ignored_ports.to_string(), "22");
    assert!(!redirection.ipv6);
    insta::assert_snapshot!("client", ruleset::installation(&redirection));
}

#[test]
fn every_setting_finds_its_place_in_the_rules() {
    let settings = Settings {
        app_ports: Some("8080, 9000:9002,9003,,80".into()),
        ingress_port: Some("16000".into()),
        egress_port: Some("16001".into()),
        ignore_uid: Some("1337,5-7".into()),
        ignore_gid: Some("1338".into()),
        egress_ignored_ip: Some("10.1.2.3/8,10.2.0.0/16,fd00:ec2::254,192.0.2.7".into()),
        egress_ignored_ports: Some("5432,21".into()),
        enable_ipv6: Some("1".into()),
    };
    let redirection = redirection(&settings);
    assert_eq!(redirection.ignored_ports.to_string(), "21-22, 5432");
    insta::assert_snapshot!("everything", ruleset::installation(&redirection));
}

#[test]
fn an_empty_variable_is_an_empty_list_or_the_default() {
    let empty = Some(String::new());
    let settings = Settings {
        app_ports: empty.clone(),
        ingress_port: empty.clone(),
        egress_port: empty.clone(),
        ignore_uid: empty.clone(),
        ignore_gid: Some("1337".into()),
        egress_ignored_ip: empty.clone(),
        egress_ignored_ports: empty.clone(),
        enable_ipv6: empty,
    };
    let redirection = redirection(&settings);
    assert_eq!(
        (redirection.ingress_port, redirection.egress_port),
        (15000, 15001)
    );
    assert!(redirection.app_ports.is_empty() && redirection.ignored_ipv4.is_empty());
    // Envoy is known by its group then.
    assert!(redirection.ignored_uids.is_empty());
    assert_eq!(redirection.ignored_gids.to_string(), "1337");
    assert_eq!(redirection.ignored_ports.to_string(), "22");
    assert!(!redirection.ipv6);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let settings = Settings {
        app_ports: Some("80x,0,9000-8000,70000,15000-15001,9901".into()),
        ingress_port: Some("0".into()),
        egress_port: Some("http".into()),
        ignore_uid: Some("envoy,4294967295".into()),
        ignore_gid: Some("-1".into()),
        egress_ignored_ip: Some("1.2.3.4/33,fd00::/129,example.com,10.0.0.9-10.0.0.1".into()),
        egress_ignored_ports: Some("ssh".into()),
        enable_ipv6: Some("on".into()),
    };
    insta::assert_snapshot!("problems", settings.redirection().unwrap_err());
}

#[test]
fn one_port_cannot_be_both_of_envoys() {
    let settings = Settings {
        egress_port: Some("15000".into()),
        ..Settings::default()
    };
    let error = settings.redirection().unwrap_err();
    assert_eq!(error.problems, [Problem::SamePort { port: 15000 }]);
}

/// An error names the flag; it has to be the one that is there.
#[test]
fn flags_are_called_what_errors_call_them() {
    let wrong = Some("?".into());
    let settings = Settings {
        app_ports: wrong.clone(),
        ingress_port: wrong.clone(),
        egress_port: wrong.clone(),
        ignore_uid: wrong.clone(),
        ignore_gid: wrong.clone(),
        egress_ignored_ip: wrong.clone(),
        egress_ignored_ports: wrong.clone(),
        enable_ipv6: wrong,
    };
    let problems = settings.redirection().unwrap_err().problems;
    let mut named: Vec<(String, String)> = problems
        .iter()
        .map(|problem| match problem {
            Problem::Item { name, .. } => (name.flag.to_owned(), name.variable.to_owned()),
            other => panic!("{other}"),
        })
        .collect();
    let command = Settings::augment_args(clap::Command::new("install"));
    let mut flags: Vec<(String, String)> = command
        .get_arguments()
        .map(|argument| {
            let variable = argument.get_env().unwrap().to_str().unwrap();
            let flag = argument.get_long().unwrap();
            (format!("--{flag}"), variable.to_owned())
        })
        .collect();
    named.sort();
    flags.sort();
    assert_eq!(named, flags);
}

/// As nft 1.0.6 on Linux 6.18 listed it, `--numeric`.
const LISTING: &str = include_str!("tests/listing.json");

#[test]
fn a_listing_is_read() {
    let found = listing::parse(LISTING).unwrap();
    let expected = redirection(&Settings {
        app_ports: Some("80-81,8080".into()),
        ignore_gid: Some("3-7,1337".into()),
        egress_ignored_ip: Some("10.0.0.0/8,192.168.3.1-192.168.3.7,fd00:ec2::254".into()),
        enable_ipv6: Some("0".into()),
        ..Settings::default()
    });
    assert_eq!(found.redirection, expected);
    assert_eq!(
        (found.ingress_connections, found.egress_connections),
        (2, 3)
    );
    assert!(listing::has_table(LISTING).unwrap());
    assert!(!listing::has_table(&LISTING.replace("inet", "ip")).unwrap());
}

#[test]
fn a_table_that_was_changed_is_not_guessed_at() {
    let wrong = [
        ("\"name\": \"ignored_uids\"", "\"name\": \"others\""),
        (
            "\"chain\": \"egress\", \"handle\": 10,",
            "\"chain\": \"other\",",
        ),
        (
            "\"chain\": \"egress\", \"handle\": 11,",
            "\"chain\": \"other\",",
        ),
        ("\"redirect\"", "\"accept\""),
        ("\"fd00:ec2::254\"", "{\"unknown\": 1}"),
    ];
    for (text, other) in wrong {
        assert!(LISTING.contains(text), "{text}");
        let error = listing::parse(&LISTING.replace(text, other)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("capture install"), "{text}: {said}");
    }
    listing::parse("no JSON").unwrap_err();
}

fn law<T: Point + std::fmt::Debug>(intervals: &[(T, T)]) {
    let ordered = intervals.iter().map(|(a, b)| (*a.min(b), *a.max(b)));
    let set: Intervals<T> = ordered.clone().collect();
    let items = set.items();
    let read = items
        .iter()
        .map(|item| Intervals::parse_item(item).unwrap());
    let read: Vec<(T, T)> = read.collect();
    assert_eq!(read.iter().copied().collect::<Intervals<T>>(), set);
    for pair in read.windows(2) {
        // Sorted, apart, and not to be had with fewer.
        assert!(pair[0].1.to_number() + 1 < pair[1].0.to_number(), "{set}");
    }
    for (first, last) in ordered {
        assert!(set.contains(first) && set.contains(last));
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same_set(
        ports: Vec<(std::num::NonZeroU16, std::num::NonZeroU16)>,
        ids in prop::collection::vec((0_u32..50, 0_u32..50), 0..9),
        v4 in prop::collection::vec((0_u32..256, 0_u32..256), 0..9),
        v6: Vec<(u128, u128)>,
    ) {
        law(&ports.iter().map(|(a, b)| (a.get(), b.get())).collect::<Vec<_>>());
        law(&ids);
        law(&v4.iter().map(|(a, b)| (Ipv4Addr::from_bits(*a), Ipv4Addr::from_bits(*b))).collect::<Vec<_>>());
        law(&v6.iter().map(|(a, b)| (Ipv6Addr::from_bits(*a), Ipv6Addr::from_bits(*b))).collect::<Vec<_>>());
    }

    #[test]
    fn a_network_is_every_address_with_its_first_bits(address: u32, length in 0_u8..=32) {
        let text = format!("{}/{length}", Ipv4Addr::from_bits(address));
        let (first, last) = Intervals::<Ipv4Addr>::parse_item(&text).unwrap();
        let size = u64::from(last.to_bits()) - u64::from(first.to_bits()) + 1;
        prop_assert_eq!(size, 1_u64 << (32 - length));
        prop_assert!((first..=last).contains(&Ipv4Addr::from_bits(address)));
        prop_assert_eq!(u64::from(first.to_bits()) % size, 0);
    }
}
