//! Everything that a target has, or that it has of some meshes: lists, and each resource of them with its tags.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Client, Held, ListedMesh, TargetError, Within};
use crate::model::{MeshName, ResourceId, ResourceKind};

/// Calls that are under way at a time.
const AT_A_TIME: usize = 16;
/// How long to wait before a list is asked for again that the target seemed not to know.
const BEFORE_AGAIN: Duration = Duration::from_secs(1);

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
    /// Meshes that are left out, since other accounts own them, and these accounts.
    pub shared: BTreeMap<MeshName, BTreeSet<String>>,
    /// What a list had, and was gone when it was asked for.
    pub gone: BTreeSet<ResourceId>,
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

/// Reads what a target has in its own account. What comes and goes meanwhile may be in it or not.
///
/// # Errors
/// The first [`TargetError`]: what could not be read whole says nothing of what is missing.
pub async fn read(
    client: &Client,
    meshes: &Scope,
    progress: impl FnMut(Progress),
) -> Result<Target, TargetError> {
    Reading::new(client, Shared::Left)
        .run(meshes, progress)
        .await
}

/// The same with the meshes that other accounts share with this one.
///
/// # Errors
/// As of [`read`].
pub async fn read_with_shared(
    client: &Client,
    meshes: &Scope,
    progress: impl FnMut(Progress),
) -> Result<Target, TargetError> {
    Reading::new(client, Shared::Read)
        .run(meshes, progress)
        .await
}

/// What becomes of a mesh that another account shares with the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    Read,
    Left,
}

struct Reading<'a> {
    client: &'a Client,
    shared: Shared,
    target: Target,
    so_far: Progress,
    waiting: VecDeque<Task>,
    /// Kinds of which a list was read.
    known: BTreeSet<ResourceKind>,
}

/// One thing to ask for. What stands in a shared mesh is asked for by a client of its own.
#[derive(Debug)]
enum Task {
    Meshes,
    /// With the accounts that it is listed for; `None`: it was not listed.
    Mesh(MeshName, Option<BTreeSet<String>>),
    List(Client, Within),
    /// One that the target seemed not to know: what stands before a target may have said so while it started.
    ListAgain(Client, Within),
    Describe(Client, ResourceId),
}

/// What came of it.
#[derive(Debug)]
enum Done {
    Meshes(Vec<ListedMesh>),
    Mesh(MeshName, Found),
    Listed(Client, Vec<ResourceId>, ResourceKind),
    Unclear(Client, Within),
    Lacking(TargetError, ResourceKind),
    Described(Client, ResourceId, Option<Box<Held>>),
}

impl<'a> Reading<'a> {
    fn new(client: &'a Client, shared: Shared) -> Self {
        Self {
            client,
            shared,
            target: Target::default(),
            so_far: Progress::default(),
            waiting: VecDeque::new(),
            known: BTreeSet::new(),
        }
    }

    async fn run(
        mut self,
        meshes: &Scope,
        mut progress: impl FnMut(Progress),
    ) -> Result<Target, TargetError> {
        match meshes {
            Scope::All => self.waiting.push_back(Task::Meshes),
            Scope::Named(meshes) => {
                self.so_far.found = meshes.len();
                let meshes = meshes.iter().cloned();
                self.waiting
                    .extend(meshes.map(|mesh| Task::Mesh(mesh, None)));
            }
        }
        // Dropped, it ends what is under way.
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_A_TIME
                && let Some(task) = self.waiting.pop_front()
            {
                running.spawn(task.run(self.client.clone()));
            }
            let Some(done) = running.join_next().await else {
                return Ok(self.target);
            };
            let done = done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            self.take(done?)?;
            progress(self.so_far);
        }
    }

    fn take(&mut self, done: Done) -> Result<(), TargetError> {
        match done {
            Done::Meshes(listed) => {
                let mut meshes: BTreeMap<MeshName, BTreeSet<String>> = BTreeMap::new();
                for ListedMesh { mesh, owner } in listed {
                    meshes.entry(mesh).or_default().extend(owner);
                }
                self.so_far.found += meshes.len();
                let tasks = meshes.into_iter();
                self.waiting
                    .extend(tasks.map(|(mesh, owners)| Task::Mesh(mesh, Some(owners))));
            }
            Done::Mesh(mesh, found) => {
                self.so_far.read += 1;
                self.take_mesh(mesh, found);
            }
            Done::Listed(client, ids, kind) => {
                self.known.insert(kind);
                self.so_far.found += ids.len();
                let tasks = ids.into_iter();
                self.waiting
                    .extend(tasks.map(|id| Task::Describe(client.clone(), id)));
            }
            Done::Unclear(client, within) => {
                self.waiting.push_back(Task::ListAgain(client, within));
            }
            Done::Lacking(error, kind) => {
                // One list of a kind, and none of it elsewhere, is no answer.
                if self.known.contains(&kind) {
                    return Err(error.or_nonsense());
                }
                self.target.lacks.insert(kind);
            }
            Done::Described(client, id, held) => {
                self.so_far.read += 1;
                match held {
                    Some(held) => self.take_in(&client, id, *held),
                    None => {
                        self.target.gone.insert(id);
                    }
                }
            }
        }
        Ok(())
    }

    fn take_mesh(&mut self, mesh: MeshName, found: Found) {
        let Found {
            own,
            others,
            is_listed,
        } = found;
        let id = ResourceId::Mesh(mesh.clone());
        let mut others = others.into_iter();
        if let Some(own) = own {
            let client = self.client.clone();
            self.take_in(&client, id, *own);
        } else if self.shared == Shared::Read
            && let Some((owner, held)) = others.next()
        {
            let client = self.client.for_meshes_of(&owner);
            self.take_in(&client, id, *held);
        } else if others.len() == 0 && is_listed {
            self.target.gone.insert(id);
        }
        // There is one mesh of a name.
        let others: BTreeSet<String> = others.map(|(owner, _)| owner).collect();
        if !others.is_empty() {
            self.target.shared.insert(mesh, others);
        }
    }

    fn take_in(&mut self, client: &Client, id: ResourceId, held: Held) {
        // Before all else, so that it is soon known how much there is.
        for within in Within::inside(&id) {
            self.waiting.push_front(Task::List(client.clone(), within));
        }
        self.target.resources.insert(id, held);
    }
}

/// A mesh of one name, in the key's own account and in those that share one with it.
#[derive(Debug, Default)]
struct Found {
    own: Option<Box<Held>>,
    others: Vec<(String, Box<Held>)>,
    is_listed: bool,
}

impl Task {
    async fn run(self, client: Client) -> Result<Done, TargetError> {
        match self {
            Self::Meshes => client.meshes().await.map(Done::Meshes),
            Self::Mesh(mesh, owners) => {
                let found = find(&client, &mesh, owners).await?;
                Ok(Done::Mesh(mesh, found))
            }
            Self::List(client, within) => match client.list(&within).await {
                Ok(ids) => Ok(Done::Listed(client, ids, within.kind())),
                Err(TargetError::Lacking { .. }) => Ok(Done::Unclear(client, within)),
                Err(error) => Err(error),
            },
            Self::ListAgain(client, within) => {
                sleep(BEFORE_AGAIN).await;
                match client.list(&within).await {
                    Ok(ids) => Ok(Done::Listed(client, ids, within.kind())),
                    Err(error @ TargetError::Lacking { .. }) => {
                        Ok(Done::Lacking(error, within.kind()))
                    }
                    Err(error) => Err(error),
                }
            }
            Self::Describe(client, id) => {
                let held = client.describe(&id).await?;
                Ok(Done::Described(client, id, held.map(Box::new)))
            }
        }
    }
}

/// Asks for a mesh, and where the key's own account has none of that name, or lists it for several, for those of others.
async fn find(
    client: &Client,
    mesh: &MeshName,
    owners: Option<BTreeSet<String>>,
) -> Result<Found, TargetError> {
    let id = ResourceId::Mesh(mesh.clone());
    let own = client.describe(&id).await?;
    let is_listed = owners.is_some();
    let mut owners = match owners {
        Some(owners) => owners,
        None if own.is_some() => BTreeSet::new(),
        None => listed_owners(client, mesh).await?,
    };
    if let Some(own) = &own {
        owners.remove(&own.metadata.mesh_owner);
        if owners.len() == 1 && own.metadata.mesh_owner.is_empty() {
            owners.clear();
        }
    }
    let mut others = Vec::new();
    for owner in owners {
        if let Some(held) = client.for_meshes_of(&owner).describe(&id).await? {
            others.push((owner, Box::new(held)));
        }
    }
    Ok(Found {
        own: own.map(Box::new),
        others,
        is_listed,
    })
}

/// The accounts that have a mesh of this name, if the key may list meshes.
async fn listed_owners(client: &Client, mesh: &MeshName) -> Result<BTreeSet<String>, TargetError> {
    match client.meshes().await {
        Ok(listed) => {
            let of_name = listed.into_iter().filter(|listed| listed.mesh == *mesh);
            Ok(of_name.filter_map(|listed| listed.owner).collect())
        }
        Err(error) if error.is_of_target() => Err(error),
        Err(_) => Ok(BTreeSet::new()),
    }
}
