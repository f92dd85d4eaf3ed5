//! The client of the management API: calls over connections that stay open, tried again while the trouble may pass.
//!
//! What is called is safe to send twice: creates and updates carry a token, and the rest says how things are to be.

mod connection;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Uri};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::connect::{ApiArgs, ApiError, KEY_HELP, NOT_KNOWN};
use super::paths;
use super::remote::{Listing, ListingError, News};
use super::sign::Signing;
use crate::api::auth::sigv4::Payload;
use crate::back_off::BackOff;
use connection::Connection;

/// How long commands that make one call wait out a server that is starting or busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The waits before further tries.
pub(super) const BACK_OFF: BackOff =
    BackOff::new(Duration::from_millis(100), Duration::from_secs(3));
/// Bytes of an answer that is no JSON which an error repeats.
const SHOWN: usize = 300;

/// A server to call, with the connections to it that are open.
#[derive(Debug)]
pub(super) struct Client {
    url: String,
    authority: Authority,
    /// What stands before every path.
    prefix: String,
    signing: Signing,
    /// How long trouble that may pass is waited out.
    patience: Duration,
    idle: Mutex<Vec<Connection>>,
    /// Whether it was said that the server does not answer.
    told: AtomicBool,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// With what is in it escaped.
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// A client for the API that the flags and the environment name; connects with the first call.
    ///
    /// # Errors
    /// When the URL is none, or the key in the environment cannot be sent.
    pub(super) fn new(api: &ApiArgs, patience: Duration) -> Result<Self, ApiError> {
        let url = api.url();
        let broken = |source: &'static str| ApiError::Url {
            url: url.clone(),
            source: source.into(),
        };
        let uri: Uri = url.parse().map_err(|source| ApiError::Url {
            url: url.clone(),
            source: Box::new(source),
        })?;
        if uri.scheme_str() == Some("https") {
            return Err(broken("the API is not served over TLS yet"));
        }
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(broken("it does not start with http:// and a host"));
        };
        Ok(Self {
            authority: authority.clone(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            url: url.clone(),
            signing: Signing::from_environment()?,
            patience,
            idle: Mutex::default(),
            told: AtomicBool::new(false),
        })
    }

    /// Everything that there is, or all of one mesh.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or answers something else.
    pub(super) async fn listing(&self, mesh: Option<&str>) -> Result<Listing, ApiError> {
        let call = Call {
            method: Method::GET,
            path: paths::everything(mesh),
            body: None,
        };
        Listing::read(self.call(&call).await?).map_err(|error| self.unreadable(&error))
    }

    /// What has changed since a revision; where there is nothing yet, it is waited for so many seconds.
    ///
    /// # Errors
    /// As of [`Self::listing`].
    pub(super) async fn changes(&self, since: u64, wait: u64) -> Result<News, ApiError> {
        let call = Call {
            method: Method::GET,
            path: paths::changes(since, wait),
            body: None,
        };
        News::read(self.call(&call).await?).map_err(|error| self.unreadable(&error))
    }

    /// An answer of another form.
    fn unreadable(&self, error: &ListingError) -> ApiError {
        ApiError::Answered {
            url: self.url.clone(),
            status: StatusCode::OK,
            message: error.to_string(),
        }
    }

    /// Calls, and calls again while the trouble may pass and patience lasts.
    ///
    /// # Errors
    /// The last trouble, or a refusal.
    pub(super) async fn call(&self, call: &Call) -> Result<Value, ApiError> {
        let mut waits = 0;
        let mut resent = 0;
        let mut since = None;
        loop {
            let error = match self.attempt(call, &mut resent).await {
                Ok(answer) => return Ok(answer),
                Err(error) if !error.may_pass() => return Err(error.after(waits + resent)),
                Err(error) => error,
            };
            let since = since.get_or_insert_with(Instant::now);
            let wait = BACK_OFF.spread(waits);
            if since.elapsed() + wait > self.patience {
                return Err(error);
            }
            self.tell(&error);
            sleep(wait).await;
            waits += 1;
        }
    }

    /// Says once that there is trouble, and how long it is waited out.
    fn tell(&self, error: &ApiError) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let patience = humantime::format_duration(self.patience);
        let line = format!("{error}; trying again for {patience}\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }

    async fn attempt(&self, call: &Call, resent: &mut u32) -> Result<Value, ApiError> {
        let answered = timeout(ANSWER_WITHIN, self.send(call, resent)).await;
        let answered = answered.unwrap_or_else(|late| Err(late.into()));
        let answer = answered.map_err(|source| ApiError::Unreachable {
            url: self.url.clone(),
            source,
        })?;
        self.read(&answer)
    }

    async fn send(&self, call: &Call, resent: &mut u32) -> Result<Answer, connection::BoxError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some(mut connection) = idle {
            if let Ok(answer) = connection.send(self.request(call)?).await {
                self.keep(connection);
                return Ok(answer);
            }
            *resent += 1;
        }
        // The one that was kept may have been closed for idleness meanwhile, which says nothing of the server; or behind
        // the call, which may then have been done.
        let mut connection = Connection::open(&self.authority).await?;
        let answer = connection.send(self.request(call)?).await?;
        self.keep(connection);
        Ok(answer)
    }

    fn keep(&self, connection: Connection) {
        if connection.is_open() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(connection);
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let path = format!("{}{}", self.prefix, call.path);
        let body = call.body.as_ref().map(|json| Bytes::from(json.to_string()));
        let payload = Payload::Bytes(body.as_deref().unwrap_or_default());
        let url = Uri::builder()
            .scheme("http")
            .authority(self.authority.clone());
        let url = url.path_and_query(path.as_str()).build()?;
        // At every try, since a signature is good for some minutes only.
        let signed = self.signing.headers(&call.method, &url, payload);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(path)
            .header(HOST, self.authority.as_str())
            .body(Full::new(body.clone().unwrap_or_default()))?;
        request.headers_mut().extend(signed);
        if body.is_some() {
            let kind = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, kind);
        }
        Ok(request)
    }

    /// The answer's JSON, or what the server has against the call.
    fn read(&self, answer: &Answer) -> Result<Value, ApiError> {
        let json: Option<Value> = if answer.body.is_empty() {
            Some(Value::Null)
        } else {
            serde_json::from_slice(&answer.body).ok()
        };
        match json {
            Some(json) if answer.status.is_success() => Ok(json),
            json => Err(self.refusal(answer, &json.unwrap_or_default())),
        }
    }

    fn refusal(&self, answer: &Answer, json: &Value) -> ApiError {
        let header = answer.headers.get("x-amzn-errortype");
        let header = header.and_then(|value| value.to_str().ok());
        let exception = header.or_else(|| json["__type"].as_str());
        // Outrigger's own calls have `error`.
        let mut members = ["message", "Message", "error"].into_iter();
        let message = members.find_map(|member| json[member].as_str());
        if let Some(exception) = exception {
            // Servers may add a URI behind a colon, or a name space before a hash.
            let exception = exception.split(':').next().unwrap_or_default();
            let exception = exception.rsplit('#').next().unwrap_or_default();
            return ApiError::Exception {
                help: help(exception),
                exception: exception.to_owned(),
                message: message.unwrap_or("no reason given").to_owned(),
                status: answer.status,
                tries: 1,
            };
        }
        if let Some(error) = json["error"].as_str() {
            return ApiError::Refused {
                message: with_problems(error, &json["problems"]),
                status: answer.status,
            };
        }
        let text = String::from_utf8_lossy(&answer.body);
        ApiError::Answered {
            url: self.url.clone(),
            status: answer.status,
            message: text.trim().chars().take(SHOWN).collect(),
        }
    }
}

/// What to do about an exception whose message does not say it to who uses this command.
fn help(exception: &str) -> Option<&'static str> {
    match exception {
        "TooManyRequestsException" => Some("run it again in a moment"),
        exception => NOT_KNOWN.contains(&exception).then_some(KEY_HELP),
    }
}

/// An error, and what is wrong with each entry of a list.
fn with_problems(error: &str, problems: &Value) -> String {
    let problems = problems.as_array().into_iter().flatten();
    let problems = problems.map(|one| {
        let what = one["problem"].as_str().unwrap_or_default();
        format!("\n  endpoint {}: {what}", one["index"])
    });
    std::iter::once(error.to_owned()).chain(problems).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(url: &str) -> Result<Client, ApiError> {
        let api = ApiArgs {
            api_url: Some(url.to_owned()),
        };
        Client::new(&api, Duration::ZERO)
    }

    #[test]
    fn a_url_may_have_a_path_and_must_be_http() {
        let served = client("http://host:1/base/").unwrap();
        assert_eq!(served.prefix, "/base");
        assert_eq!(served.authority.as_str(), "host:1");
        for url in ["https://host", "host:9080", "http://"] {
            let error = client(url).unwrap_err();
            assert!(matches!(error, ApiError::Url { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn a_refusal_has_its_exception_message_and_help() {
        let client = client("http://host").unwrap();
        let answer = |status, kind: Option<&str>, body: &Value| Answer {
            status,
            headers: kind
                .map(|kind| ("x-amzn-errortype".parse().unwrap(), kind.parse().unwrap()))
                .into_iter()
                .collect(),
            body: body.to_string().into(),
        };
        let text = |answer| {
            let error = client.read(&answer).unwrap_err();
            super::super::output::CliError::from(error).text()
        };
        let body = json!({ "message": "no such mesh" });
        let refused = answer(
            StatusCode::NOT_FOUND,
            Some("NotFoundException:http://x"),
            &body,
        );
        assert_eq!(text(refused), "error: NotFoundException: no such mesh\n");
        let kind = Some("InvalidSignatureException");
        let body = json!({ "error": "set the clock" });
        let late = text(answer(StatusCode::FORBIDDEN, kind, &body));
        assert!(
            late.starts_with(
                "error: InvalidSignatureException: set the clock\n  help: set AWS_ACCESS_KEY_ID"
            ),
            "{late}"
        );
        // The key is known, and another would help only if it may do more.
        let body = json!({ "__type": "a.b#AccessDeniedException", "message": "no" });
        let denied = text(answer(StatusCode::FORBIDDEN, None, &body));
        assert_eq!(denied, "error: AccessDeniedException: no\n");
        let body = json!({ "error": "wrong", "problems": [{ "index": 3, "problem": "no port" }] });
        let refused = text(answer(StatusCode::BAD_REQUEST, None, &body));
        assert_eq!(refused, "error: wrong\n  endpoint 3: no port\n");
        let strange = text(answer(StatusCode::NOT_FOUND, None, &json!("lost")));
        assert!(
            strange.contains("answered 404 Not Found: \"lost\""),
            "{strange}"
        );
    }
}
