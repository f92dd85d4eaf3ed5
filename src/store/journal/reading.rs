//! The rows of a database, each checked as it is gone through.

use redb::{Database, ReadableDatabase, ReadableTable, TableError};

use super::Loaded;
use super::facts::{self, Found};
use super::redb::{FACTS, FILES, Failure, RESOURCES, TOKENS};
use super::row::{self, Key};
use crate::model::ResourceId;

/// All rows, as they are gone through.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) rows: u64,
    pub(super) sum: u64,
    /// Names of rows that do not hold.
    pub(super) damaged: Vec<String>,
}

impl Reading {
    pub(super) fn all(&mut self, database: &Database) -> Result<Loaded, Failure> {
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
        let place = row::place_of(table, key);
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

/// The row of facts about all others.
pub(super) fn read_facts(database: &Database) -> Result<Found, Failure> {
    let reading = database.begin_read()?;
    let table = match reading.open_table(FACTS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => {
            return Ok(Found::Format(0));
        }
        Err(error) => return Err(error.into()),
    };
    let found = table.get(facts::KEY)?.map(|row| facts::parse(row.value()));
    Ok(found.unwrap_or(Found::Format(0)))
}
