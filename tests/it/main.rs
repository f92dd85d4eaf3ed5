//! Every test that needs more than one module: a real server, a real client, a real Envoy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, says what it measured, and sets up what it needs as it likes"
)]

mod admin;
mod apply;
mod appmesh;
mod auth;
mod capture;
mod changes;
mod child;
mod cli;
mod compose;
mod connection_age;
mod continuity;
mod csds;
mod data_folder;
mod demo;
mod dns;
mod documents;
mod endpoints;
mod envoy;
mod files;
mod fleet;
mod follow;
mod frames;
mod generated;
mod golden;
mod grpc_proxyless;
mod hostage;
mod hostile;
mod hosts;
mod http;
mod import;
mod kill;
mod migrate;
mod migrating;
mod minimal;
mod mirror;
mod mirroring;
mod operator;
mod per_type;
mod plane;
mod poison;
mod python;
mod raw;
mod redirect;
mod references;
mod shell;
mod sidecar_image;
mod static_bootstrap;
mod tidy;
mod translate;
mod unix_socket;
mod world;
