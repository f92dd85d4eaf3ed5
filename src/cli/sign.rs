//! The signing of client commands' requests, with the variables that every AWS client reads: `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`.
//!
//! Without a key, requests go out unsigned, which is what an API without authentication takes; it takes signed ones too.

use std::task::{Context, Poll};
use std::time::SystemTime;

use hyper::header::HeaderMap;
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, Uri};
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tower_service::Service;

use super::connect::ApiError;
use crate::api::auth::sigv4::{self, Payload, Secret, Signer};
use crate::config::AwsEnvironment;

/// The region of a scope where no variable names one; the control plane takes any.
const DEFAULT_REGION: &str = "us-east-1";

/// The key to sign with, if there is one.
#[derive(Clone, Debug)]
pub struct Signing(Option<Signer>);

impl Signing {
    /// Reads the variables.
    ///
    /// # Errors
    /// When they hold what no header can.
    pub fn from_environment() -> Result<Self, ApiError> {
        Self::new(AwsEnvironment::read())
    }

    fn new(environment: AwsEnvironment) -> Result<Self, ApiError> {
        let Some((id, secret)) = environment.key else {
            return Ok(Self(None));
        };
        let token = environment.session_token;
        let region = environment.region.unwrap_or(DEFAULT_REGION.to_owned());
        let is_sendable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let sent = [Some(&id), token.as_ref(), Some(&region)];
        if !sent.into_iter().flatten().all(|text| is_sendable(text)) {
            return Err(ApiError::Key);
        }
        Ok(Self(Some(Signer {
            access_key_id: id,
            secret_access_key: Secret::new(secret),
            session_token: token.map(Secret::new),
            region,
        })))
    }

    /// The headers that sign a request to this URL; none without a key.
    pub fn headers(&self, method: &Method, url: &Uri, payload: Payload<'_>) -> HeaderMap {
        let Some(signer) = &self.0 else {
            return HeaderMap::new();
        };
        let request = sigv4::Request {
            method: method.as_str(),
            path: url.path(),
            query: url.query().unwrap_or_default(),
            headers: &HeaderMap::new(),
            authority: url.authority().map(Authority::as_str),
        };
        // What cannot be a header was refused when the variables were read.
        (signer.sign(&request, payload, SystemTime::now())).unwrap_or_default()
    }
}

/// A gRPC channel whose calls are signed.
#[derive(Clone, Debug)]
pub struct SignedChannel {
    channel: Channel,
    /// The URL that the channel was opened for.
    url: Uri,
    signing: Signing,
}

impl SignedChannel {
    pub(super) fn new(channel: Channel, url: Uri, signing: Signing) -> Self {
        Self {
            channel,
            url,
            signing,
        }
    }
}

impl Service<Request<Body>> for SignedChannel {
    type Response = Response<Body>;
    type Error = Error;
    type Future = <Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Service::poll_ready(&mut self.channel, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // A call has its path, and gets host and scheme from the channel only later.
        let mut url = self.url.clone().into_parts();
        url.path_and_query = request.uri().path_and_query().cloned();
        let url = Uri::from_parts(url).unwrap_or_default();
        let signed = (self.signing).headers(request.method(), &url, Payload::Unsigned);
        request.headers_mut().extend(signed);
        Service::call(&mut self.channel, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(id: &str) -> AwsEnvironment {
        AwsEnvironment {
            key: Some((id.to_owned(), "0123456789abcdef".to_owned())),
            region: Some("eu-central-1".to_owned()),
            ..AwsEnvironment::default()
        }
    }

    #[test]
    fn without_a_key_nothing_is_signed() {
        let none = AwsEnvironment {
            key: None,
            ..environment("ID")
        };
        let url = Uri::from_static("http://127.0.0.1:9080/x");
        let signing = Signing::new(none).unwrap();
        assert!(
            signing
                .headers(&Method::GET, &url, Payload::Bytes(b""))
                .is_empty()
        );
        let signing = Signing::new(environment("ID")).unwrap();
        let headers = signing.headers(&Method::GET, &url, Payload::Bytes(b""));
        let authorization = headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("Credential=ID/"), "{authorization}");
        assert!(authorization.contains("/eu-central-1/appmesh/aws4_request"));
    }

    #[test]
    fn what_is_no_header_is_said_before_anything_is_sent() {
        assert!(matches!(
            Signing::new(environment("I\nD")),
            Err(ApiError::Key)
        ));
    }
}
