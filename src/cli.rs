//! The command line.

pub mod config_dump;
pub mod connect;
pub mod output;
pub mod status;
