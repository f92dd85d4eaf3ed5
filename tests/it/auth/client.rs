//! AWS's own SDK for Python, in a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::python;
use crate::world::World;

/// What came back.
#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    /// The exception, as the SDK understands the answer.
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// What App Mesh's API answers where there is no such resource, or the call cannot be right.
const ANSWERS: [(&str, u16); 2] = [("NotFoundException", 404), ("BadRequestException", 400)];

impl Outcome {
    /// Authentication let the call through, to what has answered it, if only with what is wrong with it.
    #[track_caller]
    pub(crate) fn passed(&self) {
        match self.code.as_deref() {
            None => assert_eq!(self.status, 200, "{self:?}"),
            Some(code) => assert!(ANSWERS.contains(&(code, self.status)), "{self:?}"),
        }
    }

    /// Its exception is this, its message has these words, and it has what SDKs look for.
    #[track_caller]
    pub(crate) fn refused(&self, code: &str, words: &str) {
        assert_eq!(self.code.as_deref(), Some(code), "{self:?}");
        let message = self.message.as_deref().unwrap_or_default();
        assert!(message.contains(words), "{words}: {self:?}");
        let status = if code.starts_with("Incomplete") {
            400
        } else {
            403
        };
        assert_eq!(self.status, status, "{self:?}");
        // By the one they correct their clock; the other is what a user quotes.
        assert!(self.headers.contains_key("date"), "{self:?}");
        assert_eq!(self.headers["x-amzn-requestid"].len(), 36, "{self:?}");
    }
}

/// A call, of the key that has everything unless it is said otherwise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Job {
    pub(crate) url: String,
    pub(crate) key: &'static str,
    /// `None`: unsigned.
    pub(crate) secret: Option<&'static str>,
    pub(crate) token: Option<&'static str>,
    pub(crate) region: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) arguments: Value,
    /// How far the client's clock is ahead, in seconds.
    pub(crate) shift: i64,
    /// A presigned URL with this path instead of an operation.
    pub(crate) path: Option<&'static str>,
    pub(crate) expires: u32,
    /// What is appended to the URL once it is signed.
    pub(crate) more: &'static str,
}

impl Job {
    pub(crate) fn new(world: &World, key: &'static str, secret: &'static str) -> Self {
        Self {
            url: format!("http://{}", world.at(1, 9080)),
            key,
            secret: Some(secret),
            token: None,
            region: "us-east-1",
            operation: "list_meshes",
            arguments: json!({}),
            shift: 0,
            path: None,
            expires: 60,
            more: "",
        }
    }
}

/// The process; it ends when its input does.
pub(crate) struct Sdk {
    process: std::process::Child,
    outcomes: BufReader<std::process::ChildStdout>,
}

impl Sdk {
    pub(crate) fn start(world: &World) -> Self {
        let log = std::fs::File::create(world.folder.path().join("sdk.log")).unwrap();
        let mut process = python::aws_sdk()
            .arg(python::script("auth/client.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let outcomes = BufReader::new(process.stdout.take().unwrap());
        Self { process, outcomes }
    }

    pub(crate) fn run(&mut self, job: &Job) -> Outcome {
        let mut input = self.process.stdin.as_ref().unwrap();
        writeln!(input, "{}", serde_json::to_string(job).unwrap()).unwrap();
        let mut line = String::new();
        tokio::task::block_in_place(|| self.outcomes.read_line(&mut line).unwrap());
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{job:?}: {line:?}: {error}"))
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
