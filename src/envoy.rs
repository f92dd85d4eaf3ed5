//! Envoy itself: the binary found or fetched, its bootstrap written, its process started and asked.
//!
//! What Envoy is told while it runs is none of this module's business: that travels over xDS.

pub mod admin;
pub mod binary;
pub mod bootstrap;
pub mod child;
mod fetch;
pub(crate) mod http;
pub mod process;
pub mod progress;
