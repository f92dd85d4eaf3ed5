//! One run of the load client against one server.

use crate::mesh;
use crate::scenario::{Mode, Scale, Scenario};
use crate::server::{Kind, Programs, Server};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Stdio;
use tokio::process::Command;

/// What the load client reported.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) mode: Mode,
    pub(crate) kind: Kind,
    pub(crate) has_started: bool,
    /// Its JSON; null where there is none.
    pub(crate) report: Value,
    /// Why the figures cannot be trusted.
    pub(crate) failure: Option<String>,
    pub(crate) command: String,
}

/// Starts the server, loads it, ends it. What fails is in the result; an error is one of this program.
pub(crate) async fn run(
    programs: &Programs,
    scenario: Scenario,
    mode: Mode,
    kind: Kind,
    scale: Scale,
    extra: &[String],
) -> Run {
    let mut run = Run {
        scenario,
        mode,
        kind,
        has_started: false,
        report: Value::Null,
        failure: None,
        command: String::new(),
    };
    if let Err(error) = measure(programs, scale, extra, &mut run).await {
        run.failure = Some(format!("{error:#}"));
    }
    run
}

async fn measure(programs: &Programs, scale: Scale, extra: &[String], run: &mut Run) -> Result<()> {
    let mesh = run.scenario.mesh(scale)?;
    let server = Server::start(programs, run.kind, mesh).await?;
    run.has_started = true;
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("report.json");
    let mut command = Command::new(&programs.load);
    command
        .args(["--server", &server.ads, "--pid", &server.pid.to_string()])
        .args(["--mode", run.mode.key(), "--node-id", mesh::NODE_ID])
        .args(["--streams", &run.scenario.streams(scale).to_string()])
        .args(["--groups", &mesh.groups().to_string()])
        .args(["--trigger-method", server.trigger.method])
        .args([
            "--trigger-url",
            &server.trigger.url,
            "--trigger-body",
            &server.trigger.body,
        ])
        .args(["--resource", server.trigger.resource])
        .args(run.scenario.options(scale))
        .args(extra)
        .arg("--output")
        .arg(&output);
    run.command = shown(&command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let ended = command
        .kill_on_drop(true)
        .output()
        .await
        .context("running the load client")?;
    if let Ok(text) = std::fs::read_to_string(&output) {
        run.report = serde_json::from_str(&text).context("the load client's report")?;
    }
    let last_words = server.last_words();
    server.stop().await?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(
        ended.status.success(),
        "{}: {}; {}\nthe server's last words: {last_words}",
        ended.status,
        said.trim(),
        complaint(&run.report)
    );
    Ok(())
}

/// What makes a report unclean.
fn complaint(report: &Value) -> String {
    let members = [
        "/first_failure",
        "/storm/incomplete_streams",
        "/phases/0/missed",
        "/phases/1/missed",
        "/rate/missed",
        "/reconnects/0/detached",
        "/reconnects/0/missed",
        "/audit/stale",
        "/audit/failure",
    ];
    let told = members.iter().filter_map(|pointer| {
        let value = report.pointer(pointer)?;
        let is_well = value.is_null() || value.as_u64() == Some(0);
        (!is_well).then(|| format!("{} {value}", &pointer[1..]))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The command as it could be typed.
fn shown(command: &Command) -> String {
    let command = command.as_std();
    let quoted = |word: &std::ffi::OsStr| {
        let word = word.to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,".contains(c);
        match word.is_empty() || !word.chars().all(is_plain) {
            true => format!("'{word}'"),
            false => word.into_owned(),
        }
    };
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unclean_report_says_why() {
        let report = json!({
            "first_failure": null,
            "storm": { "incomplete_streams": 0 },
            "phases": [{ "missed": 0 }, { "missed": 3 }],
            "audit": { "stale": 2, "failure": null },
        });
        assert_eq!(complaint(&report), "phases/1/missed 3, audit/stale 2");
        assert_eq!(complaint(&Value::Null), "");
    }

    #[test]
    fn a_command_is_shown_as_it_could_be_typed() {
        let mut command = Command::new("xds-load");
        command.args([
            "--resource",
            "svc-{service}",
            "--trigger-body",
            "",
            "-n",
            "5",
        ]);
        let expected = "xds-load --resource 'svc-{service}' --trigger-body '' -n 5";
        assert_eq!(shown(&command), expected);
    }
}
