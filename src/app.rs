//! `serve`: binds, starts and joins everything.
//!
//! Each component is a task on one set. When any of them ends before it was told to, everything is stopped and the error
//! says which it was.

mod mesh;

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::api::admin::{self, AdminState};
use crate::api::operator::{self, ViewLookup};
use crate::clients::Clients;
use crate::config::Settings;
use crate::data_dir::{self, DataDir};
use crate::discovery::{self, Discovery};
use crate::model::NodeRef;
use crate::model::endpoint::EndpointTable;
use crate::reconcile::{self, Views};
use crate::store::Store;
use crate::telemetry::{Metrics, Ready};
use crate::translate::View;
use crate::xds::{self, AdsContext, ServerLimits};
use crate::{api, files};

/// Why `serve` cannot start, or ended.
#[derive(Debug, Error)]
pub enum AppError {
    #[error(transparent)]
    Mesh(#[from] files::LoadError),
    #[error(transparent)]
    DataDir(#[from] data_dir::DataDirError),
    #[error(transparent)]
    Discovery(#[from] discovery::DiscoveryError),
    #[error(transparent)]
    Bind(#[from] xds::BindError),
    #[error("cannot set up metrics")]
    Metrics(#[from] prometheus::Error),
    #[error("{task} ended by itself; see the log lines above")]
    Ended { task: &'static str },
    #[error("{task} failed")]
    Failed { task: &'static str, source: Failure },
}

/// Everything bound and nothing started: the addresses are known, also where port 0 was asked for.
#[derive(Debug)]
pub struct Bound {
    pub xds: SocketAddr,
    pub api: SocketAddr,
    pub admin: SocketAddr,
    settings: Settings,
    xds_server: xds::Server,
    api_listener: TcpListener,
    admin_listener: TcpListener,
    discovery: Discovery,
    /// Locked as long as this lives.
    _data_dir: Option<DataDir>,
    metrics: Metrics,
    clients: Clients,
}

/// Binds the addresses and checks that the mesh's paths are there. What is wrong inside the files is no reason not to
/// start: mended, they are taken.
///
/// # Errors
/// [`AppError`] when an address is taken, or a path is missing or holds no mesh file.
pub async fn bind(settings: Settings) -> Result<Bound, AppError> {
    files::check_paths(&settings.mesh)?;
    let data_dir = settings
        .data_dir
        .as_deref()
        .map(DataDir::open)
        .transpose()?;
    let mut dns = settings.dns.clone();
    dns.answers_file = data_dir
        .as_ref()
        .map(|folder| folder.file("dns-answers.jsonl"));
    let metrics = Metrics::new()?;
    let discovery = Discovery::new(dns, metrics.registry())?;
    let xds_server = xds::Server::bind(settings.xds_addr)?;
    let api_listener = listen(settings.api_addr, "the API (--api-addr)").await?;
    let admin_listener = listen(settings.admin_addr, "administration (--admin-addr)").await?;
    let addr = |listener: &TcpListener, asked| listener.local_addr().unwrap_or(asked);
    Ok(Bound {
        xds: xds_server.addr(),
        api: addr(&api_listener, settings.api_addr),
        admin: addr(&admin_listener, settings.admin_addr),
        settings,
        xds_server,
        api_listener,
        admin_listener,
        discovery,
        _data_dir: data_dir,
        metrics,
        clients: Clients::default(),
    })
}

async fn listen(addr: SocketAddr, purpose: &'static str) -> Result<TcpListener, AppError> {
    Ok(TcpListener::bind(addr)
        .await
        .map_err(|source| xds::BindError {
            addr,
            purpose,
            source,
        })?)
}

impl Bound {
    /// Who is connected, as it changes.
    pub fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// [`AppError`] when a component fails, or ends though nobody told it to.
    pub async fn run(self, stop: CancellationToken) -> Result<(), AppError> {
        info!(xds = %self.xds, api = %self.api, admin = %self.admin, "serving");
        let store = Store::default();
        let (ready, views) = (Ready::default(), Views::default());
        let table = watch::Sender::new(EndpointTable::default());
        let sources = watch::Sender::default();
        let wanted = sources.subscribe();
        let inputs = reconcile::Inputs {
            model: store.watch(),
            endpoints: table.subscribe(),
            views: self.clients.views(),
        };
        let outputs = reconcile::Outputs {
            views: views.clone(),
            sources,
            metrics: self.metrics.clone(),
        };
        let ads = AdsContext {
            clients: self.clients.clone(),
            views: views.clone(),
            metrics: self.metrics.clone(),
            limits: ServerLimits::default(),
            model: store.watch(),
        };
        let sink = mesh::Sink {
            store,
            metrics: self.metrics.clone(),
            ready: ready.clone(),
        };
        let api = api::router(operator::State {
            clients: self.clients,
            views: lookup(views),
        });
        let admin = admin::router(AdminState {
            registry: self.metrics.registry().clone(),
            ready: ready.clone(),
        });

        let translation = self.settings.translation;
        let mut tasks = Tasks::new(stop.clone());
        tasks.follow(
            "mesh files",
            mesh::follow(self.settings.mesh, sink, stop.clone()),
        );
        let (degraded, until) = (ready.clone(), stop.clone());
        let discovery = self.discovery.run(wanted, table, degraded, until);
        tasks.follow("discovery", discovery);
        tasks.follow(
            "translation",
            reconcile::run(translation, inputs, outputs, stop.clone()),
        );
        tasks.spawn("xDS", self.xds_server.run(ads, stop.clone()));
        tasks.spawn("the API", api::serve(self.api_listener, api, stop.clone()));
        tasks.spawn(
            "administration",
            api::serve(self.admin_listener, admin, stop),
        );
        tasks.join(&ready).await
    }
}

/// The views that are served to a node's sidecars, for operators.
fn lookup(views: Views) -> ViewLookup {
    Arc::new(move |node: &NodeRef| {
        let views = views.of_node(node).into_iter();
        let serving = views.filter_map(|(key, view)| match view {
            View::Serving(snapshot) => Some((key, snapshot)),
            View::NotFound | View::Unsupported(_) => None,
        });
        serving.collect()
    })
}

/// Whatever error a component ends with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The components, each with its name; the first that ends by itself stops all.
#[derive(Debug)]
struct Tasks {
    running: JoinSet<(&'static str, Result<(), Failure>)>,
    stop: CancellationToken,
}

impl Tasks {
    fn new(stop: CancellationToken) -> Self {
        Self {
            running: JoinSet::new(),
            stop,
        }
    }

    /// Starts a component that cannot fail.
    fn follow(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            task.await;
            (name, Ok(()))
        });
    }

    fn spawn<E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.running
            .spawn(async move { (name, task.await.map_err(Into::into)) });
    }

    async fn join(mut self, ready: &Ready) -> Result<(), AppError> {
        let mut outcome = Ok(());
        let stop = self.stop.clone();
        let unready = async {
            stop.cancelled().await;
            ready.drain();
        };
        let joined = async {
            while let Some(ended) = self.running.join_next().await {
                let stopped = self.stop.is_cancelled();
                let failure = match ended {
                    Ok((_, Ok(()))) if stopped => continue,
                    Ok((task, Ok(()))) => AppError::Ended { task },
                    Ok((task, Err(source))) => AppError::Failed { task, source },
                    Err(source) => AppError::Failed {
                        task: "a component",
                        source: source.into(),
                    },
                };
                if outcome.is_ok() {
                    outcome = Err(failure);
                }
                self.stop.cancel();
            }
        };
        tokio::join!(unready, joined);
        outcome
    }
}
