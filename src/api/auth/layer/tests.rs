//! What is judged before a body is read.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use axum::http::StatusCode;
use http_body::Frame;
use prometheus::Registry;
use tower_service::Service;

use super::super::sigv4::{Payload, Secret, Signer};
use super::*;

const PATH: &str = "/v20190125/meshes";
const BODY: &str = r#"{"meshName": "m"}"#;

/// A body that must not be read.
struct Untouched;

impl HttpBody for Untouched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body is read")
    }
}

/// A request that says the hash of its body, signed with a secret.
fn signed(secret: &str, body: Body) -> Request {
    let said = HeaderValue::from_str(&payload_hash(BODY.as_bytes())).unwrap();
    let headers = HeaderMap::from_iter([(CONTENT_SHA256, said)]);
    let signer = Signer {
        access_key_id: "A".to_owned(),
        secret_access_key: Secret::new(secret),
        session_token: None,
        region: "us-east-1".to_owned(),
    };
    let request = sigv4::Request {
        method: "PUT",
        path: PATH,
        query: "",
        headers: &headers,
        authority: Some("x"),
    };
    let added = signer.sign(&request, Payload::Bytes(BODY.as_bytes()), SystemTime::now());
    let mut request = Request::put(PATH).header("host", "x").body(body).unwrap();
    request.headers_mut().extend(headers);
    request.headers_mut().extend(added.unwrap());
    request
}

#[tokio::test]
async fn a_wrong_signature_over_a_hash_that_is_said_is_refused_without_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    std::fs::write(
        &path,
        "- accessKeyId: A\n  secretAccessKey: the-right-secret-key\n",
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = CredentialsFile::open(&path, &Registry::new()).unwrap();
    let answers = Router::new().fallback(async |body: Bytes| body);
    let mut api = protect(answers, Auth::sigv4(&file));

    let wrong = signed("the-wrong-secret-key", Body::new(Untouched));
    assert_eq!(
        api.call(wrong).await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let mut unknown = signed("the-right-secret-key", Body::new(Untouched));
    let unsigned = HeaderValue::from_static(UNSIGNED_PAYLOAD);
    unknown.headers_mut().insert(CONTENT_SHA256, unsigned);
    assert_eq!(
        api.call(unknown).await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let other = signed("the-right-secret-key", Body::from("{}"));
    assert_eq!(
        api.call(other).await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let right = signed("the-right-secret-key", Body::from(BODY));
    assert_eq!(api.call(right).await.unwrap().status(), StatusCode::OK);
}
