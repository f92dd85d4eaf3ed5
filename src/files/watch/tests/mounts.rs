//! Folders that are swapped, mounted over, moved away: by links as Kubernetes and deployments do it, and by the kernel.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Watched, write};
use crate::files::Report;

/// Makes a link lead elsewhere in one step.
fn repoint(link: &Path, target: impl AsRef<Path>) {
    let new = link.with_extension("new");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

/// Writes a version of a mounted `ConfigMap` and swaps it in, as the kubelet does.
fn publish(mount: &Path, version: &str, files: &[(&str, &str)]) {
    let old = fs::read_link(mount.join("..data")).ok();
    fs::create_dir(mount.join(version)).unwrap();
    for (name, mesh) in files {
        write(&mount.join(version).join(name), mesh);
    }
    symlink(version, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    for (name, _) in files
        .iter()
        .filter(|(name, _)| !mount.join(name).is_symlink())
    {
        symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
    }
    if let Some(old) = old {
        fs::remove_dir_all(mount.join(old)).unwrap();
    }
}

#[tokio::test]
async fn a_config_map_is_swapped_in_one_change() {
    let mut watched = Watched::folder().await;
    let mount = watched.path("mesh");
    fs::remove_file(mount.join("a.yaml")).unwrap();
    publish(
        &mount,
        "..2026_11_22_1",
        &[("a.yaml", "a"), ("b.yaml", "b")],
    );
    watched.until("a b", &[]).await;
    let mut version = 1;
    watched
        .is_told_of(|_, mesh| {
            version += 1;
            let star = mesh.trim_start_matches('a');
            let files = [("a.yaml", mesh), ("b.yaml", &format!("b{star}"))];
            publish(&mount, &format!("..2026_11_22_{version}"), &files);
            format!("{mesh} b{star}")
        })
        .await;
    watched.stop().await;
}

/// The folder that a link leads to, or one in it, is replaced by pointing the link elsewhere.
async fn is_repointed(within: &str) {
    let mut watched = Watched::in_folder(async |folder| {
        for (release, mesh) in [("1", "a"), ("2", "a*")] {
            let mesh_folder = folder.join("releases").join(release).join(within);
            fs::create_dir_all(&mesh_folder).unwrap();
            write(&mesh_folder.join("x.yaml"), mesh);
        }
        symlink("releases/1", folder.join("current")).unwrap();
        folder.join("current").join(within)
    })
    .await;
    assert_eq!(watched.now(), "a");
    watched
        .is_told_of(|folder, mesh| {
            let release = if mesh == "a" { "1" } else { "2" };
            repoint(&folder.join("current"), Path::new("releases").join(release));
            mesh.to_owned()
        })
        .await;
    // The folder that it leads to now is watched too.
    write(&watched.path("releases/1").join(within).join("y.yaml"), "b");
    watched.until("a b", &[]).await;
    watched.stop().await;
}

#[tokio::test]
async fn a_link_given_as_path_is_repointed() {
    is_repointed("").await;
}

#[tokio::test]
async fn a_link_on_the_way_to_the_path_is_repointed() {
    is_repointed("deep/mesh").await;
}

#[tokio::test]
async fn links_in_circles_to_nowhere_and_to_each_other_do_no_harm() {
    let mut watched = Watched::folder().await;
    let mesh = watched.path("mesh");
    symlink("..", mesh.join("up")).unwrap();
    symlink(".", mesh.join("here")).unwrap();
    symlink("it.yaml", mesh.join("it.yaml")).unwrap();
    // A second name of a file: it is read once, and not declared twice.
    symlink("a.yaml", mesh.join("b.yaml")).unwrap();
    write(&watched.path("beside.yaml"), "beside");
    watched.until("a beside", &["a"]).await;
    let reports: Vec<String> = match &**watched.latest.borrow() {
        Ok(loaded) => loaded.reports.iter().map(Report::line).collect(),
        Err(error) => panic!("{error}"),
    };
    let [report] = reports.as_slice() else {
        panic!("{reports:?}");
    };
    assert!(report.ends_with("mesh/it.yaml: this is a link to nowhere, which is not read; put a file there, or remove it"), "{report}");
    // A link that leads somewhere at last.
    symlink("later.yaml", mesh.join("link.yaml")).unwrap();
    write(&mesh.join("later.yaml.tmp"), "c");
    fs::rename(mesh.join("later.yaml.tmp"), mesh.join("later.yaml")).unwrap();
    watched.until("a beside c", &["a beside"]).await;
    watched.stop().await;
}

/// A file system in memory, mounted at a folder; it goes with this.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: PathBuf) -> Self {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "mesh"])
            .arg(&folder)
            .output()
            .unwrap();
        assert!(
            mount.status.success(),
            "mounting needs root, as these tests do: {mount:?}"
        );
        Self(folder)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = Command::new("umount").arg(&self.0).status().unwrap();
        assert!(unmount.success() || std::thread::panicking(), "{unmount}");
    }
}

#[tokio::test]
async fn a_mount_that_vanishes_is_an_error_and_comes_back() {
    let mut mount = None;
    let mut watched = Watched::in_folder(async |folder| {
        let mesh = folder.join("mesh");
        fs::remove_file(mesh.join("a.yaml")).unwrap();
        mount = Some(Mount::new(mesh.clone()));
        write(&mesh.join("a.yaml"), "a");
        mesh
    })
    .await;
    assert_eq!(watched.now(), "a");
    let empty = format!(
        "`{}` has no mesh files; put a file ending in `.yaml`, `.yml` or `.json` there, or name another folder",
        watched.path("mesh").display()
    );
    for turn in 0..2 {
        drop(mount.take());
        watched.until(&empty, &[]).await;
        mount = Some(Mount::new(watched.path("mesh")));
        write(&watched.path("mesh/a.yaml"), &format!("turn{turn}"));
        watched.until(&format!("turn{turn}"), &[]).await;
        // Changes of the new mount are heard at once.
        write(&watched.path("mesh/a.yaml"), "a");
        watched.until("a", &[]).await;
        watched
            .is_told_of(|folder, mesh| {
                write(&folder.join("mesh/a.yaml"), mesh);
                mesh.to_owned()
            })
            .await;
    }
    watched.stop().await;
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_made_anew_is_watched_again() {
    let mut watched = Watched::folder().await;
    let mesh = watched.path("mesh");
    for _ in 0..3 {
        fs::remove_dir_all(&mesh).unwrap();
        fs::create_dir(&mesh).unwrap();
        write(&mesh.join("a.yaml"), "a*");
        watched.until("a*", &[]).await;
        write(&mesh.join("a.yaml"), "a");
        watched.until("a", &[]).await;
    }
    fs::remove_dir_all(&mesh).unwrap();
    assert!(watched.next().await.contains("does not exist"));
    fs::create_dir(&mesh).unwrap();
    write(&mesh.join("a.yaml"), "a");
    watched.until("a", &[]).await;
    watched
        .is_told_of(|folder, mesh| {
            write(&folder.join("mesh/a.yaml"), mesh);
            mesh.to_owned()
        })
        .await;
    watched.stop().await;
}
