//! Authentication of everything on `--api-addr`: REST, Outrigger's own calls, gRPC.
//!
//! With `--api-auth sigv4` a request passes when AWS Signature Version 4 says that it comes from one of the keys of
//! `--api-credentials`, and that key may do what it asks for. Without, everybody may do everything. Either way, whoever
//! answers finds a [`Caller`] among the request's extensions, and shows it nothing that it may not read.
//!
//! **Invariant:** no secret, session token or signature is in a log line, an error or a metric.
//!
//! Not here: TLS. A signature keeps a request from being forged, changed or sent again much later; who listens can still
//! read it.

mod access;
mod body;
mod credentials;
mod layer;
mod metrics;
mod permissions;
mod refusal;
pub mod sigv4;

pub use credentials::{CredentialsError, CredentialsFile, FileError, Problem};
pub use layer::{Auth, protect};
pub use permissions::{Caller, Permissions};
