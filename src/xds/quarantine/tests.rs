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
