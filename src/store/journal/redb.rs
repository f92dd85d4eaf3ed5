//! The journal in the data folder: a redb database, in which a batch is one transaction.
//!
//! **Invariants:** a batch that was taken is on the disk, synced, when [`Journal::commit`] returns. Whatever is read is
//! checked: each page by redb, each row by its own checksum, all rows together by their number and the sum of their checksums,
//! and the whole by the revision that a file beside it says was reached. What does not hold is refused, and not a byte of it
//! changed: redb repairs a file that it opens, so all is checked in a copy in memory before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageBackend,
    StorageError, Table, TableDefinition,
};

use super::facts::{self, Facts, Found};
use super::mark::Mark;
use super::reading::{Reading, read_facts};
use super::row::{self, Key};
use super::{Batch, CommitError, Journal, LoadError, Loaded};
use crate::data_dir::sync_folder;
use crate::store::{Revision, ServerId};

pub(super) type ResourceTable = TableDefinition<'static, Key<'static>, &'static [u8]>;
pub(super) type TextTable = TableDefinition<'static, &'static str, &'static [u8]>;

pub(super) const RESOURCES: ResourceTable = TableDefinition::new("resources");
pub(super) const FILES: ResourceTable = TableDefinition::new("files");
pub(super) const TOKENS: TextTable = TableDefinition::new("tokens");
/// The row of facts about all others, and whose they are.
pub(super) const FACTS: TextTable = TableDefinition::new(facts::TABLE);
/// Memory for pages that were read or written lately.
const CACHE: usize = 8 << 20;

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a database is in.
pub(super) trait Storage: Send {
    /// All that is there.
    fn bytes(&self) -> io::Result<Vec<u8>>;

    /// The database to write to; what is wrong with it may be repaired.
    fn open(&self) -> Result<Database, DatabaseError>;
}

/// A file.
impl Storage for PathBuf {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        fs::read(self)
    }

    fn open(&self) -> Result<Database, DatabaseError> {
        builder().open(self)
    }
}

/// The database, and where it is.
pub struct Redb {
    path: PathBuf,
    storage: Box<dyn Storage>,
    /// `None` before it is loaded, and after trouble, which a database refuses to go on from.
    database: Option<Database>,
    /// Whether there may be none yet.
    is_made: bool,
    mark: Mark,
}

impl std::fmt::Debug for Redb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redb")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Redb {
    /// The journal in this file, which is made when it is loaded and there is none.
    pub fn new(path: &Path) -> Self {
        Self {
            is_made: false,
            ..Self::with(path, path.to_owned())
        }
    }

    /// The journal in a database that is there.
    pub(super) fn with(path: &Path, storage: impl Storage + 'static) -> Self {
        Self {
            path: path.to_owned(),
            storage: Box::new(storage),
            database: None,
            is_made: true,
            mark: Mark::new(path.with_extension("revision")),
        }
    }

    /// Everything that is kept, and changes nothing, whatever state it is in. It takes memory for two copies of it.
    ///
    /// # Errors
    /// As [`Journal::load`]; also when there is nothing yet.
    pub fn look(&self) -> Result<Loaded, LoadError> {
        let copy = InMemoryBackend::new();
        let copied = self.storage.bytes().and_then(|bytes| {
            copy.set_len(bytes.len() as u64)?;
            copy.write(0, &bytes)?;
            Ok(bytes.len())
        });
        if copied.map_err(|error| self.unreadable(error))? == 0 {
            let path = self.path.clone();
            return Err(LoadError::Empty { path });
        }
        let database = builder().create_with_backend(copy);
        self.read(&database.map_err(|error| self.unreadable(error))?)
    }

    /// Makes the file smaller where that is possible; returns its bytes before and after.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be read.
    pub fn compact(&mut self) -> Result<(u64, u64), LoadError> {
        self.load()?;
        let path = self.path.clone();
        let unreadable = |source: Failure| LoadError::Unreadable {
            path: path.clone(),
            source,
        };
        let size = || fs::metadata(&path).map(|file| file.len());
        let before = size().map_err(|error| unreadable(error.into()))?;
        if let Some(database) = &mut self.database {
            database
                .compact()
                .map_err(|error| unreadable(error.into()))?;
        }
        // What it gives back, it gives back when it is closed.
        self.database = None;
        let after = size().map_err(|error| unreadable(error.into()))?;
        Ok((before, after))
    }

    fn damaged(&self, what: impl Into<String>) -> LoadError {
        LoadError::Damaged {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    fn unreadable(&self, source: impl Into<Failure>) -> LoadError {
        LoadError::Unreadable {
            path: self.path.clone(),
            source: source.into(),
        }
    }

    /// Makes the file if there is none and never was; whole, or not at all.
    fn make_if_new(&self) -> Result<(), LoadError> {
        let exists = self.path.try_exists();
        if exists.map_err(|error| self.unreadable(error))? {
            return Ok(());
        }
        if let Some(reached) = self.marked()? {
            return Err(self.damaged(format!(
                "it is not there, though `{}` says that revision {reached} was reached",
                self.mark.path().display()
            )));
        }
        let new = self.path.with_extension("redb.new");
        let make = || -> Result<(), Failure> {
            if new.exists() {
                fs::remove_file(&new)?;
            }
            let database = builder().create(&new)?;
            begin(&database)?;
            drop(database);
            fs::rename(&new, &self.path)?;
            sync_folder(&self.path)?;
            Ok(())
        };
        make().map_err(|error| self.unreadable(error))
    }

    fn marked(&self) -> Result<Option<u64>, LoadError> {
        self.mark.get().map_err(|error| self.unreadable(error))
    }

    fn read(&self, database: &Database) -> Result<Loaded, LoadError> {
        let facts = read_facts(database).map_err(|error| self.unreadable(error))?;
        let facts = match facts {
            Found::Facts(facts) => facts,
            Found::Damaged => return Err(self.damaged("the row of facts does not hold")),
            Found::Format(found) => {
                return Err(LoadError::Format {
                    path: self.path.clone(),
                    found,
                    known: facts::FORMAT,
                });
            }
        };
        let mut reading = Reading::default();
        let rows = reading
            .all(database)
            .map_err(|error| self.unreadable(error))?;
        if let Some(row) = reading.damaged.first() {
            let more = match reading.damaged.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            return Err(self.damaged(format!("{row} cannot be read{more}")));
        }
        if (reading.rows, reading.sum) != (facts.rows, facts.sum) {
            return Err(self.damaged(format!(
                "it has {} rows that are not the {} that were written",
                reading.rows, facts.rows
            )));
        }
        if let Some(reached) = self.marked()?.filter(|reached| *reached > facts.revision) {
            return Err(self.damaged(format!(
                "it has revision {}, though `{}` says that {reached} was reached (if it is an older copy that you brought back, \
                 remove that file)",
                facts.revision,
                self.mark.path().display()
            )));
        }
        Ok(Loaded {
            revision: Revision::new(facts.revision),
            ..rows
        })
    }
}

impl Journal for Redb {
    fn load(&mut self) -> Result<Loaded, LoadError> {
        if !self.is_made {
            self.make_if_new()?;
            self.is_made = true;
        }
        self.database = None;
        let loaded = self.look()?;
        let database = self.storage.open();
        self.database = Some(database.map_err(|error| self.unreadable(error))?);
        self.mark.set(loaded.revision);
        Ok(loaded)
    }

    fn server_id(&mut self) -> Result<ServerId, LoadError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.storage.open()).map_err(|error| self.unreadable(error))?,
        };
        let found = server_id(&database).map_err(|error| self.unreadable(error))?;
        self.database = Some(database);
        found.ok_or_else(|| self.damaged("the row of the server's id does not hold"))
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let failed = |source: Failure| CommitError {
            path: self.path.clone(),
            source,
        };
        let database = match self.database.take() {
            Some(database) => database,
            None => self.storage.open().map_err(|error| failed(error.into()))?,
        };
        write(&database, batch).map_err(failed)?;
        self.database = Some(database);
        self.mark.set(batch.revision);
        Ok(())
    }
}

/// How the file is opened: each page is verified, so that damage is an error here and nothing worse later.
pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true);
    builder
}

/// The first transaction of a new database.
pub(super) fn begin(database: &Database) -> Result<(), Failure> {
    let writing = database.begin_write()?;
    {
        writing.open_table(RESOURCES)?;
        writing.open_table(FILES)?;
        writing.open_table(TOKENS)?;
        let mut table = writing.open_table(FACTS)?;
        table.insert(facts::KEY, facts::print(Facts::default()).as_slice())?;
    }
    writing.commit()?;
    Ok(())
}

fn write(database: &Database, batch: &Batch) -> Result<(), Failure> {
    let mut writing = database.begin_write()?;
    // Its commit is on the disk when it returns.
    writing.set_durability(Durability::Immediate)?;
    {
        let mut table = writing.open_table(FACTS)?;
        let before = table.get(facts::KEY)?.map(|row| facts::parse(row.value()));
        let Some(Found::Facts(mut facts)) = before else {
            return Err("the file was replaced by another while it was in use".into());
        };
        facts.revision = batch.revision.as_u64();
        let mut resources = writing.open_table(RESOURCES)?;
        for (id, kept) in &batch.resources {
            let (key, body) = (row::key(id), kept.as_ref().map(row::print_resource));
            let place = row::place_of("resources", key);
            change(&mut resources, key, &place, body, &mut facts)?;
        }
        let mut files = writing.open_table(FILES)?;
        for (id, fact) in &batch.files {
            let (key, body) = (row::key(id), fact.as_ref().map(row::print_fact));
            let place = row::place_of("files", key);
            change(&mut files, key, &place, body, &mut facts)?;
        }
        let mut tokens = writing.open_table(TOKENS)?;
        for (token, remembered) in &batch.tokens {
            let body = remembered.as_ref().map(row::print_token);
            let place = row::place("tokens", &[token]);
            change(&mut tokens, token.as_str(), &place, body, &mut facts)?;
        }
        table.insert(facts::KEY, facts::print(facts).as_slice())?;
    }
    writing.commit()?;
    Ok(())
}

/// Puts a row, or takes one away, and takes note of that in the facts.
fn change<K: redb::Key>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: K::SelfType<'_>,
    place: &[u8],
    body: Option<Vec<u8>>,
    facts: &mut Facts,
) -> Result<(), StorageError> {
    let old = match body {
        Some(body) => {
            let row = row::seal(place, &body);
            facts.add(&row);
            table.insert(key, row.as_slice())?
        }
        None => table.remove(key)?,
    };
    if let Some(old) = old {
        facts.take(old.value());
    }
    Ok(())
}

/// The id that is there, or a new one, kept; `None`: what is there is damaged.
fn server_id(database: &Database) -> Result<Option<ServerId>, Failure> {
    let reading = database.begin_read()?;
    if let Some(row) = reading.open_table(FACTS)?.get(facts::SERVER)? {
        return Ok(facts::parse_server(row.value()));
    }
    let made = ServerId::make();
    let mut writing = database.begin_write()?;
    writing.set_durability(Durability::Immediate)?;
    writing
        .open_table(FACTS)?
        .insert(facts::SERVER, facts::print_server(made).as_slice())?;
    writing.commit()?;
    Ok(Some(made))
}
