//! The Aggregated Discovery Service: state of the world and delta.
//!
//! A stream's protocol state is pure: requests, the newest snapshot and the time go in, responses come out. The tonic
//! shell around it reads and writes frames and keeps no protocol state of its own.

pub mod message;
pub mod node;
mod stream;

pub use stream::{Event, KindStatus, Rejection, Response, Step, StreamError, StreamStatus};
