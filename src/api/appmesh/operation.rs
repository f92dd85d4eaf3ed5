//! Which of the 38 operations a method and a path mean, and Outrigger's own.

use std::fmt;

use axum::http::Method;

use super::error::ApiError;
use super::kind::{Collection, KindPaths};
use super::query::decode;
use crate::model::{ResourceId, ResourceKind};

/// What stands before every path.
pub(super) const BASE: &str = "/v20190125/";

/// An operation, with what its path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read(Reading),
    Write(Writing),
    /// Outrigger's own list of everything.
    Everything,
    /// And of what has changed in it.
    Changes,
    /// No operation of App Mesh: what there is at a path.
    Options {
        allow: &'static str,
    },
}

/// An operation that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Describe(ResourceId),
    List(Collection),
    ListTags,
}

/// An operation that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Create(Collection),
    Update(ResourceId),
    Delete(ResourceId),
    Tag,
    Untag,
}

/// What a path names.
enum Target {
    Collection(Collection),
    Item(ResourceId),
    Tags,
    Tag,
    Untag,
}

impl Operation {
    /// Reads the method and the path of a request.
    ///
    /// # Errors
    /// For an unknown path, a method that the path does not take, and names that no resource can have.
    pub(super) fn read(method: &Method, path: &str) -> Result<Self, ApiError> {
        let target = Target::read(path)?.ok_or_else(|| ApiError::UnknownPath {
            method: method.clone(),
            path: path.to_owned(),
        })?;
        let allow = target.allow();
        Ok(match (method.as_str(), target) {
            ("OPTIONS", _) => Self::Options { allow },
            ("GET" | "HEAD", Target::Collection(one)) => Self::Read(Reading::List(one)),
            ("GET" | "HEAD", Target::Item(id)) => Self::Read(Reading::Describe(id)),
            ("GET" | "HEAD", Target::Tags) => Self::Read(Reading::ListTags),
            ("PUT", Target::Collection(one)) => Self::Write(Writing::Create(one)),
            ("PUT", Target::Item(id)) => Self::Write(Writing::Update(id)),
            ("DELETE", Target::Item(id)) => Self::Write(Writing::Delete(id)),
            ("PUT", Target::Tag) => Self::Write(Writing::Tag),
            ("PUT", Target::Untag) => Self::Write(Writing::Untag),
            _ => {
                let method = method.clone();
                return Err(ApiError::WrongMethod { method, allow });
            }
        })
    }

    /// Reads the method of a request for one of Outrigger's own lists.
    ///
    /// # Errors
    /// For a method that is not one of a list.
    pub(super) fn own_list(method: &Method, list: Self) -> Result<Self, ApiError> {
        let allow = "GET, HEAD, OPTIONS";
        match *method {
            Method::GET | Method::HEAD => Ok(list),
            Method::OPTIONS => Ok(Self::Options { allow }),
            _ => {
                let method = method.clone();
                Err(ApiError::WrongMethod { method, allow })
            }
        }
    }
}

impl Reading {
    /// What `meshOwner` is about, if the operation has it.
    pub(super) fn owned(&self) -> Option<&ResourceId> {
        match self {
            Self::Describe(id) => Some(id),
            Self::List(collection) => collection.within.as_ref(),
            Self::ListTags => None,
        }
    }
}

impl Writing {
    /// Whether the operation has `meshOwner`.
    pub(super) fn has_mesh_owner(&self) -> bool {
        match self {
            Self::Create(collection) => collection.kind != ResourceKind::Mesh,
            Self::Update(id) | Self::Delete(id) => id.kind() != ResourceKind::Mesh,
            Self::Tag | Self::Untag => false,
        }
    }
}

/// The name that App Mesh has for it.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(Reading::Describe(id)) => write!(f, "Describe{}", id.kind()),
            Self::Read(Reading::List(collection)) => match collection.kind {
                ResourceKind::Mesh => f.write_str("ListMeshes"),
                kind => write!(f, "List{kind}s"),
            },
            Self::Read(Reading::ListTags) => f.write_str("ListTagsForResource"),
            Self::Write(Writing::Create(collection)) => write!(f, "Create{}", collection.kind),
            Self::Write(Writing::Update(id)) => write!(f, "Update{}", id.kind()),
            Self::Write(Writing::Delete(id)) => write!(f, "Delete{}", id.kind()),
            Self::Write(Writing::Tag) => f.write_str("TagResource"),
            Self::Write(Writing::Untag) => f.write_str("UntagResource"),
            Self::Everything => f.write_str("ListEverything"),
            Self::Changes => f.write_str("ListChanges"),
            Self::Options { .. } => f.write_str("Options"),
        }
    }
}

impl Target {
    /// Reads a path; `None`: there is nothing.
    fn read(path: &str) -> Result<Option<Self>, ApiError> {
        let Some(path) = path.strip_prefix(BASE) else {
            return Ok(None);
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        // No path is longer.
        let mut segments: Vec<_> = path.splitn(7, '/').map(decode).collect::<Result<_, _>>()?;
        let name = if segments.len().is_multiple_of(2) {
            segments.pop()
        } else {
            None
        };
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        let (kind, within) = match *segments.as_slice() {
            ["tags"] if name.is_none() => return Ok(Some(Self::Tags)),
            ["tag"] if name.is_none() => return Ok(Some(Self::Tag)),
            ["untag"] if name.is_none() => return Ok(Some(Self::Untag)),
            ["meshes"] => (KindPaths::of(ResourceKind::Mesh), None),
            ["meshes", mesh, collection] => match KindPaths::find(None, collection) {
                Some(kind) if kind.kind != ResourceKind::Mesh => {
                    (kind, Some((ResourceKind::Mesh, mesh, mesh)))
                }
                _ => return Ok(None),
            },
            ["meshes", mesh, under, parent, collection] => {
                let kind = KindPaths::find(Some(under), collection);
                match kind.and_then(|kind| kind.under.map(|(_, parent)| (kind, parent))) {
                    Some((kind, of)) => (kind, Some((of, mesh, parent))),
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let within = within.map(|(kind, mesh, name)| ResourceId::named(kind, mesh, None, name));
        let collection = Collection {
            kind: kind.kind,
            within: within.transpose()?,
        };
        Ok(Some(match name {
            None => Self::Collection(collection),
            Some(name) => Self::Item(collection.named(&name)?),
        }))
    }

    fn allow(&self) -> &'static str {
        match self {
            Self::Collection(_) => "GET, HEAD, OPTIONS, PUT",
            Self::Item(_) => "DELETE, GET, HEAD, OPTIONS, PUT",
            Self::Tags => "GET, HEAD, OPTIONS",
            Self::Tag | Self::Untag => "OPTIONS, PUT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str) -> Result<(String, String), String> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match Operation::read(&method, path) {
            Ok(operation) => {
                let about = match &operation {
                    Operation::Write(Writing::Create(collection))
                    | Operation::Read(Reading::List(collection)) => {
                        let within = collection.within.as_ref();
                        within.map(ToString::to_string).unwrap_or_default()
                    }
                    Operation::Read(Reading::Describe(id))
                    | Operation::Write(Writing::Update(id) | Writing::Delete(id)) => id.to_string(),
                    Operation::Options { allow } => (*allow).to_owned(),
                    _ => String::new(),
                };
                Ok((operation.to_string(), about))
            }
            Err(error) => Err(format!("{} {error}", error.exception().name())),
        }
    }

    /// All 38, by the paths of the reference.
    #[test]
    #[expect(clippy::too_many_lines, reason = "one line an operation")]
    fn every_operation_has_its_method_and_path() {
        let mut count = 0;
        let mut check = |method: &str, path: &str, name: &str, about: &str| {
            let expected = Ok((name.to_owned(), about.to_owned()));
            assert_eq!(read(method, path), expected, "{method} {path}");
            count += 1;
        };
        for (kind, plural, path, within, item) in [
            ("Mesh", "Meshes", "/v20190125/meshes", "", "mesh/x"),
            (
                "VirtualNode",
                "VirtualNodes",
                "/v20190125/meshes/m/virtualNodes",
                "mesh/m",
                "mesh/m/virtualNode/x",
            ),
            (
                "VirtualService",
                "VirtualServices",
                "/v20190125/meshes/m/virtualServices",
                "mesh/m",
                "mesh/m/virtualService/x",
            ),
            (
                "VirtualRouter",
                "VirtualRouters",
                "/v20190125/meshes/m/virtualRouters",
                "mesh/m",
                "mesh/m/virtualRouter/x",
            ),
            (
                "Route",
                "Routes",
                "/v20190125/meshes/m/virtualRouter/r/routes",
                "mesh/m/virtualRouter/r",
                "mesh/m/virtualRouter/r/route/x",
            ),
            (
                "VirtualGateway",
                "VirtualGateways",
                "/v20190125/meshes/m/virtualGateways",
                "mesh/m",
                "mesh/m/virtualGateway/x",
            ),
            (
                "GatewayRoute",
                "GatewayRoutes",
                "/v20190125/meshes/m/virtualGateway/g/gatewayRoutes",
                "mesh/m/virtualGateway/g",
                "mesh/m/virtualGateway/g/gatewayRoute/x",
            ),
        ] {
            check("PUT", path, &format!("Create{kind}"), within);
            check("GET", path, &format!("List{plural}"), within);
            let path = format!("{path}/x");
            check("GET", &path, &format!("Describe{kind}"), item);
            check("PUT", &path, &format!("Update{kind}"), item);
            check("DELETE", &path, &format!("Delete{kind}"), item);
        }
        check("GET", "/v20190125/tags", "ListTagsForResource", "");
        check("PUT", "/v20190125/tag", "TagResource", "");
        check("PUT", "/v20190125/untag", "UntagResource", "");
        assert_eq!(count, 38);
    }

    #[test]
    fn names_are_decoded_and_a_last_slash_is_passed_over() {
        for (path, about) in [
            ("/v20190125/meshes/m/", "mesh/m"),
            (
                "/v20190125/meshes/a%2Eb/virtualServices/s.local%3A80",
                "mesh/a.b/virtualService/s.local:80",
            ),
        ] {
            assert_eq!(read("GET", path).unwrap().1, about);
        }
        let listed = read("HEAD", "/v20190125/meshes/").unwrap();
        assert_eq!(listed.0, "ListMeshes");
    }

    #[test]
    fn what_there_is_not_is_refused() {
        for (method, path, expected) in [
            ("GET", "/", "BadRequestException"),
            ("GET", "/v20190125", "BadRequestException"),
            ("GET", "/v20190125/", "BadRequestException"),
            ("GET", "/v20190125/meshes/m/meshes", "BadRequestException"),
            ("GET", "/v20190125/meshes/m/routes", "BadRequestException"),
            (
                "GET",
                "/v20190125/meshes/m/virtualNode/n",
                "BadRequestException",
            ),
            (
                "GET",
                "/v20190125/meshes/m/virtualRouters/r/routes",
                "BadRequestException",
            ),
            (
                "GET",
                "/v20190125/meshes/m/virtualRouter/r/gatewayRoutes",
                "BadRequestException",
            ),
            (
                "GET",
                "/v20190125/meshes/m/virtualRouter/r/routes/x/y",
                "BadRequestException",
            ),
            (
                "GET",
                "/v20190125/meshes/m/virtualRouter/r/routes/x/y/z",
                "BadRequestException",
            ),
            ("GET", "/v20190125/tags/x", "BadRequestException"),
            (
                "GET",
                "/v20190125/meshes//virtualNodes",
                "BadRequestException",
            ),
            ("GET", "/v20190125/meshes//", "BadRequestException"),
            ("GET", "/v20190125/meshes/a%2Fb", "BadRequestException"),
            ("GET", "/v20190125/meshes/%", "BadRequestException"),
            ("GET", "/v20190125/meshes/..", "BadRequestException"),
            ("POST", "/v20190125/meshes", "BadRequestException"),
            ("DELETE", "/v20190125/meshes", "BadRequestException"),
            ("GET", "/v20190125/tag", "BadRequestException"),
        ] {
            let error = read(method, path).unwrap_err();
            assert!(error.starts_with(expected), "{method} {path}: {error}");
        }
        let options = read("OPTIONS", "/v20190125/meshes").unwrap();
        assert_eq!(options.1, "GET, HEAD, OPTIONS, PUT");
    }
}
