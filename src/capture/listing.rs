//! What is in force, read from `nft --json list table`.
//!
//! The sets and chains are found by the names that [`super::ruleset`] gave them. A table that somebody has changed by hand
//! is not guessed at: the error says what does not fit.

use serde_json::Value;
use thiserror::Error;

use super::ruleset::{
    APP_PORTS, EGRESS, IGNORED_GIDS, IGNORED_IPV4, IGNORED_IPV6, IGNORED_PORTS, IGNORED_UIDS,
    INGRESS,
};
use super::{Intervals, Point, Redirection, TABLE};

/// A redirection that the kernel carries out, and what it has redirected since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    pub redirection: Redirection,
    /// Connections that came in for the application.
    pub ingress_connections: u64,
    /// Connections that applications began.
    pub egress_connections: u64,
}

/// Why the listing cannot be understood.
#[derive(Debug, Error)]
pub enum ListingError {
    #[error("`nft --json` did not print JSON")]
    NoJson(#[from] serde_json::Error),
    #[error(
        "table `inet {TABLE}` is not as this version of outrigger writes it: {what}; \
         `outrigger capture install` replaces it, `outrigger capture remove` takes it away"
    )]
    Foreign { what: String },
}

/// Reads the listing of the table.
///
/// # Errors
/// [`ListingError`] when it is no JSON, or not what `outrigger` has set up.
pub fn parse(json: &str) -> Result<InForce, ListingError> {
    let listing: Value = serde_json::from_str(json)?;
    let listing = Listing(&listing);
    let app_ports = listing.set(APP_PORTS)?;
    let egress = listing.chain(EGRESS, 9)?;
    let ingress = if app_ports.is_empty() {
        None
    } else {
        Some(listing.chain(INGRESS, 5)?)
    };
    if ingress
        .as_ref()
        .is_some_and(|chain| chain.ipv6 != egress.ipv6)
    {
        return Err(ListingError::Foreign {
            what: "its chains are for different families".to_owned(),
        });
    }
    let redirection = Redirection {
        // Nothing arrives there where no application is called.
        ingress_port: ingress
            .as_ref()
            .map_or(crate::model::INGRESS_PORT, |chain| chain.port),
        egress_port: egress.port,
        app_ports,
        ignored_uids: listing.set(IGNORED_UIDS)?,
        ignored_gids: listing.set(IGNORED_GIDS)?,
        ignored_ipv4: listing.set(IGNORED_IPV4)?,
        ignored_ipv6: listing.set(IGNORED_IPV6)?,
        ignored_ports: listing.set(IGNORED_PORTS)?,
        ipv6: egress.ipv6,
    };
    Ok(InForce {
        redirection,
        ingress_connections: ingress.map_or(0, |chain| chain.connections),
        egress_connections: egress.connections,
    })
}

/// Whether a listing of all tables has ours.
pub(super) fn has_table(json: &str) -> Result<bool, ListingError> {
    let listing: Value = serde_json::from_str(json)?;
    let mut tables = Listing(&listing).all("table");
    Ok(tables.any(|table| has(table, "family", "inet") && has(table, "name", TABLE)))
}

struct Listing<'a>(&'a Value);

/// What a chain does with a connection that no rule lets pass.
struct Chain {
    port: u16,
    connections: u64,
    ipv6: bool,
}

impl<'a> Listing<'a> {
    fn all(&self, kind: &'a str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let objects = self.0.get("nftables").and_then(Value::as_array);
        let objects = objects.into_iter().flatten();
        objects.filter_map(move |object| object.get(kind))
    }

    fn set<T: Point>(&self, name: &str) -> Result<Intervals<T>, ListingError> {
        let foreign = |what: String| ListingError::Foreign { what };
        let set = self.all("set").find(|set| has(set, "name", name));
        let set = set.ok_or_else(|| foreign(format!("set `{name}` is missing")))?;
        let elements = match set.get("elem") {
            None => &[],
            Some(Value::Array(elements)) => elements.as_slice(),
            Some(single) => std::slice::from_ref(single),
        };
        let interval = |element| {
            let unknown = || foreign(format!("set `{name}` has {element}"));
            interval(element).ok_or_else(unknown)
        };
        elements.iter().map(interval).collect()
    }

    /// The chain with that many rules, beside the one that leaves IPv6 alone.
    fn chain(&self, name: &str, rules: usize) -> Result<Chain, ListingError> {
        let of_chain = |rule: &&Value| has(rule, "chain", name);
        let found: Vec<&Value> = self.all("rule").filter(of_chain).collect();
        let on_family = |rule: &&Value| {
            let key = statement(rule, "match").and_then(|one| one.pointer("/left/meta/key"));
            key.is_some_and(|key| key == "nfproto")
        };
        let ipv6 = !found.iter().any(on_family);
        let redirect = found.last().and_then(|rule| {
            let port = statement(rule, "redirect")?.get("port")?.as_u64()?;
            let connections = statement(rule, "counter")?.get("packets")?.as_u64()?;
            Some((u16::try_from(port).ok()?, connections))
        });
        match redirect {
            Some((port, connections)) if found.len() == rules + usize::from(!ipv6) => Ok(Chain {
                port,
                connections,
                ipv6,
            }),
            _ => Err(ListingError::Foreign {
                what: format!("chain `{name}` has other rules"),
            }),
        }
    }
}

fn has(object: &Value, member: &str, value: &str) -> bool {
    object.get(member).is_some_and(|found| found == value)
}

fn statement<'a>(rule: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut statements = rule.get("expr")?.as_array()?.iter();
    statements.find_map(|statement| statement.get(kind))
}

/// `8080`, `{"range": [9000, 9010]}` or `{"prefix": {"addr": "10.0.0.0", "len": 8}}`.
fn interval<T: Point>(element: &Value) -> Option<(T, T)> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let item = if let Some(range) = element.get("range") {
        format!("{}-{}", text(range.get(0)?)?, text(range.get(1)?)?)
    } else if let Some(prefix) = element.get("prefix") {
        format!(
            "{}/{}",
            text(prefix.get("addr")?)?,
            text(prefix.get("len")?)?
        )
    } else {
        text(element)?
    };
    Intervals::parse_item(&item)
}
