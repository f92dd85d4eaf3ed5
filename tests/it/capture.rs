//! `outrigger capture` on hosts with the real kernel: which connections go where, and how it is set up and taken away.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use outrigger::capture::settings::Settings;
use outrigger::capture::{Redirection, nft};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::hosts::{Host, Net, User, first_line, greet, greeting};
use crate::world::{OUTRIGGER, PATIENCE};

/// Who answers this user at this address.
async fn answer(user: &User, address: SocketAddr) -> String {
    let greeting = tokio::time::timeout(PATIENCE, greeting(address));
    user.run(greeting).await.expect("an answer in time")
}

/// Installs, and expects that to work.
async fn install(host: &Host, arguments: &[&str]) -> String {
    let output = host
        .outrigger(&[&["capture", "install"], arguments].concat())
        .await;
    printed(&output)
}

fn printed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What `show` says, as JSON, and its exit code.
async fn show(host: &Host) -> (Value, Option<i32>) {
    let output = host
        .outrigger(&["capture", "show", "--output", "json"])
        .await;
    let json = serde_json::from_slice(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    (json.expect(&said), output.status.code())
}

/// Two hosts: `a`, whose traffic is redirected into its sidecar, and `b`, an ordinary server.
async fn pair(net: &Net) -> (Host, Host) {
    let (a, b) = (net.host("a").await, net.host("b").await);
    for loopback in ["127.0.0.1:15001", "[::1]:15001"] {
        let loopback: SocketAddr = loopback.parse().unwrap();
        greet(&a.envoy, loopback, "egress of a").await;
    }
    for port in [8080, 9000, 5432, 22] {
        greet(&b.root, (Ipv6Addr::UNSPECIFIED, port), "b").await;
    }
    (a, b)
}

#[tokio::test]
async fn what_applications_send_goes_to_the_sidecar() {
    let net = Net::new().await;
    let (a, b) = pair(&net).await;
    b.add_address("169.254.169.254/32").await;
    b.add_address("192.0.2.9/32").await;
    b.add_address("2001:db8::9/128").await;
    for ip in [
        "127.0.0.1".parse().unwrap(),
        "::1".parse().unwrap(),
        a.v4,
        a.v6,
    ] {
        greet(&a.app, (ip, 9000), "a").await;
    }
    let link = b.link_local(8080);

    // Before: everything is direct.
    for address in b.at(8080) {
        assert!(answer(&a.app, address).await.starts_with("b for "));
    }
    let ignored = "169.254.169.254,169.254.170.2,192.0.2.0/24,2001:db8::/32";
    install(
        &a,
        &[
            "--enable-ipv6",
            "--egress-ignored-ip",
            ignored,
            "--egress-ignored-ports=5432",
        ],
    )
    .await;

    for address in b.at(8080).into_iter().chain(b.at(9000)) {
        let expected = format!("egress of a for {address}");
        assert_eq!(answer(&a.app, address).await, expected);
        assert_eq!(
            answer(&a.root, address).await,
            expected,
            "root is no sidecar"
        );
        assert!(answer(&a.envoy, address).await.starts_with("b for "));
    }
    // An address that nobody has: the sidecar is asked all the same.
    for nobody in ["10.0.0.99:80", "[fd00::99]:80"] {
        let answered = answer(&a.app, nobody.parse().unwrap()).await;
        assert_eq!(answered, format!("egress of a for {nobody}"));
    }
    let direct = [
        "169.254.169.254:8080",
        "192.0.2.9:8080",
        "[2001:db8::9]:8080",
    ]
    .map(|address| address.parse().unwrap());
    let direct = direct.into_iter().chain(b.at(22)).chain(b.at(5432));
    for address in direct.chain([link]) {
        let answered = answer(&a.app, address).await;
        assert!(answered.starts_with("b for "), "{address}: {answered}");
    }
    let local = ["127.0.0.1:9000", "[::1]:9000"].map(|address| address.parse().unwrap());
    for address in local.into_iter().chain(a.at(9000)) {
        assert_eq!(answer(&a.app, address).await, format!("a for {address}"));
    }
    let (shown, _) = show(&a).await;
    assert_eq!(shown["egress"]["connections"], 10, "{shown:#}");
}

#[tokio::test]
async fn calls_from_other_hosts_go_to_the_sidecar_on_the_applications_ports_only() {
    let net = Net::new().await;
    let (a, b) = (net.host("a").await, net.host("b").await);
    for port in [8080, 8081, 9000] {
        greet(&b.app, (Ipv6Addr::UNSPECIFIED, port), "application").await;
    }
    for ip in [b.v4, b.v6] {
        greet(&b.envoy, (ip, 15000), "sidecar").await;
    }
    let mut direct = connected(&a, b.at(8080)[0]).await;
    install(&b, &["--app-ports", "8080-8081", "--enable-ipv6"]).await;
    echo(&mut direct)
        .await
        .expect("an open connection stays as it is");

    for port in [8080, 8081] {
        for address in b.at(port) {
            assert_eq!(
                answer(&a.app, address).await,
                format!("sidecar for {address}")
            );
        }
    }
    for address in b.at(9000) {
        assert!(answer(&a.app, address).await.starts_with("application "));
    }
    // The host calls itself, as Envoy calls the application.
    for address in b.at(8080) {
        assert!(answer(&b.app, address).await.starts_with("application "));
    }
    let (shown, _) = show(&b).await;
    assert_eq!(shown["ingress"]["connections"], 4, "{shown:#}");
}

#[tokio::test]
async fn ipv6_is_left_alone_unless_it_is_asked_for() {
    let net = Net::new().await;
    let (a, b) = pair(&net).await;
    let [v4, v6] = b.at(8080);
    install(&a, &["--app-ports=80"]).await;
    assert_eq!(answer(&a.app, v4).await, format!("egress of a for {v4}"));
    assert!(answer(&a.app, v6).await.starts_with("b for "));
}

#[tokio::test]
async fn a_kernel_without_ipv6_takes_the_same_rules() {
    let net = Net::new().await;
    let (a, b) = pair(&net).await;
    // Each reader and writer of this file has its own host's.
    let disable = async { std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1") };
    a.root.run(disable).await.unwrap();
    let [v4, v6] = b.at(8080);
    install(&a, &["--app-ports=80", "--enable-ipv6"]).await;
    assert_eq!(answer(&a.app, v4).await, format!("egress of a for {v4}"));
    let none = ["network unreachable", "address not available"];
    let answered = answer(&a.app, v6).await;
    assert!(none.contains(&answered.as_str()), "{answered}");
}

/// As a Kubernetes proxy does it to the addresses of services, in a table that was there first.
#[tokio::test]
async fn the_sidecar_learns_the_address_before_others_translate_it() {
    let net = Net::new().await;
    let (a, _b) = pair(&net).await;
    let mut nft = Command::new("nft");
    nft.arg(
        "add table ip proxy; \
         add chain ip proxy services { type nat hook output priority -100; }; \
         add rule ip proxy services ip daddr 10.96.0.1 dnat to 10.0.0.2",
    );
    assert!(a.root.output(nft).await.status.success());
    let service = "10.96.0.1:8080".parse().unwrap();
    assert!(answer(&a.app, service).await.starts_with("b for "));
    install(&a, &[]).await;
    let answered = answer(&a.app, service).await;
    assert_eq!(answered, format!("egress of a for {service}"));
    // What the sidecar itself sends there is translated as ever.
    assert!(answer(&a.envoy, service).await.starts_with("b for "));
}

#[tokio::test]
async fn it_is_installed_changed_and_removed() {
    let net = Net::new().await;
    let (a, b) = pair(&net).await;
    let [address, _] = b.at(8080);
    let meant = format!("egress of a for {address}");
    assert_eq!(show(&a).await, (json!({"installed": false}), Some(1)));
    assert_eq!(
        printed(&a.outrigger(&["capture", "remove"]).await),
        "nothing was redirected\n"
    );

    let mut direct = connected(&a, address).await;
    insta::assert_snapshot!("installed", install(&a, &["--app-ports=8080"]).await);
    let (shown, exit) = show(&a).await;
    assert_eq!(exit, Some(0));
    assert_eq!(shown["ingress"]["appPorts"], json!(["8080"]));
    assert_eq!(answer(&a.app, address).await, meant);
    let mut open = connected(&a, address).await;
    echo(&mut direct)
        .await
        .expect("an open connection stays as it is");

    install(&a, &["--app-ports=9000", "--egress-ignored-ports=5432"]).await;
    let (shown, _) = show(&a).await;
    assert_eq!(shown["ingress"]["appPorts"], json!(["9000"]));
    assert_eq!(shown["egress"]["ignoredPorts"], json!(["22", "5432"]));
    assert_eq!(answer(&a.app, address).await, meant);
    echo(&mut open)
        .await
        .expect("an open connection outlives a new installation");
    let table = printed(&a.outrigger(&["capture", "show"]).await);
    insta::assert_snapshot!("shown", table);

    assert_eq!(
        printed(&a.outrigger(&["capture", "remove"]).await),
        "removed\n"
    );
    assert_eq!(show(&a).await, (json!({"installed": false}), Some(1)));
    assert!(answer(&a.app, address).await.starts_with("b for "));
}

/// A connection that has been greeted.
async fn connected(host: &Host, address: SocketAddr) -> TcpStream {
    host.app
        .run(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            first_line(&mut stream).await;
            stream
        })
        .await
}

async fn echo(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"still there?\n").await?;
    let line = tokio::time::timeout(Duration::from_secs(5), first_line(stream)).await?;
    assert_eq!(line, "still there?");
    Ok(())
}

#[tokio::test]
async fn a_new_installation_leaves_no_gap() {
    let net = Net::new().await;
    let (a, b) = pair(&net).await;
    let [address, _] = b.at(8080);
    install(&a, &[]).await;
    let meant = format!("egress of a for {address}");
    let caller = a.user(1001);
    let calls: JoinHandle<()> = tokio::spawn(async move {
        // A host has ports for some thousand connections a minute.
        let mut every = tokio::time::interval(Duration::from_millis(3));
        loop {
            every.tick().await;
            assert_eq!(answer(&caller, address).await, meant);
        }
    });
    for round in 0..30 {
        install(&a, &[&format!("--app-ports={}", 8000 + round)]).await;
        assert!(!calls.is_finished(), "{:?}", calls.await);
    }
    calls.abort();
    let (shown, _) = show(&a).await;
    assert!(
        shown["egress"]["connections"].as_u64() > Some(0),
        "calls went on"
    );
}

#[tokio::test]
async fn the_kernel_gives_back_what_it_was_given() {
    let net = Net::new().await;
    let host = net.host("a").await;
    let settings = [
        Settings::default(),
        Settings {
            app_ports: Some("1,2,3,65535,80-90,443".into()),
            ignore_uid: Some("0,1337,4294967294".into()),
            ignore_gid: Some("7,8,9".into()),
            egress_ignored_ip: Some(
                "0.0.0.0/1,255.255.255.255,10.0.0.1-10.0.0.6,::1,fd00::/8,fe00::-ffff::".into(),
            ),
            egress_ignored_ports: Some("1-65535".into()),
            enable_ipv6: Some("1".into()),
            ..Settings::default()
        },
        Settings {
            app_ports: Some("1-9900".into()),
            ingress_port: Some("1".into()),
            egress_port: Some("65535".into()),
            egress_ignored_ip: Some("0.0.0.0/0,::/0".into()),
            ..Settings::default()
        },
        Settings {
            app_ports: Some("8080".into()),
            ingress_port: Some("16000".into()),
            egress_ignored_ip: Some(String::new()),
            ..Settings::default()
        },
    ];
    for settings in settings
        .into_iter()
        .filter_map(|one| one.redirection().ok())
    {
        let given: Redirection = settings.clone();
        let found = host
            .root
            .run(async move {
                nft::install(&given).await.unwrap();
                nft::in_force().await.unwrap().unwrap()
            })
            .await;
        assert_eq!(found.redirection, settings);
    }
}

/// Runs `outrigger` on a host, with these variables.
async fn with_variables(host: &Host, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(OUTRIGGER);
    command.args(arguments).envs(variables.iter().copied());
    host.root.output(command).await
}

#[tokio::test]
async fn settings_come_from_app_meshs_variables_and_flags_win() {
    let net = Net::new().await;
    let host = net.host("a").await;
    let variables = [
        ("APPMESH_START_ENABLED", "1"),
        ("APPMESH_IGNORE_UID", "1338"),
        ("APPMESH_IGNORE_GID", ""),
        ("APPMESH_ENVOY_INGRESS_PORT", "15000"),
        ("APPMESH_ENVOY_EGRESS_PORT", "15001"),
        ("APPMESH_APP_PORTS", "8080"),
        ("APPMESH_EGRESS_IGNORED_IP", "169.254.169.254"),
        ("APPMESH_EGRESS_IGNORED_PORTS", "22"),
        ("APPMESH_ENABLE_IPV6", "1"),
    ];
    let install = ["capture", "install", "--app-ports", "80"];
    printed(&with_variables(&host, &variables, &install).await);
    let (shown, _) = show(&host).await;
    let expected = json!({
        "installed": true,
        "ingress": {"appPorts": ["80"], "port": 15000, "connections": 0},
        "egress": {
            "port": 15001,
            "ignoredUids": ["1338"],
            "ignoredGids": [],
            "ignoredAddresses": ["169.254.169.254"],
            "ignoredPorts": ["22"],
            "connections": 0,
        },
        "ipv6": true,
    });
    assert_eq!(shown, expected);
    let wrong = [("APPMESH_APP_PORTS", "80;81"), ("APPMESH_IGNORE_UID", "-")];
    let output = with_variables(&host, &wrong, &["capture", "install"]).await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("(APPMESH_APP_PORTS) has `80;81`"), "{said}");
    assert!(said.contains("(APPMESH_IGNORE_UID) has `-`"), "{said}");
    assert_eq!(show(&host).await.0, expected, "nothing was changed");
}

#[tokio::test]
async fn without_privilege_it_says_what_is_needed() {
    let net = Net::new().await;
    let host = net.host("a").await;
    // The user is still called root, and can do no more than others.
    let unprivileged = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-all", "--inh-caps", "-all", OUTRIGGER]);
        command.args(arguments);
        command
    };
    for action in ["install", "remove", "show"] {
        let output = host.root.output(unprivileged(&["capture", action])).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{action}: {said}");
        assert!(said.contains("CAP_NET_ADMIN"), "{action}: {said}");
    }
    let dry_run = unprivileged(&["capture", "install", "--dry-run"]);
    let rules = printed(&host.root.output(dry_run).await);
    assert_eq!(show(&host).await.0["installed"], false);
    // What it printed is what an administrator can feed to the program.
    let file = net.folder.path().join("rules");
    std::fs::write(&file, rules).unwrap();
    let mut nft = Command::new("nft");
    nft.arg("--file").arg(file);
    assert!(host.root.output(nft).await.status.success());
    assert_eq!(show(&host).await.0["installed"], true);
}

#[tokio::test]
async fn a_program_that_is_missing_or_fails_is_named() {
    let net = Net::new().await;
    let host = net.host("a").await;
    let folder = tempfile::tempdir().unwrap();
    let install = |path: &Path| {
        let path = path.to_str().unwrap().to_owned();
        let host = &host;
        async move { with_variables(host, &[("PATH", &path)], &["capture", "install"]).await }
    };
    let output = install(folder.path()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("the package `nftables`"), "{said}");

    // What it says on a kernel without NAT.
    let script = "#!/bin/sh\n/bin/cat > /dev/null\necho 'Error: Could not process rule: Operation not supported' >&2\nexit 1\n";
    let stub = folder.path().join("nft");
    std::fs::write(&stub, script).unwrap();
    std::os::unix::fs::chown(&stub, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&stub, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = install(folder.path()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    for words in ["Operation not supported", "Linux 5.2", "nft_redir"] {
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_table_of_somebody_else_is_not_taken_for_ours() {
    let net = Net::new().await;
    let host = net.host("a").await;
    let mut nft = Command::new("nft");
    nft.args([
        "add table inet outrigger_capture; add table ip outrigger_capture; add table inet other",
    ]);
    assert!(host.root.output(nft).await.status.success());
    let output = host.outrigger(&["capture", "show"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("`outrigger capture install` replaces it"),
        "{said}"
    );
    install(&host, &[]).await;
    assert_eq!(show(&host).await.1, Some(0));
    printed(&host.outrigger(&["capture", "remove"]).await);
    let mut nft = Command::new("nft");
    nft.args(["list", "tables"]);
    let left = host.root.output(nft).await.stdout;
    let left = String::from_utf8(left).unwrap();
    assert_eq!(left, "table ip outrigger_capture\ntable inet other\n");
}
