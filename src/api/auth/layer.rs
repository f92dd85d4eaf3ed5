//! The layer around everything on `--api-addr`: lets a request through, with its [`Caller`], or answers it.
//!
//! What can be refused without the body is refused before it is read: a wrong signature too, where the request says what
//! the body's hash is. A REST call's body is signed and therefore read here, up to a limit (`body`); a gRPC call's is a
//! stream and is not.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::access::{Access, Reach};
use super::body::{Bodies, Sender};
use super::credentials::{Credentials, CredentialsFile};
use super::metrics::Metrics;
use super::permissions::Caller;
use super::refusal::Refusal;
use super::sigv4::{self, CONTENT_SHA256, Claim, SignatureError, UNSIGNED_PAYLOAD, payload_hash};
use crate::api::off_thread::off_thread;
use crate::transport::{Peer, Throttle};

/// A body that is larger takes too long to be hashed on a thread of the runtime.
const HASH_AT_ONCE: usize = 256 << 10;

/// Who may call the API.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Whoever reaches it.
    None,
    /// Who signs with one of the keys.
    Sigv4(Sigv4),
}

/// What is needed to check signatures. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Sigv4 {
    credentials: watch::Receiver<Arc<Credentials>>,
    bodies: Bodies,
    metrics: Metrics,
    refused_lines: Arc<Throttle>,
}

impl Auth {
    /// Signatures with the keys of a file, which the caller keeps followed.
    pub fn sigv4(file: &CredentialsFile) -> Self {
        Self::Sigv4(Sigv4 {
            credentials: file.watch(),
            bodies: Bodies::default(),
            metrics: file.metrics.clone(),
            refused_lines: Arc::default(),
        })
    }
}

/// Puts the layer around a router: everything that it has by now, what it does not have included.
pub fn protect(router: Router, auth: Auth) -> Router {
    router.layer(from_fn_with_state(auth, authenticate))
}

async fn authenticate(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    let sigv4 = match auth {
        Auth::None => {
            request.extensions_mut().insert(Caller::anybody());
            return next.run(request).await;
        }
        Auth::Sigv4(sigv4) => sigv4,
    };
    let (parts, body) = request.into_parts();
    let kind = Kind::of(&parts);
    match sigv4.admit(&parts, kind, body).await {
        Ok((caller, body)) => {
            let mut request = Request::from_parts(parts, body);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => {
            sigv4.note(&parts, &refusal);
            match kind {
                Kind::Rest => refusal.into_rest(parts.uri.path()),
                Kind::Grpc => refusal.into_grpc(),
            }
        }
    }
}

/// How a call's body comes, and how errors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rest,
    Grpc,
}

impl Kind {
    /// What the paths of REST calls are is known, so that no header makes one of them a gRPC call.
    fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        let is_rest = ["/v20190125/", "/outrigger/"]
            .iter()
            .any(|prefix| path.starts_with(prefix));
        if !is_rest && is_grpc(&parts.headers) {
            Self::Grpc
        } else {
            Self::Rest
        }
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

impl Sigv4 {
    /// Who the caller is, if it may do what it asks for; and the body, to be read again.
    async fn admit(
        &self,
        parts: &Parts,
        kind: Kind,
        body: Body,
    ) -> Result<(Caller, Body), Refusal> {
        let request = sigv4::Request::from(parts);
        let claim = Claim::read(&request)?.ok_or(Refusal::Missing)?;
        // The keys of one moment, whatever becomes of the file meanwhile.
        let credentials = Arc::clone(&self.credentials.borrow());
        let key = credentials.key(&claim.access_key_id);
        let key = key.ok_or(Refusal::UnknownKey)?;
        claim.check(&request, SystemTime::now())?;
        let signing = credentials.signing_key(key, &claim.scope);
        let judge = |hash: &str| {
            claim.verify(&request, hash, &signing)?;
            if claim.has_token(key.session_token.as_ref(), &signing) {
                Ok(())
            } else {
                Err(Refusal::WrongToken)
            }
        };
        let said = parts.headers.get(CONTENT_SHA256);
        let (bytes, body) = match kind {
            Kind::Rest => {
                let said = said.map(hash_said).transpose()?;
                let sender = match said {
                    Some(said) => {
                        judge(said)?;
                        Sender::Caller
                    }
                    None => Sender::Stranger,
                };
                let read = self.bodies.read(parts, body, sender).await?;
                let hash = hash(read.bytes.clone()).await?;
                match said {
                    None => judge(&hash)?,
                    Some(said) if said == hash => {}
                    Some(_) => return Err(SignatureError::Payload.into()),
                }
                (read.bytes.clone(), Body::from(read.bytes.clone()))
            }
            Kind::Grpc => {
                if said.is_none_or(|said| said != UNSIGNED_PAYLOAD) {
                    return Err(Refusal::StreamedPayload);
                }
                judge(UNSIGNED_PAYLOAD)?;
                (Bytes::new(), body)
            }
        };
        credentials.keep(key, &claim.scope, signing);
        let access = Access::of(&request, &bytes);
        if access.is_allowed(&key.caller) {
            return Ok((key.caller.clone(), body));
        }
        Err(denied(&key.caller, parts, &access))
    }

    /// A line and a count. The line is only now and then, for a stranger can cause it.
    fn note(&self, parts: &Parts, refusal: &Refusal) {
        self.metrics.refused(refusal);
        let peer = parts.extensions.get::<Peer>().map(tracing::field::display);
        let (method, path) = (&parts.method, parts.uri.path());
        // What was signed can be read by whoever sent it, in the answer.
        let reason = refusal.name();
        if let Some(more) = self.refused_lines.pass() {
            warn!(peer, %method, path, reason, more, "request refused: {refusal}");
        } else {
            debug!(peer, %method, path, reason, "request refused: {refusal}");
        }
    }
}

fn denied(caller: &Caller, parts: &Parts, access: &Access) -> Refusal {
    let action = if access.writes { "write" } else { "read" };
    Refusal::Denied {
        name: caller.name().to_owned(),
        action: format!("{action} (`{} {}`)", parts.method, parts.uri.path()),
        resource: match &access.reach {
            Reach::Mesh(mesh) => format!("mesh `{mesh}`"),
            Reach::Filtered | Reach::All => "this, which belongs to no mesh of its own".to_owned(),
        },
    }
}

/// The hash that a REST call's body is said to have. It has one.
fn hash_said(said: &HeaderValue) -> Result<&str, SignatureError> {
    let said = said.to_str().ok();
    let is_hash =
        |said: &&str| said.len() == 64 && said.bytes().all(|byte| byte.is_ascii_hexdigit());
    said.filter(is_hash).ok_or(SignatureError::Payload)
}

async fn hash(body: Bytes) -> Result<String, Refusal> {
    if body.len() <= HASH_AT_ONCE {
        return Ok(payload_hash(&body));
    }
    Ok(off_thread(move || payload_hash(&body)).await?)
}

#[cfg(test)]
mod tests;
