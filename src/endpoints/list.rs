//! Reads the list of endpoints that a caller sent, and finds all that is wrong with it. Pure.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::model::endpoint::{RegisteredEndpoint, RegisteredSet};

/// Longest name of a zone, in bytes.
const LONGEST_ZONE: usize = 255;
/// How much of a wrong value an error repeats, in characters.
const SHOWN: usize = 100;

const FORM: &str = "write it like {\"address\": \"10.0.0.1\", \"port\": 8080, \"weight\": 1, \"zone\": \"a\"}, of which only `address` must be";

/// One endpoint, as it is written in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub weight: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
}

impl From<&RegisteredEndpoint> for Entry {
    fn from(endpoint: &RegisteredEndpoint) -> Self {
        Self {
            address: endpoint.address,
            port: endpoint.port,
            weight: endpoint.weight,
            zone: endpoint.zone.clone(),
        }
    }
}

/// What is wrong with one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryProblem {
    /// Its place in the list, from 0.
    pub index: usize,
    pub problem: String,
}

/// Reads a list for a node whose listeners have these ports.
///
/// # Errors
/// Everything that is wrong, in the order of the list.
pub fn read_list(
    entries: Vec<Value>,
    listeners: &[u16],
) -> Result<RegisteredSet, Vec<EntryProblem>> {
    let mut list = List {
        listeners,
        zones: HashMap::new(),
        places: HashMap::new(),
    };
    let mut endpoints = Vec::with_capacity(entries.len());
    let mut problems = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        match list.read(index, entry) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(problem) => problems.push(EntryProblem { index, problem }),
        }
    }
    if problems.is_empty() {
        Ok(RegisteredSet::new(endpoints))
    } else {
        Err(problems)
    }
}

struct List<'a> {
    listeners: &'a [u16],
    /// One copy of each name.
    zones: HashMap<String, Arc<str>>,
    /// Where each address is in the list, by the listener that it serves.
    places: HashMap<(u16, IpAddr, u16), usize>,
}

impl List<'_> {
    fn read(&mut self, index: usize, entry: Value) -> Result<RegisteredEndpoint, String> {
        let Value::Object(members) = entry else {
            return Err(format!(
                "it is `{}`, which is no endpoint; {FORM}",
                shown(&entry.to_string())
            ));
        };
        let (mut ip, mut port, mut weight, mut zone) = (None, None, 1, None);
        for (name, value) in members {
            match (name.as_str(), value) {
                // As if it were left out.
                ("address" | "port" | "weight" | "zone", Value::Null) => {}
                ("address", Value::String(text)) => ip = Some(address(&text)?),
                ("zone", Value::String(text)) => zone = Some(self.zone(text)?),
                ("port", value) => port = Some(self.port(&value)?),
                ("weight", value) => weight = self::weight(&value)?,
                ("address" | "zone", value) => {
                    let value = shown(&value.to_string());
                    return Err(format!("`{name}` is `{value}`, which is no text; {FORM}"));
                }
                _ => {
                    let name = shown(&name);
                    return Err(format!("`{name}` is no member of an endpoint; {FORM}"));
                }
            }
        }
        let endpoint = RegisteredEndpoint {
            address: ip.ok_or_else(|| format!("`address` is missing; {FORM}"))?,
            port,
            weight,
            zone,
        };
        self.place(index, &endpoint)?;
        Ok(endpoint)
    }

    fn port(&self, value: &Value) -> Result<u16, String> {
        let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
        let Some(port) = port.filter(|port| *port > 0) else {
            return Err(format!(
                "`port` is `{}`; give 1 to 65535, or leave it out for the listener's",
                shown(&value.to_string())
            ));
        };
        if self.listeners.len() > 1 && !self.listeners.contains(&port) {
            let listeners: Vec<String> = self.listeners.iter().map(u16::to_string).collect();
            return Err(format!(
                "`port` {port} is none of the virtual node's listeners ({}), of which an endpoint with a port serves the one \
                 with that port; name one of them, or leave `port` out to serve all",
                listeners.join(", ")
            ));
        }
        Ok(port)
    }

    fn zone(&mut self, zone: String) -> Result<Arc<str>, String> {
        if zone.is_empty() {
            return Err("`zone` is empty; name a zone, or leave `zone` out".to_owned());
        }
        if zone.len() > LONGEST_ZONE || zone.chars().any(char::is_control) {
            return Err(format!(
                "`zone` is `{}`, which is no name; use at most {LONGEST_ZONE} printable bytes",
                shown(&zone)
            ));
        }
        if let Some(known) = self.zones.get(&zone) {
            return Ok(Arc::clone(known));
        }
        let name: Arc<str> = zone.as_str().into();
        self.zones.insert(zone, Arc::clone(&name));
        Ok(name)
    }

    /// Takes the endpoint's place, unless another entry has it.
    fn place(&mut self, index: usize, endpoint: &RegisteredEndpoint) -> Result<(), String> {
        // A node that has no listener now may get one.
        let listeners = if self.listeners.is_empty() {
            &[0]
        } else {
            self.listeners
        };
        let is_only = listeners.len() < 2;
        for listener in listeners {
            let Some(port) = endpoint.port_for(*listener, is_only) else {
                continue;
            };
            let place = (*listener, endpoint.address, port);
            if let Some(first) = self.places.insert(place, index) {
                let address = endpoint.address;
                return Err(match endpoint.port {
                    Some(port) => format!(
                        "address {address} with port {port} is at index {first} already; name it once"
                    ),
                    None => format!("address {address} is at index {first} already; name it once"),
                });
            }
        }
        Ok(())
    }
}

fn weight(value: &Value) -> Result<u32, String> {
    let weight = value.as_u64().and_then(|weight| u32::try_from(weight).ok());
    weight.filter(|weight| *weight > 0).ok_or_else(|| {
        format!(
            "`weight` is `{}`; give 1 to {}, and leave an endpoint out that is to get nothing",
            shown(&value.to_string()),
            u32::MAX
        )
    })
}

/// An address of one host; IPv4 in IPv6 is the same as IPv4.
fn address(text: &str) -> Result<IpAddr, String> {
    let parsed: Result<IpAddr, _> = text.parse();
    let Ok(address) = parsed.map(|address| address.to_canonical()) else {
        return Err(format!(
            "`address` is `{}`, which is no IP address; host names are not looked up here: register what they resolve to, or \
             give the virtual node `serviceDiscovery: {{ dns: {{ hostname: … }} }}` instead",
            shown(text)
        ));
    };
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Err(format!(
            "`address` {address} is not the address of one host; name the one at which the endpoint is reached"
        ));
    }
    Ok(address)
}

fn shown(text: &str) -> String {
    let printable = text.chars().take(SHOWN).flat_map(char::escape_debug);
    printable.collect()
}
