//! Whether git is at work on the files: it holds `index.lock` from before it touches the first file until after the last.
//!
//! So a checkout is seen as what it is, one change, whatever time it takes and however the machine stalls in between.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A lock that is there. One that a crash left behind is told from a later one by its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lock {
    pub(super) path: PathBuf,
    inode: u64,
    made: (i64, i64),
}

/// The locks of the repositories that the paths stand in, and of those given.
pub(super) fn locks(paths: &[PathBuf], repositories: &BTreeSet<PathBuf>) -> BTreeSet<Lock> {
    let around = paths.iter().filter_map(|path| around(path));
    let folders: BTreeSet<PathBuf> = around.chain(repositories.iter().cloned()).collect();
    folders.iter().filter_map(|folder| lock(folder)).collect()
}

/// The nearest folder above a path, or the path itself, that is a working tree.
fn around(path: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    let real = real.ok()?;
    let tree = real.ancestors().find(|folder| folder.join(".git").exists());
    tree.map(Path::to_path_buf)
}

fn lock(working_tree: &Path) -> Option<Lock> {
    let mut folder = working_tree.join(".git");
    // Submodules and linked working trees have a file there that says where the folder is.
    if folder.is_file() {
        let link = fs::read_to_string(&folder).ok()?;
        folder = working_tree.join(link.strip_prefix("gitdir:")?.trim());
    }
    let path = folder.join("index.lock");
    let metadata = fs::symlink_metadata(&path).ok()?;
    Some(Lock {
        path,
        inode: metadata.ino(),
        made: (metadata.mtime(), metadata.mtime_nsec()),
    })
}
