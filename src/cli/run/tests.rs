//! Against a small server that answers what the real one answers when it is in trouble, which the real one cannot be asked
//! to be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::cli::connect::ApiArgs;
use crate::cli::report::Report;
use crate::model::{MeshName, NodeName};

type Seen = Arc<Mutex<Vec<String>>>;

/// Answers each request, of which it sees method and path, and keeps what it was asked.
async fn server(
    answer: impl Fn(&str, usize) -> (StatusCode, &'static str) + Clone + Send + Sync + 'static,
) -> (SocketAddr, Seen, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let app = Router::new().fallback(async move |request: Request| {
        let line = format!("{} {}", request.method(), request.uri().path());
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|seen| **seen == line).count();
        log.push(line.clone());
        respond(answer(&line, before))
    });
    let mut serving = JoinSet::new();
    serving.spawn(async { axum::serve(listener, app).await.unwrap() });
    (address, seen, serving)
}

fn respond((status, exception): (StatusCode, &'static str)) -> Response {
    let body = axum::Json(json!({ "message": format!("because of {exception}") }));
    (status, [("x-amzn-errortype", exception)], body).into_response()
}

fn client(address: SocketAddr, patience: Duration) -> Arc<Client> {
    let api = ApiArgs {
        api_url: Some(format!("http://{address}")),
    };
    Arc::new(Client::new(&api, patience).unwrap())
}

fn mesh() -> ResourceId {
    ResourceId::Mesh(MeshName::new("m"))
}

fn node(name: &str) -> ResourceId {
    ResourceId::VirtualNode(MeshName::new("m"), NodeName::new(name))
}

fn create(id: ResourceId, needs: &[ResourceId]) -> Step {
    Step {
        id,
        action: Action::Create {
            spec: json!({}),
            tags: std::collections::BTreeMap::default(),
        },
        needs: needs.iter().cloned().collect(),
    }
}

async fn done(client: &Arc<Client>, steps: Vec<Step>) -> (Vec<String>, Option<Ended>) {
    let mut progress = Progress::new(steps.len());
    let outcomes = run(client, steps, &Interrupt::default(), &mut progress).await;
    let ended = outcomes.ended;
    let table = Report::done(outcomes).table();
    (table.lines().map(str::to_owned).collect(), ended)
}

const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn trouble_that_passes_is_waited_out() {
    let (address, seen, _serving) = server(|_, before| match before {
        0 => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailableException",
        ),
        1 => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
        _ => (StatusCode::OK, ""),
    })
    .await;
    let client = client(address, PATIENT);
    let (lines, ended) = done(&client, vec![create(mesh(), &[])]).await;
    assert_eq!(lines, ["created mesh/m", "1 created"]);
    assert_eq!(ended, None);
    assert_eq!(*seen.lock().unwrap(), ["PUT /v20190125/meshes"; 3]);
}

#[tokio::test]
async fn trouble_that_stays_ends_the_run() {
    let (address, _, _serving) = server(|_, _| {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailableException",
        )
    })
    .await;
    let client = client(address, Duration::ZERO);
    let steps = vec![
        create(mesh(), &[]),
        create(node("a"), &[mesh()]),
        Step::delete(node("b")),
    ];
    let (lines, ended) = done(&client, steps).await;
    assert_eq!(ended, Some(Ended::Unavailable));
    assert_eq!(
        lines,
        [
            "failed to create mesh/m",
            "    ServiceUnavailableException: because of ServiceUnavailableException",
            "did not try to create mesh/m/virtualNode/a",
            "did not try to delete mesh/m/virtualNode/b",
            "1 failed, 2 not tried",
            "the server is not available; run it again when it is, and it goes on where it ended",
        ]
    );
}

#[tokio::test]
async fn a_failure_takes_down_what_needs_it_and_no_prune_follows() {
    let (address, seen, _serving) = server(|line, _| match line {
        "PUT /v20190125/meshes" => (StatusCode::BAD_REQUEST, "LimitExceededException"),
        _ => (StatusCode::OK, ""),
    })
    .await;
    let client = client(address, PATIENT);
    let steps = vec![
        create(mesh(), &[]),
        create(node("a"), &[mesh()]),
        create(node("b"), &[]),
        Step::delete(node("c")),
    ];
    let (lines, ended) = done(&client, steps).await;
    assert_eq!(ended, Some(Ended::Unpruned));
    assert_eq!(
        lines,
        [
            "failed to create mesh/m",
            "    LimitExceededException: because of LimitExceededException",
            "could not create mesh/m/virtualNode/a",
            "    needs mesh/m, which failed",
            "created mesh/m/virtualNode/b",
            "did not try to delete mesh/m/virtualNode/c",
            "1 created, 2 failed, 1 not tried",
            "nothing was pruned, since not everything could be applied; mend that and run it again",
        ]
    );
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_delete_that_fails_keeps_no_other_from_being_pruned() {
    let (address, _, _serving) = server(|line, _| match line {
        "DELETE /v20190125/meshes/m/virtualNodes/a" => {
            (StatusCode::CONFLICT, "ResourceInUseException")
        }
        _ => (StatusCode::OK, ""),
    })
    .await;
    let client = client(address, PATIENT);
    let steps = vec![
        create(mesh(), &[]),
        Step::delete(node("a")),
        Step::delete(node("b")),
        Step::delete(ResourceId::Mesh(MeshName::new("old"))),
    ];
    let (lines, ended) = done(&client, steps).await;
    assert_eq!(ended, None);
    assert_eq!(
        lines,
        [
            "created mesh/m",
            "failed to delete mesh/m/virtualNode/a",
            "    ResourceInUseException: because of ResourceInUseException",
            "deleted mesh/m/virtualNode/b",
            "deleted mesh/old",
            "1 created, 2 deleted, 1 failed",
            "mend what failed and run it again: what is done stays done",
        ]
    );
}

#[tokio::test]
async fn an_interrupt_after_the_last_step_is_none() {
    let interrupt = Interrupt::default();
    let once = interrupt.once.clone();
    let (address, _, _serving) = server(move |_, _| {
        once.cancel();
        (StatusCode::OK, "")
    })
    .await;
    let steps = vec![create(mesh(), &[])];
    let mut progress = Progress::new(1);
    let outcomes = run(&client(address, PATIENT), steps, &interrupt, &mut progress).await;
    assert_eq!(outcomes.ended, None);
    assert!(matches!(outcomes.steps.as_slice(), [(_, Outcome::Done)]));
}

/// The first delete was done, though its answer was lost.
#[tokio::test]
async fn a_delete_that_is_sent_twice_may_find_nothing() {
    let (address, _, _serving) = server(|_, before| match before {
        0 => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailableException",
        ),
        _ => (StatusCode::NOT_FOUND, "NotFoundException"),
    })
    .await;
    let client = client(address, PATIENT);
    let (lines, _) = done(&client, vec![Step::delete(node("a"))]).await;
    assert_eq!(lines, ["deleted mesh/m/virtualNode/a", "1 deleted"]);
    let (address, _, _serving) = server(|_, _| (StatusCode::NOT_FOUND, "NotFoundException")).await;
    let client = self::client(address, PATIENT);
    let (lines, _) = done(&client, vec![Step::delete(node("a"))]).await;
    assert_eq!(lines[0], "failed to delete mesh/m/virtualNode/a");
}

#[tokio::test]
async fn after_an_interrupt_nothing_new_is_begun() {
    let (address, seen, _serving) = server(|_, _| (StatusCode::OK, "")).await;
    let interrupt = Interrupt::default();
    interrupt.once.cancel();
    let steps = vec![create(mesh(), &[])];
    let mut progress = Progress::new(1);
    let outcomes = run(&client(address, PATIENT), steps, &interrupt, &mut progress).await;
    assert_eq!(outcomes.ended, Some(Ended::Interrupted));
    assert!(matches!(
        outcomes.steps.as_slice(),
        [(_, Outcome::NotTried)]
    ));
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn connections_are_kept_and_one_that_was_closed_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap(), Duration::ZERO);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    // Two calls on the first connection, which is then closed, and one on the second.
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        for calls in [2, 1] {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..calls {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap());
                }
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes())
                    .await
                    .unwrap();
            }
        }
    });
    let call = Step::delete(mesh()).calls(1).remove(0);
    for _ in 0..3 {
        assert_eq!(client.call(&call).await.unwrap(), json!({}));
    }
    serving.join_all().await;
}

/// A server that did the delete and closed the connection without an answer is asked again, and has nothing left.
#[tokio::test]
async fn a_delete_that_was_sent_again_on_another_connection_may_find_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap(), Duration::ZERO);
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let gone = "HTTP/1.1 404 Not Found\r\nx-amzn-errortype: NotFoundException\r\ncontent-length: 2\r\n\r\n{}";
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        for answers in [&[ok, ""][..], &[gone]] {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap());
                }
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes())
                    .await
                    .unwrap();
            }
        }
    });
    let steps = vec![Step::delete(node("a")), Step::delete(mesh())];
    let (lines, _) = done(&client, steps).await;
    assert_eq!(
        lines,
        [
            "deleted mesh/m/virtualNode/a",
            "deleted mesh/m",
            "2 deleted"
        ]
    );
    serving.join_all().await;
}
