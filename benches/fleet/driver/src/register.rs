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
    let body = mesh::endpoints_body();
    for service in 0..mesh.services {
        let url = mesh::fill(&format!("{api_url}{}", mesh::ENDPOINTS_PATH), service);
        let request = hyper::Request::put(&url)
            .header("content-type", "application/json")
            .body(Full::from(mesh::fill(&body, service)))?;
        let response = client.request(request).await.with_context(|| url.clone())?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "PUT {url} was answered {status}: {}",
            String::from_utf8_lossy(&text)
        );
    }
    Ok(())
}

/// Whether a GET is answered with success.
pub(crate) async fn is_answered(url: &str) -> bool {
    let Ok(uri) = url.parse() else { return false };
    client()
        .get(uri)
        .await
        .is_ok_and(|response| response.status().is_success())
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}
