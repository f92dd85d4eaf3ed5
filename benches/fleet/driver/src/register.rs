//! Calls to a running Outrigger: is it ready, and these are the endpoints.

use crate::mesh::{self, Mesh};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Registers ten endpoints for each service of the mesh.
pub(crate) async fn endpoints(api_url: &str, mesh: Mesh) -> Result<()> {
    let client = client();
    let (path, body) = (mesh::ENDPOINTS_PATH, mesh::endpoints_body());
    for service in 0..mesh.services {
        let url = mesh::fill(&format!("{api_url}{path}"), service, 0);
        put(&client, &url, mesh::fill(&body, service, 0)).await?;
    }
    Ok(())
}

/// Registers a list of endpoints.
pub(crate) async fn put(
    client: &Client<HttpConnector, Full<Bytes>>,
    url: &str,
    list: String,
) -> Result<()> {
    let request = hyper::Request::put(url)
        .header("content-type", "application/json")
        .body(Full::from(list))?;
    let response = client
        .request(request)
        .await
        .with_context(|| url.to_owned())?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    ensure!(
        status.is_success(),
        "PUT {url} was answered {status}: {}",
        String::from_utf8_lossy(&text)
    );
    Ok(())
}

/// What a GET is answered with.
pub(crate) async fn text(url: &str) -> Result<String> {
    let response = client().get(url.parse()?).await;
    let response = response.with_context(|| url.to_owned())?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Whether a GET is answered with success.
pub(crate) async fn is_answered(url: &str) -> bool {
    let Ok(uri) = url.parse() else { return false };
    client()
        .get(uri)
        .await
        .is_ok_and(|response| response.status().is_success())
}

/// Keeps connections open, a few at a time.
pub(crate) fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}
