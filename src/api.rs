//! What operators and programs call: the operators' gRPC service, and health and metrics.

pub mod operator;
