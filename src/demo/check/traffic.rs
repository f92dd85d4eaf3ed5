//! Requests through the sidecars, and who answers them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::{StatusCode, Uri};

use super::super::layout::Network;
use super::super::service::{Calls, Identity};
use super::CheckError;
use crate::envoy::http;

/// Requests that are counted. With them, a share of 20 % is off by 12 % less than once in 10,000 runs.
const REQUESTS: usize = 200;
const SPREAD_PERCENT: usize = 12;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const TO_A: &str = "http://service-a.local:8080/";
const TO_B: &str = "http://service-b.local:8080/";

/// Requests by service name through the sidecar of A, to B, and through the sidecars of B, to A.
pub(super) async fn both_ways(network: Network) -> Result<String, CheckError> {
    let [a, rest @ ..] = network.instances();
    let answer = ask(a.egress(), TO_B).await?;
    for instance in rest {
        let answer = ask(instance.egress(), TO_A).await?;
        if answer.replica != a.application || answer.host != "service-a.local:8080" {
            let body = format!("{answer:?}");
            return Err(stranger(instance.egress(), TO_A, body.as_bytes()));
        }
    }
    Ok(format!(
        "service-b {} answers service-a, service-a answers all three of service-b",
        answer.version
    ))
}

/// Every replica of B gets requests, and its second version its share of them.
pub(super) async fn spread(
    network: Network,
    expected_percent: usize,
) -> Result<String, CheckError> {
    let [a, first, second, newer] = network.instances();
    let mut answers: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for _ in 0..REQUESTS {
        let answer = ask(a.egress(), TO_B).await?;
        *answers.entry(answer.replica).or_default() += 1;
    }
    let count = |replica| answers.get(&replica).copied().unwrap_or_default();
    for instance in [&first, &second, &newer] {
        if count(instance.application) == 0 {
            return Err(CheckError::ReplicaUnused {
                replica: instance.application,
                requests: REQUESTS,
            });
        }
    }
    let percent = count(newer.application) * 100 / REQUESTS;
    if percent.abs_diff(expected_percent) > SPREAD_PERCENT {
        return Err(CheckError::Spread {
            percent,
            expected: expected_percent,
        });
    }
    Ok(format!(
        "of {REQUESTS} requests {} and {} reached the replicas of version 1, {} reached version 2",
        count(first.application),
        count(second.application),
        count(newer.application)
    ))
}

/// In at A's sidecar, to A's application, out through the sidecar again.
pub(super) async fn through_the_application(network: Network) -> Result<String, CheckError> {
    let [a, ..] = network.instances();
    let path = "/call?to=service-b.local&n=10";
    let body = get(a.ingress(), path).await?;
    let calls: Calls =
        serde_json::from_slice(&body).map_err(|_| stranger(a.ingress(), path, &body))?;
    let answered: u32 = calls.answers.values().sum();
    if calls.failed > 0 || answered != 10 {
        return Err(CheckError::CallsFailed {
            failed: calls.failed,
            answers: format!("{:?}", calls.answers),
        });
    }
    Ok("10 of 10 answered".to_owned())
}

/// Who answers.
async fn ask(via: SocketAddr, url: &str) -> Result<Identity, CheckError> {
    let body = get(via, url).await?;
    serde_json::from_slice(&body).map_err(|_| stranger(via, url, &body))
}

async fn get(via: SocketAddr, url: &str) -> Result<Bytes, CheckError> {
    let request = async {
        let uri: Uri = url.parse()?;
        tokio::time::timeout(ANSWER_WITHIN, http::get(via, &uri)).await?
    };
    let (status, body) = request.await.map_err(|source| CheckError::NoAnswer {
        url: url.to_owned(),
        via,
        source,
    })?;
    if status != StatusCode::OK {
        return Err(CheckError::Status {
            url: url.to_owned(),
            via,
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        });
    }
    Ok(body)
}

fn stranger(via: SocketAddr, url: &str, body: &[u8]) -> CheckError {
    CheckError::Stranger {
        url: url.to_owned(),
        via,
        body: String::from_utf8_lossy(body).into_owned(),
    }
}
