use tempfile::TempDir;

use super::*;
use crate::discovery::saved::{SavedHost, SavedRecords};

fn source(hostname: &str) -> SavedSource {
    SavedSource {
        hostname: hostname.into(),
        preference: None,
        services: None,
        hosts: vec![SavedHost {
            name: hostname.into(),
            v4: Some(SavedRecords {
                records: vec![[10, 0, 0, 1].into()],
                found_at: 1,
                denied_for: 0,
            }),
            v6: None,
        }],
    }
}

fn names(loaded: &Loaded) -> Vec<String> {
    let mut names: Vec<_> = loaded
        .values()
        .map(|one| one.hostname.to_string())
        .collect();
    names.sort();
    names
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers");
    (folder, path)
}

#[test]
fn what_was_written_is_read() {
    let (folder, path) = folder();
    assert!(load(&path).is_empty(), "there is none at first");
    write(&path, &[source("a.test")]).unwrap();
    write(&path, &[source("a.test"), source("b.test")]).unwrap();
    assert_eq!(names(&load(&path)), ["a.test", "b.test"]);
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside it");
}

#[test]
fn a_file_that_cannot_be_used_is_kept_aside() {
    let (folder, path) = folder();
    let aside = folder.path().join("answers.unusable");
    let whole = saved::print(&[source("a.test"), source("b.test")]);
    for bytes in [
        &b""[..],
        b"\xff\xfe not even text",
        b"#!/bin/sh\n",
        &whole.as_bytes()[..whole.len() - 1],
        &whole.as_bytes()[..whole.len() / 2],
    ] {
        fs::write(&path, bytes).unwrap();
        assert!(load(&path).is_empty());
        assert!(!path.exists());
        assert_eq!(fs::read(&aside).unwrap(), bytes);
        write(&path, &[source("c.test")]).unwrap();
        assert_eq!(
            names(&load(&path)),
            ["c.test"],
            "and a new one can be written"
        );
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(load(&path).is_empty(), "a folder is none either");
}

#[test]
fn a_write_that_fails_leaves_the_file_as_it_was() {
    let (folder, path) = folder();
    write(&path, &[source("a.test")]).unwrap();
    // A disk that is full.
    let new = folder.path().join("answers.new");
    std::os::unix::fs::symlink("/dev/full", &new).unwrap();
    let error = write(&path, &[source("b.test")]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(names(&load(&path)), ["a.test"]);
    fs::remove_file(&new).unwrap();
    write(&path, &[source("b.test")]).unwrap();
    assert_eq!(names(&load(&path)), ["b.test"]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_written_together_and_failures_again() {
    let (folder, path) = folder();
    let start = Instant::now();
    let mut saver = Saver::new(path.clone(), start);
    assert_eq!(saver.due(), None);
    saver.confirmed();
    assert_eq!(saver.due(), Some(start + CONFIRMED_PACE));
    saver.changed();
    assert_eq!(saver.due(), Some(start + CHANGED_PACE));
    let now = start + CHANGED_PACE;
    saver.write(vec![source("a.test")], now);
    saver.changed();
    assert!(
        saver.is_writing() && saver.due().is_none(),
        "one write at a time"
    );
    assert_eq!(saver.written().await, Ok(()));
    assert_eq!(saver.due(), Some(now + CHANGED_PACE));
    assert_eq!(names(&load(&path)), ["a.test"]);

    std::os::unix::fs::symlink("/dev/full", folder.path().join("answers.new")).unwrap();
    let now = now + CHANGED_PACE;
    saver.write(vec![source("b.test")], now);
    let error = saver.written().await.unwrap_err();
    let shown = path.display().to_string();
    assert!(
        error.contains(&shown) && error.contains("No space left"),
        "{error}"
    );
    assert_eq!(saver.due(), Some(now + CHANGED_PACE), "tried again");
}
