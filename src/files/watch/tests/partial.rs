//! Files that are half written: what a program has open, and what is shorter than it was and still reads well.

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::{DOUBTED, MeshFiles, WRITING};
use super::{Watched, document, shown};

#[tokio::test]
async fn a_file_takes_no_effect_while_a_program_writes_it() {
    let mut watched = Watched::folder().await;
    let path = watched.path("mesh/a.yaml");
    fs::write(&path, ["a", "b", "c"].map(document).join("---\n")).unwrap();
    watched.until("a b c", &[]).await;
    let writer = async {
        let mut file = File::create(&path).unwrap();
        for mesh in ["a*", "b*", "c*"] {
            file.write_all(document(mesh).as_bytes()).unwrap();
            // It holds, and longer than anything that is missing is waited for.
            sleep(DOUBTED + Duration::from_millis(300)).await;
            file.write_all(b"---\n").unwrap();
        }
    };
    tokio::join!(writer, watched.until("a* b* c*", &[]));
    watched.stop().await;
}

/// A folder with `a.yaml`, which `change` is done to under a paused clock: what is taken, and after how long.
async fn taken(
    before: &str,
    change: impl FnOnce(&std::path::Path, &MeshFiles),
) -> (String, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs::write(&path, before).unwrap();
    let mut files = MeshFiles::new([folder.path().to_owned()]);
    shown(&files.load_once().await);
    change(&path, &files);
    let begun = Instant::now();
    let outcome = timeout(Duration::from_mins(1), files.settle()).await;
    (shown(&outcome.unwrap().expect("a change")), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_counts_after_a_second() {
    let (whole, one) = (["a", "b"].map(document).join("---\n"), document("a"));
    let (took, after) = taken(&whole, |path, _| fs::write(path, &one).unwrap()).await;
    assert_eq!(took, "a");
    assert!(after >= DOUBTED, "{after:?}");

    // Nothing is gone, but the one document that there is ends too early.
    let (head, tail) = (
        "kind: Mesh\nmeshName: a\n",
        "spec: { egressFilter: { type: ALLOW_ALL } }\n",
    );
    let whole = format!("{head}{tail}");
    let (took, after) = taken(&whole, |path, _| fs::write(path, head).unwrap()).await;
    assert_eq!(took, "a*", "App Mesh's default");
    assert!(after >= DOUBTED, "{after:?}");

    // The same change to another text is an ordinary one.
    let other = format!("{head}# none\n");
    let (took, after) = taken(&whole, |path, _| fs::write(path, &other).unwrap()).await;
    assert_eq!(took, "a*");
    assert!(after < DOUBTED, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_closes_its_file_is_not_waited_for_without_end() {
    let mut open = None;
    let change = |path: &std::path::Path, files: &MeshFiles| {
        let mut file = File::create(path).unwrap();
        file.write_all(document("a*").as_bytes()).unwrap();
        open = Some(file);
        let heard = Arc::clone(&files.heard);
        while heard.writing().is_none() {
            std::thread::yield_now();
        }
    };
    let (took, after) = taken(&document("a"), change).await;
    assert_eq!(took, "a*");
    // The write is timed by a clock that is not paused.
    assert!(after + Duration::from_secs(1) >= WRITING, "{after:?}");
    drop(open);
}

#[tokio::test]
async fn one_changed_file_is_the_only_one_parsed() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..100 {
        super::write(
            &folder.path().join(format!("{number}.yaml")),
            &format!("m{number}"),
        );
    }
    let mut files = MeshFiles::new([folder.path().to_owned()]);
    shown(&files.load_once().await);
    let parsed = |files: &MeshFiles| files.eyes.as_ref().unwrap().reader.parsed;
    assert_eq!(parsed(&files), 100);
    super::write(&folder.path().join("7.yaml"), "m7*");
    assert!(shown(&files.settle().await.unwrap()).contains("m7* "));
    assert_eq!(parsed(&files), 101);
}

#[tokio::test]
async fn a_file_of_the_same_size_and_time_is_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    super::write(&path, "a");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut files = MeshFiles::new([folder.path().to_owned()]);
    assert_eq!(shown(&files.load_once().await), "a");
    super::write(&path, "b");
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(shown(&files.settle().await.unwrap()), "b");
}
