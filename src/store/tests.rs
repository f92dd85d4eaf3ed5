//! The suite that a store must pass, whatever keeps what it holds: each test runs on every journal.

mod changes;
mod declared;
mod full_disk;
mod tokens;
mod trouble;
mod writes;

use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::journal::{Batch, CommitError, Loaded, Redb};
use super::*;
use crate::model::spec::{EgressFilter, EgressFilterType, MeshSpec};
use crate::model::tags::Tags;
use crate::model::{MeshName, NodeName, Resource, Spec};

/// A place where a store keeps what it holds, and which outlives it.
enum Kept {
    Memory(Memory),
    Redb(TempDir),
}

impl Kept {
    fn all() -> [Self; 2] {
        let folder = tempfile::tempdir().unwrap();
        [Self::Memory(Memory::default()), Self::Redb(folder)]
    }

    fn journal(&self) -> Box<dyn Journal> {
        match self {
            Self::Memory(kept) => Box::new(kept.clone()),
            Self::Redb(folder) => Box::new(Redb::new(&folder.path().join("mesh.redb"))),
        }
    }

    /// A store that has all there is.
    fn open(&self) -> Running {
        Running::start(self.journal(), Options::default())
    }

    /// A store that waits for files.
    fn open_for_files(&self) -> Running {
        let options = Options {
            awaits_files: true,
            ..Options::default()
        };
        Running::start(self.journal(), options)
    }
}

/// A store with its task.
struct Running {
    store: Store,
    task: JoinSet<()>,
    stop: CancellationToken,
}

impl std::ops::Deref for Running {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Running {
    fn start(journal: Box<dyn Journal>, options: Options) -> Self {
        let (store, writer) = Store::new(journal, options, &Registry::new()).unwrap();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(writer.run(stop.clone()));
        Self { store, task, stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        soon(self.task.join_all()).await;
    }

    async fn make(&self, resource: Resource) -> Result<Written, WriteError> {
        self.act(create(resource, &[])).await
    }

    async fn act(&self, action: Action) -> Result<Written, WriteError> {
        let token = None;
        soon(self.write(Write { action, token })).await
    }

    async fn declare(&self, files: Files) -> Option<Revision> {
        let replaced = self.replace_files(files, Instant::now());
        soon(replaced).await.unwrap()
    }

    fn record(&self, id: &ResourceId) -> Option<Arc<Record>> {
        self.current().records.get(id).cloned()
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.unwrap()
}

fn create(resource: Resource, tags: &[(&str, &str)]) -> Action {
    Action::Create {
        resource,
        tags: self::tags(tags),
    }
}

fn tags(tags: &[(&str, &str)]) -> Tags {
    let owned = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

fn mesh_id(name: &str) -> ResourceId {
    ResourceId::Mesh(MeshName::new(name))
}

fn mesh(name: &str) -> Resource {
    Resource {
        id: mesh_id(name),
        spec: Spec::Mesh(MeshSpec::default().into()),
    }
}

/// The same mesh, with something else in it.
fn open_mesh(name: &str) -> Resource {
    let filter = EgressFilter {
        r#type: EgressFilterType::AllowAll,
    };
    Resource {
        id: mesh_id(name),
        spec: Spec::Mesh(Arc::new(MeshSpec {
            egress_filter: Some(filter),
            ..MeshSpec::default()
        })),
    }
}

fn node_id(name: &str) -> ResourceId {
    ResourceId::VirtualNode(MeshName::new("m"), NodeName::new(name))
}

fn node(name: &str, spec: &str) -> Resource {
    Resource {
        id: node_id(name),
        spec: Spec::VirtualNode(serde_json::from_str(spec).unwrap()),
    }
}
