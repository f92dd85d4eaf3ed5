//! Bodies of requests, read and checked against the model's schema.
//!
//! A body of a create is a document of a mesh file without what the path says, so it is completed by that and then read as
//! one: what a file may hold and what the API takes is one table.

use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_128;

use super::error::ApiError;
use super::kind::Collection;
use crate::model::document::{Key, Located, Path, Value};
use crate::model::problem::{Problem, Severity};
use crate::model::schema::{check_tag_keys, check_tags, kind_schema, read};
use crate::model::tags::{MOST, Tags};
use crate::model::{Resource, ResourceId};
use crate::store::ClientToken;

/// Members that an object may have; none of App Mesh's has half as many. Each is compared with all others.
const MOST_MEMBERS: usize = 64;

/// A body as JSON, or nothing.
#[derive(Clone, Debug)]
pub(super) struct Body(Json);

/// What a create or an update asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) resource: Resource,
    pub(super) tags: Tags,
    pub(super) token: Option<ClientToken>,
}

impl Body {
    /// Reads the bytes of a body; none are an object without members.
    ///
    /// # Errors
    /// When they are no JSON object, or one that is of no use to anybody.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.is_empty() {
            return Ok(Self(Json::Object(serde_json::Map::new())));
        }
        let json: Json =
            serde_json::from_slice(bytes).map_err(|problem| ApiError::NotJson { problem })?;
        if !json.is_object() {
            return Err(invalid("the body is no JSON object", "send `{…}`"));
        }
        if has_too_many_members(&json) {
            return Err(invalid(
                format!("an object in the body has more than {MOST_MEMBERS} members"),
                "send what the operation takes",
            ));
        }
        Ok(Self(json))
    }

    /// The resource that a create asks for.
    ///
    /// # Errors
    /// With everything that is wrong with the body.
    pub(super) fn create(self, collection: &Collection) -> Result<Wanted, ApiError> {
        let schema = collection.schema();
        let name = self.0.get(schema.name).and_then(Json::as_str);
        let known = [schema.name, "spec", "tags", "clientToken"];
        // Without a name that could be, the schema says what is wrong with it.
        let id = name.map(|name| collection.named(name)).and_then(Result::ok);
        let within = collection.within.as_ref();
        let about = id.as_ref().or(within).map(ToString::to_string);
        self.wanted(
            collection,
            &known,
            &format!("Create {}", about.unwrap_or_default()),
        )
    }

    /// The resource that an update asks for.
    ///
    /// # Errors
    /// With everything that is wrong with the body.
    pub(super) fn update(mut self, id: &ResourceId) -> Result<Wanted, ApiError> {
        let collection = Collection {
            kind: id.kind(),
            within: id.parent(),
        };
        self.check_members(&["spec", "clientToken"])?;
        let name = kind_schema(id.kind()).name;
        if let Json::Object(members) = &mut self.0 {
            members.insert(name.to_owned(), id.name().into());
        }
        self.wanted(
            &collection,
            &[name, "spec", "clientToken"],
            &format!("Update {id}"),
        )
    }

    /// The tags that are to be added.
    ///
    /// # Errors
    /// With everything that is wrong with the body.
    pub(super) fn tags(self) -> Result<Tags, ApiError> {
        let tags = self.only_member("tags")?;
        let count = tags.items().len();
        if count > MOST {
            return Err(ApiError::TooManyTags { count, limit: MOST });
        }
        sound(check_tags(&tags))?;
        tags_of(&tags)
    }

    /// The keys of the tags that are to go.
    ///
    /// # Errors
    /// With everything that is wrong with the body.
    pub(super) fn tag_keys(self) -> Result<Vec<String>, ApiError> {
        let keys = self.only_member("tagKeys")?;
        sound(check_tag_keys(&keys))?;
        let texts = keys.items().iter().filter_map(Located::as_str);
        Ok(texts.map(str::to_owned).collect())
    }

    fn wanted(
        self,
        collection: &Collection,
        known: &[&str],
        operation: &str,
    ) -> Result<Wanted, ApiError> {
        self.check_members(known)?;
        let canonical = format!("{operation}\n{}", self.0);
        let mut document = Located::from(self.0);
        if let Value::Map(members) = &mut document.value {
            let mut add = |name: &str, text: &str| {
                let key = Key {
                    name: name.to_owned(),
                    span: None,
                };
                let value = Value::String(text.to_owned());
                members.push((key, Located::unplaced(value)));
            };
            add("kind", collection.kind.as_str());
            if let Some(within) = &collection.within {
                add("meshName", within.mesh().as_str());
                if let Some(parent) = collection.schema().parent {
                    add(parent, within.name());
                }
            }
        }
        let read = read(&document);
        let (Some(resource), true) = (read.resource, is_sound(&read.problems)) else {
            return Err(ApiError::Invalid {
                problems: errors(read.problems),
            });
        };
        let tags = document.get("tags").map(tags_of).transpose()?;
        let token = document.get("clientToken").and_then(Located::as_str);
        Ok(Wanted {
            resource,
            tags: tags.unwrap_or_default(),
            token: token.map(|token| ClientToken {
                token: token.to_owned(),
                digest: xxh3_128(canonical.as_bytes()),
            }),
        })
    }

    /// The one member that the operation takes, which must be there.
    fn only_member(self, name: &'static str) -> Result<Located, ApiError> {
        self.check_members(&[name])?;
        let member = Located::from(self.0).get(name).cloned();
        member.ok_or_else(|| {
            invalid(
                format!("the body lacks `{name}`"),
                format!("add `{name}`: a list"),
            )
        })
    }

    /// Refuses members that the operation does not take. Null is as good as absent.
    fn check_members(&self, known: &[&str]) -> Result<(), ApiError> {
        let members = self.0.as_object().into_iter().flatten();
        let unknown =
            members.filter(|(name, value)| !value.is_null() && !known.contains(&name.as_str()));
        let problems: Vec<Problem> = unknown
            .map(|(name, _)| {
                Problem::error(
                    Path::default().field(name.as_str()),
                    format!("unknown field `{name}`"),
                    "not a field of this operation",
                    format!("known fields: {}", known.join(", ")),
                )
            })
            .collect();
        sound(problems)
    }
}

fn invalid(what: impl Into<String>, help: impl Into<String>) -> ApiError {
    ApiError::Invalid {
        problems: vec![Problem::error(Path::default(), what, "", help)],
    }
}

fn is_sound(problems: &[Problem]) -> bool {
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    !problems.iter().any(is_error)
}

fn errors(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.retain(|problem| problem.severity == Severity::Error);
    problems
}

fn sound(problems: Vec<Problem>) -> Result<(), ApiError> {
    if is_sound(&problems) {
        return Ok(());
    }
    Err(ApiError::Invalid {
        problems: errors(problems),
    })
}

/// The tags of a list that has been checked.
fn tags_of(list: &Located) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    let mut problems = Vec::new();
    for (index, tag) in list.items().iter().enumerate() {
        let text = |name| tag.get(name).and_then(Located::as_str).unwrap_or_default();
        let key = text("key");
        if tags
            .insert(key.to_owned(), text("value").to_owned())
            .is_some()
        {
            problems.push(Problem::error(
                Path::of("tags").index(index).field("key"),
                format!("the key `{key}` is given twice"),
                "given before",
                "keep one of the two",
            ));
        }
    }
    sound(problems)?;
    Ok(tags)
}

fn has_too_many_members(json: &Json) -> bool {
    match json {
        Json::Object(members) => {
            members.len() > MOST_MEMBERS || members.values().any(has_too_many_members)
        }
        Json::Array(items) => items.iter().any(has_too_many_members),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nodes() -> Collection {
        Collection {
            kind: crate::model::ResourceKind::VirtualNode,
            within: Some(ResourceId::parse("mesh/m").unwrap()),
        }
    }

    fn create(body: &str) -> Result<Wanted, String> {
        let body = Body::read(body.as_bytes());
        let wanted = body.and_then(|body| body.create(&nodes()));
        wanted.map_err(|error| error.message())
    }

    #[test]
    fn a_create_is_read_with_tags_and_token() {
        let body = json!({
            "virtualNodeName": "n", "spec": {}, "clientToken": "t",
            "tags": [{"key": "a", "value": "1"}, {"key": "b"}],
        });
        let wanted = create(&body.to_string()).unwrap();
        assert_eq!(wanted.resource.id.to_string(), "mesh/m/virtualNode/n");
        let tags = [("a", "1"), ("b", "")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!(wanted.tags, Tags::from(tags));
        assert_eq!(wanted.token.unwrap().token, "t");
    }

    #[test]
    fn a_digest_is_of_the_operation_and_what_the_body_says() {
        let digest = |body: &str| create(body).unwrap().token.unwrap().digest;
        let first = digest(r#"{"virtualNodeName":"n","spec":{},"clientToken":"t"}"#);
        let same = digest(r#"{ "clientToken": "t", "spec": {}, "virtualNodeName": "n" }"#);
        assert_eq!(first, same);
        let other = digest(r#"{"virtualNodeName":"o","spec":{},"clientToken":"t"}"#);
        assert_ne!(first, other);
        let id = ResourceId::parse("mesh/m/virtualNode/n").unwrap();
        let update = |id| {
            let body = Body::read(br#"{"spec":{},"clientToken":"t"}"#).unwrap();
            body.update(id).unwrap().token.unwrap().digest
        };
        assert_ne!(update(&id), first);
        assert_ne!(
            update(&id),
            update(&ResourceId::parse("mesh/n/virtualNode/n").unwrap())
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, expected) in [
            ("{", "the body is not valid JSON: EOF"),
            ("[]", "the body is no JSON object"),
            ("", "lacks `virtualNodeName`"),
            (r#"{"spec":{}}"#, "lacks `virtualNodeName`"),
            (r#"{"virtualNodeName":"n"}"#, "lacks `spec`"),
            (r#"{"virtualNodeName":"n","spec":null}"#, "lacks `spec`"),
            (
                r#"{"virtualNodeName":7,"spec":{}}"#,
                "virtualNodeName: `virtualNodeName` must be text",
            ),
            (
                r#"{"virtualNodeName":"a b","spec":{}}"#,
                "`virtualNodeName` cannot be `a b`",
            ),
            (
                r#"{"virtualNodeName":"n","spec":{},"kind":"Mesh"}"#,
                "kind: unknown field `kind`",
            ),
            (
                r#"{"virtualNodeName":"n","spec":{},"meshName":"o"}"#,
                "unknown field `meshName`",
            ),
            (
                r#"{"virtualNodeName":"n","spec":{"lisners":[]}}"#,
                "spec.lisners: unknown field `lisners`",
            ),
            (
                r#"{"virtualNodeName":"n","spec":{"listeners":[{"portMapping":{"port":0,"protocol":"http"}}]}}"#,
                "spec.listeners[0].portMapping.port: `port` is 0",
            ),
            (
                r#"{"virtualNodeName":"n","spec":{},"tags":[{"key":"a"},{"key":"a"}]}"#,
                "tags[1].key: the key `a` is given twice",
            ),
            (
                r#"{"virtualNodeName":"n","spec":{},"clientToken":"a b"}"#,
                "clientToken: ",
            ),
        ] {
            let error = create(body).unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
        }
        let many: serde_json::Map<_, _> = (0..65)
            .map(|number| (number.to_string(), Json::Null))
            .collect();
        let body = json!({"virtualNodeName": "n", "spec": [many]});
        let error = create(&body.to_string()).unwrap_err();
        assert!(error.contains("more than 64 members"), "{error}");
        let deep = "[".repeat(100_000);
        assert!(create(&deep).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn tags_and_keys_keep_to_their_limits() {
        let tags = |count: usize| {
            let tags: Vec<Json> = (0..count)
                .map(|key| json!({"key": key.to_string()}))
                .collect();
            let body = json!({ "tags": tags }).to_string();
            Body::read(body.as_bytes()).unwrap().tags()
        };
        assert_eq!(tags(50).unwrap().len(), 50);
        let error = tags(51).unwrap_err();
        assert_eq!(error.exception().name(), "TooManyTagsException");
        let keys = |body: Json| {
            let body = Body::read(body.to_string().as_bytes()).unwrap();
            body.tag_keys().map_err(|error| error.message())
        };
        assert_eq!(keys(json!({"tagKeys": ["a"]})).unwrap(), ["a"]);
        for body in [
            json!({}),
            json!({"tagKeys": null}),
            json!({"tagKeys": "a"}),
            json!({"tagKeys": [1]}),
            json!({"tagKeys": [""]}),
            json!({"tagKeys": ["x".repeat(129)]}),
            json!({"tagKeys": vec!["a"; 51]}),
            json!({"tags": []}),
        ] {
            assert!(keys(body.clone()).is_err(), "{body}");
        }
    }
}
