//! What a name server's message says about a question. Pure.
//!
//! **Invariant:** only records that belong to the question count: those of the name asked for, or of what it is an alias
//! of, however much else the message carries.

#[cfg(test)]
mod tests;

use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// Aliases followed from one name, over all messages. Longer chains are somebody's mistake.
pub(super) const ALIASES: usize = 16;

/// What one message says.
#[derive(Debug, PartialEq)]
pub(super) enum Reading<'a> {
    Found {
        records: Vec<&'a Record>,
        ttl: Duration,
    },
    /// The name is an alias, and the message does not say of what records.
    Alias {
        target: Name,
        ttl: Duration,
        /// Aliases followed.
        steps: usize,
    },
    NoName {
        ttl: Duration,
    },
    NoRecords {
        ttl: Duration,
    },
    /// The server cannot say, or what it says cannot be meant.
    Useless(String),
}

/// Reads a message as the answer to a question. Who asked checks that it repeats the question.
pub(super) fn read<'a>(message: &'a Message, name: &Name, kind: RecordType) -> Reading<'a> {
    let code = message.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Reading::Useless(format!("the server answers {code}"));
    }
    let mut name = name;
    let mut aliases_ttl = Duration::MAX;
    for steps in 0..=ALIASES {
        let here = message.answers.iter().filter(|record| record.name == *name);
        let records: Vec<_> = here
            .clone()
            .filter(|record| record.record_type() == kind)
            .collect();
        if let Some(ttl) = records.iter().map(|record| ttl(record.ttl)).min() {
            let ttl = ttl.min(aliases_ttl);
            return Reading::Found { records, ttl };
        }
        let mut aliases = here.filter_map(|record| match &record.data {
            RData::CNAME(CNAME(target)) => Some((target, record.ttl)),
            _ => None,
        });
        let Some((target, alias_ttl)) = aliases.next() else {
            return without_records(message, name, steps, aliases_ttl);
        };
        (name, aliases_ttl) = (target, aliases_ttl.min(ttl(alias_ttl)));
    }
    Reading::Useless(too_many_aliases())
}

pub(super) fn too_many_aliases() -> String {
    format!("the name leads through more than {ALIASES} aliases, or in a circle")
}

/// The message says nothing of the records of `name`, at the end of an alias chain.
fn without_records<'a>(
    message: &Message,
    name: &Name,
    steps: usize,
    aliases_ttl: Duration,
) -> Reading<'a> {
    let denial = denial_ttl(message);
    if steps > 0 {
        return Reading::Alias {
            target: name.clone(),
            ttl: aliases_ttl,
            steps,
        };
    }
    let has = |kind: RecordType| {
        let mut records = message.authorities.iter();
        records.any(|record| record.record_type() == kind)
    };
    if message.metadata.response_code == ResponseCode::NXDomain {
        return Reading::NoName { ttl: denial };
    }
    if !message.answers.is_empty() {
        return Reading::Useless(
            "the answer is about other names than the one asked for".to_owned(),
        );
    }
    if has(RecordType::NS) && !has(RecordType::SOA) {
        let text = "the server refers to others instead of asking them (it does not recurse)";
        return Reading::Useless(text.to_owned());
    }
    Reading::NoRecords { ttl: denial }
}

/// How long a denial holds; `Duration::MAX` where the server does not say (RFC 2308).
fn denial_ttl(message: &Message) -> Duration {
    let authority = message.authorities.iter();
    let mut times = authority.filter_map(|record| match &record.data {
        RData::SOA(soa) => Some(ttl(record.ttl).min(ttl(soa.minimum))),
        _ => None,
    });
    times.next().unwrap_or(Duration::MAX)
}

/// A time to live with its highest bit set counts as none (RFC 2181, section 8).
fn ttl(seconds: u32) -> Duration {
    Duration::from_secs(if seconds > i32::MAX.unsigned_abs() {
        0
    } else {
        seconds.into()
    })
}
