//! Settings: which layer counts, what is refused, and that the example is whole.

use std::path::Path;

use super::*;
use crate::appmesh::read::Scope;

fn layer(yaml: &str) -> Layer {
    serde_saphyr::from_str(yaml).unwrap()
}

#[test]
fn an_upper_layer_wins_member_by_member() {
    let flags = layer("xds-addr: 127.0.0.1:1\ndns-min-ttl: 2s\n");
    let file = layer("mesh: [a]\nxds-addr: 127.0.0.1:2\napi-addr: 127.0.0.1:3\nlog-format: json\n");
    let settings = flags.over(file).into_settings().unwrap();
    assert_eq!(settings.mesh, [PathBuf::from("a")]);
    assert_eq!(settings.xds_addr.port(), 1);
    assert_eq!(settings.api_addr.port(), 3);
    assert_eq!(settings.admin_addr, Settings::default().admin_addr);
    assert_eq!(settings.dns.min_ttl, Duration::from_secs(2));
    assert_eq!(settings.log_format, Format::Json);
}

#[test]
fn a_deviation_can_be_switched_off() {
    let settings = layer("mesh: [a]\ndefault-listener-port: 0\ndefault-backends: false\n");
    let translation = settings.into_settings().unwrap().translation;
    assert_eq!(translation.default_listener_port, None);
    assert!(!translation.default_backends && translation.default_retry_policy);
}

#[test]
fn nothing_opens_beyond_loopback_unless_meant() {
    for member in ["xds-addr", "api-addr"] {
        let open = format!("mesh: [a]\n{member}: 0.0.0.0:1\n");
        let error = layer(&open).into_settings().unwrap_err().to_string();
        assert!(
            error.contains(&format!("--{member} 0.0.0.0:1")) && error.contains("--insecure"),
            "{error}"
        );
        assert!(
            layer(&format!("{open}insecure: true\n"))
                .into_settings()
                .is_ok()
        );
    }
}

#[test]
fn the_api_beyond_loopback_may_be_open_to_those_who_sign() {
    let open = "mesh: [a]\napi-addr: 0.0.0.0:1\napi-auth: sigv4\n";
    let settings = layer(&format!("{open}api-credentials: keys.yaml\n"));
    let credentials = PathBuf::from("keys.yaml");
    let expected = ApiAuth::Sigv4 { credentials };
    assert_eq!(settings.into_settings().unwrap().api_auth, expected);
    let error = layer(open).into_settings().unwrap_err();
    assert!(matches!(error, ConfigError::NoCredentials), "{error}");
    for unused in ["", "api-auth: none\n"] {
        let unused = layer(&format!("mesh: [a]\n{unused}api-credentials: keys.yaml\n"));
        let error = unused.into_settings().unwrap_err();
        assert!(matches!(error, ConfigError::UnusedCredentials), "{error}");
    }
    let xds =
        layer("mesh: [a]\nxds-addr: 0.0.0.0:1\napi-auth: sigv4\napi-credentials: keys.yaml\n");
    assert!(matches!(xds.into_settings(), Err(ConfigError::Open { .. })));
}

#[test]
fn arns_have_an_account_and_a_region() {
    let settings = layer("mesh: [a]\naccount-id: 012345678901\nregion: eu-central-1\n");
    let settings = settings.into_settings().unwrap();
    assert_eq!(settings.identity.account_id.as_str(), "012345678901");
    assert_eq!(settings.identity.region.as_str(), "eu-central-1");
    for wrong in ["account-id: '1'", "region: Frankfurt"] {
        let error = layer(&format!("mesh: [a]\n{wrong}\n")).into_settings();
        assert!(error.is_err(), "{wrong}");
    }
}

#[test]
fn the_xds_socket_has_a_mode_in_octal() {
    let socket = "mesh: [a]\nxds-socket: /run/outrigger/xds.sock\n";
    let settings = layer(socket).into_settings().unwrap();
    assert_eq!(
        settings.xds_socket.as_deref(),
        Some(Path::new("/run/outrigger/xds.sock"))
    );
    assert_eq!(settings.xds_socket_mode, "0660".parse().unwrap());
    for mode in ["0666", "\"0666\"", "666"] {
        let layer = layer(&format!("{socket}xds-socket-mode: {mode}\n"));
        assert_eq!(layer.xds_socket_mode, Some("0666".parse().unwrap()));
    }
    assert!(serde_saphyr::from_str::<Layer>("xds-socket-mode: rw\n").is_err());
    let none = layer("mesh: [a]\nxds-socket: \"\"\n");
    assert_eq!(none.into_settings().unwrap().xds_socket, None);
}

#[test]
fn a_mirror_has_a_target_and_an_id_that_stays() {
    let folder = "data-dir: /var/lib/outrigger\n";
    let settings = |yaml: &str| layer(&format!("{folder}{yaml}")).into_settings();
    assert!(settings("").unwrap().mirror.is_none());
    let mirror =
        settings("mirror-endpoint: http://standby:9080\nmirror-rate: 0\nmirror-mesh: [m]\n");
    let mirror = mirror.unwrap().mirror.unwrap();
    assert_eq!(
        (mirror.target.endpoint.as_str(), mirror.target.rate),
        ("http://standby:9080", None)
    );
    assert!(!mirror.prune && !mirror.adopt);
    for (yaml, word) in [
        ("mirror-prune: true\n", "--mirror-endpoint"),
        ("mirror-mesh: [m]\n", "--mirror-endpoint"),
        ("mirror-account: 111111111111\n", "--mirror-endpoint"),
        (
            "mirror-endpoint: http://a\nmirror-account: 11\n",
            "no account id",
        ),
        ("mirror-rate: 10\n", "--mirror-rate says"),
        ("mirror-drift: report\n", "--mirror-drift says"),
        (
            "mirror-drift-interval: 1s\n",
            "--mirror-drift-interval says",
        ),
        ("mirror-endpoint: standby\n", "cannot mirror"),
        (
            "mirror-endpoint: http://a\nmirror-mesh: [a b]\n",
            "--mirror-mesh `a b`",
        ),
        (
            "mirror-endpoint: http://a\nmirror-drift-interval: 10ms\n",
            "1s",
        ),
        (
            "mirror-endpoint: http://a\nmirror-drift-interval: 300000000000y\n",
            "365d",
        ),
    ] {
        let error = settings(yaml).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    // What an empty variable gives.
    let empty = "mirror-mesh: [\"\"]\n";
    assert!(settings(empty).unwrap().mirror.is_none());
    let all = settings(&format!("mirror-endpoint: http://a\n{empty}")).unwrap();
    assert_eq!(all.mirror.unwrap().scope, Scope::All);
    // What only says the default.
    assert!(settings("mirror-drift: repair\nmirror-drift-interval: 5m\n").is_ok());
    let error = layer("mirror-endpoint: http://standby:9080\n").into_settings();
    assert!(error.unwrap_err().to_string().contains("--data-dir"));
}

#[test]
fn an_unknown_setting_in_the_file_is_an_error() {
    assert!(serde_saphyr::from_str::<Layer>("xds-adr: 127.0.0.1:1\n").is_err());
}

#[test]
fn every_setting_has_a_default() {
    let settings = Layer::default().into_settings().unwrap();
    assert!(settings.mesh.is_empty() && settings.data_dir.is_none());
}

#[test]
fn the_example_file_names_every_setting_and_parses() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/outrigger.yaml");
    let example = Layer::from_file(&path).unwrap().into_settings().unwrap();
    assert_eq!(example.xds_addr, Settings::default().xds_addr);
    let text = std::fs::read_to_string(path).unwrap();
    let command = <Layer as clap::Args>::augment_args(clap::Command::new("serve"));
    for flag in command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
    {
        assert!(
            text.contains(&format!("{flag}:")),
            "config/outrigger.yaml does not mention `{flag}`"
        );
    }
}
