//! Applications that know nothing of the mesh, on hosts whose traffic the kernel redirects into real Envoys, which a real
//! control plane configures.

mod application;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use outrigger::demo::dns::{DnsServer, Zone};
use outrigger::envoy::bootstrap::{BootstrapOptions, bootstrap};
use outrigger::envoy::child::{Child, ChildCommand};
use outrigger::envoy::process::{Envoy, EnvoyOptions};
use outrigger::model::{Capture, NodeRef};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hosts::{Host, Net, first_line, greet, greeting};
use crate::world::{OUTRIGGER, PATIENCE, eventually, get};
use application::{
    Failure, client_hello, conversation, echoed, get_http2, grpc, serve_echo, serve_http, unary,
    websocket,
};

/// What nobody who listens for a client's first bytes, and then goes on without, would do in.
const AT_ONCE: Duration = Duration::from_secs(2);

const STATS: &str = "/stats?format=json&filter=^listener_manager";

/// Four nodes' worth of protocols on two hosts; what `a` calls, and a host that is not of the mesh.
struct Mesh {
    a: Host,
    b: Host,
    outside: Host,
    control_plane: Child,
    sidecars: Vec<Envoy>,
    net: Net,
    _hosts: [Host; 2],
}

/// Which addresses the mesh uses.
#[derive(Clone, Copy, PartialEq)]
enum Families {
    V4,
    Both,
}

impl Mesh {
    async fn start(egress_filter: &str, families: Families) -> Self {
        let net = Net::new().await;
        let control = net.host("control").await;
        let [a, b, c, outside] = [
            net.host("a").await,
            net.host("b").await,
            net.host("c").await,
            net.host("outside").await,
        ];
        for (host, name) in [(&b, "b"), (&c, "c"), (&outside, "outside")] {
            serve_http(&host.app, 8080, name).await;
            for port in [6379, 3306] {
                greet(&host.app, ([0; 16], port), name).await;
            }
        }
        for port in [8081, 50051] {
            serve_http(&b.app, port, "b").await;
        }
        for port in [80, 50051] {
            serve_http(&outside.root, port, "outside").await;
        }
        for port in [443, 8081] {
            serve_echo(&outside.root, port).await;
        }

        let zone = Zone::default();
        for (name, host) in [("a.local", &a), ("b.local", &b), ("c.local", &c)] {
            let addresses = host.at(0).map(|address| address.ip());
            zone.set(name, Duration::from_mins(1), addresses.to_vec());
        }
        let control_plane =
            control_plane(&net, &control, zone, &yaml(egress_filter, families)).await;
        let mut sidecars = Vec::new();
        for (host, node, ports) in [
            (&a, "a", "8080"),
            (&b, "b", "8080,8081,50051,6379"),
            (&c, "c", "8080"),
        ] {
            sidecars.push(sidecar(&net, &control, host, node).await);
            let ports = ["capture", "install", "--app-ports", ports];
            let ipv6: &[&str] = match families {
                Families::V4 => &[],
                Families::Both => &["--enable-ipv6"],
            };
            let output = host.outrigger(&[&ports, ipv6].concat()).await;
            assert!(output.status.success(), "{output:?}");
        }
        Self {
            a,
            b,
            outside,
            control_plane,
            sidecars,
            net,
            _hosts: [c, control],
        }
    }

    /// Has the application on `a` call somebody. A failure is part of the answer.
    async fn call<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, String> {
        let answer = tokio::time::timeout(PATIENCE, self.a.app.run(call)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{:?}", self.control_plane.last_lines(40)));
        answer.map_err(|error| error.to_string())
    }

    /// Saves another mesh, and waits until the sidecar of `a` has changed this number of listeners in place.
    async fn declare(&mut self, yaml: &str, changed: u64) {
        write_mesh(&self.net, yaml);
        let admin = self.sidecars[0].admin();
        eventually("the sidecar has it", PATIENCE, async || {
            let stats = async move { admin.get_json(STATS).await.unwrap() };
            let stats = self.a.root.run(stats).await;
            let stat = |name: &str| {
                let mut all = stats["stats"].as_array().unwrap().iter();
                let name = format!("listener_manager.{name}");
                all.find(|stat| stat["name"] == name)?["value"].as_u64()
            };
            let pairs = [
                stat("listener_in_place_updated")?,
                stat("total_listeners_warming")?,
            ];
            // All of a listener would change instead, and lose its connections.
            assert_eq!(stat("total_listeners_draining"), Some(0));
            (pairs == [changed, 0]).then_some(())
        })
        .await;
    }

    async fn get(&self, address: SocketAddr, authority: &'static str) -> (u16, String) {
        let call = async move { get(address, authority, "/").await };
        self.call(call).await.unwrap_or_else(|error| (0, error))
    }

    async fn greeting(&self, address: SocketAddr) -> String {
        let begun = Instant::now();
        let line = self.call(async move { Ok(greeting(address).await) }).await;
        assert!(
            begun.elapsed() < AT_ONCE,
            "{address}: {:?}",
            begun.elapsed()
        );
        line.unwrap()
    }
}

fn yaml(egress_filter: &str, families: Families) -> String {
    let preference = match families {
        Families::V4 => "",
        Families::Both => ", serviceDiscovery: { ipPreference: IPv6_PREFERRED }",
    };
    let node = |name: &str, listeners: &[(u16, &str)], backends: &str| {
        let mappings = listeners.iter().map(|(port, protocol)| {
            format!("{{ portMapping: {{ port: {port}, protocol: {protocol} }} }}")
        });
        let listeners = mappings.collect::<Vec<_>>().join(", ");
        format!(
            "---
kind: VirtualNode
meshName: m
virtualNodeName: {name}
spec:
  serviceDiscovery: {{ dns: {{ hostname: {name}.local }} }}
  listeners: [{listeners}]
  backends: [{backends}]
---
kind: VirtualService
meshName: m
virtualServiceName: service-{name}.local
spec: {{ provider: {{ virtualNode: {{ virtualNodeName: {name} }} }} }}
"
        )
    };
    let backend = |name: &str| {
        format!("{{ virtualService: {{ virtualServiceName: service-{name}.local }} }}")
    };
    let all = [
        (8080, "http"),
        (8081, "http2"),
        (50051, "grpc"),
        (6379, "tcp"),
    ];
    [
        format!(
            "kind: Mesh\nmeshName: m\nspec: {{ egressFilter: {{ type: {egress_filter} }}{preference} }}\n"
        ),
        node("a", &[(8080, "http")], &[backend("b"), backend("c")].join(", ")),
        node("b", &all, ""),
        node("c", &[(8080, "http")], ""),
    ]
    .concat()
}

/// As an editor saves it.
fn write_mesh(net: &Net, yaml: &str) -> PathBuf {
    let aside = net.folder.path().join("mesh.yaml.new");
    let file = net.folder.path().join("mesh.yaml");
    std::fs::write(&aside, yaml).unwrap();
    std::fs::rename(aside, &file).unwrap();
    file
}

async fn control_plane(net: &Net, host: &Host, zone: Zone, mesh: &str) -> Child {
    let file = write_mesh(net, mesh);
    let dns = SocketAddr::new(host.v4, 10053);
    let server = host.root.run(DnsServer::bind(dns, zone)).await.unwrap();
    host.root.spawn(server.run(CancellationToken::new()));
    let command = ChildCommand::new(OUTRIGGER, OUTRIGGER)
        .arg("serve")
        .arg("--mesh")
        .arg(file)
        .args(["--xds-addr", &xds(host), "--insecure"])
        .args(["--dns-server", &dns.to_string()]);
    let log = net.folder.path().join("control-plane.log");
    let mut child = host
        .root
        .run(async move { command.spawn("control plane", &log).unwrap() })
        .await;
    let admin = SocketAddr::from(([127, 0, 0, 1], 9081));
    eventually("the control plane is ready", PATIENCE, async || {
        assert!(child.ended().is_none(), "{:?}", child.last_lines(20));
        let ready = async move { get(admin, "ignored", "/readyz").await.ok() };
        (host.root.run(ready).await?.0 == 200).then_some(())
    })
    .await;
    child
}

fn xds(control: &Host) -> String {
    SocketAddr::new(control.v4, 18000).to_string()
}

/// A real Envoy, as the user whose traffic is not redirected.
async fn sidecar(net: &Net, control: &Host, host: &Host, node: &'static str) -> Envoy {
    let binary = net.program(&crate::envoy::binary().await);
    let guard = net.program(OUTRIGGER.as_ref());
    let name = NodeRef::parse(&format!("mesh/m/virtualNode/{node}")).unwrap();
    let options = BootstrapOptions::new(name, xds(control).parse().unwrap(), Capture::Redirect);
    let folder = net.folder.path().to_owned();
    let start = async move {
        let mut start = EnvoyOptions::new(format!("envoy-{node}"), &guard, &binary, &folder);
        // What a change of a listener cuts off is cut off while the test still looks.
        start.drain = Duration::from_secs(1);
        let bootstrap = bootstrap(&options).unwrap();
        let mut envoy = Envoy::start(&start, &bootstrap, options.admin()).unwrap();
        envoy.ready(PATIENCE).await.map(|()| envoy)
    };
    let ready = host.envoy.run(start).await;
    ready.unwrap_or_else(|error| panic!("{error}"))
}

/// A call reaches the application from its own sidecar, on loopback, and with the host that the caller named.
async fn every_protocol(mesh: &Mesh, family: usize, loopback: &str) {
    let at = |port| mesh.b.at(port)[family];
    let http =
        |version: &str, authority: &str| format!("b {version} to {loopback} for {authority}");
    let port_8080 = "service-b.local:8080";
    let answer = mesh.get(at(8080), port_8080).await;
    assert_eq!(answer, (200, http("HTTP/1.1", port_8080)));
    // Two services on one port, told apart by the host; which of the mesh's addresses was dialled makes no difference.
    let (status, body) = mesh.get(at(8080), "service-c.local:8080").await;
    assert!(
        status == 200 && body.starts_with("c HTTP/1.1 to "),
        "{status} {body}"
    );
    let bare = mesh.get(at(8080), "service-b.local").await;
    assert_eq!(bare, (200, http("HTTP/1.1", "service-b.local")));

    let authority = "service-b.local:8081";
    let answer = mesh.call(get_http2(at(8081), authority)).await;
    assert_eq!(answer, Ok((200, http("HTTP/2.0", authority))));
    // The listener of the target says which version the application is called with.
    let answer = mesh.call(get_http2(at(8080), port_8080)).await;
    assert_eq!(answer, Ok((200, http("HTTP/1.1", port_8080))));

    let address = at(50051);
    let (one, many, failed) = mesh
        .call(async move {
            let channel = grpc(address, "service-b.local:50051").await?;
            Ok((
                unary(&channel, "one").await,
                conversation(&channel, 3).await,
                unary(&channel, "fail").await,
            ))
        })
        .await
        .unwrap();
    assert_eq!(one.unwrap(), "echo of one");
    assert_eq!(many.unwrap(), ["echo of 0", "echo of 1", "echo of 2"]);
    let failed = failed.unwrap_err();
    assert_eq!(
        (failed.code(), failed.message()),
        (tonic::Code::FailedPrecondition, "as you wish")
    );

    let answer = mesh.call(websocket(at(8080), port_8080)).await;
    assert_eq!(answer.as_deref(), Ok("the same frame"));

    let greeted = mesh.greeting(at(6379)).await;
    assert!(
        greeted.starts_with("b for ") && greeted.contains(loopback),
        "{greeted}"
    );
}

#[tokio::test]
async fn every_protocol_passes_two_sidecars() {
    let mesh = Mesh::start("ALLOW_ALL", Families::V4).await;
    every_protocol(&mesh, 0, "127.0.0.1").await;
    // Nobody has this address: the sidecar does not look at it.
    let nobody: IpAddr = "10.0.0.99".parse().unwrap();
    let (status, _) = mesh
        .get((nobody, 8080).into(), "service-b.local:8080")
        .await;
    assert_eq!(status, 200);
    assert!(
        mesh.greeting((nobody, 6379).into())
            .await
            .starts_with("b for ")
    );
}

#[tokio::test]
async fn every_protocol_passes_two_sidecars_on_ipv6_and_ipv4() {
    let mesh = Mesh::start("ALLOW_ALL", Families::Both).await;
    every_protocol(&mesh, 0, "::1").await;
    every_protocol(&mesh, 1, "::1").await;
    // Outside the mesh too.
    for address in mesh.outside.at(3306) {
        let greeted = mesh.greeting(address).await;
        assert!(greeted.starts_with("outside for "), "{greeted}");
    }
}

#[tokio::test]
async fn allow_all_passes_what_is_outside_the_mesh() {
    let mesh = Mesh::start("ALLOW_ALL", Families::V4).await;
    let at = |port| mesh.outside.at(port)[0];
    // On a port that no backend has, and on one that several have.
    for (port, authority) in [(80, "example.com"), (8080, "example.com:8080")] {
        let (status, body) = mesh.get(at(port), authority).await;
        let expected = format!("outside HTTP/1.1 to {} for {authority}", mesh.a.v4);
        assert_eq!((status, body), (200, expected));
    }
    let answer = mesh.call(get_http2(at(8080), "example.com:8080")).await;
    let (status, body) = answer.unwrap();
    assert!(
        status == 200 && body.starts_with("outside HTTP/2.0"),
        "{status} {body}"
    );
    let address = at(50051);
    let echo = async move {
        let channel = grpc(address, "example.com:50051").await?;
        Ok(unary(&channel, "one").await?)
    };
    assert_eq!(mesh.call(echo).await.as_deref(), Ok("echo of one"));

    let begun = Instant::now();
    for server in ["example.com", "s3.eu-west-1.amazonaws.com"] {
        assert_eq!(
            mesh.call(echoed(at(443), client_hello(server))).await,
            Ok(true)
        );
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let greeted = mesh.greeting(at(3306)).await;
    assert_eq!(greeted, format!("outside for {}", at(3306)));
    // All of it went through the sidecar.
    let shown = ["capture", "show", "--output", "json"];
    let shown = mesh.a.outrigger(&shown).await.stdout;
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(shown["egress"]["connections"], 7, "{shown:#}");
}

#[tokio::test]
async fn drop_all_refuses_what_is_no_backend_but_aws() {
    let mesh = Mesh::start("DROP_ALL", Families::V4).await;
    every_protocol(&mesh, 0, "127.0.0.1").await;

    let at = |port| mesh.outside.at(port)[0];
    let unknown = mesh.get(at(8080), "example.com:8080").await;
    assert_eq!(unknown, (404, String::new()));
    // A service of the mesh that is no backend is as unknown as any.
    let no_backend = mesh.get(mesh.b.at(8080)[0], "service-a.local:8080").await;
    assert_eq!(no_backend, (404, String::new()));
    // On a port that no backend has the connection ends: at once for one who says something.
    let begun = Instant::now();
    let unmodelled = mesh.get(at(80), "example.com").await;
    assert_eq!(unmodelled.0, 0, "{unmodelled:?}");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let address = at(3306);
    let silent = mesh.call(async move { Ok(greeting(address).await) }).await;
    let ends = ["unexpected end of file", "connection reset"];
    assert!(ends.contains(&silent.as_deref().unwrap()), "{silent:?}");

    // HTTP backends have 8081, nobody has 443.
    for port in [443, 8081] {
        let hello = client_hello("s3.eu-west-1.amazonaws.com");
        assert_eq!(mesh.call(echoed(at(port), hello)).await, Ok(true), "{port}");
        let refused = mesh
            .call(echoed(at(port), client_hello("example.com")))
            .await;
        assert_ne!(refused, Ok(true), "{port}");
    }
}

/// A line that the other side repeats.
async fn repeated(stream: &mut TcpStream) -> String {
    stream.write_all(b"still there?\n").await.unwrap();
    let line = tokio::time::timeout(PATIENCE, first_line(stream)).await;
    line.expect("an answer in time")
}

#[tokio::test]
async fn a_backend_on_a_new_port_cuts_no_connection() {
    let mut mesh = Mesh::start("ALLOW_ALL", Families::V4).await;
    let [tcp, outside] = [mesh.b.at(6379)[0], mesh.outside.at(3306)[0]];
    let connect = |address| async move {
        let mut stream = TcpStream::connect(address).await?;
        first_line(&mut stream).await;
        Ok(stream)
    };
    let mut backend = mesh.call(connect(tcp)).await.unwrap();
    let mut passed = mesh.call(connect(outside)).await.unwrap();

    let before = yaml("ALLOW_ALL", Families::V4);
    let with_queue = before.replacen(
        "backends: [",
        "backends: [{ virtualService: { virtualServiceName: queue.local } }, ",
        1,
    );
    let queue = "---
kind: VirtualNode
meshName: m
virtualNodeName: queue
spec:
  serviceDiscovery: { dns: { hostname: b.local } }
  listeners: [{ portMapping: { port: 3307, protocol: tcp } }]
---
kind: VirtualService
meshName: m
virtualServiceName: queue.local
spec: { provider: { virtualNode: { virtualNodeName: queue } } }
";
    greet(&mesh.b.app, ([0; 16], 3307), "queue").await;
    mesh.declare(&(with_queue + queue), 1).await;
    let nobody: IpAddr = "10.0.0.99".parse().unwrap();
    let greeted = mesh.greeting((nobody, 3307).into()).await;
    assert_eq!(greeted, format!("queue for {}", mesh.b.at(3307)[0]));
    // What drains ends after 1 s.
    let until = Instant::now() + Duration::from_secs(2);
    let mut every = tokio::time::interval(Duration::from_millis(50));
    while Instant::now() < until {
        every.tick().await;
        assert_eq!(repeated(&mut backend).await, "still there?");
        assert_eq!(repeated(&mut passed).await, "still there?");
    }
}
