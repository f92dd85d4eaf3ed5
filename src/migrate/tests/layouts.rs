//! What a file says counts, and not how it is laid out.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::super::edit::tests::write;
use super::*;

fn targets() -> [Target; 5] {
    [
        socket(),
        target("unix:///run/other/x.sock"),
        address(),
        upstream(socket()),
        upstream(address()),
    ]
}

/// All documents of a text, as JSON.
fn read(text: &str) -> Vec<Json> {
    let (documents, problems) = files::parse(text);
    assert!(problems.is_empty(), "{text}\n{problems:?}");
    documents.iter().map(Located::to_json).collect()
}

fn samples() -> [Json; 4] {
    let [task, pod] = [TASK, POD].map(|text| read(text).remove(0));
    let mut bare = pod.clone();
    bare["spec"]["containers"][1]["env"] =
        json!([{ "name": "APPMESH_RESOURCE_ARN", "value": NODE }]);
    let mut rich = pod.clone();
    rich["spec"]["volumes"] = json!([{ "emptyDir": {}, "name": "tmp" }]);
    rich["spec"]["containers"][1]["volumeMounts"] = json!([{ "mountPath": "/tmp", "name": "tmp" }]);
    rich["spec"]["containers"][1]["env"][1]["name"] = json!("APPMESH_XDS_ENDPOINT");
    rich["spec"]["containers"][1]["env"][1]["value"] = json!("x:1");
    [task, pod, bare, rich]
}

proptest! {
    /// What is moved is the same in every layout, a second time changes nothing, and what was moved in one form either can
    /// be moved in the other, or is refused.
    #[test]
    fn every_layout_is_moved_alike(
        sample in 0..4usize,
        seeds in prop::collection::vec(any::<u8>(), 64),
        [first, second] in [0..5usize, 0..5usize],
    ) {
        let value = &samples()[sample];
        let [first, second] = [first, second].map(|at| targets()[at].clone());
        let text = write(value, 0, &mut seeds.into_iter().cycle());
        let text = format!("{}\n", text.strip_prefix('\n').unwrap_or(&text));
        prop_assert_eq!(&read(&text)[..], std::slice::from_ref(value), "{}", text);
        let plain = sidecar(&value.to_string(), &first).unwrap().text;
        let moved = sidecar(&text, &first).map(|migrated| migrated.text);
        let moved = moved.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(read(&moved), read(&plain), "{}", text);
        prop_assert_eq!(&sidecar(&moved, &first).unwrap().text, &moved);
        match (sidecar(&moved, &second), sidecar(&plain, &second)) {
            (Ok(moved), Ok(plain)) => {
                prop_assert_eq!(read(&moved.text), read(&plain.text));
                prop_assert_eq!(sidecar(&moved.text, &second).unwrap().text, moved.text);
            }
            (Err(MigrateError::MovedBefore { .. }), Err(_)) => {
                let is_tcp = !matches!(first.xds, XdsAddress::Unix(_));
                prop_assert!(first.image.is_some() || is_tcp);
                prop_assert!(second.image.is_none());
            }
            (moved, plain) => prop_assert!(false, "{:?} {:?}", moved.err(), plain.err()),
        }
    }
}

/// The mistake with which this file began: a list at the indentation of its name, whose first item is in brackets.
#[test]
fn a_list_that_begins_with_brackets_is_added_to() {
    let moved = sidecar(
        "apiVersion: v1\nkind: Pod\nspec:\n  volumes:\n  - {name: tmp, emptyDir: {}}\n  containers:\n  - name: envoy\n    volumeMounts:\n    - {name: tmp, mountPath: /tmp}\n    env:\n    - {name: APPMESH_RESOURCE_ARN, value: mesh/a/virtualNode/b}\n",
        &socket(),
    );
    let pod = read(&moved.unwrap().text).remove(0);
    for list in [
        &pod["spec"]["volumes"],
        &pod["spec"]["containers"][0]["volumeMounts"],
        &pod["spec"]["containers"][0]["env"],
    ] {
        assert_eq!(list.as_array().unwrap().len(), 2, "{pod}");
    }
}

/// Whatever the editor does not know of a layout, it does not print what cannot be read.
#[test]
fn a_text_that_would_be_broken_is_not_printed() {
    let env = "  - env:\n    - name: APPMESH_RESOURCE_ARN\n      value: mesh/appMesh/virtualNode/serviceANode\n";
    let name = "{name: APPMESH_RESOURCE_ARN, value: mesh/appMesh/virtualNode/serviceANode}";
    assert!(POD.contains(env));
    for other in [
        format!("  - env: !!seq [{name}]\n    others:\n"),
        format!("  - env: &x [{name}]\n    others:\n"),
        format!("  - env:\n    - &x {name}\n    - !!map {name}\n"),
        format!("  - env:\n      [\n{name}]\n    others:\n"),
    ] {
        let pod = POD.replace(env, &other);
        match sidecar(&pod, &socket()) {
            Ok(moved) => {
                let env = &read(&moved.text)[0]["spec"]["containers"][1]["env"];
                let last = env.as_array().unwrap().last().unwrap();
                assert_eq!(last["name"], "APPMESH_XDS_ENDPOINT", "{}", moved.text);
            }
            Err(error) => assert!(error.to_string().contains("edited in place"), "{error}"),
        }
    }
    let pod = POD.replace("    name: envoy\n", "    ? volumeMounts\n    name: envoy\n");
    let error = sidecar(&pod, &socket()).unwrap_err().to_string();
    assert!(error.contains("edited in place"), "{error}");
}
