use crate::model::{GatewayName, MeshName, NodeName};

use super::*;

fn node() -> NodeRef {
    NodeRef::VirtualNode(MeshName::new("appMesh"), NodeName::new("serviceANode"))
}

fn explicit(bind: &str, applications: &[(u16, &str)]) -> Capture {
    Capture::Explicit {
        bind: bind.parse().unwrap(),
        applications: applications
            .iter()
            .map(|(port, application)| (*port, application.parse().unwrap()))
            .collect(),
    }
}

fn options(capture: Capture) -> BootstrapOptions {
    BootstrapOptions::new(node(), "127.0.0.1:18000".parse().unwrap(), capture)
}

#[test]
fn an_explicit_sidecar_says_where_it_binds_and_where_its_applications_are() {
    let capture = explicit(
        "127.0.0.2",
        &[(8080, "127.0.0.1:18080"), (9000, "[::1]:9000")],
    );
    let written = bootstrap(&options(capture)).unwrap();
    assert_eq!(
        written["node"],
        json!({
            "id": "mesh/appMesh/virtualNode/serviceANode",
            "cluster": "mesh/appMesh/virtualNode/serviceANode",
            "metadata": { "outrigger": {
                "capture": "explicit",
                "bind": "127.0.0.2",
                "applications": { "8080": "127.0.0.1:18080", "9000": "[::1]:9000" },
            } },
        })
    );
    assert_eq!(
        written["admin"]["address"]["socket_address"],
        json!({ "address": "127.0.0.2", "port_value": 9901 })
    );
    let ads = &written["dynamic_resources"]["ads_config"];
    assert_eq!(ads["api_type"], "DELTA_GRPC");
    assert_eq!(ads["set_node_on_first_message_only"], true);
}

#[test]
fn a_redirected_gateway_asks_for_the_state_of_the_world_at_a_name() {
    let gateway = NodeRef::VirtualGateway(MeshName::new("m"), GatewayName::new("g"));
    let xds = "control-plane.local:18000".parse().unwrap();
    let mut options = BootstrapOptions::new(gateway, xds, Capture::Redirect);
    options.protocol = XdsProtocol::StateOfTheWorld;
    options.cluster = Some("gateways".to_owned());
    let written = bootstrap(&options).unwrap();
    assert_eq!(written["node"]["id"], "mesh/m/virtualGateway/g");
    assert_eq!(written["node"]["cluster"], "gateways");
    assert_eq!(
        written["node"]["metadata"],
        json!({ "outrigger": { "capture": "redirect" } })
    );
    assert_eq!(
        written["dynamic_resources"]["ads_config"]["api_type"],
        "GRPC"
    );
    let cluster = &written["static_resources"]["clusters"][0];
    assert_eq!(cluster["type"], "STRICT_DNS");
    assert_eq!(
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"],
        json!({ "socket_address": { "address": "control-plane.local", "port_value": 18000 } })
    );
    assert_eq!(
        written["stats_config"]["stats_tags"][1],
        json!({ "tag_name": "appmesh.virtual_gateway", "fixed_value": "g" })
    );
}

#[test]
fn a_sidecar_can_find_the_control_plane_at_a_unix_socket() {
    for xds in ["unix:///run/xds.sock", "unix:/run/xds.sock"] {
        let node = options(Capture::Redirect).node;
        let options = BootstrapOptions::new(node, xds.parse().unwrap(), Capture::Redirect);
        let cluster = &bootstrap(&options).unwrap()["static_resources"]["clusters"][0];
        assert_eq!(cluster["type"], "STATIC");
        let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
        let pipe = json!({ "pipe": { "path": "/run/xds.sock" } });
        assert_eq!(endpoint["address"], pipe);
        // TCP's keep-alive is not for it.
        assert_eq!(cluster["upstream_connection_options"], json!({}));
    }
}

#[test]
fn the_admin_interface_never_leaves_the_machine_by_default() {
    let at = |bind| {
        options(explicit(bind, &[(80, "127.0.0.1:81")]))
            .admin()
            .to_string()
    };
    assert_eq!(at("127.0.0.7"), "127.0.0.7:9901");
    assert_eq!(at("::1"), "[::1]:9901");
    assert_eq!(at("10.0.0.7"), "127.0.0.1:9901");
    assert_eq!(at("0.0.0.0"), "127.0.0.1:9901");
    assert_eq!(
        options(Capture::Redirect).admin().to_string(),
        "127.0.0.1:9901"
    );
}

#[test]
fn metrics_get_an_address_of_their_own_only_when_asked_for() {
    let mut options = options(explicit("0.0.0.0", &[(8080, "127.0.0.1:18080")]));
    let without = bootstrap(&options).unwrap();
    assert_eq!(without["static_resources"].get("listeners"), None);

    options.stats = Some("0.0.0.0:9902".parse().unwrap());
    let written = bootstrap(&options).unwrap();
    assert_eq!(written["admin"], without["admin"]);
    let resources = &written["static_resources"];
    assert_eq!(
        resources["listeners"][0]["address"]["socket_address"],
        json!({ "address": "0.0.0.0", "port_value": 9902 })
    );
    let admin = &resources["clusters"][1]["load_assignment"]["endpoints"][0];
    assert_eq!(
        admin["lb_endpoints"][0]["endpoint"]["address"],
        written["admin"]["address"]
    );

    let taken = Capture::Explicit {
        bind: "0.0.0.0".parse().unwrap(),
        applications: [(9902, "127.0.0.1:18080".parse().unwrap())].into(),
    };
    options.capture = taken;
    let error = bootstrap(&options).unwrap_err();
    assert!(matches!(
        error,
        BootstrapError::PortTaken { port: 9902, .. }
    ));
}

#[test]
fn a_sidecar_that_would_forward_to_itself_is_refused() {
    fn refused(bind: &str, applications: &[(u16, &str)]) -> BootstrapError {
        bootstrap(&options(explicit(bind, applications))).unwrap_err()
    }
    for bind in ["127.0.0.1", "0.0.0.0"] {
        let bind_ip = bind.parse().unwrap();
        assert_eq!(
            refused(bind, &[]),
            BootstrapError::NoApplication { bind: bind_ip }
        );
    }
    for (bind, applications, purpose) in [
        ("127.0.0.2", &[(8080, "127.0.0.2:8080")][..], "listener"),
        (
            "127.0.0.2",
            &[(8080, "127.0.0.1:1"), (81, "127.0.0.2:8080")],
            "listener",
        ),
        ("0.0.0.0", &[(8080, "127.0.0.1:8080")], "listener"),
        ("127.0.0.2", &[(8080, "127.0.0.2:15001")], "egress listener"),
        ("127.0.0.2", &[(8080, "127.0.0.2:9901")], "admin interface"),
    ] {
        let error = refused(bind, applications);
        assert!(
            matches!(error, BootstrapError::ApplicationIsSidecar { purpose: p, .. } if p == purpose),
            "{error}"
        );
    }
    for port in [15001, 9901] {
        let error = refused("127.0.0.2", &[(port, "127.0.0.1:18080")]);
        assert!(matches!(error, BootstrapError::PortTaken { port: p, .. } if p == port));
    }
}

#[test]
fn other_addresses_of_the_machine_are_the_applications_own() {
    for (bind, applications) in [
        ("127.0.0.2", &[][..]),
        ("127.0.0.2", &[(8080, "127.0.0.1:8080")]),
        ("127.0.0.2", &[(8080, "127.0.0.1:15001")]),
        ("10.0.0.2", &[(9901, "10.0.0.3:8080")]),
        ("0.0.0.0", &[(8080, "127.0.0.1:18080")]),
        ("0.0.0.0", &[(8080, "10.0.0.9:8080")]),
    ] {
        let written = bootstrap(&options(explicit(bind, applications)));
        assert!(written.is_ok(), "{bind} {applications:?}: {written:?}");
    }
}

#[test]
fn addresses_are_parsed_or_explained() {
    for text in [
        "127.0.0.1:18000",
        "[::1]:18000",
        "xds.local:18000",
        "localhost:1",
        "unix:///run/xds.sock",
    ] {
        assert_eq!(text.parse::<XdsAddress>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "xds.local",
        "127.0.0.1",
        ":18000",
        "x:0",
        "127.0.0.1:0",
        "1.2.3:80",
        "a b:1",
        "::1:80",
        "h:99999",
        "unix:",
        "unix://",
        "unix:run/xds.sock",
        "unix://run/xds.sock",
    ] {
        let error = text.parse::<XdsAddress>().unwrap_err();
        assert_eq!(
            error,
            AddressError::Xds {
                text: text.to_owned()
            }
        );
    }
    let application = "127.0.0.1:18080".parse().unwrap();
    assert_eq!(
        parse_application("8080=127.0.0.1:18080"),
        Ok((8080, application))
    );
    for text in [
        "8080",
        "8080=18080",
        "x=127.0.0.1:1",
        "0=127.0.0.1:1",
        "80=127.0.0.1:0",
        "80=app.local:80",
    ] {
        let error = parse_application(text).unwrap_err();
        assert!(
            error.to_string().contains("8080=127.0.0.1:18080"),
            "{error}"
        );
    }
}

#[test]
fn a_grpc_client_is_told_who_it_is_and_where_the_control_plane_is() {
    let written = |xds: &str| grpc_bootstrap(&node(), &xds.parse().unwrap());
    assert_eq!(
        written("control-plane.local:18000"),
        json!({
            "xds_servers": [{
                "server_uri": "control-plane.local:18000",
                "channel_creds": [{ "type": "insecure" }],
                "server_features": ["xds_v3"],
            }],
            "node": { "id": "mesh/appMesh/virtualNode/serviceANode" },
        })
    );
    let socket = "unix:///run/outrigger/xds.sock";
    assert_eq!(written(socket)["xds_servers"][0]["server_uri"], socket);
}
