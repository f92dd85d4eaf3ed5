//! A [`Redirection`] as input for `nft`.
//!
//! **Invariant:** the input is one transaction that gives the same result whatever was there before.

use std::fmt::Write;

use super::{Intervals, Point, Redirection, TABLE};

/// Names within the table, by which what is in force is read back.
pub(super) const APP_PORTS: &str = "app_ports";
pub(super) const IGNORED_UIDS: &str = "ignored_uids";
pub(super) const IGNORED_GIDS: &str = "ignored_gids";
pub(super) const IGNORED_IPV4: &str = "ignored_ipv4";
pub(super) const IGNORED_IPV6: &str = "ignored_ipv6";
pub(super) const IGNORED_PORTS: &str = "ignored_ports";
pub(super) const EGRESS: &str = "egress";
pub(super) const INGRESS: &str = "ingress";

/// Before the priority of others' destination NAT (-100), so that Envoy learns the address that the application dialled,
/// and not what a Kubernetes proxy or Docker makes of it.
const PRIORITY: i32 = -101;

/// What takes the table away, also if there is none: `delete` alone would fail then.
pub fn removal() -> String {
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

/// What puts the redirection in place of any other that `outrigger` has set up.
pub fn installation(redirection: &Redirection) -> String {
    let mut text = removal();
    // Writing to a string does not fail, here and below.
    let _ = writeln!(text, "table inet {TABLE} {{");
    set(&mut text, APP_PORTS, "inet_service", &redirection.app_ports);
    set(&mut text, IGNORED_UIDS, "uid", &redirection.ignored_uids);
    set(&mut text, IGNORED_GIDS, "gid", &redirection.ignored_gids);
    set(
        &mut text,
        IGNORED_IPV4,
        "ipv4_addr",
        &redirection.ignored_ipv4,
    );
    set(
        &mut text,
        IGNORED_IPV6,
        "ipv6_addr",
        &redirection.ignored_ipv6,
    );
    set(
        &mut text,
        IGNORED_PORTS,
        "inet_service",
        &redirection.ignored_ports,
    );
    chain(&mut text, EGRESS, "output", &egress(redirection));
    if !redirection.app_ports.is_empty() {
        chain(&mut text, INGRESS, "prerouting", &ingress(redirection));
    }
    text.push_str("}\n");
    text
}

/// A connection that was open before the rules shows up in the middle; to redirect it would be to end it.
const NOT_ITS_BEGINNING: &str = "tcp flags & (fin | syn | rst | ack) != syn return";

/// A rule either leaves a connection alone (`return`) or redirects it, as the last one does.
fn egress(redirection: &Redirection) -> Vec<String> {
    let mut rules = vec![NOT_ITS_BEGINNING.to_owned()];
    if !redirection.ipv6 {
        rules.push("meta nfproto ipv6 return".to_owned());
    }
    rules.extend([
        format!("meta skuid @{IGNORED_UIDS} return"),
        format!("meta skgid @{IGNORED_GIDS} return"),
        // The host itself, loopback included.
        "fib daddr type local return".to_owned(),
        // Such an address means nothing without its interface, which a redirected connection no longer says.
        "ip6 daddr fe80::/10 return".to_owned(),
        format!("ip daddr @{IGNORED_IPV4} return"),
        format!("ip6 daddr @{IGNORED_IPV6} return"),
        format!("tcp dport @{IGNORED_PORTS} return"),
        format!(
            "meta l4proto tcp counter redirect to :{}",
            redirection.egress_port
        ),
    ]);
    rules
}

fn ingress(redirection: &Redirection) -> Vec<String> {
    let mut rules = vec![NOT_ITS_BEGINNING.to_owned()];
    if !redirection.ipv6 {
        rules.push("meta nfproto ipv6 return".to_owned());
    }
    rules.extend([
        // The host's calls to itself have passed on their way out; App Mesh said it here as well.
        "fib saddr type local return".to_owned(),
        // What this host only passes on is for others.
        "fib daddr type != local return".to_owned(),
        "ip6 daddr fe80::/10 return".to_owned(),
        format!(
            "tcp dport @{APP_PORTS} counter redirect to :{}",
            redirection.ingress_port
        ),
    ]);
    rules
}

fn set<T: Point>(text: &mut String, name: &str, kind: &str, intervals: &Intervals<T>) {
    let _ = writeln!(text, "\tset {name} {{\n\t\ttype {kind}\n\t\tflags interval");
    if !intervals.is_empty() {
        let _ = writeln!(text, "\t\telements = {{ {intervals} }}");
    }
    text.push_str("\t}\n\n");
}

fn chain(text: &mut String, name: &str, hook: &str, rules: &[String]) {
    let _ = writeln!(
        text,
        "\tchain {name} {{\n\t\ttype nat hook {hook} priority {PRIORITY}; policy accept;"
    );
    for rule in rules {
        let _ = writeln!(text, "\t\t{rule}");
    }
    text.push_str("\t}\n");
}
