//! The discovery services, the aggregated one and those of one type: state of the world and delta.
//!
//! A stream's protocol state is pure: requests, the newest snapshot and the time go in, responses come out. The tonic
//! shell around it reads and writes frames and keeps no protocol state of its own.
//!
//! In reading order: [`message`] is what clients send, `requests` how it is read off the wire, `subscription` and
//! `names` what they ask for, `ledger` what they were sent,
//! `quarantine` what they rejected, `push` what they are sent next and in which order, `wire` how that is encoded;
//! `sotw` and `delta` are the two variants on top. `node` reads who a client is, `services` says which streams there are,
//! `session` is the loop of one, `body` what drives it, and `server` opens them; `csds` tells standard tools how the streams stand.

mod body;
mod csds;
mod delta;
mod ledger;
mod limits;
pub mod message;
mod names;
pub mod node;
mod push;
mod quarantine;
mod requests;
mod server;
mod services;
mod session;
mod sotw;
mod stream;
mod subscription;
mod traps;
mod wire;

#[cfg(test)]
#[expect(
    clippy::match_bool,
    clippy::print_stdout,
    clippy::single_match_else,
    reason = "a test says what it measured, and reads best as tables"
)]
mod simulation;
#[cfg(test)]
mod testing;

pub use delta::DeltaStream;
pub use limits::{Backoff, Limits, ServerLimits};
pub use names::NameSets;
pub use server::{AdsContext, Server, Sharing};
pub use sotw::SotwStream;
pub use stream::{
    Entries, Event, Held, HeldState, KindStatus, Rejection, Response, Step, StreamError,
    StreamStatus,
};
