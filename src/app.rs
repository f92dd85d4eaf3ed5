//! `serve`: binds, starts and joins everything.
//!
//! Each component is a task on one set. When any of them ends before it was told to, everything is stopped and the error
//! says which it was.

mod mesh;
mod mirror;
mod tasks;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::api::admin::{self, AdminState};
use crate::api::appmesh::{AppMesh, AppMeshError};
use crate::api::auth::{Auth, CredentialsError, CredentialsFile};
use crate::api::endpoints::EndpointsState;
use crate::api::operator::{self, ViewLookup};
use crate::appmesh::status::Mirror;
use crate::appmesh::watch::Watch;
use crate::clients::Clients;
use crate::config::{ApiAuth, Settings};
use crate::data_dir::{self, DataDir};
use crate::discovery::{self, Discovery};
use crate::endpoints::{Endpoints, EndpointsError, Registrations};
use crate::model::NodeRef;
use crate::model::endpoint::EndpointTable;
use crate::reconcile::{self, Views};
use crate::store::journal::{Journal, Memory, Redb};
use crate::store::{self, Store, StoreError, Stored};
use crate::telemetry::metrics::ListenerName;
use crate::telemetry::{Metrics, Ready};
use crate::translate::View;
use crate::transport::{self, Http, Limits, UnixSocket};
use crate::xds::{self, AdsContext, ServerLimits};
use crate::{api, files};
use tasks::Tasks;

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
    Endpoints(#[from] EndpointsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] AppMeshError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Bind(#[from] transport::BindError),
    #[error(transparent)]
    Socket(#[from] transport::SocketError),
    #[error("cannot set up metrics")]
    Metrics(#[from] prometheus::Error),
    #[error("{task} ended by itself; see the log lines above")]
    Ended { task: &'static str },
    #[error("a component failed")]
    Failed { source: tokio::task::JoinError },
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
    options: Options,
    discovery: Discovery,
    endpoints: Endpoints,
    registrations: Registrations,
    store: Store,
    writer: store::Writer,
    mirror: Option<(Watch, Mirror)>,
    appmesh: AppMesh,
    /// `None`: nobody has to authenticate.
    credentials: Option<CredentialsFile>,
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
    if !settings.mesh.is_empty() {
        files::check_paths(&settings.mesh)?;
    }
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
    let kept = data_dir.as_ref().map(|one| one.file("endpoints.redb"));
    let (endpoints, registrations) = Endpoints::new(kept.as_deref(), metrics.registry())?;
    let (store, writer) = open_store(&settings, data_dir.as_ref(), &metrics)?;
    let appmesh = AppMesh::new(store.clone(), settings.identity.clone(), metrics.registry())?;
    let credentials = match &settings.api_auth {
        ApiAuth::None => None,
        ApiAuth::Sigv4 { credentials } => {
            Some(CredentialsFile::open(credentials, metrics.registry())?)
        }
    };
    let mut xds_server = xds::Server::bind(settings.xds_addr)?;
    if let Some(path) = &settings.xds_socket {
        let socket = UnixSocket::bind(path, settings.xds_socket_mode).await?;
        xds_server = xds_server.with_socket(socket);
    }
    let api_listener = transport::listen(settings.api_addr, "the API (--api-addr)")?;
    let admin_listener = transport::listen(settings.admin_addr, "administration (--admin-addr)")?;
    let options = Options::new(&metrics, settings.xds_connection_age);
    let addr = |listener: &TcpListener, asked| listener.local_addr().unwrap_or(asked);
    Ok(Bound {
        xds: xds_server.addr(),
        api: addr(&api_listener, settings.api_addr),
        admin: addr(&admin_listener, settings.admin_addr),
        mirror: mirror::open(settings.mirror.clone(), &store, &metrics)?,
        settings,
        xds_server,
        api_listener,
        admin_listener,
        options,
        discovery,
        endpoints,
        registrations,
        store,
        writer,
        appmesh,
        credentials,
        _data_dir: data_dir,
        metrics,
        clients: Clients::default(),
    })
}

/// What the API was told, from the data folder; without one, nothing is kept.
fn open_store(
    settings: &Settings,
    data_dir: Option<&DataDir>,
    metrics: &Metrics,
) -> Result<(Store, store::Writer), StoreError> {
    let options = store::Options {
        awaits_files: !settings.mesh.is_empty(),
        quotas: settings.quotas.clone(),
    };
    let journal: Box<dyn Journal> = if let Some(folder) = data_dir {
        Box::new(Redb::new(&folder.file(store::STORE_FILE)))
    } else {
        Box::<Memory>::default()
    };
    Store::new(journal, options, metrics.registry())
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
    #[expect(
        clippy::too_many_lines,
        reason = "every component, one after the other"
    )]
    pub async fn run(self, stop: CancellationToken) -> Result<(), AppError> {
        self.announce();
        let store = self.store.clone();
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
        let (model, auth) = (store.watch(), self.auth());
        let ads = self.ads(views.clone(), model.clone());
        let (watch, mirror) = self.mirror.unzip();
        let operators = operators(self.clients, views, &model, self.registrations, mirror);
        let appmesh = self.appmesh.clone();
        let api = api::router(operators.0, operators.1, self.appmesh, auth);
        let sink = mesh::Sink {
            store,
            metrics: self.metrics.clone(),
            ready: ready.clone(),
        };
        let admin = admin::router(AdminState {
            registry: self.metrics.registry().clone(),
            ready: ready.clone(),
        });

        let mut tasks = Tasks::new(stop.clone());
        tasks.serve("the store", |flush| self.writer.run(flush));
        let registered = |flush| self.endpoints.run(table.clone(), flush);
        tasks.serve("registered endpoints", registered);
        if !self.settings.mesh.is_empty() {
            let files = mesh::follow(self.settings.mesh, sink, stop.clone());
            tasks.follow("mesh files", files);
        }
        tasks.follow_credentials(self.credentials, &ready);
        let translation = self.settings.translation;
        let (degraded, until) = (ready.clone(), stop.clone());
        let discovery = self.discovery.run(wanted, table, degraded, until);
        tasks.follow("discovery", discovery);
        tasks.follow(
            "translation",
            reconcile::run(translation, inputs, outputs, stop.clone()),
        );
        tasks.follow("xDS", self.xds_server.run(ads, stop.clone()));
        if let Some(watch) = watch {
            tasks.follow("the mirror", watch.run(stop.clone()));
        }
        let Options {
            operators,
            monitors,
            ..
        } = self.options;
        let api = transport::serve(self.api_listener.into(), api, operators, stop.clone());
        tasks.follow("the API", async move {
            api.await;
            appmesh.finish().await;
        });
        let admin = transport::serve(self.admin_listener.into(), admin, monitors, stop);
        tasks.follow("administration", admin);
        tasks.join(&ready).await
    }

    fn auth(&self) -> Auth {
        (self.credentials.as_ref()).map_or(Auth::None, Auth::sigv4)
    }

    fn announce(&self) {
        let socket = self.xds_server.socket().map(Path::display);
        info!(
            xds = %self.xds,
            xds_socket = socket.map(tracing::field::display),
            api = %self.api,
            admin = %self.admin,
            "serving"
        );
        if let Some(mirror) = &self.settings.mirror {
            info!(endpoint = mirror.target.endpoint, "mirroring");
        }
        if self.settings.data_dir.is_none() {
            warn!(
                "what the API is told is kept in memory only and gone with this process; name a folder with --data-dir"
            );
        }
    }

    fn ads(&self, views: Views, model: watch::Receiver<Stored>) -> AdsContext {
        AdsContext {
            sharing: Arc::default(),
            clients: self.clients.clone(),
            views,
            metrics: self.metrics.clone(),
            limits: ServerLimits {
                connections: self.options.sidecars.clone(),
                ..ServerLimits::default()
            },
            model,
        }
    }
}

/// How the three addresses are served. A descriptor is there for each connection that their limits allow, with as many
/// again for all else; where the system has few, an address takes fewer.
#[derive(Debug)]
struct Options {
    sidecars: Limits,
    operators: transport::Options,
    monitors: transport::Options,
}

impl Options {
    fn new(metrics: &Metrics, age: Option<Duration>) -> Self {
        let files = transport::raise_open_files();
        let options = |limits, name| transport::Options {
            http: Http::OneAndTwo,
            limits,
            metrics: metrics.connections(name),
        };
        Self {
            // Over TCP and over the Unix socket each.
            sidecars: Limits {
                age,
                ..Limits::SIDECARS.within(files / 3)
            },
            operators: options(Limits::OPERATORS.within(files / 8), ListenerName::Api),
            monitors: options(Limits::MONITORS.within(files / 8), ListenerName::Admin),
        }
    }
}

/// What the calls of operators and orchestrators work on.
fn operators(
    clients: Clients,
    views: Views,
    model: &watch::Receiver<Stored>,
    registrations: Registrations,
    mirror: Option<Mirror>,
) -> (operator::State, EndpointsState) {
    let operators = operator::State {
        clients,
        views: lookup(views),
        model: model.clone(),
        mirror,
    };
    let endpoints = EndpointsState {
        registrations,
        model: model.clone(),
    };
    (operators, endpoints)
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
