//! What has changed since a revision, as soon as something has: for whoever keeps a copy of the mesh elsewhere.

use std::time::Duration;

use axum::response::Response;
use serde_json::Value;
use tokio::time::sleep;

use super::answer;
use super::error::ApiError;
use super::everything::{all, limited};
use super::query::Query;
use super::{AppMesh, Call, Place};
use crate::model::ResourceId;
use crate::store::{Changes, Revision, Stored};
use crate::transport::Retired;

/// The longest wait for a change, in seconds. A connection's own limit is twice that.
const LONGEST_WAIT: u64 = 30;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// `None`: all there is, at once.
    since: Option<Revision>,
    wait: Duration,
}

impl AppMesh {
    /// The changes since a revision; where there are none yet, they are waited for.
    pub(super) async fn changes(
        &self,
        call: &Call<'_>,
        place: Place,
    ) -> Result<Response, ApiError> {
        let Wanted { since, wait } = Wanted::read(&call.query()?)?;
        if let Some(since) = since {
            let is_news = |stored: &Stored| stored.changed_at.is_some() && stored.revision != since;
            let mut store = self.store.watch();
            // Whether it comes or not, the answer is what there is then.
            tokio::select! {
                _ = store.wait_for(is_news) => {}
                () = sleep(wait) => {}
                () = retired(call) => {}
            }
        }
        let caller = call.caller();
        self.told(call, place, move |api| {
            let stored = api.loaded()?;
            let may_read = |id: &&ResourceId| caller.may_read(id.mesh().as_str());
            let changes = match since {
                Some(since) => stored.changes_since(since),
                None => Changes::Full { stored },
            };
            match changes {
                Changes::Full { stored } => {
                    let readable = all(&stored, None).filter(may_read);
                    let members = format!(r#""full":true,{}"deleted":[],"#, limited(&caller));
                    api.list_of(&stored, &members, readable)
                }
                Changes::Since { changed, stored } => {
                    let is_gone = |id: &&ResourceId| !stored.records.contains_key(*id);
                    let gone = changed.iter().filter(may_read).filter(is_gone);
                    let gone: Value = gone.map(named).collect();
                    let limited = limited(&caller);
                    let members = format!(r#""full":false,{limited}"deleted":{gone},"#);
                    api.list_of(&stored, &members, changed.iter().filter(may_read))
                }
            }
        })
        .await
    }
}

/// Waits until the call's connection is to end, as at a stop. The store itself stops only after all calls are answered.
async fn retired(call: &Call<'_>) {
    match call.parts.extensions.get::<Retired>() {
        Some(retired) => retired.wait().await,
        None => std::future::pending().await,
    }
}

/// A resource's kind and names, by which a reader knows what is gone.
fn named(id: &ResourceId) -> Value {
    let mut members = answer::names(id);
    members.insert("kind".into(), id.kind().as_str().into());
    Value::Object(members)
}

impl Wanted {
    fn read(query: &Query) -> Result<Self, ApiError> {
        let number = |name, text: &Option<String>, most, wanted| {
            let read = |text: &String| {
                let number = text.parse().ok().filter(|number| *number <= most);
                number.ok_or_else(|| ApiError::Number {
                    name,
                    text: text.chars().take(20).collect(),
                    wanted,
                })
            };
            text.as_ref().map(read).transpose()
        };
        let since = number(
            "since",
            &query.since,
            u64::MAX,
            "the `revision` of an answer",
        )?;
        let wait = number(
            "wait",
            &query.wait,
            LONGEST_WAIT,
            "a number of seconds from 0 to 30",
        )?;
        Ok(Self {
            since: since.map(Revision::new),
            wait: Duration::from_secs(wait.unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, String> {
        let query = Query::read(query).and_then(|query| Wanted::read(&query));
        query.map_err(|error| error.message())
    }

    #[test]
    fn a_revision_and_a_wait_are_numbers_within_bounds() {
        let wanted = Wanted {
            since: Some(Revision::new(7)),
            wait: Duration::from_secs(30),
        };
        assert_eq!(read("since=7&wait=30").unwrap(), wanted);
        assert_eq!(read("").unwrap(), Wanted::default());
        for (query, expected) in [
            (
                "wait=31",
                "`wait` is `31`; give a number of seconds from 0 to 30",
            ),
            ("wait=-1", "`wait` is `-1`"),
            ("wait=1.5", "`wait`"),
            (
                "since=",
                "`since` is ``; give the `revision` of an answer, or leave it out",
            ),
            ("since=18446744073709551616", "`since`"),
            ("since=1&since=2", "`since` is in the query twice"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.starts_with(expected), "{query}: {error}");
        }
    }
}
