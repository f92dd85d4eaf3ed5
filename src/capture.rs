//! The redirection of a host's TCP traffic into its sidecar, as App Mesh's own scripts set it up, with nftables.
//!
//! What applications send leaves through Envoy's egress port, and what comes in for their ports arrives at its ingress
//! port; both for connections that begin after the rules are there. Envoy itself runs as a user of its own, whose
//! connections pass.
//!
//! - [`settings`] turns what was typed, or set in App Mesh's variables, into a [`Redirection`]; [`ruleset`] writes that as
//!   input for `nft`; [`listing`] reads it back from what `nft` says is in force. All three are pure.
//! - [`nft`] runs the program. Everything is in one table of our own, changed in one transaction: no packet ever meets half
//!   of the rules, and no other table is touched.
//!
//! Not here: UDP (App Mesh left it alone), routing marks, other network namespaces than the one the process is in.

mod intervals;
pub mod listing;
pub mod nft;
pub mod ruleset;
pub mod settings;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use intervals::{Intervals, Point};

/// The table, of family `inet`, that holds all of it.
pub const TABLE: &str = "outrigger_capture";

/// Which connections go through the sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// Where Envoy takes what comes in.
    pub ingress_port: u16,
    /// Where Envoy takes what applications send.
    pub egress_port: u16,
    /// Calls to these ports from other hosts go to Envoy; without any, nothing that comes in is redirected.
    pub app_ports: Intervals<u16>,
    /// What these users send is not redirected. Envoy is one of them, or of the groups.
    pub ignored_uids: Intervals<u32>,
    pub ignored_gids: Intervals<u32>,
    /// What is sent to these addresses is not redirected.
    pub ignored_ipv4: Intervals<Ipv4Addr>,
    pub ignored_ipv6: Intervals<Ipv6Addr>,
    /// What is sent to these ports is not redirected.
    pub ignored_ports: Intervals<u16>,
    /// Whether IPv6 is redirected as IPv4 is. Envoy has to listen on IPv6 then.
    pub ipv6: bool,
}

#[cfg(test)]
mod tests;
