//! One write: a resource that is created, updated or deleted, and the calls that this takes.

use std::collections::BTreeSet;

use hyper::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

use super::client::Call;
use super::paths;
use crate::model::difference::Change;
use crate::model::tags::Tags;
use crate::model::{ResourceId, order};

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) id: ResourceId,
    pub(super) action: Action,
    /// What must be there first.
    pub(super) needs: BTreeSet<ResourceId>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Create {
        spec: Value,
        tags: Tags,
    },
    Update {
        arn: String,
        /// `None` if only tags differ.
        spec: Option<Value>,
        /// Those to add or to change.
        tags: Tags,
        changes: Vec<Change>,
        /// From whom this takes the resource over, if it does.
        takes_over: Option<String>,
    },
    Delete,
}

/// What a step does, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verb {
    Create,
    Update,
    Delete,
}

impl Action {
    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::Create { .. } => Verb::Create,
            Self::Update { .. } => Verb::Update,
            Self::Delete => Verb::Delete,
        }
    }
}

impl Verb {
    /// What was done.
    pub(super) fn past(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "updated",
            Self::Delete => "deleted",
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl Step {
    /// When it is done: steps with the same number are independent of each other.
    pub(super) fn phase(&self) -> usize {
        let level = order::level(self.id.kind());
        match self.action {
            Action::Create { .. } | Action::Update { .. } => level,
            Action::Delete => 2 * order::LEVELS - 1 - level,
        }
    }

    pub(super) fn delete(id: ResourceId) -> Self {
        Self {
            id,
            action: Action::Delete,
            needs: BTreeSet::new(),
        }
    }
}

impl Step {
    /// The calls, in order. Each create and update has a token, which is the same however often it is sent, and another in
    /// every run.
    pub(super) fn calls(&self, run: u64) -> Vec<Call> {
        let put = |path: String, body: Value| Call {
            method: Method::PUT,
            path,
            body: Some(body),
        };
        match &self.action {
            Action::Create { spec, tags } => {
                let mut body = Map::new();
                body.insert(name_member(&self.id).to_owned(), self.id.name().into());
                body.insert("spec".to_owned(), spec.clone());
                body.insert("tags".to_owned(), tag_list(tags));
                let body = with_token(run, &self.id, body);
                vec![put(paths::collection(&self.id), body)]
            }
            Action::Update {
                arn, spec, tags, ..
            } => {
                let spec = spec.as_ref().map(|spec| {
                    let mut body = Map::new();
                    body.insert("spec".to_owned(), spec.clone());
                    put(paths::item(&self.id), with_token(run, &self.id, body))
                });
                let tags = (!tags.is_empty())
                    .then(|| put(paths::tag(arn), json!({ "tags": tag_list(tags) })));
                spec.into_iter().chain(tags).collect()
            }
            Action::Delete => vec![Call {
                method: Method::DELETE,
                path: paths::item(&self.id),
                body: None,
            }],
        }
    }
}

fn with_token(run: u64, id: &ResourceId, mut body: Map<String, Value>) -> Value {
    let mut hash = Xxh3::new();
    hash.update(&run.to_le_bytes());
    hash.update(id.to_string().as_bytes());
    let token = format!("{:032x}", hash.digest128());
    body.insert("clientToken".to_owned(), token.into());
    Value::Object(body)
}

fn name_member(id: &ResourceId) -> &'static str {
    crate::model::schema::kind_schema(id.kind()).name
}

fn tag_list(tags: &Tags) -> Value {
    let tag = |(key, value)| json!({ "key": key, "value": value });
    tags.iter().map(tag).collect()
}
