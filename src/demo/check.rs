//! `demo --check`: traffic, configuration and changes, against the sidecars that run.

mod change;
mod config;
mod traffic;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use thiserror::Error;

use super::folder::Folder;
use super::start::Running;
use super::{DemoError, DemoOptions, say};
use crate::envoy::admin::AdminError;

/// Why a check fails.
#[derive(Debug, Error)]
pub(super) enum CheckError {
    #[error("`{url}` through {via}: no answer: {source}")]
    NoAnswer {
        url: String,
        via: SocketAddr,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{url}` through {via}: {status}: {body}")]
    Status {
        url: String,
        via: SocketAddr,
        status: StatusCode,
        body: String,
    },
    #[error("`{url}` through {via}: the answer is not the service's: {body}")]
    Stranger {
        url: String,
        via: SocketAddr,
        body: String,
    },
    #[error("{failed} of service A's calls failed: {answers}")]
    CallsFailed { failed: u32, answers: String },
    #[error("replica {replica} got none of {requests} requests")]
    ReplicaUnused {
        replica: SocketAddr,
        requests: usize,
    },
    #[error("{percent} % of the requests reached the second version, not about {expected} %")]
    Spread { percent: usize, expected: usize },
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("{sidecar}: Envoy has no active {missing}")]
    NotActive { sidecar: String, missing: String },
    #[error("not in the sidecars within {} s: {what}", within.as_secs())]
    Late {
        what: &'static str,
        within: Duration,
    },
    #[error("cannot edit the mesh: {0}")]
    Edit(#[from] std::io::Error),
}

/// Runs every check, says what each found, and fails if one did.
pub(super) async fn check(
    options: &DemoOptions,
    running: &mut Running,
    folder: &Folder,
    started: Instant,
) -> Result<(), DemoError> {
    let network = running.network;
    let names = running.dns.clone();
    let clients = running.clients.clone();
    let checks = async {
        let mut report = Report::default();
        report.add(
            "both sidecars carry requests by name",
            traffic::both_ways(network).await,
        );
        report.add("weights and replicas", traffic::spread(network, 20).await);
        report.add(
            "service A calls service B",
            traffic::through_the_application(network).await,
        );
        report.add("Envoy's configuration", config::active(network).await);
        let mirror = options.mirror.then(|| network.mirror());
        if let Some(mirror) = mirror {
            report.add(
                "the mirror's sidecars carry requests by name",
                traffic::both_ways(mirror).await,
            );
            report.add(
                "the mirror's weights and replicas",
                traffic::spread(mirror, 20).await,
            );
        }
        report.add(
            "a changed weight",
            change::weights(network, folder, &clients).await,
        );
        if let Some(mirror) = mirror {
            report.add(
                "the changed weight at the mirror",
                change::mirrored(mirror).await,
            );
        }
        report.add(
            "a changed DNS answer",
            change::addresses(network, &names).await,
        );
        Ok(report)
    };
    let report = running.guarded(checks).await?;
    say(&format!("{:.1} s in all", started.elapsed().as_secs_f64()));
    report.verdict()
}

#[derive(Debug, Default)]
struct Report {
    checks: usize,
    failed: usize,
}

impl Report {
    fn add(&mut self, what: &str, found: Result<String, CheckError>) {
        self.checks += 1;
        match found {
            Ok(found) => say(&format!("  ✓ {what}: {found}")),
            Err(error) => {
                self.failed += 1;
                say(&format!("  ✗ {what}: {error}"));
            }
        }
    }

    fn verdict(self) -> Result<(), DemoError> {
        match self {
            Self { failed: 0, .. } => Ok(()),
            Self { checks, failed } => Err(DemoError::Check { failed, checks }),
        }
    }
}
