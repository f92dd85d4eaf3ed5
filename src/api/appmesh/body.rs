//! Bodies of requests: from bytes to what an operation asks for. What they may hold is in [`crate::model::schema`].

use xxhash_rust::xxh3::xxh3_128;

use super::error::ApiError;
use super::kind::Collection;
use crate::model::document::{Located, Path, Value};
use crate::model::problem::Problem;
use crate::model::schema::{
    CreateBody, UpdateBody, read_create, read_tag_keys, read_tags, read_update,
};
use crate::model::tags::{MOST, Tags};
use crate::model::{Resource, ResourceId};
use crate::store::ClientToken;

/// Members that an object may have; none of App Mesh's has half as many. Each is compared with all others.
const MOST_MEMBERS: usize = 64;

/// A body that is JSON.
#[derive(Clone, Debug)]
pub(super) struct Body(Located);

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
    /// When they are no JSON, or of a kind that is only meant to cost time.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ApiError> {
        let json = match bytes {
            [] => Located::unplaced(Value::Map(Vec::new())),
            bytes => Located::from_json(bytes).map_err(|problem| ApiError::NotJson { problem })?,
        };
        if has_too_many_members(&json) {
            let problem = Problem::error(
                Path::default(),
                format!("an object in the body has more than {MOST_MEMBERS} members"),
                "too many",
                "send what the operation takes",
            );
            return Err(invalid(vec![problem]));
        }
        Ok(Self(json))
    }

    /// The resource that a create asks for.
    ///
    /// # Errors
    /// With everything that is wrong with the body.
    pub(super) fn create(&self, collection: &Collection) -> Result<Wanted, ApiError> {
        let read = read_create(collection.kind, collection.within.as_ref(), &self.0);
        let CreateBody {
            resource,
            tags,
            client_token,
            ..
        } = read.map_err(invalid)?;
        let token = self.token(client_token, "Create", &resource.id);
        Ok(Wanted {
            resource,
            tags,
            token,
        })
    }

    /// The resource that an update asks for.
    ///
    /// # Errors
    /// With everything that is wrong with the body.
    pub(super) fn update(&self, id: &ResourceId) -> Result<Wanted, ApiError> {
        let UpdateBody {
            resource,
            client_token,
            ..
        } = read_update(id, &self.0).map_err(invalid)?;
        Ok(Wanted {
            resource,
            tags: Tags::new(),
            token: self.token(client_token, "Update", id),
        })
    }

    /// The tags that are to be added.
    ///
    /// # Errors
    /// With everything that is wrong with the body.
    pub(super) fn tags(&self) -> Result<Tags, ApiError> {
        let count = self.0.get("tags").map_or(0, |tags| tags.items().len());
        if count > MOST {
            return Err(ApiError::TooManyTags { count, limit: MOST });
        }
        read_tags(&self.0).map_err(invalid)
    }

    /// The keys of the tags that are to go.
    ///
    /// # Errors
    /// With everything that is wrong with the body.
    pub(super) fn tag_keys(&self) -> Result<Vec<String>, ApiError> {
        read_tag_keys(&self.0).map_err(invalid)
    }

    /// A token stands for one operation on one resource with a body that says the same.
    fn token(&self, token: Option<String>, verb: &str, id: &ResourceId) -> Option<ClientToken> {
        let token = token?;
        let said = format!("{verb} {id}\n{}", self.0.to_json());
        let digest = xxh3_128(said.as_bytes());
        Some(ClientToken { token, digest })
    }
}

fn invalid(problems: Vec<Problem>) -> ApiError {
    ApiError::Invalid { problems }
}

fn has_too_many_members(json: &Located) -> bool {
    match &json.value {
        Value::Map(members) => {
            members.len() > MOST_MEMBERS
                || members.iter().any(|(_, value)| has_too_many_members(value))
        }
        Value::List(items) => items.iter().any(has_too_many_members),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

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
            (
                "{",
                "the body is not valid JSON; mind commas, quotes and brackets: EOF",
            ),
            ("[]", "must be a map of fields, not a list"),
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
