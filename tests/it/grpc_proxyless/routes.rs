//! What a route may ask for and say, as gRPC reads it: none of it is rejected, and all that gRPC knows counts.

use serde_json::json;

use super::{WHO, serve_both, with, world};
use crate::continuity::split;

fn route(name: &str, priority: u32, spec: &str) -> String {
    format!(
        "kind: Route\nmeshName: appMesh\nvirtualRouterName: router-8080\nrouteName: {name}\n\
         spec: {{ priority: {priority}, {spec} }}\n"
    )
}

/// `service-b.local` on `one`, but for what these routes take; `TWO` in them sends to `two`.
fn mesh(routes: &[&str]) -> String {
    let two = "action: { weightedTargets: [{ virtualNode: two, weight: 1 }] }";
    let mut documents: Vec<String> = (1..)
        .zip(routes)
        .map(|(place, spec)| route(&format!("r{place}"), place, &spec.replace("TWO", two)))
        .collect();
    let all = split("service-b.local", 8080, "grpc", &[("one", 1)]);
    documents.push(all.replace("match: { prefix: / }", "match: {}"));
    with(&documents)
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_times_and_retries() {
    let seconds = "{ unit: s, value: 1 }";
    let (world, mut client) = world(&mesh(&[
        "grpcRoute: { match: { serviceName: demo.Echo, methodName: Two }, TWO }",
        "grpcRoute: { match: { serviceName: demo.Other }, TWO, timeout: { perRequest: { unit: s, value: 4 } } }",
        &format!(
            "grpcRoute: {{ match: {{ serviceName: demo.Retry }}, TWO, \
             retryPolicy: {{ maxRetries: 1, perRetryTimeout: {seconds}, grpcRetryEvents: [internal] }} }}"
        ),
        &format!(
            "grpcRoute: {{ match: {{ serviceName: demo.Never }}, TWO, \
             retryPolicy: {{ maxRetries: 0, perRetryTimeout: {seconds}, grpcRetryEvents: [internal] }} }}"
        ),
        // No gRPC call can match the first three.
        "httpRoute: { match: { prefix: /, method: GET }, TWO }",
        "httpRoute: { match: { prefix: /, scheme: https }, TWO }",
        "httpRoute: { match: { prefix: /, queryParameters: [{ name: q }] }, TWO }",
        "httpRoute: { match: { path: { regex: '/demo\\.[A-Z].*/Regex' }, method: POST, scheme: http }, TWO }",
        "grpcRoute: { match: { serviceName: demo.Nobody }, action: { weightedTargets: [{ virtualNode: one, weight: 0 }] } }",
    ]))
    .await;
    let _both = serve_both(&world).await;
    for (method, name) in [
        (WHO, "one"),
        ("/demo.Echo/Two", "two"),
        ("/demo.Other/Who", "two"),
        ("/demo.Echo/Regex", "two"),
        // By App Mesh's own policy, for want of another.
        ("/demo.Echo/Flaky", "one"),
        ("/demo.Retry/Internal", "two"),
    ] {
        let outcome = client.call("service-b.local", method, 3);
        assert_eq!(outcome.who(), [name], "{method}");
    }
    for (method, status) in [
        ("/demo.Echo/Internal", "INTERNAL: broken at first"),
        ("/demo.Never/Internal", "INTERNAL: broken at first"),
        ("/demo.Retry/Flaky", "UNAVAILABLE: flaky at first"),
        // The C core's words for a route that forwards nowhere.
        (
            "/demo.Nobody/Who",
            "UNAVAILABLE: Matching route has inappropriate action",
        ),
    ] {
        let outcome = client.call("service-b.local", method, 1);
        assert!(
            outcome.only_error().starts_with(status),
            "{method}: {outcome:?}"
        );
    }
    // The route's time is shorter than the call's own. (The C core's clock may be a second off.)
    let outcome = client.run(&json!({
        "target": "xds:///service-b.local", "method": "/demo.Other/Slow", "calls": 1, "timeout": 100,
    }));
    assert!(
        outcome.only_error().starts_with("DEADLINE_EXCEEDED"),
        "{outcome:?}"
    );
    assert!((1.0..6.0).contains(&outcome.took), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata() {
    let matches = [
        "exact: x",
        "prefix: pre",
        "suffix: post",
        "regex: 'a+b'",
        "range: { start: 5, end: 7 }",
    ];
    let routes: Vec<String> = (0..)
        .zip(matches)
        .map(|(place, matched)| {
            format!("grpcRoute: {{ match: {{ metadata: [{{ name: h{place}, match: {{ {matched} }} }}] }}, TWO }}")
        })
        .chain(["grpcRoute: { match: { metadata: [{ name: present }] }, TWO }".to_owned()])
        .chain(["grpcRoute: { match: { metadata: [{ name: absent, invert: true }, { name: bait }] }, TWO }".to_owned()])
        .collect();
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let (world, mut client) = world(&mesh(&routes)).await;
    let _both = serve_both(&world).await;
    let mut who = |metadata: &[(&str, &str)]| {
        let job = json!({
            "target": "xds:///service-b.local", "method": WHO, "calls": 1, "timeout": 10, "metadata": metadata,
        });
        client.run(&job).who().join(" ")
    };
    for (name, taken, left) in [
        ("h0", "x", "y"),
        ("h1", "prefixed", "unfixed"),
        ("h2", "outpost", "outposts"),
        ("h3", "aab", "aac"),
        ("h4", "6", "7"),
    ] {
        assert_eq!(who(&[(name, taken)]), "two", "{name}: {taken}");
        assert_eq!(who(&[(name, left)]), "one", "{name}: {left}");
    }
    assert_eq!(who(&[("present", "")]), "two");
    assert_eq!(who(&[("bait", "1")]), "two");
    assert_eq!(who(&[("bait", "1"), ("absent", "1")]), "one");
}
