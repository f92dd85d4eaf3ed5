//! To be written.

pub mod dns;
