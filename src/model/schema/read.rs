//! From a document to a resource: which kind it is, its names, its spec.

use serde::de::DeserializeSeed;

use super::check::Walk;
use super::gateway::{GATEWAY_ROUTE_SPEC, VIRTUAL_GATEWAY_SPEC};
use super::node::{MESH_SPEC, VIRTUAL_NODE_SPEC, VIRTUAL_ROUTER_SPEC, VIRTUAL_SERVICE_SPEC};
use super::route::ROUTE_SPEC;
use super::{
    Check, Form, KindSchema, NAME, Object, Rule, SERVICE_NAME, TEXT, Type, optional, required,
    rules,
};
use crate::model::document::{Located, Path};
use crate::model::names::{ResourceId, ResourceKind};
use crate::model::problem::{Problem, Severity, known_names};
use crate::model::registry::Resource;
use crate::model::tags;

/// What a document says.
#[derive(Debug, Default)]
pub struct Read {
    /// Which resource, if its kind and names could be read; also where the rest is wrong.
    pub id: Option<ResourceId>,
    /// The resource, if the document has no error.
    pub resource: Option<Resource>,
    pub problems: Vec<Problem>,
}

/// Declares each kind: its names, and the documents and bodies that they stand in.
macro_rules! kinds {
    ($($kind:ident $spec:ident $need:ident $name:literal: $type:ident $(in $mesh:literal $($parent:literal)?)?;)+) => {
        static KINDS: [KindSchema; 7] = [$(KindSchema {
            kind: ResourceKind::$kind,
            name: $name,
            parent: parent!($($($parent)?)?),
            document: &Object {
                name: stringify!($kind),
                fields: &[
                    required("kind", KIND),
                    $(required($mesh, NAME), $(required($parent, NAME),)?)?
                    required($name, $type),
                    $need("spec", Type::Object(&$spec)),
                    optional("tags", TAGS),
                    optional("clientToken", CLIENT_TOKEN),
                    optional("meshOwner", TEXT),
                ],
                rules: &[Rule::Check(Check(rules::distinct_tags))],
            },
            create: &Object {
                name: concat!("Create", stringify!($kind)),
                fields: &[
                    required($name, $type),
                    $need("spec", Type::Object(&$spec)),
                    optional("tags", TAGS),
                    optional("clientToken", CLIENT_TOKEN),
                ],
                rules: &[Rule::Check(Check(rules::distinct_tags))],
            },
            update: &Object {
                name: concat!("Update", stringify!($kind)),
                fields: &[
                    $need("spec", Type::Object(&$spec)),
                    optional("clientToken", CLIENT_TOKEN),
                ],
                rules: &[],
            },
            spec: &$spec,
        },)+];
    };
}

macro_rules! parent {
    () => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

kinds! {
    Mesh MESH_SPEC optional "meshName": NAME;
    VirtualNode VIRTUAL_NODE_SPEC required "virtualNodeName": NAME in "meshName";
    VirtualService VIRTUAL_SERVICE_SPEC required "virtualServiceName": SERVICE_NAME in "meshName";
    VirtualRouter VIRTUAL_ROUTER_SPEC required "virtualRouterName": NAME in "meshName";
    Route ROUTE_SPEC required "routeName": NAME in "meshName" "virtualRouterName";
    VirtualGateway VIRTUAL_GATEWAY_SPEC required "virtualGatewayName": NAME in "meshName";
    GatewayRoute GATEWAY_ROUTE_SPEC required "gatewayRouteName": NAME in "meshName" "virtualGatewayName";
}

const KIND: Type = Type::Enum(&[
    "Mesh",
    "VirtualNode",
    "VirtualService",
    "VirtualRouter",
    "Route",
    "VirtualGateway",
    "GatewayRoute",
]);

pub(super) const TAGS: Type = Type::List {
    item: &Type::Object(&TAG),
    min: 0,
    max: tags::MOST,
};

/// SDKs fill in a UUID.
const CLIENT_TOKEN: Type = Type::Text {
    min: 1,
    max: 36,
    form: Form::ClientToken,
};

static TAG: Object = Object {
    name: "TagRef",
    fields: &[
        required(
            "key",
            Type::Text {
                min: 1,
                max: 128,
                form: Form::TagKey,
            },
        ),
        optional(
            "value",
            Type::Text {
                min: 0,
                max: 256,
                form: Form::TagValue,
            },
        ),
    ],
    rules: &[],
};

/// The table of one kind.
pub fn kind_schema(kind: ResourceKind) -> &'static KindSchema {
    let [mesh, node, service, router, route, gateway, gateway_route] = &KINDS;
    match kind {
        ResourceKind::Mesh => mesh,
        ResourceKind::VirtualNode => node,
        ResourceKind::VirtualService => service,
        ResourceKind::VirtualRouter => router,
        ResourceKind::Route => route,
        ResourceKind::VirtualGateway => gateway,
        ResourceKind::GatewayRoute => gateway_route,
    }
}

/// Reads a document of a mesh file: finds its kind, checks all of it, builds the resource.
pub fn read(document: &Located) -> Read {
    let kind = match kind_of(document) {
        Ok(kind) => kind,
        Err(problem) => {
            return Read {
                problems: vec![*problem],
                ..Read::default()
            };
        }
    };
    let schema = kind_schema(kind);
    let mut walk = Walk::default();
    let name = document
        .get(schema.name)
        .and_then(Located::as_str)
        .unwrap_or(kind.as_str());
    let at = document.pointer();
    walk.object(
        schema.document,
        name,
        document.members().unwrap_or_default(),
        at,
    );
    let mut problems = walk.finish();
    let id = id_of(schema, document);
    let sound = problems
        .iter()
        .all(|problem| problem.severity != Severity::Error);
    let resource = match &id {
        Some(id) if sound => build(id.clone(), document.get("spec"), &mut problems),
        _ => None,
    };
    Read {
        id,
        resource,
        problems,
    }
}

/// Checks a spec alone, as the API gets it. Paths start at `spec`.
pub fn check_spec(kind: ResourceKind, spec: &Located) -> Vec<Problem> {
    let mut walk = Walk::default();
    let r#type = Type::Object(kind_schema(kind).spec);
    walk.in_field("spec", |walk| walk.value(&r#type, "spec", spec, spec.span));
    walk.finish()
}

fn kind_of(document: &Located) -> Result<ResourceKind, Box<Problem>> {
    const KINDS_HELP: &str = "start it with `kind:` and one of Mesh, VirtualNode, VirtualService, VirtualRouter, Route, \
                              VirtualGateway, GatewayRoute";
    let at = document.pointer();
    if document.members().is_none() {
        let problem = Problem::error(
            Path::default(),
            "the document is no map of fields",
            "not a resource",
            KINDS_HELP,
        );
        return Err(Box::new(problem.at(at)));
    }
    let Some(kind) = document.get("kind") else {
        let problem = Problem::error(
            Path::default(),
            "the document does not say its `kind`",
            "of which kind?",
            probable_kind(document)
                .map_or_else(|| KINDS_HELP.into(), |kind| format!("add `kind: {kind}`")),
        );
        return Err(Box::new(problem.at(at)));
    };
    let written = kind.as_str().unwrap_or_default();
    ResourceKind::from_name(written).ok_or_else(|| {
        let problem = Problem::error(
            Path::default().field("kind"),
            match kind.as_str() {
                Some(text) => format!("`kind` cannot be `{text}`"),
                None => "`kind` must be text".into(),
            },
            "not a kind",
            known_names(
                written,
                "kinds",
                ResourceKind::ALL.map(ResourceKind::as_str),
            ),
        );
        Box::new(problem.at(kind.pointer()))
    })
}

/// The kind that a document's own names tell.
fn probable_kind(document: &Located) -> Option<ResourceKind> {
    // Routes first: they name their parent too.
    [
        ResourceKind::Route,
        ResourceKind::GatewayRoute,
        ResourceKind::VirtualNode,
        ResourceKind::VirtualService,
        ResourceKind::VirtualRouter,
        ResourceKind::VirtualGateway,
        ResourceKind::Mesh,
    ]
    .into_iter()
    .find(|kind| document.get(kind_schema(*kind).name).is_some())
}

fn id_of(schema: &KindSchema, document: &Located) -> Option<ResourceId> {
    let name = |field: &str| document.get(field)?.as_str();
    let own = name(schema.name)?;
    let parent = match schema.parent {
        Some(field) => name(field)?,
        None => "",
    };
    let mesh = name("meshName")?;
    Some(ResourceId::of_checked(schema.kind, mesh, parent, own))
}

pub(super) fn build(
    id: ResourceId,
    spec: Option<&Located>,
    problems: &mut Vec<Problem>,
) -> Option<Resource> {
    let json = spec.map_or_else(
        || serde_json::Value::Object(serde_json::Map::new()),
        Located::to_json,
    );
    match id.kind().deserialize(json) {
        Ok(spec) => Some(Resource { id, spec }),
        // Not reachable while table and types agree, which a test holds them to; still no reason to lose the mesh.
        Err(error) => {
            problems.push(
                Problem::error(
                    Path::default().field("spec"),
                    format!("the spec cannot be read: {error}"),
                    "cannot be read",
                    "report this: the spec passed every check",
                )
                .at(spec.and_then(Located::pointer)),
            );
            None
        }
    }
}
