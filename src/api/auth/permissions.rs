//! Who calls, and what that caller may do. Every request carries it as an extension, with and without authentication.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub read_only: bool,
    /// Names of meshes, in which `*` stands for anything; `None`: all, and what belongs to no mesh.
    pub meshes: Option<Vec<String>>,
}

impl Permissions {
    /// Everything.
    pub const ALL: Self = Self {
        read_only: false,
        meshes: None,
    };

    /// Nothing.
    pub const NONE: Self = Self {
        read_only: true,
        meshes: Some(Vec::new()),
    };

    fn reaches(&self, mesh: &str) -> bool {
        let Some(meshes) = &self.meshes else {
            return true;
        };
        meshes.iter().any(|pattern| matches(pattern, mesh))
    }
}

/// Whose request it is. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Known>);

#[derive(Debug)]
struct Known {
    name: String,
    /// Whether it is one of many.
    is_key: bool,
    permissions: Permissions,
}

impl Caller {
    /// Who has a key of this name.
    pub fn new(name: impl Into<String>, permissions: Permissions) -> Self {
        Self(Arc::new(Known {
            name: name.into(),
            is_key: true,
            permissions,
        }))
    }

    /// Whoever reaches an API without authentication.
    pub fn anybody() -> Self {
        Self(Arc::new(Known {
            name: "anybody".to_owned(),
            is_key: false,
            permissions: Permissions::ALL,
        }))
    }

    /// The caller of a request. One that did not pass the layer may do nothing.
    pub fn of(extensions: &Extensions) -> Self {
        let caller = extensions.get::<Self>().cloned();
        caller.unwrap_or_else(|| Self::new("nobody", Permissions::NONE))
    }

    /// The name of its key, for the log.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The same, if there are keys.
    pub fn key(&self) -> Option<&str> {
        self.0.is_key.then_some(&self.0.name)
    }

    pub fn may_read(&self, mesh: &str) -> bool {
        self.0.permissions.reaches(mesh)
    }

    pub fn may_write(&self, mesh: &str) -> bool {
        !self.is_read_only() && self.may_read(mesh)
    }

    pub fn is_read_only(&self) -> bool {
        self.0.permissions.read_only
    }

    /// Whether it is for some meshes only: lists then show no others.
    pub fn is_limited(&self) -> bool {
        self.0.permissions.meshes.is_some()
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Whether a name is what a pattern says, in which `*` stands for anything, also nothing.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        // No star at all.
        return rest.is_empty();
    };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("appMesh", "appMesh", true),
            ("appMesh", "appMesh2", false),
            ("appMesh", "", false),
            ("*", "", true),
            ("*", "any", true),
            ("team-*", "team-", true),
            ("team-*", "team-a", true),
            ("team-*", "my-team-a", false),
            ("*-prod", "team-prod", true),
            ("*-prod", "team-prod-2", false),
            ("team-*-prod", "team-a-prod", true),
            ("team-*-prod", "team-prod", false),
            ("a*b*a", "aba", true),
            ("a*b*a", "aa", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_read_only_key_of_a_mesh_reads_that_mesh() {
        let meshes = Some(vec!["team-*".to_owned()]);
        let reader = Caller::new(
            "reader",
            Permissions {
                read_only: true,
                meshes: meshes.clone(),
            },
        );
        assert!(reader.may_read("team-a") && !reader.may_read("other"));
        assert!(!reader.may_write("team-a") && reader.is_limited());
        let writer = Permissions {
            read_only: false,
            meshes,
        };
        let writer = Caller::new("writer", writer);
        assert!(writer.may_write("team-a") && !writer.may_write("other"));
    }

    #[test]
    fn a_request_that_passed_no_layer_may_do_nothing() {
        let nobody = Caller::of(&Extensions::new());
        assert!(!nobody.may_read("m") && !nobody.may_write("m"));
        assert!(nobody.is_limited() && nobody.is_read_only());
        let mut extensions = Extensions::new();
        extensions.insert(Caller::anybody());
        assert!(Caller::of(&extensions).may_write("m"));
    }
}
