//! An orchestrator: calls to the API, as curl makes them.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::world::World;

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) struct Client {
    api: SocketAddr,
}

impl Client {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            api: world.at(1, 9080),
        }
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PUT", path, &[JSON], body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, &[], String::new()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.send("DELETE", path, &[], String::new()).await
    }

    /// The status and the body, which is JSON whatever happens.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> (u16, Value) {
        let stream = TcpStream::connect(self.api).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.api.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        let json = serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{status} with {body:?}: {error}"));
        (status, json)
    }
}
