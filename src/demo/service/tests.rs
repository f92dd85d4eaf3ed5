use clap::Parser;
use tokio::task::JoinSet;

use super::*;

async fn serve(tasks: &mut JoinSet<()>, name: &str, proxy: Option<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let options = ServiceOptions {
        name: name.to_owned(),
        version: "v1".to_owned(),
        listen,
        proxy,
    };
    tasks.spawn(async move { axum::serve(listener, router(options)).await.unwrap() });
    listen
}

#[tokio::test]
async fn a_service_says_who_it_is_and_calls_others_through_its_proxy() {
    let mut tasks = JoinSet::new();
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    // Service B stands in for the sidecar of A: a proxy is sent the whole URI, and B answers any.
    let b = serve(&mut tasks, "service-b", Some(nobody)).await;
    let a = serve(&mut tasks, "service-a", Some(b)).await;

    let (status, body) = http::get(b, &"http://service-b.local:8080/".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(status, StatusCode::OK);
    let identity: Identity = serde_json::from_slice(&body).unwrap();
    let expected = Identity {
        service: "service-b".to_owned(),
        version: "v1".to_owned(),
        replica: b,
        host: "service-b.local:8080".to_owned(),
    };
    assert_eq!(identity, expected);

    let calls = |peer, query: &str| {
        let uri: Uri = format!("/call?{query}").parse().unwrap();
        async move {
            let (status, body) = http::get(peer, &uri).await.unwrap();
            (status, serde_json::from_slice::<Calls>(&body).ok())
        }
    };
    let (_, answered) = calls(a, "to=service-b.local&n=3").await;
    let answered = answered.unwrap();
    assert_eq!(answered.failed, 0);
    let who = format!("service-b v1 at {b}");
    assert_eq!(answered.answers, BTreeMap::from([(who, 3)]));

    let (_, failed) = calls(b, "to=service-a.local").await;
    assert_eq!(failed.unwrap().failed, 1);
    let (status, _) = calls(a, "to=service-b.local&n=1001").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_a_proxy_a_service_dials_the_name() {
    let mut tasks = JoinSet::new();
    let b = serve(&mut tasks, "service-b", None).await;
    let url: Uri = format!("http://localhost:{}/", b.port()).parse().unwrap();
    let who = call_once(None, &url).await.unwrap();
    assert_eq!(who, format!("service-b v1 at {b}"));
    let nobody = "http://localhost:1/".parse().unwrap();
    let error = call_once(None, &nobody).await.unwrap_err();
    assert!(error.starts_with("localhost does not answer"), "{error}");
}

#[test]
fn the_hidden_subcommand_takes_what_a_service_is_started_with() {
    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: ServiceOptions,
    }
    for proxy in [None, Some("127.0.0.5:15001".parse().unwrap())] {
        let options = ServiceOptions {
            name: "service-b".to_owned(),
            version: "v2".to_owned(),
            listen: "127.0.0.1:18084".parse().unwrap(),
            proxy,
        };
        let parsed = Command::try_parse_from(options.arguments())
            .unwrap()
            .options;
        assert_eq!(parsed.arguments(), options.arguments());
        assert_eq!(parsed.proxy, proxy);
    }
}
