//! Any endpoint that speaks App Mesh's management API, called as a client: AWS's, where one still answers, another
//! Outrigger, a test double.
//!
//! AWS's SDK does what it is good at (region and credentials, signatures, TLS, time-outs, tries, throttling); the bodies
//! are App Mesh's own JSON, which goes in and comes out untouched, so that nothing is lost that the SDK's types do not know.
//!
//! **Invariant:** no type of the SDK's leaves [`client`].

pub mod client;
pub mod read;
