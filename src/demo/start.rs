//! Starts every part of the demo, waits until traffic flows, and watches them all.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::control_plane::Fed;
use super::dns::{DnsServer, Zone};
use super::folder::Folder;
use super::layout::{Instance, Network};
use super::poll::until;
use super::service::ServiceOptions;
use super::{DemoError, DemoOptions, control_plane, ports};
use crate::clients::Clients;
use crate::envoy::binary;
use crate::envoy::bootstrap::{BootstrapOptions, bootstrap};
use crate::envoy::child::{Child, ChildCommand};
use crate::envoy::http;
use crate::envoy::process::{Envoy, EnvoyOptions};
use crate::envoy::progress::Progress;

/// How long a part may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a part may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(3);
/// How long a listener that changes keeps its connections.
const DRAIN: Duration = Duration::from_secs(2);
/// The demo's addresses change while one watches.
const DNS_TTL: Duration = Duration::from_secs(1);
/// How many of a child's last lines are shown.
const SHOWN_LINES: usize = 15;

/// The demo, running.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) network: Network,
    pub(super) dns: Names,
    /// The sidecars, as the control plane sees them.
    pub(super) clients: Clients,
    /// The process ids of the applications, in the order of [`Network::instances`].
    pub(super) applications: Vec<Option<u32>>,
    tasks: JoinSet<Ended>,
    stop: CancellationToken,
}

/// What ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As it was asked to.
    Asked,
    /// The application of an instance: the mesh goes on without it.
    Application {
        name: String,
        status: ExitStatus,
        lines: Vec<String>,
    },
    /// What the demo cannot go on without.
    Needed(DemoError),
}

/// The names in the demo's DNS.
#[derive(Clone, Debug)]
pub(super) struct Names {
    zone: Zone,
}

impl Names {
    /// Gives a name these addresses, for [`DNS_TTL`].
    pub(super) fn set<'a>(&self, name: &str, instances: impl IntoIterator<Item = &'a Instance>) {
        let addresses = instances.into_iter().map(|instance| instance.sidecar);
        self.zone.set(name, DNS_TTL, addresses.collect());
    }
}

struct Parts {
    applications: Vec<Child>,
    sidecars: Vec<Envoy>,
}

/// Starts everything; a part that ends meanwhile ends the start.
pub(super) async fn start(
    options: &DemoOptions,
    folder: &Folder,
    progress: &Progress,
) -> Result<Running, DemoError> {
    let envoy = binary::find(&options.binary, progress).await?;
    let mut running = Running {
        network: options.network,
        dns: Names {
            zone: Zone::default(),
        },
        clients: Clients::default(),
        applications: Vec::new(),
        tasks: JoinSet::new(),
        stop: CancellationToken::new(),
    };
    let mirror = options.mirror.then(|| options.network.mirror());
    if let Some(mirror) = mirror {
        // First, so that it is there when the other one begins to feed it.
        let servers = running.start_servers(mirror, Fed::ByMirror, folder, progress);
        servers.await?;
    }
    let fed = Fed::ByFiles { mirror };
    let servers = running.start_servers(options.network, fed, folder, progress);
    (running.dns, running.clients) = servers.await?;

    for network in options.networks() {
        let step = progress.step("starting services and their sidecars", None);
        let mut parts = Parts {
            applications: Vec::new(),
            sidecars: Vec::new(),
        };
        for instance in network.instances() {
            let application = start_application(options, &instance, folder)?;
            running.applications.push(application.id());
            parts.applications.push(application);
            let sidecar = start_sidecar(network, options, &envoy.path, &instance, folder)?;
            parts.sidecars.push(sidecar);
        }
        running.guarded(parts.ready(network)).await?;
        running.watch(parts);
        step.done("4 services and their 4 sidecars serve");

        let step = progress.step("waiting for the first answers through the mesh", None);
        running.guarded(first_answers(network)).await?;
        step.done("services answer each other by name, through the mesh");
    }
    Ok(running)
}

/// Whether every address is free.
pub(super) fn check_ports(network: Network) -> Result<(), DemoError> {
    ports::check(network.addresses())
}

impl Running {
    /// Starts DNS and a control plane; returns the names, and the sidecars that will be connected.
    async fn start_servers(
        &mut self,
        network: Network,
        fed: Fed,
        folder: &Folder,
        progress: &Progress,
    ) -> Result<(Names, Clients), DemoError> {
        let step = progress.step("starting DNS and the control plane", None);
        let names = Names {
            zone: Zone::default(),
        };
        for instance in network.instances() {
            let same: Vec<Instance> = network
                .instances()
                .into_iter()
                .filter(|other| other.hostname == instance.hostname)
                .collect();
            names.set(instance.hostname, &same);
        }
        let dns = DnsServer::bind(network.dns(), names.zone.clone())
            .await
            .map_err(DemoError::Dns)?;
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            match dns.run(stop).await {
                Ok(()) => Ended::Asked,
                Err(error) => Ended::Needed(DemoError::Dns(error)),
            }
        });
        let control_plane = control_plane::bind(network, folder, fed).await?;
        let clients = control_plane.clients();
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            match control_plane.run(stop).await {
                Ok(()) => Ended::Asked,
                Err(error) => Ended::Needed(DemoError::ControlPlane(error.into())),
            }
        });
        let fed = match fed {
            Fed::ByFiles { .. } => "",
            Fed::ByMirror => ", which has its mesh from the other one",
        };
        step.done(&format!(
            "DNS at {}, control plane at {}{fed}",
            network.dns(),
            network.xds()
        ));
        Ok((names, clients))
    }

    /// Does `work` unless something ends first.
    pub(super) async fn guarded<T>(
        &mut self,
        work: impl Future<Output = Result<T, DemoError>>,
    ) -> Result<T, DemoError> {
        tokio::select! {
            done = work => done,
            ended = self.ended() => Err(match ended {
                Ended::Asked => DemoError::EndedEarly,
                Ended::Needed(error) => error,
                Ended::Application { name, status, lines } => DemoError::Application {
                    name,
                    status,
                    lines: lines.join("\n    "),
                },
            }),
        }
    }

    /// Waits for a part to end. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.tasks.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(panic)) => Ended::Needed(DemoError::Task(panic)),
            None => Ended::Needed(DemoError::EndedEarly),
        }
    }

    fn watch(&mut self, parts: Parts) {
        for mut application in parts.applications {
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    ended = application.wait() => match ended {
                        Ok(status) => Ended::Application {
                            name: application.name().to_owned(),
                            status,
                            lines: application.last_lines(SHOWN_LINES),
                        },
                        Err(error) => Ended::Needed(error.into()),
                    },
                    () = stop.cancelled() => {
                        application.stop(END_WITHIN).await.map_or_else(
                            |error| Ended::Needed(error.into()),
                            |_| Ended::Asked,
                        )
                    }
                }
            });
        }
        for mut sidecar in parts.sidecars {
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    error = sidecar.wait() => Ended::Needed(error.into()),
                    () = stop.cancelled() => sidecar.stop(END_WITHIN).await.map_or_else(
                        |error| Ended::Needed(error.into()),
                        |_| Ended::Asked,
                    ),
                }
            });
        }
    }

    /// Ends every part and waits for it.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What has not ended by then is killed when the tasks are dropped.
        tokio::time::timeout(2 * END_WITHIN, all).await.ok();
    }
}

impl Parts {
    async fn ready(&mut self, network: Network) -> Result<(), DemoError> {
        for (instance, application) in network.instances().iter().zip(&mut self.applications) {
            let health = "/health".parse().map_err(|_| DemoError::EndedEarly)?;
            let healthy = until(READY_WITHIN, async || {
                application.ended().is_some()
                    || http::get(instance.application, &health).await.is_ok()
            });
            let answers = healthy.await.is_some();
            if let Some(status) = application.ended() {
                return Err(DemoError::Application {
                    name: application.name().to_owned(),
                    status,
                    lines: application.last_lines(SHOWN_LINES).join("\n    "),
                });
            }
            if !answers {
                return Err(DemoError::NoAnswer {
                    from: instance.name(),
                    via: instance.application,
                    within: READY_WITHIN,
                });
            }
        }
        for sidecar in &mut self.sidecars {
            sidecar.ready(READY_WITHIN).await?;
        }
        Ok(())
    }
}

fn start_application(
    options: &DemoOptions,
    instance: &Instance,
    folder: &Folder,
) -> Result<Child, DemoError> {
    let service = ServiceOptions {
        name: instance.service.to_owned(),
        version: instance.version.to_owned(),
        listen: instance.application,
        proxy: Some(instance.egress()),
    };
    let log = folder.path().join(format!("{}.log", instance.name()));
    let child = ChildCommand::new(&options.guard, &options.guard)
        .args(service.arguments())
        .spawn(instance.name(), &log)?;
    Ok(child)
}

fn start_sidecar(
    network: Network,
    options: &DemoOptions,
    envoy: &std::path::Path,
    instance: &Instance,
    folder: &Folder,
) -> Result<Envoy, DemoError> {
    let xds = network.xds().into();
    let bootstrap_options = BootstrapOptions::new(instance.node(), xds, instance.capture());
    let bootstrap = bootstrap(&bootstrap_options)?;
    let name = format!("sidecar-{}", instance.name());
    let mut envoy_options = EnvoyOptions::new(name, &options.guard, envoy, folder.path());
    envoy_options.drain = DRAIN;
    Ok(Envoy::start(
        &envoy_options,
        &bootstrap,
        bootstrap_options.admin(),
    )?)
}

/// Waits until both services can be reached by name through the other's sidecar.
async fn first_answers(network: Network) -> Result<(), DemoError> {
    let [a, b, ..] = network.instances();
    for (via, name) in [(&a, b.hostname), (&b, a.hostname)] {
        if until(READY_WITHIN, async || answers(via.egress(), name).await)
            .await
            .is_none()
        {
            return Err(DemoError::NoAnswer {
                from: name.to_owned(),
                via: via.egress(),
                within: READY_WITHIN,
            });
        }
    }
    Ok(())
}

async fn answers(via: SocketAddr, name: &str) -> bool {
    let Ok(uri) = format!("http://{name}:8080/").parse() else {
        return false;
    };
    http::get(via, &uri)
        .await
        .is_ok_and(|(status, _)| status == StatusCode::OK)
}
