//! AWS's SDK for Python. It reads answers by AWS's own description of the API, and the script beside this holds their bodies
//! to that description, member by member.

use super::served::Served;
use crate::python;

/// Runs one of the script's scenarios.
async fn run(scenario: &str, args: &[&str]) {
    let served = Served::start(args).await;
    let mut command = python::aws_sdk();
    command
        .arg(python::script("appmesh/client.py"))
        .args([scenario, &served.url()]);
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}:\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_described() {
    run("every_operation", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_paginator_finds_all_once() {
    run("paginators", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_the_clients_exceptions() {
    run("exceptions", &["--quota", "virtual-gateways-per-mesh=1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_merged_listed_and_gone_with_their_resource() {
    run("tags", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_token_makes_a_call_once() {
    run("client_tokens", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_has_one_owner() {
    let identity = ["--account-id", "123456789012", "--region", "eu-west-1"];
    run("mesh_owner", &identity).await;
}
