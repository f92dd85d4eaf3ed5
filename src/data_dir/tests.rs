use super::*;

#[test]
fn a_folder_is_made_and_taken_by_one_at_a_time() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");
    let first = DataDir::open(&path).unwrap();
    assert_eq!(first.file("x"), path.join("x"));
    let error = DataDir::open(&path).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DataDirError::InUse { .. }), "{text}");
    let me = format!("process {}", std::process::id());
    assert!(text.contains(&me) && text.contains("--data-dir"), "{text}");
    drop(first);
    drop(DataDir::open(&path).unwrap());
}

#[test]
fn what_cannot_be_written_is_refused_with_its_path() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("below"), file] {
        let error = DataDir::open(&path).unwrap_err();
        let shown = path.display().to_string();
        assert!(matches!(error, DataDirError::Missing { .. }), "{error:?}");
        assert!(error.to_string().contains(&shown), "{error}");
    }
    // A folder in which nobody may make files, root included.
    let error = DataDir::open(Path::new("/proc/self")).unwrap_err();
    assert!(
        matches!(error, DataDirError::Unwritable { .. }),
        "{error:?}"
    );
}
