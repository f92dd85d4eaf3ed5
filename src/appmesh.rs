//! Other servers of App Mesh's management API: AWS's, where one still answers, another Outrigger, a test double; and the
//! mirror, which makes one of them what a mesh here is.
//!
//! [`client`] calls one, [`read`] reads all that it has, and [`known`] holds that. [`plan`] says what makes it the same as a
//! source, [`sync`] does that once, [`watch`] keeps doing it, and [`status`] is how that stands.
//!
//! AWS's SDK does what it is good at (region and credentials, signatures, TLS, time-outs, tries, throttling); the bodies
//! are App Mesh's own JSON, which goes in and comes out untouched, so that nothing is lost that the SDK's types do not know.
//!
//! **Invariant:** no type of the SDK's leaves [`client`].

mod account;
pub mod client;
pub mod known;
mod metrics;
pub mod plan;
pub mod read;
pub mod status;
pub mod sync;
pub mod watch;
