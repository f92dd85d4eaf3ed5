use super::*;

fn check(message: &str, names: &[&str], expected: &[&str]) {
    let names: Vec<ResourceName> = names.iter().map(|name| (*name).into()).collect();
    let found = blamed(message, &names);
    let found: Vec<&str> = found.iter().map(|name| &**name).collect();
    assert_eq!(found, expected, "{message}");
}

#[test]
fn envoy_names_what_it_rejects() {
    let names = ["bad", "bad2", "bad2-canary", "good"];
    check(
        "Error adding/updating cluster(s) bad2: Didn't find a registered one",
        &names,
        &["bad2"],
    );
    check(
        "Error adding/updating cluster(s) bad2: no, bad: no",
        &names,
        &["bad", "bad2"],
    );
    check(
        "Error adding/updating cluster(s) bad2-canary: no",
        &names,
        &["bad2-canary"],
    );
    check(
        "Error adding/updating listener(s) bad: error adding listener 'bad'",
        &names,
        &["bad"],
    );
    let names = ["lds_ingress_0.0.0.0_15000", "lds_ingress_0.0.0.0_1500"];
    check(
        "Error adding/updating listener(s) lds_ingress_0.0.0.0_15000: no",
        &names,
        &names[..1],
    );
}

#[test]
fn grpc_names_what_it_rejects() {
    check(
        "[resource index 0: greeter: INVALID_ARGUMENT: no]",
        &["greeter", "greet"],
        &["greeter"],
    );
}

#[test]
fn a_word_that_happens_to_be_a_name_gives_way_to_one_with_a_colon() {
    check(
        "Error adding/updating listener(s) web: unknown http filter",
        &["http", "web"],
        &["web"],
    );
    check("unknown cluster in route r.", &["r", "ou"], &["r"]);
    check("unknown cluster in route 'r'", &["r", "ou"], &["r"]);
}

#[test]
fn many_messages_name_nothing() {
    check(
        "Invalid duration: Expected positive duration: seconds: -1",
        &["a", "b", "sec"],
        &[],
    );
    check("", &["a", ""], &[]);
    check("x.a.b: no", &["a", "b", "a.b", "x.a"], &[]);
}

#[test]
fn a_message_is_cut_between_characters() {
    let long = "ü".repeat(MESSAGE_LEN);
    assert_eq!(shortened(&long).len(), MESSAGE_LEN);
    assert_eq!(shortened(&format!("a{long}")).len(), MESSAGE_LEN - 1);
}

fn version(of: u64) -> Version {
    Version::from_hash(of)
}

/// Rejects a version that is the newest of its name.
fn reject(quarantine: &mut Quarantine, name: &str, of: u64, seconds: u64) {
    let backoff = Backoff {
        first: Duration::from_secs(30),
        cap: Duration::from_mins(10),
    };
    let now = Duration::from_secs(seconds);
    let newest = Some(version(of));
    quarantine.reject(
        &name.into(),
        version(of),
        newest,
        &"no".into(),
        now,
        backoff,
    );
}

#[test]
fn rejected_content_that_comes_back_waits_for_the_rest_of_its_time() {
    let mut quarantine = Quarantine::default();
    let a = ResourceName::from("a");
    reject(&mut quarantine, "a", 1, 0);
    assert!(quarantine.change(&a, Some(version(2))));
    assert_eq!(quarantine.until("a", version(1)), None);
    assert!(quarantine.rejections().is_empty());
    assert!(!quarantine.change(&a, Some(version(1))));
    assert_eq!(
        quarantine.until("a", version(1)),
        Some(Duration::from_secs(30))
    );
    // It is still known how often it was tried.
    reject(&mut quarantine, "a", 1, 30);
    assert_eq!(
        quarantine.until("a", version(1)),
        Some(Duration::from_secs(90))
    );
    // It went meanwhile.
    assert!(quarantine.change(&a, None));
    assert!(!quarantine.change(&"b".into(), Some(version(1))));
    assert_eq!(quarantine.until("b", version(1)), None);
    assert!(!quarantine.change(&a, Some(version(1))));
    assert_eq!(
        quarantine.until("a", version(1)),
        Some(Duration::from_secs(90))
    );
    // Nobody asks for it, and then somebody does.
    quarantine.change(&a, None);
    quarantine.forget("a");
    quarantine.change(&a, Some(version(1)));
    assert_eq!(quarantine.until("a", version(1)), None);
}

#[test]
fn only_the_newest_of_what_was_rejected_is_remembered() {
    let mut quarantine = Quarantine::default();
    let name = |n: usize| ResourceName::from(format!("n{n}"));
    for n in 0..=PAST {
        reject(&mut quarantine, &name(n), 1, 0);
        quarantine.change(&name(n), None);
    }
    assert_eq!(quarantine.past.len(), PAST);
    for n in 0..=PAST {
        quarantine.change(&name(n), Some(version(1)));
        let is_known = quarantine.until(&name(n), version(1)).is_some();
        assert_eq!(is_known, n > 0, "{n} of {PAST}");
    }
    assert!(quarantine.past.is_empty());
}

#[test]
fn a_message_is_kept_once_and_searched_in_part() {
    let mut quarantine = Quarantine::default();
    let message = Arc::from("no");
    let backoff = Backoff {
        first: Duration::from_secs(30),
        cap: Duration::from_mins(10),
    };
    for name in ["a", "b"] {
        let (name, newest) = (name.into(), Some(version(1)));
        quarantine.reject(&name, version(1), newest, &message, Duration::ZERO, backoff);
    }
    for rejection in quarantine.rejections() {
        assert!(Arc::ptr_eq(&rejection.message, &message));
    }
    let names = ["a".into(), "b".into()];
    let long = " ".repeat(SEARCHED_LEN);
    assert_eq!(blamed(&format!("a: no {long} b: no"), &names), ["a".into()]);
}
