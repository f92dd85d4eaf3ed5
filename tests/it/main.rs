//! Every test that needs more than one module: a real server, a real client, a real Envoy.

mod generated;
