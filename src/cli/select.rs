//! How resources are named on the command line: by id or ARN, or by kind and name.

use std::collections::BTreeSet;

use clap::Args;
use miette::miette;

use super::output::CliError;
use super::remote::Listing;
use crate::model::{ResourceId, ResourceKind};

/// Resources to find.
#[derive(Clone, Debug, Args)]
pub(super) struct Selection {
    /// Ids such as `mesh/MESH/virtualNode/NODE`, or ARNs; or a kind and names: `vn NODE --mesh MESH`
    #[arg(value_name = "ID|KIND NAME")]
    names: Vec<String>,
    /// Mesh of the named resources, if there are several
    #[arg(long, short, value_name = "MESH")]
    mesh: Option<String>,
}

/// One that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Id(ResourceId),
    Name {
        kind: ResourceKind,
        /// `ROUTER/ROUTE` says of which router.
        name: String,
    },
}

impl Selection {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What was typed.
    ///
    /// # Errors
    /// When it is neither ids nor a kind with names.
    pub(super) fn named(&self) -> Result<Vec<Named>, CliError> {
        let (Some(first), rest) = (self.names.first(), self.names.get(1..).unwrap_or_default())
        else {
            return Err(usage("no resource is named"));
        };
        if first.starts_with("mesh/") || first.starts_with("arn:") {
            let id = |text: &String| ResourceId::parse(text).map(Named::Id);
            let ids: Result<_, _> = self.names.iter().map(id).collect();
            return ids.map_err(CliError::unable_error);
        }
        let Some(kind) = parse_kind(first) else {
            return Err(usage(&format!(
                "`{first}` is neither a kind nor an id of a resource"
            )));
        };
        if rest.is_empty() {
            return Err(usage(&format!("which {kind}?")));
        }
        let named = rest.iter().map(|name| Named::Name {
            kind,
            name: name.clone(),
        });
        Ok(named.collect())
    }

    /// The mesh that all of it is in, if that is known without asking.
    pub(super) fn mesh(&self, named: &[Named]) -> Option<String> {
        let of = |named: &Named| match named {
            Named::Id(id) => Some(id.mesh().as_str().to_owned()),
            Named::Name {
                kind: ResourceKind::Mesh,
                name,
            } => Some(name.clone()),
            Named::Name { .. } => self.mesh.clone(),
        };
        let meshes: BTreeSet<Option<String>> = named.iter().map(of).collect();
        match meshes.into_iter().collect::<Vec<_>>().as_mut_slice() {
            [only] => only.take(),
            _ => None,
        }
    }

    /// The ids of what was named; an id that was typed is one whether or not it exists.
    ///
    /// # Errors
    /// When a name is unknown, or more than one resource has it.
    pub(super) fn resolve(&self, named: &[Named], listing: &Listing) -> Result<Resolved, CliError> {
        let mut resolved = Resolved::default();
        for named in named {
            match named {
                Named::Id(id) => drop(resolved.ids.insert(id.clone())),
                Named::Name { kind, name } => {
                    let ids = find(listing, Some(*kind), Some(name), self.mesh.as_deref());
                    match ids.as_slice() {
                        [] => resolved.unknown.push(format!("{kind} {name}")),
                        [id] => drop(resolved.ids.insert(id.clone())),
                        several => return Err(ambiguous(*kind, name, several)),
                    }
                }
            }
        }
        Ok(resolved)
    }
}

/// What names lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved {
    pub(super) ids: BTreeSet<ResourceId>,
    /// Names that nothing has.
    pub(super) unknown: Vec<String>,
}

/// The resources of a kind, name and mesh, as far as they are given.
pub(super) fn find(
    listing: &Listing,
    kind: Option<ResourceKind>,
    name: Option<&str>,
    mesh: Option<&str>,
) -> Vec<ResourceId> {
    let is_named = |id: &ResourceId, name: &str| {
        id.name() == name
            || id.parent_name().is_some_and(|parent| {
                name.strip_prefix(parent)
                    .and_then(|rest| rest.strip_prefix('/'))
                    == Some(id.name())
            })
    };
    let ids = listing.resources.keys().filter(|id| {
        kind.is_none_or(|kind| id.kind() == kind)
            && mesh.is_none_or(|mesh| id.mesh().as_str() == mesh)
            && name.is_none_or(|name| is_named(id, name))
    });
    ids.cloned().collect()
}

fn ambiguous(kind: ResourceKind, name: &str, ids: &[ResourceId]) -> CliError {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    CliError::unable(miette!(
        help = "pass --mesh, or one of these ids",
        "{kind} {name} is any of {}",
        ids.join(", ")
    ))
}

fn usage(what: &str) -> CliError {
    CliError::unable(miette!(
        help = "pass ids such as `mesh/MESH/virtualNode/NODE`, or ARNs, or a kind and names: `virtualnode NODE --mesh MESH`",
        "{what}"
    ))
}

/// A kind in any of its usual spellings: `VirtualNode`, `virtual-nodes`, `virtualnode`, `vn`.
pub(super) fn parse_kind(text: &str) -> Option<ResourceKind> {
    let plain: String = text
        .chars()
        .filter(|letter| !matches!(letter, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect();
    ResourceKind::ALL.into_iter().find(|kind| {
        let name = kind.as_str().to_lowercase();
        let plural = if *kind == ResourceKind::Mesh {
            "es"
        } else {
            "s"
        };
        let short = match kind {
            ResourceKind::Mesh | ResourceKind::Route => None,
            ResourceKind::VirtualNode => Some("vn"),
            ResourceKind::VirtualService => Some("vs"),
            ResourceKind::VirtualRouter => Some("vr"),
            ResourceKind::VirtualGateway => Some("vg"),
            ResourceKind::GatewayRoute => Some("gr"),
        };
        plain
            .strip_prefix(&name)
            .is_some_and(|rest| rest.is_empty() || rest == plural)
            || short.is_some_and(|short| short == plain)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selection(names: &[&str], mesh: Option<&str>) -> Selection {
        Selection {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            mesh: mesh.map(str::to_owned),
        }
    }

    fn listing() -> Listing {
        Listing::read(json!({ "resources": [
            { "kind": "Mesh", "meshName": "m", "spec": {} },
            { "kind": "Mesh", "meshName": "other", "spec": {} },
            { "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "n", "spec": {} },
            { "kind": "VirtualNode", "meshName": "other", "virtualNodeName": "n", "spec": {} },
            { "kind": "Route", "meshName": "m", "virtualRouterName": "a", "routeName": "x", "spec": {} },
            { "kind": "Route", "meshName": "m", "virtualRouterName": "b", "routeName": "x", "spec": {} },
        ]}))
        .unwrap()
    }

    fn found(names: &[&str], mesh: Option<&str>) -> Result<Vec<String>, String> {
        let selection = selection(names, mesh);
        let resolved = selection
            .named()
            .and_then(|named| selection.resolve(&named, &listing()))
            .map_err(|error| error.to_string())?;
        let ids = resolved.ids.iter().map(ToString::to_string);
        Ok(ids.chain(resolved.unknown).collect())
    }

    #[test]
    fn kinds_have_many_spellings() {
        for text in [
            "VirtualNode",
            "virtualnode",
            "virtual-nodes",
            "virtual_node",
            "VN",
        ] {
            assert_eq!(parse_kind(text), Some(ResourceKind::VirtualNode), "{text}");
        }
        for (text, kind) in [
            ("mesh", ResourceKind::Mesh),
            ("meshes", ResourceKind::Mesh),
            ("routes", ResourceKind::Route),
            ("gr", ResourceKind::GatewayRoute),
            ("gatewayRoutes", ResourceKind::GatewayRoute),
        ] {
            assert_eq!(parse_kind(text), Some(kind), "{text}");
        }
        for text in ["", "nodes", "virtualnodess", "all"] {
            assert_eq!(parse_kind(text), None, "{text}");
        }
    }

    #[test]
    fn names_lead_to_ids_or_say_which_there_are() {
        let ids = |names, mesh| found(names, mesh).unwrap();
        assert_eq!(
            ids(&["mesh/m", "mesh/m/virtualNode/new"], None),
            ["mesh/m", "mesh/m/virtualNode/new"]
        );
        assert_eq!(
            ids(&["vn", "n", "none"], Some("m")),
            ["mesh/m/virtualNode/n", "VirtualNode none"]
        );
        assert_eq!(
            ids(&["route", "a/x"], None),
            ["mesh/m/virtualRouter/a/route/x"]
        );
        let error = found(&["vn", "n"], None).unwrap_err();
        assert!(
            error.contains("mesh/m/virtualNode/n, mesh/other/virtualNode/n"),
            "{error}"
        );
        let error = found(&["routes", "x"], Some("m")).unwrap_err();
        assert!(error.contains("virtualRouter/b/route/x"), "{error}");
        for wrong in [&["thing", "x"][..], &["vn"], &[], &["mesh/m", "n"]] {
            assert!(found(wrong, None).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn one_mesh_is_asked_for_where_it_is_known() {
        let mesh = |names: &[&str], mesh| {
            let selection = selection(names, mesh);
            selection.mesh(&selection.named().unwrap())
        };
        assert_eq!(
            mesh(&["mesh/m", "mesh/m/virtualNode/n"], None).as_deref(),
            Some("m")
        );
        assert_eq!(mesh(&["mesh/m", "mesh/o"], None), None);
        assert_eq!(mesh(&["vn", "n"], Some("m")).as_deref(), Some("m"));
        assert_eq!(mesh(&["vn", "n"], None), None);
        assert_eq!(mesh(&["mesh", "m"], None).as_deref(), Some("m"));
    }
}
