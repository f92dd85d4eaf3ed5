use super::*;

mod beside;
mod check;
mod forms;
mod layouts;
mod scripts;
mod variables;
mod volumes;

const TASK: &str = include_str!("../../tests/it/migrate/task.json");
const MANIFEST: &str = include_str!("../../tests/it/migrate/manifest.yaml");
const POD: &str = include_str!("../../tests/it/migrate/pod.yaml");
const RUN: &str = include_str!("../../tests/it/migrate/run.sh");
const NODE: &str = "mesh/appMesh/virtualNode/serviceANode";

fn target(xds: &str) -> Target {
    Target {
        xds: xds.parse().unwrap(),
        image: None,
        node: None,
    }
}

fn socket() -> Target {
    target("unix:///run/outrigger/xds.sock")
}

fn address() -> Target {
    target("outrigger.internal:18000")
}

fn upstream(target: Target) -> Target {
    Target {
        image: Some(upstream_image()),
        ..target
    }
}

fn of_node(target: Target) -> Target {
    Target {
        node: Some(NodeRef::parse(NODE).unwrap()),
        ..target
    }
}

/// The lines that went and came, and the notes. A bootstrap is shown as `BOOTSTRAP`, once it is known to be one.
fn changes(text: &str, target: &Target) -> String {
    let migrated = sidecar(text, target).unwrap();
    if !text.starts_with("#!") {
        let (_, problems) = files::parse(&migrated.text);
        assert!(problems.is_empty(), "{}", migrated.text);
    }
    let mut shown = String::new();
    for difference in diff(text, &without_file(&migrated.text)) {
        shown += &without_bootstrap(&difference);
        shown.push('\n');
    }
    for note in migrated.notes {
        shown += &["note: ", &note, "\n"].concat();
    }
    shown
}

/// The longest common subsequence of lines, and what is beside it.
fn diff(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            common[i][j] = if a == b {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines
}

/// The same for a bootstrap in lines of its own.
fn without_file(text: &str) -> String {
    let Some((head, file)) = text.split_once("  envoy.json: |\n") else {
        return text.to_owned();
    };
    let bootstrap: serde_json::Value = serde_json::from_str(file).unwrap();
    format!("{head}  envoy.json: |\n    {bootstrap}\n")
}

fn without_bootstrap(line: &str) -> String {
    let text = if line.contains("{\\\"admin") {
        line.replace("\\\"", "\"").replace("\\\\", "\\")
    } else {
        line.to_owned()
    };
    let Some(start) = text.find("{\"admin\"") else {
        return line.to_owned();
    };
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
    let bootstrap: serde_json::Value = values.next().unwrap().unwrap();
    assert_eq!(bootstrap["node"]["id"], NODE);
    assert_eq!(
        bootstrap["node"]["metadata"]["outrigger"]["capture"],
        "redirect"
    );
    let end = start + values.byte_offset();
    format!("{}BOOTSTRAP{}", &text[..start], &text[end..])
}

macro_rules! shows {
    ($name:literal, $text:expr, $target:expr) => {
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!($name, changes($text, &$target));
        });
    };
}

#[test]
fn a_task_definition_keeps_all_but_what_the_sidecar_needs() {
    shows!("task_socket", TASK, socket());
    shows!("task_address", TASK, address());
    shows!("task_upstream", TASK, upstream(address()));
}

#[test]
fn a_described_task_is_moved_and_says_what_must_go_before_it_is_registered() {
    let task: serde_json::Value = serde_json::from_str(TASK).unwrap();
    let mut task = task;
    task["taskDefinitionArn"] = "arn:aws:ecs:eu-west-1:123456789012:task-definition/a:3".into();
    task["revision"] = 3.into();
    let described = serde_json::json!({ "taskDefinition": task, "tags": [] });
    let text = serde_json::to_string_pretty(&described).unwrap();
    let migrated = sidecar(&text, &socket()).unwrap();
    let new: serde_json::Value = serde_json::from_str(&migrated.text).unwrap();
    let envoy = &new["taskDefinition"]["containerDefinitions"][1];
    let environment = envoy["environment"].as_array().unwrap();
    assert_eq!(
        environment.last().unwrap()["value"],
        "unix:///run/outrigger/xds.sock"
    );
    assert_eq!(new["tags"], serde_json::json!([]));
    let notes = migrated.notes.join("\n");
    assert!(notes.contains("jq '.taskDefinition | del("), "{notes}");
}

#[test]
fn pods_with_their_sidecar_keep_all_but_what_it_needs() {
    shows!("pod_socket", POD, socket());
    shows!("pod_address", POD, address());
    shows!("pod_upstream", POD, upstream(socket()));
}

#[test]
fn pods_that_get_their_sidecar_later_say_so_in_annotations() {
    shows!("manifest_socket", MANIFEST, socket());
    shows!("manifest_address", MANIFEST, of_node(address()));
    let as_json = |document: &Located| serde_json::to_string_pretty(&document.to_json()).unwrap();
    let (documents, _) = files::parse(MANIFEST);
    let json: Vec<String> = documents.iter().map(as_json).collect();
    shows!("manifest_json", &json.join("\n"), of_node(address()));
}

#[test]
fn a_script_keeps_all_but_the_sidecars_line() {
    shows!("run_socket", RUN, socket());
    shows!("run_address", RUN, address());
    shows!("run_upstream", RUN, upstream(address()));
    let line = "sudo podman run -de APPMESH_RESOURCE_ARN=mesh/appMesh/virtualNode/serviceANode aws-appmesh-envoy";
    shows!("run_line", line, socket());
}

/// What is moved already stays as it is, and can be moved to another place.
#[test]
fn a_second_time_changes_what_differs_and_no_more() {
    for (text, target) in [
        (TASK, socket()),
        (TASK, address()),
        (TASK, upstream(address())),
        (POD, socket()),
        (POD, address()),
        (POD, upstream(socket())),
        (MANIFEST, socket()),
        (RUN, socket()),
        (RUN, upstream(address())),
    ] {
        let once = sidecar(text, &target).unwrap().text;
        assert_ne!(once, text);
        let twice = sidecar(&once, &target).unwrap().text;
        assert_eq!(twice, once);
    }
    let moved = sidecar(TASK, &socket()).unwrap().text;
    let elsewhere = target("unix:///run/outrigger/other.sock");
    let lines = diff(&moved, &sidecar(&moved, &elsewhere).unwrap().text);
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list, one mistake after another")]
fn what_cannot_be_moved_is_said_with_its_place() {
    let without = |text: &str, lines: &str| {
        assert!(text.contains(lines), "{lines}");
        text.replace(lines, "")
    };
    let unnamed = TASK.replace("APPMESH_RESOURCE_ARN", "OTHER");
    let no_sidecar = unnamed.replace("aws-appmesh-envoy", "nginx");
    let container = |name: &str| {
        format!(
            "{{\"name\": \"{name}\", \"environment\": [{{\"name\": \"APPMESH_RESOURCE_ARN\", \"value\": \"{NODE}\"}}]}}"
        )
    };
    let task = |containers: &[String], more: &str| {
        format!(
            "{{\n \"family\": \"f\",{more}\n \"containerDefinitions\": [{}]}}",
            containers.join(", ")
        )
    };
    let two = task(&[container("a"), container("b")], "");
    let fargate = task(
        &[container("a")],
        " \"requiresCompatibilities\": [\"FARGATE\"],",
    );
    let own_command = task(
        &[container("a").replace("}]}", "}], \"command\": [\"x\"]}")],
        "",
    );
    let own_file = TASK.replace("ENVOY_LOG_LEVEL", "ENVOY_CONFIG_FILE");
    let secret = TASK
        .replace("\"environment\"", "\"secrets\"")
        .replace("\"value\"", "\"valueFrom\"");
    let bad_name = TASK.replace("virtualNode/", "virtualRouter/");
    let reference = POD.replace("spec:\n", "x: &x { a: b }\ny: *x\nspec:\n");
    let cases: Vec<(&str, Target, &str)> = vec![
        ("a: b\n", socket(), "this is no task definition"),
        ("", socket(), "this is no task definition"),
        (
            "kind: Mesh\nmeshName: m\n",
            socket(),
            "this is no task definition",
        ),
        ("{\"a\": [}", socket(), "line 1: the document is not valid"),
        (
            &no_sidecar,
            socket(),
            "task definition `service-a` (line 2) has no App Mesh sidecar",
        ),
        (
            &two,
            socket(),
            "task definition `f` (line 2) has several App Mesh sidecars, `a` and `b`",
        ),
        (
            &unnamed,
            socket(),
            "`envoy` has App Mesh's image and no `APPMESH_RESOURCE_ARN`",
        ),
        (
            &secret,
            address(),
            "stands in no value of this file; say `--node",
        ),
        (
            &bad_name,
            socket(),
            "`APPMESH_RESOURCE_ARN` of `envoy` names no node",
        ),
        (
            &fargate,
            socket(),
            "runs on Fargate, where a task sees no socket",
        ),
        (&own_command, address(), "`a` has a command of its own"),
        (
            &own_file,
            socket(),
            "a file of its own, `warning` (`ENVOY_CONFIG_FILE`)",
        ),
        (
            TASK,
            target("unix:///run/xds.sock"),
            "put the socket in a folder of its own",
        ),
        (
            MANIFEST,
            address(),
            "which node the injected sidecar is, only the controller knows",
        ),
        (MANIFEST, upstream(socket()), "cannot be upstream's"),
        (
            &reference,
            socket(),
            "are written elsewhere and referred to",
        ),
    ];
    for (text, target, words) in cases {
        let error = sidecar(text, &target).unwrap_err().to_string();
        assert!(error.contains(words), "`{words}` in\n{error}");
    }
    let annotations = "        appmesh.k8s.aws/sidecarInjectorWebhook: enabled\n        appmesh.k8s.aws/sidecarEnv: \"DD_ENV=prod, ENABLE_ENVOY_DATADOG_TRACING=1\" # for Datadog\n";
    let plain = without(MANIFEST, annotations);
    let off = MANIFEST.replace("Webhook: enabled", "Webhook: disabled");
    for text in [plain, off] {
        let error = sidecar(&text, &socket()).unwrap_err().to_string();
        assert!(
            error.contains("no pod of this file has an App Mesh sidecar"),
            "{error}"
        );
    }
    let cut = MANIFEST.replace("DD_ENV=prod", "DD_ENV=a=b");
    let error = sidecar(&cut, &socket()).unwrap_err().to_string();
    assert!(
        error.contains("which is no list of `NAME=VALUE`"),
        "{error}"
    );
    let twice = MANIFEST.replace(
        "        appmesh.k8s.aws/sidecarEnv:",
        "        appmesh.k8s.aws/sidecarEnvJson: '[{\"APPMESH_XDS_ENDPOINT\":\"x:1\"}]'\n        appmesh.k8s.aws/sidecarEnv:",
    );
    let error = sidecar(&twice, &socket()).unwrap_err().to_string();
    assert!(
        error.contains("sidecarEnvJson` sets `APPMESH_XDS_ENDPOINT` too"),
        "{error}"
    );
    let several = format!("{POD}---\n{POD}");
    let error = sidecar(&several, &of_node(address()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("`--node` names one node"), "{error}");
    let line = "docker run -e APPMESH_RESOURCE_ARN=$ARN aws-appmesh-envoy";
    let error = sidecar(line, &address()).unwrap_err().to_string();
    assert!(error.contains("say `--node"), "{error}");
    let error = sidecar("docker run --rm nginx", &socket())
        .unwrap_err()
        .to_string();
    assert!(error.contains("has no App Mesh sidecar"), "{error}");
}

/// Moved, it would take no traffic.
#[test]
fn a_gateway_is_left_where_it_is() {
    for text in [TASK, POD, RUN] {
        let gateway = text.replace("virtualNode/serviceANode", "virtualGateway/g");
        for target in [socket(), address()] {
            let error = sidecar(&gateway, &target).unwrap_err().to_string();
            assert!(error.contains("does not serve yet"), "{error}");
        }
    }
}

/// A node that the caller names goes in where the file has none.
#[test]
fn a_name_that_is_missing_can_be_given() {
    let unnamed = TASK.replace("APPMESH_RESOURCE_ARN", "OTHER");
    let moved = sidecar(&unnamed, &of_node(socket())).unwrap().text;
    let task: serde_json::Value = serde_json::from_str(&moved).unwrap();
    let environment = task["containerDefinitions"][1]["environment"]
        .as_array()
        .unwrap();
    let named = serde_json::json!({ "name": "APPMESH_RESOURCE_ARN", "value": NODE });
    assert!(environment.contains(&named), "{moved}");
}
