//! Targets that are gone, are no App Mesh, or have trouble of their own.

use std::time::{Duration, Instant};

use outrigger::appmesh::client::{Client, KeySource, TargetError, TargetOptions, Within};
use outrigger::model::tags::Tags;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::double::{Double, Reply};
use super::{client, id};

fn ok(body: &str) -> Reply {
    Reply::Answer(200, None, body.to_owned())
}

fn error(status: u16, exception: Option<&'static str>) -> Reply {
    Reply::Answer(status, exception, r#"{"message": "told"}"#.to_owned())
}

/// One list from a target, within this time.
async fn list(endpoint: &str, patience: Duration) -> (Result<usize, TargetError>, Duration) {
    let mut options = TargetOptions::new(endpoint);
    options.patience = patience;
    let client = Client::connect(options).await.unwrap();
    let began = Instant::now();
    let listed = client.list(&Within::Meshes).await;
    (listed.map(|list| list.len()), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_there_is_waited_for_as_long_as_was_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let silent = Double::start(vec![Reply::Silence]).await;
    let patience = Duration::from_millis(700);
    let nameless = "http://nowhere.invalid:80".to_owned();
    for (endpoint, words) in [
        (gone, "does not answer: the connection is refused; check"),
        (nameless, "does not answer: its name cannot be looked up: "),
        (
            silent.url(),
            "does not answer: no answer came in time; check",
        ),
    ] {
        let (listed, took) = list(&endpoint, patience).await;
        let error = listed.unwrap_err();
        assert!(
            matches!(error, TargetError::Unreachable { .. }),
            "{error:?}"
        );
        assert!(error.is_of_target(), "{error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains(&endpoint), "{text}");
        assert_eq!(sdk_words(&text), None, "{text}");
        assert!(took < patience + Duration::from_secs(2), "{took:?}");
    }
}

/// What nobody should have to read.
fn sdk_words(text: &str) -> Option<&'static str> {
    let words = [
        "client error",
        "dispatch failure",
        "dns error",
        "io error",
        "os error",
    ];
    words.into_iter().find(|words| text.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_speaks_no_tls_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            drop(answer.await);
        }
    });
    let mut options = TargetOptions::new(endpoint);
    options.patience = Duration::from_millis(700);
    options.region = Some("r".to_owned());
    options.keys = KeySource::Key {
        id: "any".to_owned(),
        secret: "any".to_owned(),
    };
    let client = Client::connect(options).await.unwrap();
    let text = client.list(&Within::Meshes).await.unwrap_err().to_string();
    assert!(
        text.contains("does not answer: TLS fails with it: "),
        "{text}"
    );
    assert_eq!(sdk_words(&text), None, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_app_mesh_is_called_that_and_once() {
    let page = "<!doctype html><title>Welcome</title>";
    for reply in [
        ok(page),
        Reply::Answer(404, None, page.to_owned()),
        ok(r#"{"routes": []}"#),
        ok(r#"{"meshes": [{"name": "m"}]}"#),
        ok("[]"),
        ok(""),
        Reply::Answer(404, None, r#"{"code": "NotFound"}"#.to_owned()),
        Reply::Answer(302, None, page.to_owned()),
    ] {
        let double = Double::start(vec![reply.clone()]).await;
        let (listed, _) = list(&double.url(), Duration::from_secs(10)).await;
        let error = listed.unwrap_err();
        assert!(
            matches!(error, TargetError::Nonsense { .. }),
            "{reply:?}: {error:?}"
        );
        assert!(error.is_of_target(), "{error}");
        assert_eq!(double.asked().len(), 1, "{reply:?}");
        assert_eq!(double.asked()[0].line, "GET /v20190125/meshes HTTP/1.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_end_is_not_read_to_it() {
    let page = |token: &str| ok(&format!(r#"{{"meshes": [], "nextToken": "{token}"}}"#));
    let gone = Reply::Answer(404, Some("NotFoundException"), "{}".to_owned());
    for (replies, calls) in [
        (vec![page("t")], 2),
        (vec![page("1"), page("2"), page("1"), page("2")], 3),
        (vec![Reply::Endless], 1),
        // Half of a list is none.
        (vec![page("1"), gone], 2),
    ] {
        let double = Double::start(replies.clone()).await;
        let (listed, took) = list(&double.url(), Duration::from_secs(20)).await;
        assert!(
            matches!(listed, Err(TargetError::Nonsense { .. })),
            "{replies:?}: {listed:?}"
        );
        assert_eq!(double.asked().len(), calls, "{replies:?}");
        assert!(took < Duration::from_secs(10), "{replies:?}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_passes_is_not_even_told() {
    // Together, since one that was throttled waits longer.
    let mut passing = JoinSet::new();
    for trouble in [
        error(500, Some("InternalServerErrorException")),
        error(503, Some("ServiceUnavailableException")),
        error(502, None),
        error(429, Some("TooManyRequestsException")),
        error(429, None),
        error(400, Some("ThrottlingException")),
        Reply::CutOff,
    ] {
        passing.spawn(passes(trouble));
    }
    while let Some(passed) = passing.join_next().await {
        passed.unwrap();
    }
}

async fn passes(trouble: Reply) {
    let metadata = json!({ "arn": "arn:aws:appmesh:r:1:mesh/m", "version": 1 });
    let made = json!({ "meshName": "m", "spec": {}, "metadata": metadata }).to_string();
    let double = Double::start(vec![trouble.clone(), trouble.clone(), ok(&made)]).await;
    let client = client(&double.url()).await;
    let tags = Tags::from([("k".to_owned(), "v".to_owned())]);
    let spec = json!({ "newer": ["than", "the", "sdk"] });
    let written = client.create(&id("mesh/m"), &spec, &tags, "token").await;
    assert!(written.is_ok(), "{trouble:?}: {written:?}");
    // The same each time, so that it is done once.
    let asked = double.asked();
    assert_eq!(asked.len(), 3, "{trouble:?}");
    assert!(asked.iter().all(|one| *one == asked[0]), "{asked:?}");
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    let expected = json!({
        "meshName": "m", "spec": spec, "tags": [{ "key": "k", "value": "v" }], "clientToken": "token",
    });
    assert_eq!(body, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_stays_is_told_as_what_it_is() {
    let patience = Duration::from_secs(2);
    let double = Double::start(vec![error(500, Some("InternalServerErrorException"))]).await;
    let (listed, took) = list(&double.url(), patience).await;
    let failing = listed.unwrap_err();
    assert!(
        matches!(failing, TargetError::Failing { status: 500, .. }),
        "{failing:?}"
    );
    assert!(took < patience + Duration::from_secs(1), "{took:?}");
    let tries = double.asked().len();
    assert!((2..20).contains(&tries), "{tries} tries");

    let double = Double::start(vec![error(429, None)]).await;
    let (listed, took) = list(&double.url(), patience).await;
    let throttled = listed.unwrap_err();
    assert!(
        matches!(throttled, TargetError::Throttled { .. }),
        "{throttled:?}"
    );
    // Once more in its turn.
    let most = 2 * patience + Duration::from_secs(1);
    assert!(took < most, "{took:?}");
    let tries = double.asked().len();
    assert!(
        (1..9).contains(&tries),
        "{tries} tries of one that throttles"
    );

    let double = Double::start(vec![Reply::CutOff]).await;
    let (listed, _) = list(&double.url(), patience).await;
    let cut = listed.unwrap_err();
    assert!(matches!(cut, TargetError::Unreachable { .. }), "{cut:?}");
    let text = cut.to_string();
    let ended = "does not answer: the connection ended before the answer came; check";
    assert!(text.contains(ended), "{text}");
}
