//! What a request touches, out of its method, its path, its query and, where a mesh is created, its body.
//!
//! **Invariant:** what is not known to touch one mesh, and not known to be filtered by whoever answers it, is only for keys
//! without a limit: a new path is closed to the others until it is named here.

use serde::Deserialize;

use super::permissions::Caller;
use super::sigv4::{Request, decode, pairs};
use crate::model::arn::parse_arn;

/// What a request does, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) writes: bool,
    pub(super) reach: Reach,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Mesh(String),
    /// Of what is there, whoever answers shows what the caller may read.
    Filtered,
    /// Nobody knows what.
    All,
}

impl Access {
    /// `body` is that of a REST call; a gRPC call's is not read.
    pub(super) fn of(request: &Request<'_>, body: &[u8]) -> Self {
        // A last slash is passed over, as App Mesh's API does.
        let path = request.path.strip_suffix('/').unwrap_or(request.path);
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (writes, reach) = match segments.as_slice() {
            ["v20190125", "meshes"] | ["outrigger", "v1", "endpoints" | "changes"]
                if is_read(request) =>
            {
                (false, Reach::Filtered)
            }
            ["v20190125", "meshes"] => (true, created(body)),
            ["v20190125", "tag" | "untag" | "tags"] => {
                (!is_read(request), named(request, "resourceArn", of_arn))
            }
            ["v20190125", "meshes", mesh, ..] | ["outrigger", "v1", "meshes", mesh, ..] => {
                (!is_read(request), segment(mesh))
            }
            ["outrigger", "v1", "resources"] if is_read(request) => {
                let one = |mesh: &str| Some(mesh.to_owned());
                let is_list = !pairs(request.query).any(|(name, _)| name == b"mesh");
                let reach = if is_list {
                    Reach::Filtered
                } else {
                    named(request, "mesh", one)
                };
                (false, reach)
            }
            [
                "outrigger.operator.v1.Operator",
                "ListClients" | "GetConfig" | "MirrorStatus",
            ] => (false, Reach::Filtered),
            _ => (!is_read(request), Reach::All),
        };
        Self { writes, reach }
    }

    pub(super) fn is_allowed(&self, caller: &Caller) -> bool {
        if self.writes && caller.is_read_only() {
            return false;
        }
        match &self.reach {
            Reach::Mesh(mesh) if self.writes => caller.may_write(mesh),
            Reach::Mesh(mesh) => caller.may_read(mesh),
            Reach::Filtered => true,
            Reach::All => !caller.is_limited(),
        }
    }
}

fn is_read(request: &Request<'_>) -> bool {
    matches!(request.method, "GET" | "HEAD")
}

fn segment(mesh: &str) -> Reach {
    String::from_utf8(decode(mesh)).map_or(Reach::All, Reach::Mesh)
}

/// The mesh that is created.
fn created(body: &[u8]) -> Reach {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        mesh_name: String,
    }
    let body: Result<Body, _> = serde_json::from_slice(body);
    body.map_or(Reach::All, |body| Reach::Mesh(body.mesh_name))
}

/// The mesh that a member of the query names, if there is one such member.
fn named(request: &Request<'_>, name: &str, mesh: impl Fn(&str) -> Option<String>) -> Reach {
    let mut values = pairs(request.query).filter(|(one, _)| one == name.as_bytes());
    let (Some((_, value)), None) = (values.next(), values.next()) else {
        return Reach::All;
    };
    let mesh = String::from_utf8(value).ok().and_then(|text| mesh(&text));
    mesh.map_or(Reach::All, Reach::Mesh)
}

fn of_arn(text: &str) -> Option<String> {
    let arn = parse_arn(text).ok()?;
    Some(arn.id.mesh().as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::super::permissions::Permissions;
    use super::*;

    fn access(method: &str, target: &str, body: &str) -> Access {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method,
            path,
            query,
            headers: &HeaderMap::new(),
            authority: None,
        };
        Access::of(&request, body.as_bytes())
    }

    fn mesh(name: &str) -> Reach {
        Reach::Mesh(name.to_owned())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a list, one request after another")]
    fn what_a_request_touches() {
        let arn = "arn%3Aaws%3Aappmesh%3Aus-east-1%3A000000000000%3Amesh%2Fm%2FvirtualNode%2Fn";
        for (method, target, writes, reach) in [
            ("GET", "/v20190125/meshes", false, Reach::Filtered),
            ("GET", "/v20190125/meshes/", false, Reach::Filtered),
            ("GET", "/v20190125/meshes/m/", false, mesh("m")),
            ("GET", "/v20190125/meshes/m", false, mesh("m")),
            ("PUT", "/v20190125/meshes/m%2e", true, mesh("m.")),
            (
                "DELETE",
                "/v20190125/meshes/m/virtualNodes/n",
                true,
                mesh("m"),
            ),
            (
                "PUT",
                "/v20190125/meshes/m/virtualRouter/r/routes",
                true,
                mesh("m"),
            ),
            (
                "GET",
                &format!("/v20190125/tags?resourceArn={arn}"),
                false,
                mesh("m"),
            ),
            (
                "PUT",
                &format!("/v20190125/tag?resourceArn={arn}"),
                true,
                mesh("m"),
            ),
            (
                "PUT",
                &format!("/v20190125/untag?a=b&resourceArn={arn}"),
                true,
                mesh("m"),
            ),
            (
                "PUT",
                &format!("/v20190125/tag?resourceArn={arn}&resourceArn={arn}"),
                true,
                Reach::All,
            ),
            ("PUT", "/v20190125/tag?resourceArn=mesh/m", true, Reach::All),
            (
                "PUT",
                "/v20190125/tag?resourceArn=arn:aws:appmesh:r:a:vpc/m",
                true,
                Reach::All,
            ),
            ("PUT", "/v20190125/tag", true, Reach::All),
            (
                "PUT",
                "/outrigger/v1/meshes/m/virtualNodes/n/endpoints",
                true,
                mesh("m"),
            ),
            ("GET", "/outrigger/v1/endpoints", false, Reach::Filtered),
            ("POST", "/outrigger/v1/endpoints", true, Reach::All),
            (
                "GET",
                "/outrigger/v1/changes?since=1",
                false,
                Reach::Filtered,
            ),
            ("PUT", "/outrigger/v1/changes", true, Reach::All),
            ("GET", "/outrigger/v1/resources", false, Reach::Filtered),
            ("GET", "/outrigger/v1/resources?mesh=m", false, mesh("m")),
            (
                "GET",
                "/outrigger/v1/resources?mesh=m&mesh=o",
                false,
                Reach::All,
            ),
            (
                "POST",
                "/outrigger.operator.v1.Operator/ListClients",
                false,
                Reach::Filtered,
            ),
            (
                "POST",
                "/outrigger.operator.v1.Operator/Restart",
                true,
                Reach::All,
            ),
            ("GET", "/v20190125//meshes/m", false, Reach::All),
            ("POST", "/new", true, Reach::All),
        ] {
            let expected = Access { writes, reach };
            assert_eq!(access(method, target, ""), expected, "{method} {target}");
        }
    }

    #[test]
    fn a_new_mesh_is_named_by_the_body_or_by_nobody() {
        let put = |body| access("PUT", "/v20190125/meshes", body).reach;
        assert_eq!(put(r#"{"meshName": "m", "spec": {}}"#), mesh("m"));
        assert_eq!(put(r#"{"meshName": "\u006d"}"#), mesh("m"));
        for body in [
            "",
            "{}",
            r#"{"meshName": 1}"#,
            r#"{"meshName": "m", "meshName": "o"}"#,
        ] {
            assert_eq!(put(body), Reach::All, "{body}");
        }
    }

    #[test]
    fn a_limited_key_gets_what_is_known_to_be_its_own() {
        let limited = Permissions {
            read_only: false,
            meshes: Some(vec!["m".to_owned()]),
        };
        let limited = Caller::new("limited", limited);
        let may = |method, target| access(method, target, "").is_allowed(&limited);
        assert!(may("PUT", "/v20190125/meshes/m") && may("GET", "/v20190125/meshes"));
        for target in [
            "/v20190125/meshes/o",
            "/v20190125/tag",
            "/v20190125/meshes",
            "/new",
        ] {
            assert!(!may("PUT", target), "{target}");
        }
        let reader = Permissions {
            read_only: true,
            meshes: None,
        };
        let reader = Caller::new("reader", reader);
        let may = |method, target| access(method, target, "").is_allowed(&reader);
        assert!(may("GET", "/v20190125/meshes/m") && may("GET", "/new"));
        assert!(may("POST", "/outrigger.operator.v1.Operator/GetConfig"));
        for method in ["PUT", "DELETE", "POST", "PATCH", "OPTIONS"] {
            assert!(!may(method, "/v20190125/meshes/m"), "{method}");
        }
    }
}
