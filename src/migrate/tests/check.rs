//! Small files, and what is said of them or done with them.

use super::*;

pub(super) const HEAD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n  containers:\n  - name: envoy\n";
pub(super) const NAMED: &str =
    "    env:\n    - name: APPMESH_RESOURCE_ARN\n      value: mesh/a/virtualNode/b\n";

/// A pod whose sidecar has these variables after its name, and these lines behind them.
pub(super) fn pod(variables: &[(&str, &str)], more: &str) -> String {
    let variable = |(name, value): &(&str, &str)| {
        format!(
            "    - name: {name}\n      value: {}\n",
            serde_json::Value::from(*value)
        )
    };
    let variables: String = variables.iter().map(variable).collect();
    format!("{HEAD}{NAMED}{variables}{more}")
}

/// A task definition whose sidecar has this too, and which has that.
pub(super) fn task(of_sidecar: &str, more: &str) -> String {
    format!(
        "{{\"containerDefinitions\": [{{\"name\": \"envoy\", \"environment\": [{{\"name\": \"APPMESH_RESOURCE_ARN\", \
         \"value\": \"{NODE}\"}}]{of_sidecar}}}]{more}}}\n"
    )
}

pub(super) fn run(options: &str) -> String {
    format!("docker run -d -e APPMESH_RESOURCE_ARN={NODE} {options} aws-appmesh-envoy:v1\n")
}

pub(super) fn other_socket() -> Target {
    target("unix:///run/other/xds.sock")
}

/// What is printed and noted, or the error.
pub(super) fn said(text: &str, target: &Target) -> String {
    match sidecar(text, target) {
        Ok(migrated) => format!(
            "{}\nnote: {}",
            migrated.text,
            migrated.notes.join("\nnote: ")
        ),
        Err(error) => format!("error: {error}"),
    }
}

/// Each file, moved, says the first words and not the second.
pub(super) fn check(cases: &[(String, Target, &[&str], &[&str])]) {
    let mut wrong = Vec::new();
    for (text, target, has, lacks) in cases {
        let said = said(text, target);
        let missing = has.iter().filter(|words| !said.contains(*words));
        let there = lacks.iter().filter(|words| said.contains(*words));
        let all: Vec<&&str> = missing.chain(there).collect();
        if !all.is_empty() {
            wrong.push(format!("{all:?} of\n{text}--- becomes\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n======\n"));
}
