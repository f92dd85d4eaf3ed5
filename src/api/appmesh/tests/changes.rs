//! The list of changes: what it has, for whom, and how long it waits.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use super::super::WAITING_CALLS;
use super::super::lists::LISTS_OF_A_KEY;
use super::*;
use crate::api::auth::{Caller, Permissions};

/// The path of the list.
const CHANGES: &str = "/outrigger/v1/changes";
/// Longer than what is already there may take to be answered, and shorter than any wait.
const SOON: Duration = Duration::from_secs(10);

/// A store with its writer running, and the API over it.
struct Running {
    api: AppMesh,
    _tasks: JoinSet<()>,
}

impl Running {
    fn start() -> Self {
        let registry = Registry::new();
        let journal = Box::<Memory>::default();
        let (store, writer) = Store::new(journal, Options::default(), &registry).unwrap();
        let api = AppMesh::new(store, Identity::default(), &registry).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run(CancellationToken::new()));
        Self { api, _tasks: tasks }
    }

    async fn call(&self, method: &str, uri: &str, caller: &Caller, body: &Value) -> Reply {
        let request = Request::builder().method(method).uri(uri);
        let request = request.extension(caller.clone());
        let mut router = router(self.api.clone());
        let response = router
            .call(request.body(Body::from(body.to_string())).unwrap())
            .await
            .unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Reply {
            status,
            headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    async fn make(&self, path: &str, body: &Value) {
        let reply = self.call("PUT", path, &Caller::anybody(), body).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    }

    async fn make_mesh(&self, name: &str) {
        self.make("/v20190125/meshes", &json!({ "meshName": name }))
            .await;
    }

    async fn changes(&self, query: &str) -> Value {
        let uri = format!("{CHANGES}?{query}");
        let reply = self
            .call("GET", &uri, &Caller::anybody(), &Value::Null)
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        reply.body
    }
}

#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

/// The names of what a list has.
fn names(list: &Value) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    let name = |item: &Value| {
        let node = item.get("virtualNodeName").unwrap_or(&Value::Null);
        format!("{} {} {}", item["kind"], item["meshName"], node).replace('"', "")
    };
    items.map(name).collect()
}

#[tokio::test]
async fn what_changed_and_what_is_gone_since_a_revision() {
    let running = Running::start();
    running.make_mesh("m").await;
    let all = running.changes("").await;
    assert_eq!((&all["revision"], &all["full"]), (&json!(1), &json!(true)));
    assert_eq!(names(&all["resources"]), ["Mesh m null"]);
    let nodes = "/v20190125/meshes/m/virtualNodes";
    for name in ["a", "b"] {
        running
            .make(nodes, &json!({ "virtualNodeName": name, "spec": {} }))
            .await;
    }
    let delete = |name: &str| {
        let path = format!("{nodes}/{name}");
        let running = &running;
        async move {
            running
                .call("DELETE", &path, &Caller::anybody(), &Value::Null)
                .await
        }
    };
    assert_eq!(delete("a").await.status, StatusCode::OK);
    let changes = running.changes("since=1").await;
    assert_eq!(
        (&changes["revision"], &changes["full"]),
        (&json!(4), &json!(false))
    );
    assert_eq!(names(&changes["resources"]), ["VirtualNode m b"]);
    assert_eq!(
        changes["deleted"],
        json!([{ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "a" }])
    );
    // A resource is what it is in the list of everything.
    let caller = Caller::anybody();
    let everything = running.call("GET", "/outrigger/v1/resources", &caller, &Value::Null);
    let everything = everything.await.body;
    assert_eq!(everything["resources"][1], changes["resources"][0]);
    assert_eq!(everything["server"], changes["server"]);
    // Nothing new, and a revision of another server's.
    let none = running.changes("since=4").await;
    assert_eq!(
        (names(&none["resources"]), names(&none["deleted"])),
        (vec![], vec![])
    );
    assert_eq!(
        (&none["revision"], &none["full"]),
        (&json!(4), &json!(false))
    );
    let began = Instant::now();
    let other = running.changes("since=5&wait=30").await;
    assert!(began.elapsed() < SOON);
    assert_eq!(
        (&other["full"], names(&other["resources"]).len()),
        (&json!(true), 2)
    );
}

#[tokio::test]
async fn a_change_is_waited_for_as_long_as_is_said() {
    let running = Running::start();
    running.make_mesh("m").await;
    let began = Instant::now();
    let change = async {
        tokio::task::yield_now().await;
        running.make_mesh("o").await;
    };
    let (changes, ()) = tokio::join!(running.changes("since=1&wait=30"), change);
    assert_eq!(names(&changes["resources"]), ["Mesh o null"]);
    assert!(began.elapsed() < SOON);
    let began = Instant::now();
    let none = running.changes("since=2&wait=1").await;
    assert_eq!(
        (&none["revision"], names(&none["resources"])),
        (&json!(2), vec![])
    );
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < SOON);
}

#[tokio::test]
async fn a_caller_sees_the_meshes_that_it_may_read() {
    let running = Running::start();
    let limited = Permissions {
        read_only: true,
        meshes: Some(vec!["mine-*".to_owned()]),
    };
    let limited = Caller::new("limited", limited);
    for mesh in ["mine-1", "others"] {
        running.make_mesh(mesh).await;
        let nodes = format!("/v20190125/meshes/{mesh}/virtualNodes");
        running
            .make(&nodes, &json!({ "virtualNodeName": "n", "spec": {} }))
            .await;
        let path = format!("{nodes}/n");
        running
            .call("DELETE", &path, &Caller::anybody(), &Value::Null)
            .await;
    }
    for query in ["", "?since=0"] {
        let uri = format!("{CHANGES}{query}");
        let reply = running.call("GET", &uri, &limited, &Value::Null).await;
        assert_eq!(
            names(&reply.body["resources"]),
            ["Mesh mine-1 null"],
            "{query}"
        );
        assert!(!reply.body.to_string().contains("others"), "{reply:?}");
        let gone = if query.is_empty() {
            vec![]
        } else {
            vec!["VirtualNode mine-1 n"]
        };
        assert_eq!(names(&reply.body["deleted"]), gone, "{query}");
    }
}

#[tokio::test]
async fn who_waits_takes_nothing_from_others_and_there_are_only_so_many() {
    let running = Running::start();
    running.make_mesh("m").await;
    let mut waiting = JoinSet::new();
    let mut router = router(running.api.clone());
    for _ in 0..WAITING_CALLS {
        let request = Request::get(format!("{CHANGES}?since=1&wait=30"));
        let request = request.extension(Caller::anybody()).body(Body::empty());
        waiting.spawn(router.call(request.unwrap()));
    }
    while running.api.waiting.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let caller = Caller::anybody();
    let refused = running.call("GET", CHANGES, &caller, &Value::Null).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let message = refused.body["message"].as_str().unwrap();
    assert!(message.starts_with("64 requests"), "{message}");
    assert_eq!(running.api.open.available_permits(), OPEN_CALLS);
    running.make_mesh("o").await;
    while let Some(answered) = waiting.join_next().await {
        assert_eq!(answered.unwrap().unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn one_key_does_not_take_all_places() {
    let running = Running::start();
    running.make_mesh("m").await;
    let key = |name| Caller::new(name, Permissions::ALL);
    let mut waiting = JoinSet::new();
    let mut router = router(running.api.clone());
    for _ in 0..LISTS_OF_A_KEY {
        let request = Request::get(format!("{CHANGES}?since=1&wait=30"));
        let request = request.extension(key("one")).body(Body::empty());
        waiting.spawn(router.call(request.unwrap()));
    }
    while running.api.waiting.available_permits() > WAITING_CALLS - LISTS_OF_A_KEY {
        tokio::task::yield_now().await;
    }
    for list in [CHANGES, "/outrigger/v1/resources"] {
        let refused = running.call("GET", list, &key("one"), &Value::Null).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{list}");
        let message = refused.body["message"].as_str().unwrap();
        assert!(
            message.starts_with("key `one` is being sent 8"),
            "{message}"
        );
        let other = running.call("GET", list, &key("other"), &Value::Null).await;
        assert_eq!(other.status, StatusCode::OK, "{list}");
    }
    // What is no list is not counted.
    let (meshes, one) = ("/v20190125/meshes", key("one"));
    let meshes = running.call("GET", meshes, &one, &Value::Null).await;
    assert_eq!(meshes.status, StatusCode::OK);
    running.make_mesh("o").await;
    while let Some(answered) = waiting.join_next().await {
        assert_eq!(answered.unwrap().unwrap().status(), StatusCode::OK);
    }
    let again = running.call("GET", CHANGES, &one, &Value::Null).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_says_whose_it_is() {
    let running = Running::start();
    let caller = Caller::anybody();
    let server = running.api.store.server_id().to_string();
    for (method, uri) in [
        ("GET", CHANGES),
        ("GET", "/outrigger/v1/resources"),
        ("GET", "/v20190125/meshes"),
        ("GET", "/v20190125/meshes/absent"),
        ("POST", CHANGES),
        ("OPTIONS", CHANGES),
        ("GET", "/nowhere"),
    ] {
        let reply = running.call(method, uri, &caller, &Value::Null).await;
        assert_eq!(
            reply.headers["x-outrigger-server"], *server,
            "{method} {uri}"
        );
    }
}
