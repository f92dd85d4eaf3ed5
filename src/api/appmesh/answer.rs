//! What operations answer: the bare object of a resource, lists of references, tags; and errors in the same form.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::api::{ERROR_TYPE, retry_after};
use crate::model::arn::{Identity, arn};
use crate::model::schema::kind_schema;
use crate::model::tags::Tags;
use crate::model::{ResourceId, ResourceKind, Spec};
use crate::store::{Record, Timestamp};

/// Whether a resource is there; App Mesh's third status, `INACTIVE`, never occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Deleted,
}

/// Any resource as creates, describes, updates and deletes answer it.
pub(super) fn data(
    identity: &Identity,
    id: &ResourceId,
    spec: &Spec,
    record: &Record,
    status: Status,
) -> Result<Value, ApiError> {
    let status = match status {
        Status::Active => "ACTIVE",
        Status::Deleted => "DELETED",
    };
    let mut members = names(id);
    members.insert("spec".into(), spec_json(spec)?);
    let mut metadata = common(identity, id, record);
    metadata.insert("uid".into(), record.uid.as_str().into());
    members.insert("metadata".into(), Value::Object(metadata));
    members.insert("status".into(), json!({ "status": status }));
    Ok(Value::Object(members))
}

/// A resource as lists have it.
pub(super) fn reference(identity: &Identity, id: &ResourceId, record: &Record) -> Value {
    let mut members = names(id);
    members.append(&mut common(identity, id, record));
    Value::Object(members)
}

/// A page of a list.
pub(super) fn list(member: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut members = Map::new();
    members.insert(member.to_owned(), Value::Array(items));
    if let Some(next) = next {
        members.insert("nextToken".into(), next.into());
    }
    Value::Object(members)
}

/// Tags as a list of them.
pub(super) fn tag(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": value })
}

/// Tags as Outrigger's own calls have them.
pub(super) fn tag_map(tags: &Tags) -> Value {
    tags.iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect()
}

/// A resource's name and those on the path to it, by the members that App Mesh has for them.
pub(super) fn names(id: &ResourceId) -> Map<String, Value> {
    let schema = kind_schema(id.kind());
    let mut members = Map::new();
    members.insert("meshName".into(), id.mesh().as_str().into());
    if let (Some(member), Some(parent)) = (schema.parent, id.parent()) {
        members.insert(member.into(), parent.name().into());
    }
    if id.kind() != ResourceKind::Mesh {
        members.insert(schema.name.into(), id.name().into());
    }
    members
}

/// What references and metadata have in common.
fn common(identity: &Identity, id: &ResourceId, record: &Record) -> Map<String, Value> {
    let account = identity.account_id.as_str();
    let mut members = Map::new();
    members.insert("arn".into(), arn(identity, id).into());
    members.insert("createdAt".into(), seconds(record.created_at));
    members.insert("lastUpdatedAt".into(), seconds(record.updated_at));
    members.insert("meshOwner".into(), account.into());
    members.insert("resourceOwner".into(), account.into());
    members.insert("version".into(), record.version.into());
    members
}

/// Seconds since 1970 with the milliseconds behind the point.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are exact in 53 bits for 280,000 years"
)]
fn seconds(time: Timestamp) -> Value {
    (time.as_millis() as f64 / 1000.0).into()
}

/// A spec as it came.
fn spec_json(spec: &Spec) -> Result<Value, ApiError> {
    serde_json::to_value(spec).map_err(|source| ApiError::Internal { source })
}

/// A response with a JSON body.
pub(super) fn response(status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(|source| ApiError::Internal { source })?;
    Ok(of_json(status, body.into()))
}

/// The same with a body that is JSON already.
pub(super) fn of_json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// How an error is told.
pub(super) fn error(error: &ApiError) -> Response {
    let exception = error.exception();
    let body = json!({ "message": error.message() });
    // A map of one text is always written.
    let mut response = response(exception.status(), &body).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(ERROR_TYPE, HeaderValue::from_static(exception.name()));
    let allow = error.allow().map(HeaderValue::from_static);
    headers.extend(allow.map(|allow| (header::ALLOW, allow)));
    headers.extend(retry_after(exception.status()));
    response
}

/// The answer to OPTIONS. It grants web pages nothing.
pub(super) fn options(allow: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Owner;

    fn record() -> Record {
        Record {
            uid: "u".into(),
            created_at: Timestamp::from_millis(1_649_236_152_348),
            updated_at: Timestamp::from_millis(1_649_236_153_000),
            version: 2,
            tags: Tags::new(),
            owner: Owner::Api,
        }
    }

    #[test]
    fn a_resource_is_the_bare_object() {
        let id = ResourceId::parse("mesh/m/virtualRouter/r/route/x").unwrap();
        let spec: crate::model::spec::RouteSpec = serde_json::from_value(json!({
            "priority": 0,
            "tcpRoute": {"action": {"weightedTargets": []}},
        }))
        .unwrap();
        let spec = Spec::Route(spec.into());
        let data = data(&Identity::default(), &id, &spec, &record(), Status::Deleted).unwrap();
        let expected = json!({
            "meshName": "m",
            "virtualRouterName": "r",
            "routeName": "x",
            "spec": {"priority": 0, "tcpRoute": {"action": {"weightedTargets": []}}},
            "metadata": {
                "arn": "arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualRouter/r/route/x",
                "createdAt": 1_649_236_152.348,
                "lastUpdatedAt": 1_649_236_153.0,
                "meshOwner": "000000000000",
                "resourceOwner": "000000000000",
                "uid": "u",
                "version": 2,
            },
            "status": {"status": "DELETED"},
        });
        assert_eq!(data, expected);
        assert!(data.to_string().contains("1649236152.348"));
    }

    #[test]
    fn a_reference_has_neither_uid_nor_spec() {
        let id = ResourceId::parse("mesh/m").unwrap();
        let reference = reference(&Identity::default(), &id, &record());
        let members: Vec<&String> = reference.as_object().unwrap().keys().collect();
        assert_eq!(
            members,
            [
                "arn",
                "createdAt",
                "lastUpdatedAt",
                "meshName",
                "meshOwner",
                "resourceOwner",
                "version"
            ]
        );
    }
}
