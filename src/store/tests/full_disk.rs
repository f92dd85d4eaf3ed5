//! The same on a real file system that is full.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// A small file system in memory, mounted at a folder; it goes with this.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path) -> Self {
        let mount = Self(folder.to_owned());
        mount.run("mount", &["-t", "tmpfs", "-o", "size=8m", "store"]);
        mount
    }

    fn run(&self, program: &str, args: &[&str]) {
        let ran = Command::new(program)
            .args(args)
            .arg(&self.0)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "mounting needs root, as these tests do: {ran:?}"
        );
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Takes what is left, to the last byte.
    fn fill(&self) {
        let mut filler = fs::File::create(self.file("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.file("filler")).unwrap();
    }

    fn open(&self) -> Running {
        let journal = Redb::new(&self.file("mesh.redb"));
        Running::start(Box::new(journal), Options::default())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = Command::new("umount").arg(&self.0).status().unwrap();
        assert!(unmount.success() || std::thread::panicking(), "{unmount}");
    }
}

/// Makes nodes until one is refused; returns what was made, and why no more was.
async fn make_many(store: &Running, from: usize) -> (Vec<ResourceId>, WriteError) {
    let mut made = Vec::new();
    for number in from.. {
        let name = format!("node-{number}");
        let spec = format!(
            r#"{{"serviceDiscovery":{{"dns":{{"hostname":"{}.local"}}}}}}"#,
            "x".repeat(4000)
        );
        match store.make(node(&name, &spec)).await {
            Ok(written) => made.push(written.id),
            Err(error) => return (made, error),
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_full_disk_costs_writes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Mount::new(folder.path());
    let store = mount.open();
    store.make(mesh("m")).await.unwrap();
    mount.fill();
    let (made, error) = make_many(&store, 0).await;
    assert!(matches!(error, WriteError::Unavailable { .. }), "{error:?}");
    let full = store.current();
    assert_eq!(full.records.len(), made.len() + 1);
    store.stop().await;

    // A restart finds what was answered, and needs no room for that.
    let store = mount.open();
    assert_eq!(store.current().model, full.model);
    assert_eq!(store.current().records, full.records);
    mount.free();
    store.make(node("at-last", "{}")).await.unwrap();
    let after = store.current();
    store.stop().await;
    let store = mount.open();
    assert_eq!(store.current().records, after.records);
    store.stop().await;
}
