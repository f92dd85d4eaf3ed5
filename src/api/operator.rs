//! The operators' gRPC service: who is connected, how each stands, and the exact resources it gets.

/// The service's messages, client and server, made from `proto/outrigger/operator/v1/operator.proto`.
#[rustfmt::skip]
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    missing_debug_implementations,
    let_underscore_drop,
    reason = "generated"
)]
pub mod generated;
