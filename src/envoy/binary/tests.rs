use std::os::unix::fs::PermissionsExt;

use super::*;

const PRINTED: &str = "\n./envoy  version: 9e558093/1.40.0/Clean/RELEASE/BoringSSL\n\n";

#[test]
fn reads_what_envoy_prints() {
    let version = Some("9e558093/1.40.0/Clean/RELEASE/BoringSSL".to_owned());
    assert_eq!(parse_version(PRINTED, None), version);
    assert_eq!(parse_version(PRINTED, Some("1.40.0")), version);
    assert_eq!(parse_version(PRINTED, Some("1.40")), None);
    assert_eq!(parse_version("Python 3.11.7", None), None);
}

#[tokio::test]
async fn a_named_file_is_used_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy");
    let source = BinarySource {
        named: Some(path.clone()),
        cache: folder.path().join("cache"),
    };
    let progress = Progress::hidden();

    let missing = find(&source, &progress).await.unwrap_err();
    assert!(matches!(
        &missing,
        BinaryError::Named {
            source: RunError::Start { .. },
            ..
        }
    ));

    script(&path, "echo 'something else 1.0'");
    let other = find(&source, &progress).await.unwrap_err();
    assert!(other.to_string().contains("OUTRIGGER_ENVOY"), "{other}");
    let why = std::error::Error::source(&other).unwrap().to_string();
    assert!(why.contains("something else 1.0"), "{why}");

    script(&path, "echo 'envoy  version: abc/1.99.0/Clean'");
    let found = find(&source, &progress).await.unwrap();
    assert_eq!(found.version, "abc/1.99.0/Clean");
    assert!(!folder.path().join("cache").exists());
}

#[tokio::test]
async fn the_cache_is_used_before_anything_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy-1.40.0/envoy");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    script(&path, "echo 'envoy  version: abc/1.40.0/Clean'");
    let source = BinarySource {
        named: None,
        cache: folder.path().to_owned(),
    };
    let found = find(&source, &Progress::hidden()).await.unwrap();
    assert_eq!(found.path, path);
}

fn script(path: &Path, body: &str) {
    // Written elsewhere and renamed: a file still open for writing in a test that forks beside this one is `busy`.
    let written = path.with_extension("new");
    std::fs::write(&written, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&written, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&written, path).unwrap();
}
