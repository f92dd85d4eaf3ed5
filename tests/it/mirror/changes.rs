//! The list of changes and the server's id, of a real `serve`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::appmesh::MESHES;
use crate::appmesh::served::Served;
use crate::world::{PATIENCE, eventually};

async fn changes(served: &Served, query: &str) -> Value {
    served
        .get(&format!("/outrigger/v1/changes{query}"))
        .await
        .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_its_id_and_has_it_alone() {
    let mut served = Served::start(&[]).await;
    let before = changes(&served, "").await["server"].clone();
    assert_eq!(before.as_str().unwrap().len(), 36);
    served.restart().await;
    assert_eq!(changes(&served, "").await["server"], before);
    let answer = served.get("/v20190125/meshes/absent").await;
    assert_eq!(
        answer.header("x-outrigger-server"),
        before.as_str().unwrap()
    );
    let other = Served::start(&[]).await;
    assert_ne!(changes(&other, "").await["server"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_learns_of_each_change_at_once_and_of_a_restart_anew() {
    let mut served = Served::start(&[]).await;
    let mut revision = changes(&served, "").await["revision"].clone();
    for mesh in ["a", "b", "c"] {
        let body = json!({ "meshName": mesh });
        let query = format!("?since={revision}&wait=30");
        let began = Instant::now();
        let (news, made) = tokio::join!(changes(&served, &query), served.put(MESHES, &body));
        made.ok();
        assert_eq!(news["resources"][0]["meshName"], *mesh);
        assert_eq!(news["full"], false);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        revision = news["revision"].clone();
    }
    served.restart().await;
    // What led to the revision that it has is no longer known, and nothing has come since.
    let since = changes(&served, &format!("?since={revision}")).await;
    assert_eq!(
        (&since["revision"], &since["resources"]),
        (&revision, &json!([]))
    );
    let older = changes(&served, "?since=1").await;
    assert_eq!(
        (&older["full"], older["resources"].as_array().unwrap().len()),
        (&json!(true), 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_does_not_keep_the_server_from_stopping() {
    let mut served = Served::start(&[]).await;
    served.put(MESHES, &json!({ "meshName": "m" })).await.ok();
    let revision = changes(&served, "").await["revision"].clone();
    let mut process = served.process();
    let stopping = async {
        let open = "outrigger_api_open_requests";
        eventually("somebody waits", PATIENCE, async || {
            (served.metric(open).await == 1).then_some(())
        })
        .await;
        let began = Instant::now();
        let ended = process.stop(PATIENCE).await.unwrap();
        (ended.code(), began.elapsed())
    };
    let query = format!("?since={revision}&wait=30");
    let (news, (code, took)) = tokio::join!(changes(&served, &query), stopping);
    assert_eq!(
        (&news["revision"], &news["resources"]),
        (&revision, &json!([]))
    );
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}
