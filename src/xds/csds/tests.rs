//! What is told of whom, with streams that the test plays.

use std::time::SystemTime;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::ConfigStatus;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{
    NodeMatcher, RegexMatcher, StringMatcher, StructMatcher,
};
use http_body_util::BodyExt;
use tonic::Code;
use tonic::codegen::http;
use tower_service::Service as _;

use super::*;
use crate::clients::{ClientInfo, Registration, Variant};
use crate::model::{Capture, ClientKind, NodeRef, ViewKey};
use crate::snapshot::{Kind, Version};
use crate::transport::Peer;
use crate::xds::testing::resource;
use crate::xds::{Held, HeldState, Rejection};

fn service(clients: &Clients) -> ClientStatus {
    ClientStatus::new(
        clients.clone(),
        TaskTracker::new(),
        CancellationToken::new(),
    )
}

fn connect(clients: &Clients, node: &str, port: u16) -> Registration {
    let node = NodeRef::parse(&format!("mesh/m/virtualNode/{node}")).unwrap();
    clients.register(ClientInfo {
        key: ViewKey {
            node: node.clone(),
            capture: Capture::Redirect,
            client: ClientKind::Envoy,
        },
        node,
        peer: Peer::Tcp(([127, 0, 0, 1], port).into()),
        variant: Variant::Delta,
        user_agent: "envoy".to_owned(),
        connected_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
    })
}

fn held(kind: Kind, name: &str, state: HeldState) -> Held {
    Held {
        kind,
        name: name.into(),
        resource: Some(resource(kind, name, "content")),
        state,
    }
}

/// Asks, while these streams answer with what they hold.
async fn ask(
    service: &ClientStatus,
    request: ClientStatusRequest,
    streams: &[(&Registration, Vec<Held>)],
) -> Result<Vec<ClientConfig>, Status> {
    let answering = async {
        loop {
            for (registration, held) in streams {
                registration.answer(|| held.clone());
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = service.answer(request) => answer.map(|response| response.config),
        () = answering => unreachable!(),
    }
}

fn id(pattern: MatchPattern, ignore_case: bool) -> NodeMatcher {
    NodeMatcher {
        node_id: Some(StringMatcher {
            match_pattern: Some(pattern),
            ignore_case,
        }),
        ..Default::default()
    }
}

fn rejected() -> HeldState {
    HeldState::Rejected(Rejection {
        resource: Some("bad".into()),
        version: Some(Version::from_hash(7)),
        message: "no such port".into(),
        since: Duration::from_secs(2),
    })
}

#[tokio::test(start_paused = true)]
async fn each_resource_is_told_as_it_stands() {
    let clients = Clients::default();
    let a = connect(&clients, "a", 1);
    let all = vec![
        held(Kind::Cluster, "current", HeldState::Current),
        held(Kind::Cluster, "unanswered", HeldState::Unanswered),
        held(Kind::Cluster, "older", HeldState::Older),
        held(Kind::Listener, "bad", rejected()),
        held(Kind::Secret, "key", HeldState::Current),
        Held {
            resource: None,
            ..held(Kind::Endpoint, "awaited", HeldState::NotSent)
        },
    ];
    let request = ClientStatusRequest::default();
    let told = ask(&service(&clients), request, &[(&a, all)]).await;
    let told = told.unwrap().remove(0);
    assert_eq!(told.node.unwrap().id, "mesh/m/virtualNode/a");
    assert_eq!(told.client_scope, "127.0.0.1:1");
    let configs = told.generic_xds_configs.iter();
    let told: Vec<_> = configs
        .map(|config| {
            let shown = config.xds_config.is_some();
            (config.name.as_str(), config.config_status(), shown)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("current", ConfigStatus::Synced, true),
            ("unanswered", ConfigStatus::Stale, true),
            ("older", ConfigStatus::Stale, true),
            ("bad", ConfigStatus::Error, true),
            ("key", ConfigStatus::Synced, false),
            ("awaited", ConfigStatus::NotSent, false),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_told_with_or_without_contents() {
    let clients = Clients::default();
    let a = connect(&clients, "a", 1);
    let service = service(&clients);
    for exclude_resource_contents in [false, true] {
        let request = ClientStatusRequest {
            exclude_resource_contents,
            ..Default::default()
        };
        let all = vec![held(Kind::Listener, "bad", rejected())];
        let told = ask(&service, request, &[(&a, all)]).await.unwrap();
        let config = &told[0].generic_xds_configs[0];
        assert_eq!(config.xds_config.is_none(), exclude_resource_contents);
        let error = config.error_state.as_ref().unwrap();
        assert_eq!(error.details, "no such port");
        assert_eq!(error.last_update_attempt.unwrap().seconds, 1002);
        assert_eq!(
            error.failed_configuration.is_none(),
            exclude_resource_contents
        );
    }
}

#[tokio::test(start_paused = true)]
async fn clients_are_chosen_by_their_ids() {
    let clients = Clients::default();
    let registrations = ["a", "b", "bb"].map(|node| connect(&clients, node, 1));
    let streams = registrations
        .each_ref()
        .map(|registration| (registration, Vec::new()));
    let service = service(&clients);
    let text = |text: &str| text.to_owned();
    let cases = [
        (vec![], "a b bb"),
        (vec![NodeMatcher::default()], "a b bb"),
        (
            vec![id(MatchPattern::Exact(text("mesh/m/virtualNode/b")), false)],
            "b",
        ),
        (
            vec![id(
                MatchPattern::Prefix(text("mesh/m/virtualNode/b")),
                false,
            )],
            "b bb",
        ),
        (vec![id(MatchPattern::Suffix(text("/A")), true)], "a"),
        (vec![id(MatchPattern::Suffix(text("/A")), false)], ""),
        (vec![id(MatchPattern::Contains(text("e/b")), false)], "b bb"),
        (
            vec![
                id(MatchPattern::Suffix(text("/a")), false),
                id(MatchPattern::Suffix(text("bb")), false),
            ],
            "a bb",
        ),
    ];
    for (node_matchers, expected) in cases {
        let request = ClientStatusRequest {
            node_matchers: node_matchers.clone(),
            ..Default::default()
        };
        let told = ask(&service, request, &streams).await.unwrap();
        let ids = told
            .iter()
            .map(|client| client.node.as_ref().unwrap().id.clone());
        let ids: Vec<_> = ids
            .map(|id| id.replace("mesh/m/virtualNode/", ""))
            .collect();
        assert_eq!(ids.join(" "), expected, "{node_matchers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_matched_is_refused() {
    let service = service(&Clients::default());
    let metadata = NodeMatcher {
        node_metadatas: vec![StructMatcher::default()],
        ..Default::default()
    };
    for matcher in [
        id(MatchPattern::SafeRegex(RegexMatcher::default()), false),
        metadata,
    ] {
        let request = ClientStatusRequest {
            node_matchers: vec![matcher],
            ..Default::default()
        };
        let refused = ask(&service, request, &[]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

/// A client with a stream for each type is one client, and its replica another.
#[tokio::test(start_paused = true)]
async fn streams_of_one_connection_are_one_client() {
    let clients = Clients::default();
    let registrations = [1, 1, 2].map(|port| connect(&clients, "a", port));
    let kinds = [Kind::Cluster, Kind::Listener, Kind::Cluster];
    let streams: Vec<_> = (registrations.iter().zip(kinds))
        .map(|(registration, kind)| (registration, vec![held(kind, "x", HeldState::Current)]))
        .collect();
    let told = ask(&service(&clients), ClientStatusRequest::default(), &streams)
        .await
        .unwrap();
    let counts: Vec<_> = told
        .iter()
        .map(|client| client.generic_xds_configs.len())
        .collect();
    assert_eq!(counts, [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_response_is_no_larger_than_it_may_be() {
    let clients = Clients::default();
    let registrations = ["a", "b"].map(|node| connect(&clients, node, 1));
    let all = || vec![held(Kind::Cluster, &"x".repeat(500), HeldState::Current)];
    let streams = registrations
        .each_ref()
        .map(|registration| (registration, all()));
    let small = ClientStatus {
        limit: 2000,
        ..service(&clients)
    };
    let refused = ask(&small, ClientStatusRequest::default(), &streams)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused
            .message()
            .contains("`node_matchers`, or set `exclude"),
        "{refused}"
    );
    let one = ClientStatusRequest {
        node_matchers: vec![id(MatchPattern::Suffix("b".to_owned()), false)],
        ..Default::default()
    };
    assert_eq!(ask(&small, one, &streams).await.unwrap().len(), 1);
}

/// A stream that is stuck sending is not waited for, and keeps no question of somebody who has gone.
#[tokio::test(start_paused = true)]
async fn a_busy_stream_is_listed_without_resources() {
    let clients = Clients::default();
    let [a, b] = ["a", "b"].map(|node| connect(&clients, node, 1));
    let streams = [(&b, vec![held(Kind::Cluster, "x", HeldState::Current)])];
    let service = service(&clients);
    let told = tokio::select! {
        told = service.answer(ClientStatusRequest::default()) => told.unwrap().config,
        () = async {
            loop {
                streams[0].0.asked().await;
                b.answer(|| streams[0].1.clone());
            }
        } => unreachable!(),
    };
    let counts: Vec<_> = told
        .iter()
        .map(|client| client.generic_xds_configs.len())
        .collect();
    assert_eq!(counts, [0, 1]);
    a.answer(|| panic!("nobody waits"));
    assert_eq!(
        told[0].node,
        Some(Node {
            id: "mesh/m/virtualNode/a".to_owned(),
            user_agent_name: "envoy".to_owned(),
            ..Default::default()
        })
    );
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_all_busy_cost_a_bounded_time() {
    let clients = Clients::default();
    let _busy: Vec<_> = (0..400).map(|port| connect(&clients, "a", port)).collect();
    let began = Instant::now();
    let service = service(&clients);
    let told = service.answer(ClientStatusRequest::default()).await;
    assert_eq!(told.unwrap().config.len(), 400);
    assert!(began.elapsed() <= ALL_ANSWERS, "{:?}", began.elapsed());
}

/// Calls a method with one empty request, and with no more to come or with more that never does.
async fn call(
    few: &mut Few<ClientStatusDiscoveryServiceServer<ClientStatus>>,
    method: &str,
    more: bool,
) -> http::Response<tonic::body::Body> {
    let frame = bytes::Bytes::from(vec![0_u8; 5]);
    let body = if more {
        let (sender, requests) = mpsc::channel(1);
        sender
            .send(Ok::<_, Status>(http_body::Frame::data(frame)))
            .await
            .unwrap();
        // Kept open.
        std::mem::forget(sender);
        let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
        tonic::body::Body::new(http_body_util::StreamBody::new(requests))
    } else {
        tonic::body::Body::new(http_body_util::Full::new(frame))
    };
    let service = "/envoy.service.status.v3.ClientStatusDiscoveryService";
    let request = http::Request::builder()
        .method(http::Method::POST)
        .uri(format!("{service}/{method}"))
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .body(body)
        .unwrap();
    few.call(request).await.unwrap()
}

fn is_refused(answer: &http::Response<tonic::body::Body>) -> bool {
    let status = answer.headers().get("grpc-status");
    status.is_some_and(|status| status == "8")
}

/// Answers that nobody reads count until they are given up.
#[tokio::test(start_paused = true)]
async fn few_answers_exist_at_a_time() {
    let mut few = service(&Clients::default()).into_service();
    let mut unread = Vec::new();
    for _ in 0..CALLS {
        unread.push(call(&mut few, "FetchClientStatus", false).await);
    }
    assert!(!unread.iter().any(is_refused));
    assert!(is_refused(
        &call(&mut few, "FetchClientStatus", false).await
    ));
    unread.pop();
    assert!(!is_refused(
        &call(&mut few, "FetchClientStatus", false).await
    ));
}

/// They have had their answers, and ask for nothing.
#[tokio::test(start_paused = true)]
async fn idle_streams_keep_nobody_out_and_end() {
    let mut few = service(&Clients::default()).into_service();
    let mut idle = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = call(&mut few, "StreamClientStatus", true).await;
        assert!(!is_refused(&stream));
        let answer = stream.body_mut().frame().await.unwrap().unwrap();
        assert!(answer.is_data(), "{answer:?}");
        // Taken: the connection asks for more.
        let more = timeout(Duration::ZERO, stream.body_mut().frame()).await;
        assert!(more.is_err(), "{more:?}");
        idle.push(stream);
    }
    assert!(is_refused(
        &call(&mut few, "StreamClientStatus", true).await
    ));
    assert!(!is_refused(
        &call(&mut few, "FetchClientStatus", false).await
    ));
    let mut first = idle.remove(0);
    let end = first.body_mut().frame().await.unwrap().unwrap();
    let trailers = end.into_trailers().unwrap();
    assert_eq!(trailers.get("grpc-status").unwrap(), "4");
    assert!(first.body_mut().frame().await.is_none());
    assert!(!is_refused(
        &call(&mut few, "StreamClientStatus", true).await
    ));
}

/// An answer of a stream counts until the connection has it.
#[tokio::test(start_paused = true)]
async fn answers_of_streams_count_until_they_are_taken() {
    let mut few = service(&Clients::default()).into_service();
    let mut untaken = Vec::new();
    for _ in 0..CALLS {
        let mut stream = call(&mut few, "StreamClientStatus", true).await;
        assert!(stream.body_mut().frame().await.unwrap().unwrap().is_data());
        untaken.push(stream);
    }
    assert!(is_refused(
        &call(&mut few, "FetchClientStatus", false).await
    ));
    untaken.pop();
    assert!(!is_refused(
        &call(&mut few, "FetchClientStatus", false).await
    ));
}
