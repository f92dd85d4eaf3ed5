//! One call: its body goes in before it is signed, and each try's answer comes out as it was sent.

use std::error::Error;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_appmesh::config::http::HttpResponse;
use aws_sdk_appmesh::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
    BeforeTransmitInterceptorContextMut, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_sdk_appmesh::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_appmesh::error::{BoxError, SdkError};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{LengthLimitError, Limited};
use serde_json::Value;

use super::Target;
use super::answer::{About, Answer, NO_CREDENTIALS, Raw};
use super::error::TargetError;
use super::line::Place;
use super::secret::Secrets;
use super::server::Server;
use super::words::{find, words};

/// The header in which an Outrigger says which one it is.
const SERVER: &str = "x-outrigger-server";
/// The longest id that is one.
const LONGEST_ID: usize = 64;
/// Bytes of one answer at most. What a write may have, of which an answer has a little more, is half of it.
const LONGEST_ANSWER: usize = 4 << 20;

/// One call, and what came of its newest try. A clone is the same call.
#[derive(Clone, Debug)]
pub(super) struct Call(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: Arc<Target>,
    /// What it does, for errors.
    what: String,
    body: Option<Bytes>,
    newest: Mutex<Newest>,
}

/// What is known of the newest try. One that time ran out for tells nothing that the one before did not.
#[derive(Debug, Default)]
struct Newest {
    tries: u32,
    answer: Option<Raw>,
    /// Why it has none.
    trouble: Option<String>,
    /// The status of an answer that is longer than any may be.
    too_long: Option<u16>,
    /// What all tries have sent that nobody is to read.
    secrets: Secrets,
}

impl Call {
    pub(super) fn new(target: Arc<Target>, what: &str, body: Option<Value>) -> Self {
        Self(Arc::new(Inner {
            target,
            what: what.to_owned(),
            body: body.map(|body| body.to_string().into()),
            newest: Mutex::default(),
        }))
    }

    /// What the target has answered in the end. What the SDK makes of the answer is of no interest.
    pub(super) fn answer<T, E>(
        &self,
        sent: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<Answer, TargetError>
    where
        E: Error + 'static,
    {
        let (answer, too_long, tries, trouble) = self.newest(|newest| {
            (
                newest.answer.take(),
                newest.too_long.take(),
                take(&mut newest.tries),
                newest.trouble.take(),
            )
        });
        if self.0.target.server(|server| *server == Server::Another) {
            let endpoint = self.0.target.endpoint.clone();
            return Err(TargetError::Another { endpoint });
        }
        if let Some(status) = too_long {
            return Err(self.too_long(status));
        }
        match (answer, sent) {
            (Some(answer), _) => answer.read(&self.about()),
            (None, Err(error)) => Err(self.unanswered(&error, tries, trouble.as_deref())),
            // Nothing is taken for an answer that was not seen.
            (None, Ok(_)) => Err(self.unreachable("its answer was lost")),
        }
    }

    fn unanswered<E: Error + 'static>(
        &self,
        error: &SdkError<E, HttpResponse>,
        tries: u32,
        trouble: Option<&str>,
    ) -> TargetError {
        if let Some(error) = find::<CredentialsError>(error) {
            return TargetError::Credentials {
                endpoint: self.0.target.endpoint.clone(),
                call: self.0.what.clone(),
                reason: words(error),
                help: NO_CREDENTIALS,
            };
        }
        match error {
            SdkError::TimeoutError(_) if tries == 0 => TargetError::Throttled {
                endpoint: self.0.target.endpoint.clone(),
                call: self.0.what.clone(),
                message: "so many calls before were throttled that its turn did not come"
                    .to_owned(),
            },
            SdkError::TimeoutError(_) => {
                self.unreachable(trouble.unwrap_or("no answer came in time"))
            }
            error => self.unreachable(&words(error)),
        }
    }

    fn too_long(&self, status: u16) -> TargetError {
        TargetError::Nonsense {
            endpoint: self.0.target.endpoint.clone(),
            call: self.0.what.clone(),
            status,
            shown: format!("more than {LONGEST_ANSWER} bytes"),
        }
    }

    /// Its place in the line of those that are throttled.
    pub(super) fn place(&self) -> Place {
        self.0.target.line.place()
    }

    fn unreachable(&self, reason: &str) -> TargetError {
        TargetError::Unreachable {
            endpoint: self.0.target.endpoint.clone(),
            reason: self.secrets().hide(reason),
        }
    }

    fn about(&self) -> About<'_> {
        About {
            endpoint: &self.0.target.endpoint,
            call: &self.0.what,
            has_credentials: self.0.target.has_credentials,
            secrets: self.secrets(),
        }
    }

    fn secrets(&self) -> Secrets {
        self.newest(|newest| newest.secrets.clone())
    }

    fn newest<T>(&self, edit: impl FnOnce(&mut Newest) -> T) -> T {
        edit(&mut self.0.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for Call {
    fn name(&self) -> &'static str {
        "Call"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = &self.0.body {
            let request = context.request_mut();
            let length = body.len().to_string();
            request.headers_mut().try_insert("content-length", length)?;
            request
                .headers_mut()
                .try_insert("content-type", "application/json")?;
            *request.body_mut() = body.clone().into();
        }
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.target.server(|server| *server == Server::Another) {
            return Err("another server answers".into());
        }
        let tries = self.newest(|newest| {
            newest.tries += 1;
            newest.tries
        });
        // The first has waited for its turn.
        if let (Some(rate), 2..) = (&self.0.target.rate, tries) {
            rate.take();
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request().headers();
        let [authorization, token] =
            ["authorization", "x-amz-security-token"].map(|name| headers.get(name));
        self.newest(|newest| newest.secrets = newest.secrets.and(authorization, token));
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, LONGEST_ANSWER));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        self.newest(|newest| newest.answer = Raw::of(response));
        let id = response.headers().get(SERVER).filter(|id| {
            (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let is_success = response.status().is_success();
        self.0
            .target
            .server(|server| server.answered(id, is_success));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Err(error)) = context.output_or_error()
            && !error.is_timeout_error()
        {
            if find::<LengthLimitError>(error).is_some() {
                let status = context
                    .response()
                    .map(|response| response.status().as_u16());
                self.newest(|newest| newest.too_long = status);
            }
            let is_answered = context.response().and_then(Raw::of).is_some();
            self.newest(|newest| {
                newest.trouble = Some(words(error));
                newest.answer.take_if(|_| !is_answered);
            });
        }
        Ok(())
    }
}
