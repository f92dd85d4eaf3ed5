//! Real folders, real events. Every wait is for the result itself, with a limit that only a failure reaches.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

mod mounts;
mod partial;
mod tools;

use super::super::load::load;
use super::{DOUBTED, MeshFiles, Outcome, POLL, publish};
use crate::model::spec::EgressFilterType;
use crate::model::{Mesh, MeshName};

const LIMIT: Duration = Duration::from_secs(20);

/// A folder under watch.
struct Watched {
    folder: TempDir,
    latest: watch::Receiver<Arc<Outcome>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Watched {
    /// Watches the path that `prepare` returns; it gets the folder around, with a mesh `a` in `mesh`.
    async fn in_folder(prepare: impl AsyncFnOnce(&Path) -> PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mesh")).unwrap();
        write(&folder.path().join("mesh/a.yaml"), "a");
        let mut files = MeshFiles::new([prepare(folder.path()).await]);
        let (sender, latest) = watch::channel(Arc::new(files.load_once().await));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(files.run(sender, stop.clone()));
        Self {
            folder,
            latest,
            stop,
            tasks,
        }
    }

    async fn folder() -> Self {
        Self::in_folder(async |folder| folder.join("mesh")).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The meshes now.
    fn now(&self) -> String {
        shown(&self.latest.borrow())
    }

    /// The meshes of the next result, or its error.
    async fn next(&mut self) -> String {
        timeout(LIMIT, self.latest.changed())
            .await
            .expect("a result in time")
            .unwrap();
        shown(&self.latest.borrow_and_update())
    }

    /// Waits for a result; every other on the way must be one of those allowed.
    async fn until(&mut self, wanted: &str, allowed: &[&str]) {
        loop {
            let shown = self.next().await;
            if shown == wanted {
                return;
            }
            assert!(allowed.contains(&shown.as_str()), "{shown}");
        }
    }

    /// Makes changes one after another, each after the one before was seen: too many for the time, if looking now and then
    /// were all that notices them. `change` is given `a*` and `a` in turn, and says what is to be seen.
    async fn is_told_of(&mut self, mut change: impl FnMut(&Path, &str) -> String) {
        let begun = Instant::now();
        for turn in 0..6 {
            let mesh = if turn % 2 == 0 { "a*" } else { "a" };
            let wanted = change(self.folder.path(), mesh);
            self.until(&wanted, &[]).await;
        }
        assert!(begun.elapsed() < POLL * 4, "{:?}", begun.elapsed());
    }

    async fn stop(mut self) {
        self.stop.cancel();
        timeout(LIMIT, self.tasks.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(self.latest.has_changed().is_err() || !self.latest.has_changed().unwrap());
    }
}

/// The meshes, those that drop other traffic with a star, or the error.
fn shown(outcome: &Outcome) -> String {
    let model = match outcome {
        Ok(loaded) => loaded.model().map_err(|invalid| invalid.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let name = |(name, mesh): (&MeshName, &Mesh)| {
        let drops = mesh
            .spec
            .as_ref()
            .is_some_and(|spec| spec.egress() == EgressFilterType::DropAll);
        format!("{name}{}", if drops { "*" } else { "" })
    };
    match model {
        Ok(model) => model.meshes().map(name).collect::<Vec<_>>().join(" "),
        Err(error) => error,
    }
}

/// A document: `mesh*` is `mesh` with another spec. None is the beginning of another.
fn document(mesh: &str) -> String {
    let (mesh, filter) = match mesh.strip_suffix('*') {
        Some(mesh) => (mesh, "DROP_ALL"),
        None => (mesh, "ALLOW_ALL"),
    };
    format!("kind: Mesh\nspec: {{ egressFilter: {{ type: {filter} }} }}\nmeshName: {mesh}\n")
}

fn write(path: &Path, mesh: &str) {
    fs::write(path, document(mesh)).unwrap();
}

#[test]
fn only_what_differs_is_handed_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    write(&path, "a");
    let read = || load(std::slice::from_ref(&path));
    let (sender, mut latest) = watch::channel(Arc::new(read()));
    let mut handed_on = |outcome: Outcome| {
        publish(&sender, outcome);
        let changed = latest.has_changed().unwrap();
        latest.mark_unchanged();
        changed
    };
    assert!(!handed_on(read()));
    write(&path, "b");
    assert!(handed_on(read()));
    fs::remove_file(&path).unwrap();
    assert!(handed_on(read()));
    assert!(!handed_on(read()));
    write(&path, "b");
    assert!(handed_on(read()));
}

#[tokio::test]
async fn changes_arrive() {
    let mut watched = Watched::folder().await;
    write(&watched.path("mesh/b.yaml"), "b");
    watched.until("a b", &[]).await;
    fs::create_dir(watched.path("mesh/deep")).unwrap();
    write(&watched.path("mesh/deep/c.yaml"), "c");
    watched.until("a b c", &[]).await;
    watched.stop().await;
}

#[tokio::test]
async fn a_file_is_replaced_by_renaming() {
    let mut watched = Watched::folder().await;
    write(&watched.path("mesh/.a.yaml.new"), "z");
    fs::rename(
        watched.path("mesh/.a.yaml.new"),
        watched.path("mesh/a.yaml"),
    )
    .unwrap();
    watched.until("z", &[]).await;
    watched.stop().await;
}

#[tokio::test]
async fn a_single_file_is_replaced_by_renaming() {
    let mut watched = Watched::in_folder(async |folder| folder.join("mesh/a.yaml")).await;
    write(&watched.path("mesh/beside.yaml"), "beside");
    write(&watched.path("mesh/new"), "z");
    fs::rename(watched.path("mesh/new"), watched.path("mesh/a.yaml")).unwrap();
    watched.until("z", &[]).await;
    watched.stop().await;
}

/// A reload half a second after `gone` was done to a known file. The clock is paused: it moves on only once the reload has
/// looked and waits, and stands still while files are read.
async fn reload_after(gone: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    write(&a, "a");
    write(&b, "b");
    let mut files = MeshFiles::new([folder.path().to_owned()]);
    shown(&files.load_once().await);
    let heard = Arc::clone(&files.heard);
    gone(&a);
    let mut reloading = std::pin::pin!(files.settle());
    let early = timeout(DOUBTED / 2, &mut reloading).await;
    assert!(
        early.is_err(),
        "{:?}",
        early.map(|outcome| outcome.map(|outcome| shown(&outcome)))
    );
    write(&a, "a2");
    heard.changed.notify_one();
    shown(&reloading.await.expect("a change"))
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_back_within_a_second_was_never_gone() {
    let removed = reload_after(|file| fs::remove_file(file).unwrap()).await;
    assert_eq!(removed, "a2 b");
    let emptied = reload_after(|file| fs::write(file, "").unwrap()).await;
    assert_eq!(emptied, "a2 b");
    let folder = reload_after(|file| {
        fs::remove_dir_all(file.parent().unwrap())
            .and_then(|()| fs::create_dir(file.parent().unwrap()))
            .unwrap();
    });
    assert_eq!(folder.await, "a2");
}

#[tokio::test]
async fn a_file_that_is_removed_and_written_at_once_is_just_changed() {
    let mut watched = Watched::folder().await;
    write(&watched.path("mesh/b.yaml"), "b");
    watched.until("a b", &[]).await;
    fs::remove_file(watched.path("mesh/b.yaml")).unwrap();
    write(&watched.path("mesh/b.yaml"), "b2");
    watched.until("a b2", &[]).await;
    watched.stop().await;
}

#[tokio::test]
async fn a_file_that_stays_away_is_gone_after_a_second() {
    let mut watched = Watched::folder().await;
    write(&watched.path("mesh/b.yaml"), "b");
    watched.until("a b", &[]).await;
    let removed = Instant::now();
    fs::remove_file(watched.path("mesh/b.yaml")).unwrap();
    watched.until("a", &[]).await;
    assert!(removed.elapsed() >= DOUBTED, "{:?}", removed.elapsed());
    watched.stop().await;
}

#[tokio::test]
async fn a_folder_that_is_gone_is_an_error_and_comes_back() {
    let mut watched = Watched::folder().await;
    let folder = watched.path("mesh").display().to_string();
    fs::rename(watched.path("mesh"), watched.path("elsewhere")).unwrap();
    let missing = format!("`{folder}` does not exist; name a mesh file or a folder of them");
    watched.until(&missing, &[]).await;
    fs::rename(watched.path("elsewhere"), watched.path("mesh")).unwrap();
    watched.until("a", &[]).await;
    // The new folder is watched as the old one was.
    write(&watched.path("mesh/b.yaml"), "b");
    watched.until("a b", &[]).await;
    watched.stop().await;
}

#[tokio::test]
async fn a_folder_without_files_is_an_error() {
    let mut watched = Watched::folder().await;
    fs::remove_file(watched.path("mesh/a.yaml")).unwrap();
    assert!(watched.next().await.contains("has no mesh files"));
    watched.stop().await;
}

#[tokio::test]
async fn files_with_errors_are_handed_on_with_their_reports() {
    let mut watched = Watched::folder().await;
    write(&watched.path("mesh/b.yaml"), "[]");
    assert!(
        watched
            .next()
            .await
            .starts_with("the mesh files have 1 error")
    );
    watched.stop().await;
}

#[tokio::test]
async fn a_file_behind_a_link_is_watched_where_it_lies() {
    let mut watched = Watched::folder().await;
    let outside = watched.path("outside.yaml");
    write(&outside, "one");
    std::os::unix::fs::symlink(&outside, watched.path("mesh/linked.yaml")).unwrap();
    watched.until("a one", &[]).await;
    write(&outside, "other");
    watched.until("a other", &[]).await;
    watched.stop().await;
}
