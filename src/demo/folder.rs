//! The demo's working folder: the mesh to edit, bootstraps, logs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The example mesh, compiled in: the demo also runs where there is no source.
const MESH: [(&str, &str); 3] = [
    ("mesh.yaml", include_str!("../../config/mesh/mesh.yaml")),
    (
        "service-a.yaml",
        include_str!("../../config/mesh/service-a.yaml"),
    ),
    (
        "service-b.yaml",
        include_str!("../../config/mesh/service-b.yaml"),
    ),
];

/// A folder that goes with the demo, unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes `path`, which must not exist yet, and writes the mesh into it.
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        // Fails if it exists: in a folder that all may write to, somebody else could have made it.
        fs::create_dir(&path)?;
        let folder = Self { path, keep: false };
        fs::create_dir(folder.mesh())?;
        for (name, text) in MESH {
            fs::write(folder.mesh().join(name), text)?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn mesh(&self) -> PathBuf {
        self.path.join("mesh")
    }

    /// Where service B's weights are.
    pub(super) fn weights(&self) -> PathBuf {
        self.mesh().join("service-b.yaml")
    }

    /// Leaves the folder where it is: its logs say what went wrong.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing depends on it being gone.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}
