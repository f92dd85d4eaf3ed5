//! What stands in a sidecar's variables, and where from.

use super::check::*;
use super::*;

#[test]
fn a_variable_with_a_source_gets_a_value_in_its_place() {
    let from = "    - name: APPMESH_XDS_ENDPOINT\n      valueFrom:\n        configMapKeyRef: { name: c, key: x }\n    - name: B\n      value: c\n";
    let moved = sidecar(&format!("{HEAD}{NAMED}{from}"), &socket())
        .unwrap()
        .text;
    assert!(
        moved.contains("    - name: APPMESH_XDS_ENDPOINT\n      value: unix:///run/outrigger/xds.sock\n    - name: B\n"),
        "{moved}"
    );
    let in_brackets =
        "    env: [{name: APPMESH_RESOURCE_ARN, valueFrom: {a: b}}, {name: B, value: c}]\n";
    let secret = |variable: &str| {
        task(
            &format!(", \"secrets\": [{{\"name\": \"{variable}\", \"valueFrom\": \"arn:x\"}}]"),
            "",
        )
    };
    let hidden = secret("APPMESH_RESOURCE_ARN").replace("\"environment\"", "\"other\"");
    check(&[
        (
            format!("{HEAD}{in_brackets}"),
            of_node(socket()),
            &[
                "{\"name\": \"APPMESH_RESOURCE_ARN\", \"value\": \"mesh/appMesh/virtualNode/serviceANode\"}, {name: B",
            ],
            &["valueFrom"],
        ),
        (
            secret("APPMESH_XDS_ENDPOINT"),
            socket(),
            &[
                "error:",
                "`APPMESH_XDS_ENDPOINT` of `envoy` is one of its `secrets`",
            ],
            &[],
        ),
        (
            hidden,
            of_node(socket()),
            &["error:", "take `APPMESH_RESOURCE_ARN` out"],
            &[],
        ),
    ]);
}

#[test]
fn a_shared_mesh_is_said_to_become_ones_own() {
    let shared = "docker run -e APPMESH_RESOURCE_ARN=mesh/own@210987654321/virtualNode/n aws-appmesh-envoy\n";
    check(&[
        (
            shared.to_owned(),
            socket(),
            &[
                "which `210987654321` owns and shares",
                "served as the mesh `own`",
            ],
            &[],
        ),
        (run(""), socket(), &[], &["owns and shares"]),
    ]);
}

#[test]
fn a_name_is_neither_guessed_nor_replaced() {
    let image = "    image: x/aws-appmesh-envoy:v1\n";
    let hidden: &[&str] = &["error:", "stands in no value of this file"];
    let bare = task("", "").replace("APPMESH_RESOURCE_ARN", "OTHER");
    let files = bare.replace("\"environment\"", "\"image\": \"aws-appmesh-envoy\", \"environmentFiles\": [{\"type\": \"s3\"}], \"environment\"");
    let env_from = format!("{HEAD}{image}    envFrom:\n    - configMapRef: {{ name: c }}\n");
    let env_file = "docker run --env-file e aws-appmesh-envoy:v1\n".to_owned();
    let empty = "    env:\n    - name: APPMESH_RESOURCE_ARN\n      value: \"\"\n    - name: APPMESH_VIRTUAL_NODE_NAME\n      value: mesh/appMesh/virtualNode/serviceANode\n";
    let differs: &[&str] = &["error:", "`mesh/a/virtualNode/b`", "`--node`", NODE];
    check(&[
        (files.clone(), address(), hidden, &[]),
        (env_from.clone(), address(), hidden, &[]),
        (env_file.clone(), address(), hidden, &[]),
        (files, socket(), &["unix:"], &["error:"]),
        (env_from, socket(), &["unix:"], &["error:"]),
        (
            env_file,
            of_node(socket()),
            &["-e APPMESH_RESOURCE_ARN=mesh/appMesh"],
            &["error:"],
        ),
        (
            format!("{HEAD}{empty}"),
            address(),
            &["mesh/appMesh/virtualNode/serviceANode"],
            &["error:"],
        ),
        (pod(&[], ""), of_node(socket()), differs, &[]),
        (pod(&[], ""), of_node(address()), differs, &[]),
        (run(""), of_node(socket()), &["unix:"], &["error:"]),
    ]);
}
