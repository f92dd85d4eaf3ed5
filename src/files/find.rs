//! Finds the mesh files of some paths, and which folders tell of changes to them.
//!
//! A look costs one call to the system for each folder and file, and opens no file. Hidden files and folders are passed
//! over, which leaves out what version control, editors and Kubernetes keep beside the files; a file that is reached by
//! two names, or a folder by a circle of links, is found once, under the name that comes first.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::load::LoadError;

/// Longest chain of links that is followed; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// What there is to read.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By path as given, sorted within each folder.
    pub(super) files: Vec<File>,
    /// What is named like a mesh file and is none.
    pub(super) odd: Vec<Odd>,
    /// What led nowhere, or was gone before it was looked into: its declarations may be missing.
    pub(super) gone: Vec<PathBuf>,
    /// Where changes are heard of, by real path.
    pub(super) folders: Folders,
    /// Folders with a `.git` of their own.
    pub(super) repositories: BTreeSet<PathBuf>,
    /// Why the paths cannot be read as a whole; the rest is what was found before.
    pub(super) error: Option<LoadError>,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// A pipe, a device or a link to nowhere.
#[derive(Debug, Hash)]
pub(super) struct Odd {
    pub(super) path: PathBuf,
    pub(super) what: &'static str,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Of content or attributes; unlike `modified` it cannot be set back.
    changed: (i64, i64),
}

pub(super) type Folders = BTreeMap<PathBuf, Folder>;

/// A folder to be watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Folder {
    /// Which folder this is: another one may come to stand at its path.
    device: u64,
    inode: u64,
    /// Whether mesh files are looked for in it.
    searched: bool,
    /// Entries that matter besides: parts of given paths, links, and what links lead to.
    names: BTreeSet<OsString>,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// When the file was changed last, in seconds since the epoch.
    pub(super) fn changed_at(&self) -> i64 {
        self.modified.0.max(self.changed.0)
    }
}

impl Folder {
    /// Whether news of an entry matter. News of a file's content matter for mesh files only.
    pub(super) fn concerns(&self, name: &OsStr, is_content: bool) -> bool {
        self.names.contains(name) || self.searched && (!is_content || is_mesh_file(Path::new(name)))
    }
}

impl Found {
    /// Equal while nothing that was found has changed.
    pub(super) fn signature(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in &self.files {
            (&file.path, file.stamp).hash(&mut hasher);
        }
        (&self.odd, &self.folders).hash(&mut hasher);
        self.error
            .as_ref()
            .map(ToString::to_string)
            .hash(&mut hasher);
        hasher.finish()
    }
}

/// Looks for the mesh files of the given paths.
pub(super) fn find(paths: &[PathBuf]) -> Found {
    let mut walk = Walk::default();
    for path in paths {
        if let Err(error) = walk.root(path) {
            walk.found.error.get_or_insert(error);
        }
    }
    walk.found
}

#[derive(Default)]
struct Walk {
    found: Found,
    /// Files, those that were reached before included.
    count: usize,
    /// Real paths that have been reached.
    seen: BTreeSet<PathBuf>,
    /// Paths that have been looked at for links.
    followed: BTreeSet<PathBuf>,
}

impl Walk {
    fn root(&mut self, path: &Path) -> Result<(), LoadError> {
        self.follow(path, 0);
        let unreadable = |source| unreadable(path, source);
        let metadata = fs::metadata(path).map_err(unreadable)?;
        let real = fs::canonicalize(path).map_err(unreadable)?;
        if metadata.is_dir() {
            let before = self.count;
            self.folder(path, &real)?;
            if self.count == before {
                return Err(LoadError::Empty { path: path.into() });
            }
        } else if let Some(what) = oddness(metadata.file_type()) {
            return Err(LoadError::NoFile {
                path: path.into(),
                what,
            });
        } else {
            self.file(path, real, &metadata);
        }
        Ok(())
    }

    fn folder(&mut self, path: &Path, real: &Path) -> Result<(), LoadError> {
        if !self.seen.insert(real.into()) {
            return Ok(());
        }
        self.watch(real, None);
        let mut entries = fs::read_dir(path)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(|source| unreadable(path, source))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                if name == ".git" {
                    self.found.repositories.insert(real.into());
                }
                continue;
            }
            let entry_path = path.join(&name);
            // What has gone since it was listed is not there; the next look tells more.
            let Ok(r#type) = entry.file_type() else {
                self.found.gone.push(entry_path);
                continue;
            };
            if r#type.is_symlink() {
                self.link(&entry_path)?;
            } else if r#type.is_dir() {
                match self.folder(&entry_path, &real.join(&name)) {
                    Err(LoadError::Missing { path }) => self.found.gone.push(path),
                    result => result?,
                }
            } else if is_mesh_file(&entry_path) {
                if let Some(what) = oddness(r#type) {
                    self.odd(entry_path, what);
                } else if let Ok(metadata) = entry.metadata() {
                    self.file(&entry_path, real.join(&name), &metadata);
                } else {
                    self.found.gone.push(entry_path);
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &Path) -> Result<(), LoadError> {
        let (Ok(metadata), Ok(real)) = (fs::metadata(path), fs::canonicalize(path)) else {
            if is_mesh_file(path) {
                self.follow(path, 0);
                self.odd(path.into(), "a link to nowhere");
            } else {
                self.found.gone.push(path.into());
            }
            return Ok(());
        };
        if metadata.is_dir() {
            self.follow(path, 0);
            return self.folder(path, &real);
        }
        if is_mesh_file(path) {
            self.follow(path, 0);
            match oddness(metadata.file_type()) {
                Some(what) => self.odd(path.into(), what),
                None => self.file(path, real, &metadata),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, real: PathBuf, metadata: &Metadata) {
        self.count += 1;
        if self.seen.insert(real) {
            self.found.files.push(File {
                path: path.into(),
                stamp: Stamp::of(metadata),
            });
        }
    }

    fn odd(&mut self, path: PathBuf, what: &'static str) {
        self.count += 1;
        self.found.odd.push(Odd { path, what });
    }

    /// Watches for another file to take the path's place, or that of a link on the way to it.
    fn follow(&mut self, path: &Path, links: usize) {
        let mut at = PathBuf::new();
        for component in path.components() {
            at.push(component);
            if !self.followed.insert(at.clone()) {
                continue;
            }
            let Ok(target) = fs::read_link(&at) else {
                continue;
            };
            self.watch_entry(&at);
            if links < MAX_LINKS {
                self.follow(&folder_of(&at).join(target), links + 1);
            }
        }
        self.watch_entry(path);
    }

    fn watch_entry(&mut self, path: &Path) {
        if let (Some(name), Ok(folder)) = (path.file_name(), fs::canonicalize(folder_of(path))) {
            self.watch(&folder, Some(name));
        }
    }

    /// Watches an entry of a folder, or all of it.
    fn watch(&mut self, folder: &Path, name: Option<&OsStr>) {
        if !self.found.folders.contains_key(folder) {
            // Before it is there, nothing is heard of it.
            let Ok(metadata) = fs::metadata(folder) else {
                return;
            };
            let new = Folder {
                device: metadata.dev(),
                inode: metadata.ino(),
                searched: false,
                names: BTreeSet::new(),
            };
            self.found.folders.insert(folder.into(), new);
        }
        if let Some(folder) = self.found.folders.get_mut(folder) {
            match name {
                Some(name) => {
                    folder.names.insert(name.into());
                }
                None => folder.searched = true,
            }
        }
    }
}

/// Why a path that is no folder cannot be read as a file.
pub(super) fn oddness(r#type: FileType) -> Option<&'static str> {
    if r#type.is_file() {
        None
    } else if r#type.is_fifo() {
        Some("a named pipe")
    } else if r#type.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

fn unreadable(path: &Path, source: io::Error) -> LoadError {
    let path = path.to_path_buf();
    if source.kind() == io::ErrorKind::NotFound {
        LoadError::Missing { path }
    } else {
        LoadError::Unreadable { path, source }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn is_mesh_file(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| {
            ["yaml", "yml", "json"]
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        })
}
