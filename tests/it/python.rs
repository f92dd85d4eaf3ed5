//! Python with other people's clients (gRPC's own with Envoy's messages, AWS's own, its command line), fetched once with the
//! machine's `pip`, as Envoy is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::envoy::cache;

/// The C core of gRPC is in the first.
const GRPC: [&str; 2] = ["grpcio==1.85.1", "xds-protos==1.85.0"];
const AWS: [&str; 2] = ["boto3==1.44.8", "botocore==1.44.8"];
const AWS_COMMAND: [&str; 1] = ["awscli==1.46.3"];
/// What its server needs beside it.
const MOTO: [&str; 3] = ["moto==5.2.1", "flask==3.1.3", "flask-cors==6.0.5"];

/// The folder of gRPC's packages; the first test that asks has them fetched.
pub(crate) fn packages() -> PathBuf {
    fetched(&GRPC)
}

/// `python3` that has AWS's SDK.
pub(crate) fn aws_sdk() -> Command {
    aws(&AWS)
}

/// AWS's command line, but for its arguments.
pub(crate) fn aws_command() -> Command {
    let mut command = aws(&AWS_COMMAND);
    command.args(["-m", "awscli"]);
    command
}

/// `python3` with these packages and nothing of the machine's own: no settings, no keys, no metadata service, no proxy.
fn aws(requirements: &[&str]) -> Command {
    let mut command = Command::new("python3");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
        .env("PYTHONPATH", fetched(requirements))
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("no_proxy", "*")
        .stdin(Stdio::null());
    command
}

/// The same for Moto, a double of AWS's services.
pub(crate) fn moto_packages() -> PathBuf {
    fetched(&MOTO)
}

fn fetched(requirements: &[&str]) -> PathBuf {
    let cache = cache();
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("python.lock")).unwrap();
    lock.lock().unwrap();
    let tag = python(&["-c", "import sys; print(sys.implementation.cache_tag)"]);
    let folder = cache.join(format!("{}-{}", requirements.join("-"), tag.trim()));
    if !folder.exists() {
        let staging = cache.join("python.partial");
        if staging.exists() {
            fs::remove_dir_all(&staging).unwrap();
        }
        let target = staging.to_str().unwrap();
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--target",
            target,
        ];
        let binary = ["--only-binary", ":all:", "--disable-pip-version-check"];
        python(&[&install[..], &binary, requirements].concat());
        fs::rename(staging, &folder).unwrap();
    }
    folder
}

/// A script of these tests.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(name)
}

fn python(arguments: &[&str]) -> String {
    let needed = "the tests with clients in Python need `python3` with `pip` that reaches its package index; \
                  `bash .ci/run` installs them";
    let output = Command::new("python3")
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.unwrap_or_else(|error| panic!("{needed}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{needed}: {arguments:?}\n{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
