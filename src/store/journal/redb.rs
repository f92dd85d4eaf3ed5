//! The journal in the data folder: a redb database, in which a batch is one transaction.
//!
//! **Invariants:** a batch that was taken is on the disk, synced, when [`Journal::commit`] returns. Whatever is read is
//! checked: each page when the file is opened, each row by its own checksum, all rows together by their number and the sum
//! of their checksums, and the whole by the revision that a file beside it says was reached. What does not hold is refused, and
//! never replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::facts::{self, Facts, Found};
use super::mark::Mark;
use super::row::{self, Key};
use super::{Batch, CommitError, Journal, LoadError, Loaded};
use crate::data_dir::sync_folder;
use crate::model::ResourceId;
use crate::store::{Revision, ServerId};

type ResourceTable = TableDefinition<'static, Key<'static>, &'static [u8]>;
type TextTable = TableDefinition<'static, &'static str, &'static [u8]>;

const RESOURCES: ResourceTable = TableDefinition::new("resources");
const FILES: ResourceTable = TableDefinition::new("files");
const TOKENS: TextTable = TableDefinition::new("tokens");
/// The row of facts about all others, and whose they are.
const FACTS: TextTable = TableDefinition::new(facts::TABLE);
/// Memory for pages that were read or written lately.
const CACHE: usize = 8 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The database, and where it is.
pub struct Redb {
    path: PathBuf,
    /// `None` before it is loaded, and after trouble, which a database refuses to go on from.
    database: Option<Database>,
    open: Opener,
    /// Whether there may be none yet.
    is_made: bool,
    mark: Mark,
}

type Opener = Box<dyn Fn() -> Result<Database, redb::DatabaseError> + Send>;

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
        let file = path.to_owned();
        Self {
            is_made: false,
            ..Self::with(path, move || builder().open(&file))
        }
    }

    /// The journal in a database that is there.
    pub(super) fn with(
        path: &Path,
        open: impl Fn() -> Result<Database, redb::DatabaseError> + Send + 'static,
    ) -> Self {
        Self {
            path: path.to_owned(),
            database: None,
            open: Box::new(open),
            is_made: true,
            mark: Mark::new(path.with_extension("revision")),
        }
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
        match fs::metadata(&self.path) {
            Ok(file) if file.len() == 0 => {
                return Err(LoadError::Empty {
                    path: self.path.clone(),
                });
            }
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.unreadable(error)),
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
        let database = (self.open)().map_err(|error| self.unreadable(error))?;
        let loaded = self.read(&database)?;
        self.database = Some(database);
        self.mark.set(loaded.revision);
        Ok(loaded)
    }

    fn server_id(&mut self) -> Result<ServerId, LoadError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)().map_err(|error| self.unreadable(error))?,
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
            None => (self.open)().map_err(|error| failed(error.into()))?,
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
            let body = kept.as_ref().map(row::print_resource);
            change_resource(&mut resources, "resources", id, body, &mut facts)?;
        }
        let mut files = writing.open_table(FILES)?;
        for (id, fact) in &batch.files {
            let body = fact.as_ref().map(row::print_fact);
            change_resource(&mut files, "files", id, body, &mut facts)?;
        }
        let mut tokens = writing.open_table(TOKENS)?;
        for (token, remembered) in &batch.tokens {
            let old = match remembered.as_ref().map(row::print_token) {
                Some(body) => {
                    let row = row::seal(&row::place("tokens", &[token]), &body);
                    facts.add(&row);
                    tokens.insert(token.as_str(), row.as_slice())?
                }
                None => tokens.remove(token.as_str())?,
            };
            if let Some(old) = old {
                facts.take(old.value());
            }
        }
        table.insert(facts::KEY, facts::print(facts).as_slice())?;
    }
    writing.commit()?;
    Ok(())
}

fn change_resource(
    table: &mut Table<'_, Key<'static>, &'static [u8]>,
    name: &str,
    id: &ResourceId,
    body: Option<Vec<u8>>,
    facts: &mut Facts,
) -> Result<(), redb::StorageError> {
    let key = row::key(id);
    let old = match body {
        Some(body) => {
            let row = row::seal(&row::place(name, &[key.0, key.1, key.2, key.3]), &body);
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

fn read_facts(database: &Database) -> Result<Found, Failure> {
    let reading = database.begin_read()?;
    let table = match reading.open_table(FACTS) {
        Ok(table) => table,
        Err(
            redb::TableError::TableDoesNotExist(_) | redb::TableError::TableTypeMismatch { .. },
        ) => return Ok(Found::Format(0)),
        Err(error) => return Err(error.into()),
    };
    let found = table.get(facts::KEY)?.map(|row| facts::parse(row.value()));
    Ok(found.unwrap_or(Found::Format(0)))
}

/// All rows, as they are gone through.
#[derive(Debug, Default)]
struct Reading {
    rows: u64,
    sum: u64,
    /// Names of rows that do not hold.
    damaged: Vec<String>,
}

impl Reading {
    fn all(&mut self, database: &Database) -> Result<Loaded, Failure> {
        let reading = database.begin_read()?;
        let mut loaded = Loaded::default();
        for row in reading.open_table(RESOURCES)?.iter()? {
            let (key, value) = row?;
            let read = self.resource("resources", key.value(), value.value(), |id, body| {
                row::read_resource(id.kind(), body)
            });
            loaded.resources.extend(read);
        }
        for row in reading.open_table(FILES)?.iter()? {
            let (key, value) = row?;
            let read = self.resource("files", key.value(), value.value(), |_, body| {
                row::read_fact(body)
            });
            loaded.files.extend(read);
        }
        for row in reading.open_table(TOKENS)?.iter()? {
            let (key, value) = row?;
            let token = key.value();
            let place = row::place("tokens", &[token]);
            let read = self.body(&place, value.value()).and_then(row::read_token);
            match read {
                Some(read) => loaded.tokens.push((token.to_owned(), read)),
                None => self.damaged.push("a client token".to_owned()),
            }
        }
        Ok(loaded)
    }

    fn resource<T>(
        &mut self,
        table: &str,
        key: Key<'_>,
        row: &[u8],
        read: impl FnOnce(&ResourceId, &[u8]) -> Option<T>,
    ) -> Option<(ResourceId, T)> {
        let place = row::place(table, &[key.0, key.1, key.2, key.3]);
        let body = self.body(&place, row);
        let id = row::id(key);
        let value = id.as_ref().zip(body).and_then(|(id, body)| read(id, body));
        let read = id.zip(value);
        if read.is_none() {
            let name = row::id(key).map_or_else(|| format!("{key:?}"), |id| id.to_string());
            let name = name.escape_debug();
            self.damaged.push(format!("`{name}` in `{table}`"));
        }
        read
    }

    /// Counts a row, and returns its body if its checksum holds.
    fn body<'a>(&mut self, place: &[u8], row: &'a [u8]) -> Option<&'a [u8]> {
        let (sum, body) = row::unseal(place, row)?;
        self.rows += 1;
        self.sum = self.sum.wrapping_add(sum);
        Some(body)
    }
}
