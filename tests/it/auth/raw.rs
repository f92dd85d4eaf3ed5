//! Requests as strangers on the way may send them: signed by Outrigger's own signer, and changed afterwards.

use std::time::SystemTime;

use axum::http::HeaderMap;
use outrigger::api::auth::sigv4::{Payload, Request, Secret, Signer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{SECRET, world};
use crate::world::World;

const PATH: &str = "/outrigger/v1/meshes/appMesh/virtualNodes/serviceANode/endpoints";

/// The headers that sign a request for the world's API, as they are written in HTTP/1.1.
fn signed(world: &World, method: &str, path: &str, payload: Payload<'_>) -> String {
    let host = world.at(1, 9080).to_string();
    let signer = Signer {
        access_key_id: "AKIDALL".to_owned(),
        secret_access_key: Secret::new(SECRET),
        session_token: None,
        region: "us-east-1".to_owned(),
    };
    let request = Request {
        method,
        path,
        query: "",
        headers: &HeaderMap::new(),
        authority: Some(&host),
    };
    let headers = signer.sign(&request, payload, SystemTime::now()).unwrap();
    let line = |name: &str, value: &str| format!("{name}: {value}\r\n");
    let lines = headers
        .iter()
        .map(|(name, value)| line(name.as_str(), value.to_str().unwrap()));
    lines.chain([line("host", &host)]).collect()
}

/// The whole answer.
async fn send(world: &World, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(world.at(1, 9080)).await.unwrap();
    let request = format!("{head}connection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_on_the_way_is_refused() {
    let world = world().await;
    let body = r#"{"endpoints": [{"address": "10.0.0.7"}]}"#;
    let json = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    let headers = signed(&world, "PUT", PATH, Payload::Bytes(body.as_bytes())) + &json;
    let put = format!("PUT {PATH} HTTP/1.1\r\n{headers}");
    let answer = send(&world, &put, body).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Another body, another method, another path, another host.
    let other = body.replace("10.0.0.7", "10.6.6.6");
    let elsewhere = format!("PUT {PATH}?a=b HTTP/1.1\r\n{headers}");
    let host = put.replace("host: ", "host: x");
    let patch = put.replace("PUT ", "POST ");
    for (head, body) in [
        (&put, other.as_str()),
        (&elsewhere, body),
        (&host, body),
        (&patch, body),
    ] {
        let answer = send(&world, head, body).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(
            answer.contains("x-amzn-errortype: InvalidSignatureException\r\n"),
            "{answer}"
        );
        // As the other errors of Outrigger's own calls are.
        assert!(
            answer.contains("\r\n\r\n{\"error\":\"the request signature we"),
            "{answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_call_cannot_leave_its_body_unsigned() {
    let world = world().await;
    let body = r#"{"endpoints": []}"#;
    let headers = signed(&world, "PUT", PATH, Payload::Unsigned);
    // Nor by saying that it is gRPC.
    for kind in ["application/json", "application/grpc"] {
        let length = body.len();
        let more = format!("content-type: {kind}\r\ncontent-length: {length}\r\n");
        let answer = send(
            &world,
            &format!("PUT {PATH} HTTP/1.1\r\n{headers}{more}"),
            body,
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(
            answer.contains("`x-amz-content-sha256` is not the hash"),
            "{answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused_before_it_is_read() {
    let world = world().await;
    let headers = signed(&world, "PUT", PATH, Payload::Bytes(b"")) + "content-length: 16777217\r\n";
    let answer = send(&world, &format!("PUT {PATH} HTTP/1.1\r\n{headers}"), "").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("longer than 16777216 bytes"), "{answer}");
    // Of a stranger's, not a byte.
    let unsigned = "PUT /v20190125/meshes HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n";
    let answer = send(&world, unsigned, "").await;
    assert!(
        answer.contains("x-amzn-errortype: MissingAuthenticationTokenException\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("\r\n\r\n{\"message\":\"missing authentication token"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_to_callers_only() {
    let world = world().await;
    let answer = send(&world, "GET /nothing HTTP/1.1\r\nhost: x\r\n", "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let headers = signed(&world, "GET", "/nothing", Payload::Bytes(b""));
    let answer = send(&world, &format!("GET /nothing HTTP/1.1\r\n{headers}"), "").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("nothing answers GET /nothing"), "{answer}");
}
