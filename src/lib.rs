//! Outrigger: a self-hosted control plane for Envoy sidecars that speaks AWS App Mesh's model.
//!
//! In reading order: [`model`] is what users declare, [`files`] reads it, [`store`] keeps it, [`discovery`] finds
//! endpoints and [`endpoints`] are registered, [`translate`] turns both into Envoy's resources, [`snapshot`] holds those, [`reconcile`] joins the four,
//! [`xds`] streams them to sidecars, [`clients`] knows who is connected, [`api`] tells operators, [`appmesh`] calls other servers of App Mesh's API, [`transport`] holds the
//! connections of both, [`envoy`] finds and starts Envoy itself, [`capture`] redirects traffic into it, [`migrate`] moves App Mesh's sidecars over, [`app`] is `serve`
//! (with what outlives it in [`data_dir`]), [`demo`] a whole mesh on one machine, [`cli`] the command line; [`back_off`] is how long whoever tries again waits.

pub mod api;
pub mod app;
pub mod appmesh;
pub mod back_off;
pub mod capture;
pub mod cli;
pub mod clients;
pub mod config;
pub mod data_dir;
pub mod demo;
pub mod discovery;
pub mod endpoints;
pub mod envoy;
pub mod files;
pub mod migrate;
pub mod model;
pub mod reconcile;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod translate;
pub mod transport;
pub mod xds;
