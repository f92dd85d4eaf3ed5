//! The rules between members that need code.
//!
//! A member of the wrong type is reported where it stands; here it counts as absent.

use std::collections::BTreeMap;

use super::check::{Members, Walk};
use crate::model::document::Located;
use crate::model::names::shown;

/// `[start, end)` holds at least one number.
pub(super) fn range_grows(range: &Members<'_>, walk: &mut Walk) {
    let start = range.get("start").map_or(Some(0), Located::as_int);
    let (Some(start), Some(end)) = (start, range.get("end").and_then(Located::as_int)) else {
        return;
    };
    if end <= start {
        walk.error(
            range.get("end").and_then(|end| end.span).or(range.span),
            format!("range ends at {end}, but starts at {start}"),
            "matches no number",
            "make `end` larger than `start`: `start` is matched, `end` no longer",
        );
    }
}

/// The weights of a route's targets add up to 100 at most.
pub(super) fn weights(action: &Members<'_>, walk: &mut Walk) {
    let Some(targets) = action.get("weightedTargets") else {
        return;
    };
    let weights: Vec<i128> = targets
        .items()
        .iter()
        .filter_map(|target| target.get("weight")?.as_int())
        .collect();
    let sum: i128 = weights.iter().sum();
    let span = action.key_span("weightedTargets");
    if sum > 100 {
        walk.error(
            span,
            format!("the weights of `weightedTargets` add up to {sum}, more than 100"),
            format!("{sum} in all"),
            "lower the weights so that they add up to 100 at most",
        );
    } else if sum == 0 && !weights.is_empty() {
        walk.warning(
            span,
            "every weight of `weightedTargets` is 0",
            "no target gets traffic",
            "give at least one target a weight above 0",
        );
    }
}

/// A node that listens says where it is found. Discovery without listeners is accepted: it counts as one HTTP listener.
pub(super) fn listeners_need_discovery(spec: &Members<'_>, walk: &mut Walk) {
    let listens = spec
        .get("listeners")
        .is_some_and(|listeners| !listeners.items().is_empty());
    if listens && spec.get("serviceDiscovery").is_none() {
        walk.error(
            spec.key_span("listeners"),
            "`listeners` needs `serviceDiscovery` beside it",
            "found nowhere",
            "add `serviceDiscovery`, such as `serviceDiscovery: { dns: { hostname: service-a.local } }`",
        );
    }
}

/// No two listeners share a port.
pub(super) fn distinct_ports(spec: &Members<'_>, walk: &mut Walk) {
    let Some(listeners) = spec.get("listeners") else {
        return;
    };
    let mut taken = BTreeMap::new();
    for (index, listener) in listeners.items().iter().enumerate() {
        let port = listener
            .get("portMapping")
            .and_then(|mapping| mapping.get("port"));
        let Some((number, span)) = port.and_then(|port| Some((port.as_int()?, port.span))) else {
            continue;
        };
        let Some(first) = first_of(&mut taken, number, index) else {
            continue;
        };
        let span = span.or(spec.key_span("listeners"));
        walk.in_field("listeners", |walk| {
            walk.in_item(index, |walk| {
                walk.error(
                    span,
                    format!("two listeners have port {number}"),
                    format!("taken by `listeners[{first}]`"),
                    "give each listener a port of its own",
                );
            });
        });
    }
}

/// No two tags have the same key.
pub(super) fn distinct_tags(body: &Members<'_>, walk: &mut Walk) {
    let Some(tags) = body.get("tags") else {
        return;
    };
    let mut taken = BTreeMap::new();
    for (index, tag) in tags.items().iter().enumerate() {
        let Some(key) = tag.get("key").and_then(Located::as_str) else {
            continue;
        };
        let Some(first) = first_of(&mut taken, key, index) else {
            continue;
        };
        let span = tag.pointer().or(body.key_span("tags"));
        walk.in_field("tags", |walk| {
            walk.in_item(index, |walk| {
                walk.error(
                    span,
                    format!("two tags have the key `{}`", shown(key)),
                    format!("taken by `tags[{first}]`"),
                    "keep one of the two",
                );
            });
        });
    }
}

/// Where something that shall be there once has been before.
fn first_of<T: Ord>(taken: &mut BTreeMap<T, usize>, item: T, index: usize) -> Option<usize> {
    let first = *taken.entry(item).or_insert(index);
    (first != index).then_some(first)
}

/// `connectionPool` and `timeout` have the member of the listener's protocol.
pub(super) fn members_match_protocol(listener: &Members<'_>, walk: &mut Walk) {
    let Some(protocol) = listener
        .inner("portMapping", "protocol")
        .and_then(Located::as_str)
    else {
        return;
    };
    if !["http", "http2", "grpc", "tcp"].contains(&protocol) {
        return;
    }
    for union in ["connectionPool", "timeout"] {
        let members = listener.get(union).and_then(Located::members);
        for (key, _) in members.unwrap_or_default() {
            let known = ["http", "http2", "grpc", "tcp"].contains(&key.name.as_str());
            if known && key.name != protocol {
                walk.in_field(union, |walk| {
                    walk.error(
                        key.span.or(listener.span),
                        format!(
                            "`{union}.{}` is given to a listener of protocol `{protocol}`",
                            key.name
                        ),
                        format!("listener is `{protocol}`"),
                        format!("rename it to `{protocol}`, or change `portMapping.protocol`"),
                    );
                });
            }
        }
    }
}

/// A health check asks the listener's own port.
pub(super) fn health_check_port(listener: &Members<'_>, walk: &mut Walk) {
    let Some(check) = listener.inner("healthCheck", "port") else {
        return;
    };
    let port = listener
        .inner("portMapping", "port")
        .and_then(Located::as_int);
    if let (Some(asked), Some(port)) = (check.as_int(), port)
        && asked != port
    {
        walk.in_field("healthCheck", |walk| {
            walk.in_field("port", |walk| {
                walk.error(
                    check.span.or(listener.span),
                    format!("the health check asks port {asked}, but the listener has {port}"),
                    format!("not {port}"),
                    "leave `port` out: the listener's is used",
                );
            });
        });
    }
}

/// A rewrite of a prefix or of a path replaces what was matched, so there must be such a match.
pub(super) fn rewrites_need_matches(route: &Members<'_>, walk: &mut Walk) {
    let Some(rewrite) = route.inner("action", "rewrite") else {
        return;
    };
    for member in ["prefix", "path"] {
        if let (Some(value), None) = (rewrite.get(member), route.inner("match", member)) {
            walk.error(
                value.pointer().or(route.span),
                format!("`action.rewrite.{member}` needs `match.{member}`"),
                format!("no `match.{member}`"),
                format!("add `match.{member}`, or leave out `action.rewrite.{member}`"),
            );
        }
    }
}
