//! The HTTP request that makes the server change a service's endpoints.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tonic::codegen::http::{Method, Request};

/// One change of one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bump {
    pub(crate) service: usize,
    /// Bumps of any service before this one.
    pub(crate) count: usize,
    /// Bumps of this service, this one included.
    pub(crate) change: usize,
}

impl Bump {
    /// `{service}` is the service's number, `{high}` and `{low}` its upper and lower byte; `{count}` differs in every
    /// bump; `{octet}` is 200 to 249 and differs from the service's last bump.
    fn fill(self, template: &str) -> String {
        let values = [
            ("{service}", self.service),
            ("{high}", self.service / 256),
            ("{low}", self.service % 256),
            ("{count}", self.count),
            ("{octet}", 200 + self.change % 50),
        ];
        values
            .iter()
            .fold(template.to_owned(), |text, (name, value)| {
                text.replace(name, &value.to_string())
            })
    }
}

pub(crate) struct Trigger {
    client: Client<HttpConnector, Full<Bytes>>,
    method: Method,
    url: String,
    body: String,
}

impl Trigger {
    /// `url` and `body` may hold what [`Bump::fill`] fills in.
    pub(crate) fn new(method: &str, url: &str, body: &str) -> Result<Self> {
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            method: method.parse().context("trigger method")?,
            url: url.into(),
            body: body.into(),
        })
    }

    pub(crate) async fn fire(&self, bump: Bump) -> Result<()> {
        let fill = |template: &str| bump.fill(template);
        let request = Request::builder()
            .method(self.method.clone())
            .uri(fill(&self.url))
            .header("content-type", "application/json")
            .body(Full::from(fill(&self.body)))?;
        let response = self
            .client
            .request(request)
            .await
            .context("trigger request")?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .context("trigger response")?
            .to_bytes();
        if !status.is_success() {
            bail!(
                "trigger answered {status}: {}",
                String::from_utf8_lossy(&body).trim()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_for_each_bump() {
        let bump = Bump {
            service: 700,
            count: 9,
            change: 51,
        };
        let text = bump.fill("/{service}?{count} 10.{high}.{low}.{octet} {other}");
        assert_eq!(text, "/700?9 10.2.188.201 {other}");
    }
}
