//! One call: its body goes in before it is signed, and each try's answer comes out as it was sent.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_appmesh::config::http::HttpResponse;
use aws_sdk_appmesh::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_appmesh::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_appmesh::error::{BoxError, SdkError};
use bytes::Bytes;
use serde_json::Value;

use super::Target;
use super::answer::{About, Answer, NO_CREDENTIALS, Raw};
use super::error::TargetError;
use super::secret::Secrets;
use super::words::{find, words};

/// The header in which an Outrigger says which one it is.
const SERVER: &str = "x-outrigger-server";
/// The longest id that is one.
const LONGEST_ID: usize = 64;

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
        let answer = self.newest(|newest| newest.answer.take());
        match (answer, sent) {
            (Some(answer), _) => answer.read(&self.about()),
            (None, Err(error)) => Err(self.unanswered(&error)),
            // Nothing is taken for an answer that was not seen.
            (None, Ok(_)) => Err(self.unreachable("its answer was lost".to_owned())),
        }
    }

    fn unanswered<E: Error + 'static>(&self, error: &SdkError<E, HttpResponse>) -> TargetError {
        if let Some(error) = find::<CredentialsError>(error) {
            return TargetError::Credentials {
                endpoint: self.0.target.endpoint.clone(),
                call: self.0.what.clone(),
                reason: words(error),
                help: NO_CREDENTIALS,
            };
        }
        match error {
            SdkError::TimeoutError(_) if self.newest(|newest| newest.tries) == 0 => {
                TargetError::Throttled {
                    endpoint: self.0.target.endpoint.clone(),
                    call: self.0.what.clone(),
                    message: "so many calls before were throttled that its turn did not come"
                        .to_owned(),
                }
            }
            SdkError::TimeoutError(_) => {
                let trouble = self.newest(|newest| newest.trouble.take());
                self.unreachable(trouble.unwrap_or_else(|| "no answer came in time".to_owned()))
            }
            error => self.unreachable(words(error)),
        }
    }

    fn unreachable(&self, reason: String) -> TargetError {
        TargetError::Unreachable {
            endpoint: self.0.target.endpoint.clone(),
            reason: self.secrets().hide(&reason),
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
        if let Some(id) = id {
            let known = self.0.target.server_id.lock();
            *known.unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
        }
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
            let is_answered = context.response().and_then(Raw::of).is_some();
            self.newest(|newest| {
                newest.trouble = Some(words(error));
                newest.answer.take_if(|_| !is_answered);
            });
        }
        Ok(())
    }
}
