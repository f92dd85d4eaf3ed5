//! A control plane without mesh files, and raw calls to its API.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use outrigger::envoy::child::{Child, ChildCommand};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::world::{OUTRIGGER, PATIENCE, eventually};

/// App Mesh's exceptions with their statuses, as the reference has them.
const EXCEPTIONS: [(&str, u16); 10] = [
    ("BadRequestException", 400),
    ("ConflictException", 409),
    ("ForbiddenException", 403),
    ("InternalServerErrorException", 500),
    ("LimitExceededException", 400),
    ("NotFoundException", 404),
    ("ResourceInUseException", 409),
    ("ServiceUnavailableException", 503),
    ("TooManyRequestsException", 429),
    ("TooManyTagsException", 400),
];

/// A real `serve` on ports of its own.
pub(crate) struct Served {
    pub(crate) folder: TempDir,
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    args: Vec<String>,
    child: Option<Child>,
}

impl Served {
    /// With a data folder and further arguments.
    pub(crate) async fn start(args: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), args).await
    }

    /// With a data folder that stands as `data` in this one, if it is there.
    pub(crate) async fn start_in(folder: TempDir, args: &[&str]) -> Self {
        let mut served = Self {
            folder,
            api: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            child: None,
        };
        served.restart().await;
        served
    }

    /// Kills the process, if there is one, and starts it anew on the same data folder.
    pub(crate) async fn restart(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
        let log = self.log();
        drop(std::fs::remove_file(&log));
        let any = "127.0.0.1:0";
        let child = ChildCommand::new(OUTRIGGER, OUTRIGGER)
            .arg("serve")
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .args(["--xds-addr", any, "--api-addr", any, "--admin-addr", any])
            .args(["--log-format", "json"])
            .args(&self.args)
            .spawn("control plane", &log)
            .unwrap();
        self.child = Some(child);
        let [api, admin] = eventually("the addresses are known", PATIENCE, async || {
            let text = std::fs::read_to_string(&log).ok()?;
            text.lines().find_map(addresses)
        })
        .await;
        (self.api, self.admin) = (api, admin);
        eventually("the control plane is ready", PATIENCE, async || {
            let (status, ..) = crate::http::get(&format!("http://{admin}"), "/readyz").await;
            (status == 200).then_some(())
        })
        .await;
    }

    /// The process, for whoever ends it.
    pub(crate) fn process(&mut self) -> Child {
        self.child.take().unwrap()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("control-plane.log")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// The value of one series.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let (_, _, text) = crate::http::get(&format!("http://{}", self.admin), "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Bytes::new()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        let json = ("content-type", "application/json");
        self.send("PUT", path, &[json], body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Bytes::new()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let stream = TcpStream::connect(self.api).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.api.to_string());
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_str(value).unwrap());
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        Answer {
            status,
            headers,
            body,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(30)..];
            eprintln!("control plane's last lines:\n{}", last.join("\n"));
        }
    }
}

/// The API's address and the admin address, if this line of the log has them.
fn addresses(line: &str) -> Option<[SocketAddr; 2]> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line[name].as_str()?.parse().ok();
    Some([address("api")?, address("admin")?])
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of a call that went well.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The exception and its message. Whatever the error is, it has the form of App Mesh's.
    #[track_caller]
    pub(crate) fn error(&self) -> (String, String) {
        let name = self.header("x-amzn-errortype");
        let known = EXCEPTIONS.iter().find(|(known, _)| *known == name);
        let (name, status) = known.unwrap_or_else(|| panic!("no exception: {self:?}"));
        assert_eq!(self.status, *status, "{self:?}");
        let id = self.header("x-amzn-requestid");
        assert_eq!(id.len(), 36, "no request id: {self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        let json = self.json();
        let message = json["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "no message: {self:?}");
        ((*name).to_owned(), message.to_owned())
    }
}
