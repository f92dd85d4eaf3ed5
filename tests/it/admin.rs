//! Health, readiness and metrics, over a real socket.

use outrigger::api::admin::{AdminState, router};
use outrigger::telemetry::metrics::ListenerName;
use outrigger::telemetry::{Metrics, Ready};
use outrigger::transport::{self, Http, Limits, Options};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::http;

#[tokio::test]
async fn readiness_follows_the_guards_and_names_what_is_wrong() {
    let (ready, metrics) = (Ready::default(), Metrics::new().unwrap());
    let (url, _tasks) = start(&ready, &metrics).await;
    let guard = ready.register("mesh files");
    let (status, _, body) = http::get(&url, "/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "not ready\nwaiting for: mesh files\n")
    );
    assert_eq!(
        http::get(&url, "/healthz").await.0,
        200,
        "alive although not ready"
    );

    drop(guard);
    let problem = "2 problems, the last good model stays: mesh.yaml:3: no such node";
    ready.set_degraded("mesh files", Some(problem.to_owned()));
    let (status, head, body) = http::get(&url, "/readyz").await;
    assert_eq!(
        status, 200,
        "an error in a mesh file must not make it unready"
    );
    assert!(head.contains("text/plain"), "{head}");
    assert_eq!(body, format!("ready\ndegraded: mesh files: {problem}\n"));

    ready.drain();
    assert_eq!(http::get(&url, "/readyz").await.0, 503);
}

#[tokio::test]
async fn metrics_are_in_the_form_that_prometheus_reads() {
    let (ready, metrics) = (Ready::default(), Metrics::new().unwrap());
    let (url, _tasks) = start(&ready, &metrics).await;
    let _stream = metrics.stream_opened(outrigger::clients::Variant::Sotw);
    let (status, head, body) = http::get(&url, "/metrics").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let has = |line: &str| body.lines().any(|found| found.starts_with(line));
    assert!(has("# TYPE outrigger_xds_streams gauge"), "{body}");
    assert!(has("outrigger_xds_streams{variant=\"sotw\"} 1"), "{body}");
    assert!(
        !cfg!(target_os = "linux") || has("process_resident_memory_bytes "),
        "{body}"
    );
    assert_eq!(http::get(&url, "/else").await.0, 404);
}

async fn start(ready: &Ready, metrics: &Metrics) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = router(AdminState {
        registry: metrics.registry().clone(),
        ready: ready.clone(),
    });
    let mut tasks = JoinSet::new();
    let options = Options {
        http: Http::OneAndTwo,
        limits: Limits::MONITORS,
        metrics: metrics.connections(ListenerName::Admin),
    };
    let stop = CancellationToken::new();
    tasks.spawn(transport::serve(listener.into(), router, options, stop));
    (url, tasks)
}
