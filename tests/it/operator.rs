//! The operators' gRPC service and the two commands that read it, over a real socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use outrigger::api::appmesh::AppMesh;
use outrigger::api::auth::Auth;
use outrigger::api::endpoints::EndpointsState;
use outrigger::api::operator::State;
use outrigger::api::operator::generated::operator_client::OperatorClient;
use outrigger::api::operator::generated::{self as api, GetConfigRequest, ListClientsRequest};
use outrigger::cli::connect::ApiArgs;
use outrigger::cli::output::{CliError, Exit, Output};
use outrigger::cli::{config_dump, status};
use outrigger::clients::{ClientInfo, Clients, RefusedNode, Registration, Variant};
use outrigger::endpoints::Endpoints;
use outrigger::model::{Capture, ClientKind, NodeRef, ViewKey};
use outrigger::snapshot::{Kind, Resource, Snapshot, Version, Withheld};
use outrigger::store::{Store, Writer};
use outrigger::telemetry::Metrics;
use outrigger::telemetry::metrics::{ListenerName, Refusal};
use outrigger::transport::{self, Http, Limits, Options, Peer};
use outrigger::xds::{KindStatus, Rejection, StreamStatus};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// Long enough that a slow machine changes no test's result.
const HOUR: Duration = Duration::from_hours(1);

/// A control plane that knows node `a`: its view has a cluster, a secret and withheld endpoints.
struct Plane {
    clients: Clients,
    writer: Mutex<Writer>,
    url: String,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Plane {
    async fn start() -> Self {
        let clients = Clients::default();
        let (store, writer) = Store::in_memory().unwrap();
        let connected = clients.views();
        let snapshot = Arc::new(snapshot());
        let state = State {
            clients: clients.clone(),
            views: Arc::new(move |node| {
                let keys = connected.borrow();
                (keys.iter().filter(|key| key.node == *node))
                    .map(|key| (key.clone(), Arc::clone(&snapshot)))
                    .collect()
            }),
            model: store.watch(),
            mirror: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (_, registrations) = Endpoints::new(None, Metrics::new().unwrap().registry()).unwrap();
        let endpoints = EndpointsState {
            registrations,
            model: store.watch(),
        };
        let registry = Metrics::new().unwrap();
        let identity = outrigger::model::arn::Identity::default();
        let appmesh = AppMesh::new(store.clone(), identity, registry.registry()).unwrap();
        let router = outrigger::api::router(state, endpoints, appmesh, Auth::None);
        let options = Options {
            http: Http::OneAndTwo,
            limits: Limits::OPERATORS,
            metrics: Metrics::new().unwrap().connections(ListenerName::Api),
        };
        let serving = transport::serve(listener.into(), router, options, stop.clone());
        tasks.spawn(serving);
        Self {
            clients,
            writer: Mutex::new(writer),
            url,
            stop,
            tasks,
        }
    }

    fn connect(&self, name: &str) -> Registration {
        let node = node(name);
        self.clients.register(ClientInfo {
            key: ViewKey {
                node: node.clone(),
                capture: Capture::Explicit {
                    bind: [127, 0, 0, 2].into(),
                    applications: BTreeMap::from([(
                        8080,
                        SocketAddr::from(([127, 0, 0, 1], 9000)),
                    )]),
                },
                client: ClientKind::Envoy,
            },
            node,
            peer: Peer::Tcp(([127, 0, 0, 1], 40123).into()),
            variant: Variant::Sotw,
            user_agent: "envoy 1.40.0".to_owned(),
            connected_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        })
    }

    fn api(&self) -> ApiArgs {
        ApiArgs {
            api_url: Some(self.url.clone()),
        }
    }

    async fn status(&self, node: Option<&str>, output: Output) -> Result<String, CliError> {
        let args = status::StatusArgs {
            node: node.map(str::to_owned),
            output,
            api: self.api(),
        };
        status::run(args).await
    }

    async fn config(&self, node: &str, types: &[&str], output: Output) -> Result<String, CliError> {
        let args = config_dump::ConfigArgs {
            node: node.to_owned(),
            types: types.iter().map(|name| (*name).to_owned()).collect(),
            output,
            api: self.api(),
        };
        config_dump::run(args).await
    }
}

fn node(name: &str) -> NodeRef {
    NodeRef::parse(&format!("mesh/m/virtualNode/{name}")).unwrap()
}

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let cluster = Cluster {
        name: "cds_egress_m_b_http_8080".to_owned(),
        ..Cluster::default()
    };
    let secret = Secret {
        name: "tls".to_owned(),
        ..Secret::default()
    };
    let name = Arc::from(cluster.name.as_str());
    let cluster = Resource::new(Kind::Cluster, Arc::clone(&name), &cluster, None);
    snapshot.insert(Arc::new(cluster));
    snapshot.insert(Arc::new(Resource::new(
        Kind::Secret,
        Arc::from("tls"),
        &secret,
        None,
    )));
    snapshot.withhold(Kind::Endpoint, name, Withheld::Awaited);
    snapshot
}

/// A stream of ten hours: clusters acknowledged, endpoints unanswered for two, a listener rejected three ago.
fn stream_status() -> StreamStatus {
    let mut status = StreamStatus::default();
    let (old, new) = (Version::from_hash(1), Version::from_hash(2));
    status.kinds[Kind::Cluster] = KindStatus {
        subscribed: true,
        resources: 3,
        sent: Some(new),
        acked: Some(new),
        ..KindStatus::default()
    };
    status.kinds[Kind::Endpoint] = KindStatus {
        subscribed: true,
        resources: 2,
        sent: Some(new),
        acked: Some(old),
        pending_since: Some(8 * HOUR),
        rejections: Vec::new(),
    };
    status.kinds[Kind::Listener] = KindStatus {
        subscribed: true,
        resources: 1,
        sent: Some(new),
        acked: Some(old),
        pending_since: None,
        rejections: vec![Rejection {
            resource: Some(Arc::from("lds_egress_http_15001")),
            version: Some(new),
            message: "cannot bind '127.0.0.2:15001': Address already in use".into(),
            since: 7 * HOUR,
        }],
    };
    status
}

fn hours(duration: Option<prost_types::Duration>) -> u64 {
    Duration::try_from(duration.unwrap()).unwrap().as_secs() / 3600
}

#[tokio::test]
async fn list_clients_says_how_each_stands() {
    let plane = Plane::start().await;
    let a = plane.connect("a");
    let _b = plane.connect("b");
    a.update(stream_status(), 10 * HOUR);
    let mut operator = OperatorClient::connect(plane.url.clone()).await.unwrap();

    let all = operator.list_clients(ListClientsRequest::default()).await;
    let nodes = all.unwrap().into_inner().clients;
    let nodes: Vec<&str> = nodes.iter().map(|client| client.node.as_str()).collect();
    assert_eq!(nodes, ["mesh/m/virtualNode/a", "mesh/m/virtualNode/b"]);

    let request = ListClientsRequest {
        node: "arn:aws:appmesh:eu-west-1:123456789012:mesh/m/virtualNode/a".to_owned(),
    };
    let response = operator.list_clients(request).await.unwrap().into_inner();
    let [client] = response.clients.as_slice() else {
        panic!("{response:?}")
    };
    assert_eq!(client.node, "mesh/m/virtualNode/a");
    assert_eq!(client.peer, "127.0.0.1:40123");
    assert_eq!(client.variant(), api::Variant::Sotw);
    assert_eq!(
        client.connected_at.unwrap().to_string(),
        "2026-09-21T14:13:20Z"
    );
    assert_eq!(hours(client.connected_for), 10);
    let states: Vec<_> = (client.kinds.iter())
        .map(|kind| (kind.kind.as_str(), kind.resources, kind.state()))
        .collect();
    let expected = [
        ("cds", 3, api::State::Synced),
        ("eds", 2, api::State::Pending),
        ("lds", 1, api::State::Rejected),
    ];
    assert_eq!(states, expected);
    assert_eq!(hours(client.kinds[1].pending_for), 2);
    assert_eq!(client.kinds[1].sent_version, "----------1");
    assert_eq!(client.kinds[1].acked_version, "----------0");
    let rejection = &client.kinds[2].rejections[0];
    assert_eq!(rejection.resource, "lds_egress_http_15001");
    assert!(rejection.message.contains("Address already in use"));
    assert_eq!(hours(rejection.rejected_for), 3);
}

#[tokio::test]
async fn get_config_hands_out_the_bytes_that_a_sidecar_gets_but_no_secret() {
    let plane = Plane::start().await;
    let _a = plane.connect("a");
    let mut operator = OperatorClient::connect(plane.url.clone()).await.unwrap();
    let request = GetConfigRequest {
        node: "mesh/m/virtualNode/a".to_owned(),
        kinds: Vec::new(),
    };
    let config = operator.get_config(request).await.unwrap().into_inner();
    let resources = &config.views[0].resources;
    let names: Vec<_> = (resources.iter())
        .map(|resource| (resource.kind.as_str(), resource.name.as_str()))
        .collect();
    let cluster = "cds_egress_m_b_http_8080";
    assert_eq!(names, [("cds", cluster), ("eds", cluster), ("sds", "tls")]);

    let expected = snapshot();
    let expected = expected.get(Kind::Cluster, cluster).unwrap();
    let body = resources[0].body.as_ref().unwrap();
    assert_eq!(body.type_url, Kind::Cluster.type_url());
    assert_eq!(body.value, expected.body());
    assert_eq!(resources[0].version, expected.version().to_string());
    assert_eq!(
        (&resources[1].body, resources[1].version.as_str()),
        (&None, "")
    );
    assert_eq!(resources[2].body, None, "a secret must not be shown");
    assert!(!resources[2].version.is_empty());
}

#[tokio::test]
async fn the_service_says_what_is_wrong_with_a_request() {
    let plane = Plane::start().await;
    let _a = plane.connect("a");
    let mut operator = OperatorClient::connect(plane.url.clone()).await.unwrap();
    let mut ask = async |node: &str, kinds: &[&str]| {
        let request = GetConfigRequest {
            node: node.to_owned(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        };
        let status = operator.get_config(request).await.unwrap_err();
        (status.code(), status.message().to_owned())
    };
    for (node, kinds, code, text) in [
        (
            "service-a",
            &[][..],
            Code::InvalidArgument,
            "mesh/MESH/virtualNode/NODE",
        ),
        ("", &[], Code::InvalidArgument, "`node.id` is empty"),
        (
            "mesh/m/virtualNode/x",
            &[],
            Code::NotFound,
            "no sidecar of `mesh/m/virtualNode/x` is connected",
        ),
        (
            "mesh/m/virtualNode/a",
            &["xds"],
            Code::InvalidArgument,
            "cds, eds, sds, lds, rds, ecds",
        ),
    ] {
        let (answered, message) = ask(node, kinds).await;
        assert_eq!(answered, code, "{message}");
        assert!(message.contains(text), "{message}");
    }
}

#[tokio::test]
async fn status_prints_a_line_for_each_client_and_rejections_below() {
    let plane = Plane::start().await;
    assert_eq!(
        plane.status(None, Output::Table).await.unwrap(),
        "no sidecar is connected\n"
    );
    let a = plane.connect("a");
    a.update(stream_status(), 10 * HOUR);
    let text = plane.status(None, Output::Table).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(lines[0]), "NODE PEER VARIANT CONNECTED CDS EDS LDS");
    assert_eq!(
        words(lines[1]),
        "mesh/m/virtualNode/a 127.0.0.1:40123 sotw 10 h 0 min synced 3 pending 2 h 0 min rejected 1"
    );
    assert!(
        lines[3].contains("rejected lds lds_egress_http_15001"),
        "{text}"
    );
    assert!(lines[4].contains("Address already in use"), "{text}");

    let json = plane
        .status(Some("mesh/m/virtualNode/a"), Output::Json)
        .await;
    let json: serde_json::Value = serde_json::from_str(&json.unwrap()).unwrap();
    assert_eq!(json["clients"][0]["kinds"][2]["state"], "rejected");
}

#[tokio::test]
async fn status_tells_who_was_refused_and_what_is_declared() {
    let plane = Plane::start().await;
    let nobody = "mesh/m/virtualNode/nobody";
    let asked = async |node| plane.status(Some(node), Output::Table).await;
    let text = asked(nobody).await.unwrap_err().to_string();
    assert!(text.contains("no mesh is loaded yet"), "{text}");

    let mesh = "kind: Mesh\nmeshName: m\nspec: {}\n---\n\
                { kind: VirtualNode, meshName: m, virtualNodeName: a, spec: {} }\n";
    let model = crate::plane::model(mesh);
    let declared = (plane.writer.lock().unwrap()).replace_files(model.into(), Instant::now());
    declared.unwrap();
    let text = asked("mesh/m/virtualNode/a").await.unwrap_err().to_string();
    assert!(text.contains("is declared, and no sidecar"), "{text}");
    let text = asked(nobody).await.unwrap_err().to_string();
    assert!(text.contains("is not declared, and no sidecar"), "{text}");

    for message in ["the first reason", "the second"] {
        let now = tokio::time::Instant::now();
        plane.clients.refused(RefusedNode {
            node: nobody.to_owned(),
            peer: Peer::Unix { pid: Some(4242) },
            user_agent: "envoy".to_owned(),
            reason: Refusal::UnknownNode,
            message: message.to_owned(),
            count: 1,
            first: now,
            last: now,
        });
    }
    for text in [
        asked(nobody).await.unwrap_err().to_string(),
        plane.status(None, Output::Table).await.unwrap(),
    ] {
        let words = [
            nobody,
            " at unix:pid=4242 was refused",
            ", 2 times in",
            "the second",
        ];
        assert!(words.iter().all(|words| text.contains(words)), "{text}");
        assert!(!text.contains("the first reason"), "{text}");
    }
    let json = plane.status(None, Output::Json).await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let [refused] = json["refused"].as_array().unwrap().as_slice() else {
        panic!("{json}")
    };
    assert_eq!(
        (&refused["reason"], &refused["count"]),
        (&"unknown_node".into(), &2.into())
    );
}

#[tokio::test]
async fn config_prints_resources_with_their_type() {
    let plane = Plane::start().await;
    let _a = plane.connect("a");
    let id = "mesh/m/virtualNode/a";
    let json = plane.config(id, &["cds"], Output::Json).await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let resources = &json["views"][0]["resources"];
    assert_eq!(
        resources["cds"][0]["resource"],
        serde_json::json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "cds_egress_m_b_http_8080",
        })
    );
    assert_eq!(
        resources.as_object().unwrap().len(),
        1,
        "only `cds` was asked for"
    );
    let table = plane.config(id, &[], Output::Table).await.unwrap();
    assert!(
        table.starts_with(
            "mesh/m/virtualNode/a, envoy, explicit at 127.0.0.2, 8080 to 127.0.0.1:9000\n"
        ),
        "{table}"
    );
}

#[tokio::test]
async fn commands_say_no_with_1_and_fail_with_2() {
    let plane = Plane::start().await;
    let failed = plane
        .config("mesh/m/virtualNode/x", &[], Output::Json)
        .await
        .unwrap_err();
    assert_eq!(failed.exit, Exit::No);
    assert!(
        failed
            .to_string()
            .contains("no sidecar of `mesh/m/virtualNode/x`"),
        "{failed}"
    );
    let failed = plane
        .status(Some("mesh/m/virtualNode/x"), Output::Table)
        .await
        .unwrap_err();
    assert_eq!(failed.exit, Exit::No);

    let url = plane.url.clone();
    let Plane {
        mut tasks, stop, ..
    } = plane;
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    for (url, text) in [(url.as_str(), "cannot reach"), ("not a url", "is no URL")] {
        let args = status::StatusArgs {
            node: None,
            output: Output::Table,
            api: ApiArgs {
                api_url: Some(url.to_owned()),
            },
        };
        let failed = status::run(args).await.unwrap_err();
        assert_eq!(failed.exit, Exit::Unable);
        let report = format!("{:?}", failed.report);
        assert!(report.contains(text) && report.contains(url), "{report}");
        assert!(report.contains("OUTRIGGER_API_URL"), "{report}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let plane = Plane::start().await;
    let (status, headers, body) = super::http::get(&plane.url, "/v20190125/nothing").await;
    assert_eq!(status, 400);
    assert!(headers.contains("application/json"), "{headers}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("/v20190125/nothing"), "{message}");
}
