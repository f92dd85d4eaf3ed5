//! What else there is in a file, beside the sidecar.

use super::check::*;
use super::*;

#[test]
fn a_gateways_pod_is_left_as_it_is() {
    let gateway = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: gw }\nspec:\n  template:\n    spec:\n      containers:\n      - name: envoy\n        image: x/aws-appmesh-envoy:v1\n";
    let both = pod(&[], "") + gateway;
    assert!(sidecar(&both, &socket()).unwrap().text.ends_with(gateway));
    check(&[
        (
            both,
            socket(),
            &[
                "note: Deployment `gw` (line 11): `envoy`",
                "the controller adds it",
                "is left as it was",
            ],
            &[],
        ),
        (
            gateway.to_owned(),
            socket(),
            &["error:", "the controller adds it"],
            &[],
        ),
    ]);
}

#[test]
fn an_injected_bootstrap_is_replaced_and_not_added_again() {
    for text in [MANIFEST.to_owned(), as_json(MANIFEST)] {
        let elsewhere = of_node(target("elsewhere:1"));
        let once = sidecar(&text, &of_node(address())).unwrap().text;
        assert_eq!(sidecar(&once, &of_node(address())).unwrap().text, once);
        let moved = sidecar(&once, &elsewhere).unwrap().text;
        assert_eq!(sidecar(&text, &elsewhere).unwrap().text, moved);
        assert_eq!(moved.matches("ConfigMap").count(), 1, "{moved}");
    }
}

fn as_json(text: &str) -> String {
    let (documents, _) = files::parse(text);
    let as_json = |document: &Located| serde_json::to_string_pretty(&document.to_json()).unwrap();
    let json: Vec<String> = documents.iter().map(as_json).collect();
    json.join("\n")
}

#[test]
fn a_redirection_is_told_as_it_stands() {
    let proxy = |container: &str, uid: &str| {
        task(
            "",
            &format!(
                ", \"proxyConfiguration\": {{\"containerName\": \"{container}\", \"properties\": [{{\"name\": \"IgnoredUID\", \"value\": \"{uid}\"}}]}}"
            ),
        )
    };
    check(&[
        (
            proxy("proxy", "1"),
            socket(),
            &["into `proxy`, and the sidecar is `envoy`"],
            &["as before"],
        ),
        (
            proxy("envoy", "1337; rm -rf ~"),
            socket(),
            &["--ignore-uid '1337; rm -rf ~'`"],
            &[],
        ),
        (
            proxy("envoy", "1"),
            socket(),
            &["into `envoy` as before"],
            &[],
        ),
    ]);
}

#[test]
fn other_files_with_containers_are_known() {
    let containers = format!(
        "[{{\"name\": \"app\", \"image\": \"a\"}}, {{\"name\": \"envoy\", \"image\": \"aws-appmesh-envoy\", \"environment\": [{{\"name\": \"APPMESH_RESOURCE_ARN\", \"value\": \"{NODE}\"}}]}}]\n"
    );
    let template = "apiVersion: v1\nkind: PodTemplate\nmetadata: { name: t }\ntemplate:\n  spec:\n    containers:\n    - name: envoy\n      env:\n      - { name: APPMESH_RESOURCE_ARN, value: mesh/a/virtualNode/b }\n";
    check(&[
        (
            containers.clone(),
            socket(),
            &[
                "\"sourceVolume\": \"outrigger-xds\"",
                "the volume `outrigger-xds` of the host's folder `/run/outrigger`",
            ],
            &["\"volumes\""],
        ),
        (
            containers,
            address(),
            &["OUTRIGGER_BOOTSTRAP", "containers' definitions (line 1)"],
            &["the volume"],
        ),
        (
            template.to_owned(),
            socket(),
            &["mountPath: /run/outrigger", "note: PodTemplate `t`"],
            &[],
        ),
        (
            format!("{HEAD}{}", NAMED.replace('\n', "\r\n"))
                .replace("\r\n", "\n")
                .replace('\n', "\r\n"),
            socket(),
            &["\r\n      value: unix:///run/outrigger/xds.sock\r\n"],
            &["d\n", "k\n"],
        ),
    ]);
}
