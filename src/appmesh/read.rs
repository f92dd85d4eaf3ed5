//! Everything that a target has, or that it has of some meshes: lists, and each resource of them with its tags.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::task::JoinSet;

use super::client::{Client, Held, TargetError, Within};
use crate::model::{MeshName, ResourceId, ResourceKind};

/// Calls that are under way at a time.
const AT_A_TIME: usize = 16;

/// Which meshes are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    All,
    Named(BTreeSet<MeshName>),
}

/// What a target has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    pub resources: BTreeMap<ResourceId, Held>,
    /// Kinds that it does not know, as test doubles do not know all.
    pub lacks: BTreeSet<ResourceKind>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Resources that lists had.
    pub found: usize,
    /// Those of them that were read.
    pub read: usize,
}

impl Scope {
    /// These meshes, or all if none is named.
    pub fn of(meshes: impl IntoIterator<Item = MeshName>) -> Self {
        let meshes: BTreeSet<MeshName> = meshes.into_iter().collect();
        if meshes.is_empty() {
            Self::All
        } else {
            Self::Named(meshes)
        }
    }

    pub fn includes(&self, mesh: &MeshName) -> bool {
        match self {
            Self::All => true,
            Self::Named(meshes) => meshes.contains(mesh),
        }
    }
}

/// Reads what a target has. What comes and goes meanwhile may be in it or not.
///
/// # Errors
/// The first [`TargetError`]: what could not be read whole says nothing of what is missing.
pub async fn read(
    client: &Client,
    meshes: &Scope,
    mut progress: impl FnMut(Progress),
) -> Result<Target, TargetError> {
    let mut target = Target::default();
    let mut so_far = Progress::default();
    let mut waiting: VecDeque<Task> = match meshes {
        Scope::All => [Task::List(Within::Meshes)].into(),
        Scope::Named(meshes) => {
            so_far.found = meshes.len();
            let meshes = meshes.iter().cloned();
            meshes
                .map(|mesh| Task::Describe(ResourceId::Mesh(mesh)))
                .collect()
        }
    };
    // Dropped, it ends what is under way.
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_A_TIME
            && let Some(task) = waiting.pop_front()
        {
            running.spawn(task.run(client.clone()));
        }
        let Some(done) = running.join_next().await else {
            return Ok(target);
        };
        match done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))? {
            Done::Listed(ids) => {
                so_far.found += ids.len();
                waiting.extend(ids.into_iter().map(Task::Describe));
            }
            Done::Lacking(kind) => {
                target.lacks.insert(kind);
            }
            Done::Described(id, held) => {
                so_far.read += 1;
                if let Some(held) = held {
                    // Before all else, so that it is soon known how much there is.
                    for within in Within::inside(&id) {
                        waiting.push_front(Task::List(within));
                    }
                    target.resources.insert(id, *held);
                }
            }
        }
        progress(so_far);
    }
}

/// One thing to ask for.
#[derive(Debug)]
enum Task {
    List(Within),
    Describe(ResourceId),
}

/// What came of it.
#[derive(Debug)]
enum Done {
    Listed(Vec<ResourceId>),
    Lacking(ResourceKind),
    Described(ResourceId, Option<Box<Held>>),
}

impl Task {
    async fn run(self, client: Client) -> Result<Done, TargetError> {
        match self {
            Self::List(within) => match client.list(&within).await {
                Ok(ids) => Ok(Done::Listed(ids)),
                Err(TargetError::Lacking { .. }) => Ok(Done::Lacking(within.kind())),
                Err(error) => Err(error),
            },
            Self::Describe(id) => {
                let held = client.describe(&id).await?;
                Ok(Done::Described(id, held.map(Box::new)))
            }
        }
    }
}
