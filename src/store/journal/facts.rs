//! The row of facts about all others: by it, rows that are missing, or that belong to another moment, are noticed. Beside it
//! stands whose rows they are.

use uuid::Uuid;

use super::row;
use crate::store::ServerId;

/// Of the row's table.
pub(super) const TABLE: &str = "facts";
pub(super) const KEY: &str = "all";
/// Where the server's id stands.
pub(super) const SERVER: &str = "server";
/// Of everything in the database.
pub(super) const FORMAT: u64 = 1;

/// What is known of all rows together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) revision: u64,
    pub(super) rows: u64,
    pub(super) sum: u64,
}

impl Facts {
    pub(super) fn add(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(row::sum_of(row));
    }

    pub(super) fn take(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(row::sum_of(row));
    }
}

/// What the row of facts says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Facts(Facts),
    Damaged,
    /// Of another program, or of another version of this one; 0 if it says nothing.
    Format(u64),
}

pub(super) fn print(facts: Facts) -> Vec<u8> {
    let numbers = [FORMAT, facts.revision, facts.rows, facts.sum];
    let body: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
    row::seal(&row::place(TABLE, &[KEY]), &body)
}

pub(super) fn parse(row: &[u8]) -> Found {
    let Some((_, body)) = row::unseal(&row::place(TABLE, &[KEY]), row) else {
        return Found::Damaged;
    };
    let (numbers, _) = body.as_chunks::<8>();
    let mut numbers = numbers.iter().copied().map(u64::from_le_bytes);
    match numbers.next() {
        Some(FORMAT) => {}
        other => return Found::Format(other.unwrap_or(0)),
    }
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(revision), Some(rows), Some(sum)) => Found::Facts(Facts {
            revision,
            rows,
            sum,
        }),
        _ => Found::Damaged,
    }
}

pub(super) fn print_server(ServerId(id): ServerId) -> Vec<u8> {
    row::seal(&row::place(TABLE, &[SERVER]), id.as_bytes())
}

/// `None`: it is damaged.
pub(super) fn parse_server(row: &[u8]) -> Option<ServerId> {
    let (_, body) = row::unseal(&row::place(TABLE, &[SERVER]), row)?;
    Uuid::from_slice(body).ok().map(ServerId)
}
