//! Registrations on disk: a database in the data folder, in which calls that waited together are one transaction.
//!
//! **Invariant:** what [`Disk::save`] has returned from is on the disk, whole, however the process ends. A file that cannot
//! be read is never overwritten.
//!
//! Leases are kept by a clock of their own, which runs only while the control plane does: nobody can renew a lease
//! where nobody answers, and a wall clock that is set, or that goes on meanwhile, would end them all at once.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::list::{Entry, read_list};
use super::state::Registration;
use crate::data_dir::sync_folder;
use crate::model::endpoint::{NodeKey, RegisteredSet};
use crate::model::{MeshName, NodeName};

/// By mesh and node: the list, as JSON. Apart from the leases, so that a renewal does not write it again.
const LISTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("lists");
/// By mesh and node: the lease in seconds, 0 for none, and when it was renewed, in milliseconds of the clock.
const LEASES: TableDefinition<'_, (&str, &str), (u64, u64)> = TableDefinition::new("leases");
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// What the clock showed last, in milliseconds.
const CLOCK: &str = "clock";
const FORMAT: &str = "format";
const VERSION: u64 = 1;
/// Memory for pages that were read or written lately.
const CACHE: usize = 16 << 20;

/// The database, and where it is.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    /// `None` after trouble, which the database refuses to go on from.
    database: Option<Database>,
}

/// One registration as it is kept; times are those of the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) endpoints: RegisteredSet,
    pub(super) lease: Option<Duration>,
    pub(super) renewed_at: Duration,
}

/// Everything that was kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) clock: Duration,
    pub(super) registrations: Vec<(NodeKey, Kept)>,
}

/// What becomes of one registration.
#[derive(Clone, Debug)]
pub(super) struct Save {
    pub(super) node: NodeKey,
    /// `None`: it is removed.
    pub(super) registration: Option<Registration>,
    /// The list is on the disk already.
    pub(super) only_lease: bool,
}

/// Why the registrations of before cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error(
        "cannot read the registered endpoints in `{}`; bring back a copy of the file, or move it away to start with none registered",
        path.display()
    )]
    Unreadable {
        path: PathBuf,
        source: Box<redb::Error>,
    },
    #[error(
        "the registered endpoints in `{}` have format {found}, and this program knows format {VERSION}; start the program that \
         wrote them, or move the file away to start with none registered",
        path.display()
    )]
    Format { path: PathBuf, found: u64 },
    #[error(
        "the registered endpoints in `{}` are damaged: those of mesh/{}/virtualNode/{} are no list of endpoints; bring back a \
         copy of the file, or move it away to start with none registered",
        path.display(), node.0, node.1
    )]
    Damaged { path: PathBuf, node: NodeKey },
}

impl Disk {
    /// Opens the database, made if there is none, and reads all.
    ///
    /// # Errors
    /// [`DiskError`] when it is not one that this program wrote; it is left as it is.
    pub(super) fn open(path: &Path) -> Result<(Self, Loaded), DiskError> {
        let unreadable = |source: redb::Error| DiskError::Unreadable {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let database = open(path).map_err(unreadable)?;
        let (found, clock) = facts(&database).map_err(unreadable)?;
        if found != VERSION {
            return Err(DiskError::Format {
                path: path.to_owned(),
                found,
            });
        }
        let mut registrations = Vec::new();
        for (node, list, (lease, renewed_at)) in lists(&database).map_err(unreadable)? {
            let entries = serde_json::from_slice(&list).ok();
            let Some(endpoints) = entries.and_then(|entries| read_list(entries, &[]).ok()) else {
                return Err(DiskError::Damaged {
                    path: path.to_owned(),
                    node,
                });
            };
            let kept = Kept {
                endpoints,
                lease: (lease > 0).then(|| Duration::from_secs(lease)),
                renewed_at: Duration::from_millis(renewed_at),
            };
            registrations.push((node, kept));
        }
        let disk = Self {
            path: path.to_owned(),
            database: Some(database),
        };
        let clock = Duration::from_millis(clock);
        Ok((
            disk,
            Loaded {
                clock,
                registrations,
            },
        ))
    }

    /// As if a write had failed.
    #[cfg(test)]
    pub(super) fn close(&mut self) {
        self.database = None;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Brings all of this to the disk, or none of it. `clock` tells when an instant was.
    pub(super) fn save(&mut self, saves: &[Save], clock: Clock) -> Result<(), Box<redb::Error>> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        write(&database, saves, clock)?;
        self.database = Some(database);
        Ok(())
    }
}

/// The clock of leases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What it showed at the start.
    pub(super) base: Duration,
    pub(super) started: tokio::time::Instant,
    pub(super) now: tokio::time::Instant,
}

impl Clock {
    /// What it showed at an instant.
    fn at(self, instant: tokio::time::Instant) -> u64 {
        let since = instant.saturating_duration_since(self.started);
        let before = self.started.saturating_duration_since(instant);
        let shown = (self.base + since).saturating_sub(before);
        u64::try_from(shown.as_millis()).unwrap_or(u64::MAX)
    }
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    let database = Database::builder().set_cache_size(CACHE).create(path)?;
    sync_folder(path)?;
    Ok(database)
}

/// The format, of a new database this program's, and the clock.
fn facts(database: &Database) -> Result<(u64, u64), redb::Error> {
    let reading = database.begin_read()?;
    let facts = match reading.open_table(FACTS) {
        Ok(facts) => facts,
        Err(TableError::TableDoesNotExist(_)) => return Ok((VERSION, 0)),
        Err(error) => return Err(error.into()),
    };
    let fact = |name| Ok::<_, redb::Error>(facts.get(name)?.map(|fact| fact.value()));
    Ok((fact(FORMAT)?.unwrap_or(0), fact(CLOCK)?.unwrap_or(0)))
}

type Row = (NodeKey, Vec<u8>, (u64, u64));

fn lists(database: &Database) -> Result<Vec<Row>, redb::Error> {
    let reading = database.begin_read()?;
    let lists = match reading.open_table(LISTS) {
        Ok(lists) => lists,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let leases = reading.open_table(LEASES)?;
    let mut rows = Vec::new();
    for row in lists.iter()? {
        let (key, list) = row?;
        let (mesh, node) = key.value();
        let lease = leases.get((mesh, node))?.map(|lease| lease.value());
        let node = (MeshName::new(mesh), NodeName::new(node));
        rows.push((node, list.value().to_vec(), lease.unwrap_or_default()));
    }
    Ok(rows)
}

fn write(database: &Database, saves: &[Save], clock: Clock) -> Result<(), redb::Error> {
    // Its commit is on the disk when it returns.
    let writing = database.begin_write()?;
    {
        let mut lists = writing.open_table(LISTS)?;
        let mut leases = writing.open_table(LEASES)?;
        for save in saves {
            let key = (save.node.0.as_str(), save.node.1.as_str());
            let Some(registration) = &save.registration else {
                lists.remove(key)?;
                leases.remove(key)?;
                continue;
            };
            if !save.only_lease {
                lists.insert(key, print(&registration.endpoints).as_slice())?;
            }
            let lease = registration.lease.map_or(0, |lease| lease.as_secs());
            leases.insert(key, (lease, clock.at(registration.renewed_at)))?;
        }
        let mut facts = writing.open_table(FACTS)?;
        facts.insert(FORMAT, VERSION)?;
        facts.insert(CLOCK, clock.at(clock.now))?;
    }
    writing.commit()?;
    Ok(())
}

fn print(endpoints: &RegisteredSet) -> Vec<u8> {
    let entries: Vec<Entry> = endpoints.iter().map(Entry::from).collect();
    // Texts and numbers only: none of it can fail to be printed.
    serde_json::to_vec(&entries).unwrap_or_default()
}
