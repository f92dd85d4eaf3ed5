//! What `aws appmesh describe-…` prints, as the document it stands for.
//!
//! `{"virtualNode": {"meshName": …, "spec": …, "metadata": …, "status": …}}` is `kind: VirtualNode` with the names and the
//! spec; AWS's own records of the resource are left out.

use crate::model::ResourceKind;
use crate::model::document::{Key, Located, Path, Value};
use crate::model::problem::Problem;

/// Unwraps the output of a describe call, and says what is wrong with it as a declaration; other documents stay.
pub(super) fn described(document: Located) -> (Located, Option<Problem>) {
    let Some((kind, at)) = wrapper(&document) else {
        return (document, None);
    };
    let Value::Map(mut outer) = document.value else {
        return (document, None);
    };
    let Some((key, inner)) = outer.pop() else {
        return (
            Located {
                value: Value::Map(outer),
                span: document.span,
            },
            None,
        );
    };
    let deleted = inner
        .get("status")
        .and_then(|status| status.get("status"))
        .filter(|status| status.as_str() == Some("DELETED"))
        .map(|status| {
            Problem::error(
                Path::of("status.status"),
                format!("this is what AWS said of a {kind} when it was deleted"),
                "deleted",
                "remove the document, or take the output of `aws appmesh describe-…` for one that exists",
            )
            .at(status.span)
        });
    let name = Key {
        name: "kind".into(),
        span: key.span,
    };
    let kind = Located {
        value: Value::String(kind.as_str().into()),
        span: at,
    };
    let members = match inner.value {
        Value::Map(members) => members,
        _ => Vec::new(),
    };
    let members = members
        .into_iter()
        .filter(|(key, _)| !["metadata", "status"].contains(&key.name.as_str()));
    let unwrapped = Located {
        value: Value::Map(std::iter::once((name, kind)).chain(members).collect()),
        span: inner.span,
    };
    (unwrapped, deleted)
}

/// The kind that a document's only member names, as the API's responses do, and where.
fn wrapper(document: &Located) -> Option<(ResourceKind, Option<crate::model::document::Span>)> {
    let [(key, inner)] = document.members()? else {
        return None;
    };
    inner.members()?;
    let is_named = |kind: &ResourceKind| {
        let mut name = kind.as_str().chars();
        let first = name.next().map(|first| first.to_ascii_lowercase());
        first.into_iter().chain(name).eq(key.name.chars())
    };
    let kind = ResourceKind::ALL.into_iter().find(is_named)?;
    Some((kind, key.span))
}
