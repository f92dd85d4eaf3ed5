//! A load client that follows the server through its ends, and says how its fleet stands.

use crate::mesh::{self, Mesh};
use crate::server::Server;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(crate) struct Client {
    mode: &'static str,
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What a load client answers; counts are since its start.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Look {
    pub(crate) attached: usize,
    pub(crate) broken: u64,
    pub(crate) resent: u64,
    pub(crate) compared: usize,
    pub(crate) stale: usize,
    pub(crate) failure: Option<String>,
}

impl Client {
    pub(crate) fn start(
        program: &Path,
        server: &Server,
        mesh: Mesh,
        mode: &'static str,
        streams: usize,
    ) -> Result<Self> {
        let services = format!("0-{}", mesh.services - 1);
        let mut child = Command::new(program)
            .args(["--follow", "--server", &server.ads, "--mode", mode])
            .args(["--node-id", mesh::NODE_ID])
            .args(["--streams", &streams.to_string()])
            .args(["--groups", &mesh.groups().to_string()])
            .args(["--resource", server.trigger.resource])
            .args(["--rate-services", &services])
            .args(["--output", "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let questions = child.stdin.take().context("no standard input")?;
        let answers = child.stdout.take().context("no standard output")?;
        Ok(Self {
            mode,
            child,
            questions,
            answers: BufReader::new(answers).lines(),
        })
    }

    /// Waits until nothing more comes to the fleet, and says how it stands.
    pub(crate) async fn look(&mut self) -> Result<Look> {
        let mode = self.mode;
        self.questions.write_all(b"look\n").await.context(mode)?;
        let line = self.answers.next_line().await.context(mode)?;
        let line = line.with_context(|| format!("the {mode} client ended"))?;
        serde_json::from_str(&line).with_context(|| format!("the {mode} client said {line}"))
    }

    /// Lets all streams leave; says what the client complains of.
    pub(crate) async fn end(mut self) -> Result<Option<String>> {
        drop(self.questions);
        let status = self.child.wait().await?;
        ensure!(
            status.code().is_some(),
            "the {} client: {status}",
            self.mode
        );
        Ok((!status.success()).then(|| format!("the {} client: {status}", self.mode)))
    }
}
