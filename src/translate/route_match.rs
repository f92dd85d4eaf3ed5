//! What a request must look like for a route to take it, and which of several routes is asked first.
//!
//! Envoy takes the first route that matches. A router's routes are ordered by:
//! 1. `priority`, 0 first; routes without one come after those with one;
//! 2. the length of the path they ask for, longest first, be it exact, prefix or regular expression, as App Mesh did;
//! 3. exact before prefix before regular expression;
//! 4. the number of further conditions, most first;
//! 5. name.

use std::cmp::Reverse;

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::{
    GrpcRouteMatchOptions, PathSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::v3::Int64Range;

use crate::model::RouteName;
use crate::model::spec::{
    GrpcRouteMatch, HeaderMatch, HeaderMatchMethod, HttpMethod, HttpQueryParameter, HttpRouteMatch,
    HttpScheme, RouteSpec,
};

use super::{proto, regex};

/// A route's place among its router's, smallest first.
pub(crate) type Rank<'a> = (
    Reverse<bool>,
    u32,
    Reverse<usize>,
    u8,
    Reverse<usize>,
    &'a str,
);

/// See the head of this file.
pub(crate) fn rank<'a>(name: &'a RouteName, spec: &RouteSpec) -> Rank<'a> {
    let http = spec.http2_route.as_ref().or(spec.http_route.as_ref());
    let (length, form, conditions) = if let Some(route) = &spec.grpc_route {
        grpc_weight(&route.r#match)
    } else if let Some(route) = http {
        http_weight(&route.r#match)
    } else {
        (0, 0, 0)
    };
    (
        Reverse(spec.priority.is_some()),
        spec.priority.unwrap_or(0),
        Reverse(length),
        form,
        Reverse(conditions),
        name.as_str(),
    )
}

fn http_weight(matched: &HttpRouteMatch) -> (usize, u8, usize) {
    let (length, form) = match path_of(matched) {
        PathSpecifier::Path(path) => (path.len(), 0),
        PathSpecifier::Prefix(prefix) => (prefix.len(), 1),
        PathSpecifier::SafeRegex(pattern) => (pattern.regex.len(), 2),
        _ => (0, 3),
    };
    let conditions = matched.headers.as_deref().map_or(0, <[_]>::len)
        + matched.query_parameters.as_deref().map_or(0, <[_]>::len)
        + usize::from(matched.method.is_some())
        + usize::from(matched.scheme.is_some());
    (length, form, conditions)
}

fn grpc_weight(matched: &GrpcRouteMatch) -> (usize, u8, usize) {
    let (length, form) = match grpc_path(matched) {
        PathSpecifier::Path(path) => (path.len(), 0),
        PathSpecifier::Prefix(prefix) => (prefix.len(), 1),
        _ => (0, 3),
    };
    (
        length,
        form,
        matched.metadata.as_deref().map_or(0, <[_]>::len),
    )
}

/// The match of an HTTP route.
///
/// # Errors
/// What about it Envoy would refuse, and how to say it instead.
pub(crate) fn http(matched: &HttpRouteMatch) -> Result<RouteMatch, String> {
    let path = path_of(matched);
    match &path {
        PathSpecifier::SafeRegex(pattern) => check_regex(&pattern.regex)?,
        PathSpecifier::Prefix(text) | PathSpecifier::Path(text) if !text.starts_with('/') => {
            return Err(format!("matches the path `{text}`; begin it with `/`"));
        }
        _ => {}
    }
    let mut headers = header_matchers(matched.headers.as_deref())?;
    if let Some(method) = matched.method {
        headers.push(exact_header(":method", method_name(method)));
    }
    if let Some(scheme) = matched.scheme {
        let scheme = match scheme {
            HttpScheme::Http => "http",
            HttpScheme::Https => "https",
        };
        headers.push(exact_header(":scheme", scheme));
    }
    let parameters = matched.query_parameters.as_deref().unwrap_or_default();
    Ok(RouteMatch {
        path_specifier: Some(path),
        headers,
        query_parameters: parameters
            .iter()
            .map(query_parameter)
            .collect::<Result<_, _>>()?,
        ..Default::default()
    })
}

/// The match of a gRPC route: a POST of gRPC's content type to the method's path.
///
/// # Errors
/// As for [`http`].
pub(crate) fn grpc(matched: &GrpcRouteMatch) -> Result<RouteMatch, String> {
    if matched.method_name.is_some() && matched.service_name.is_none() {
        return Err("matches a `methodName` of no service; add `serviceName`".to_owned());
    }
    let mut headers = header_matchers(matched.metadata.as_deref())?;
    headers.push(exact_header(":method", "POST"));
    Ok(RouteMatch {
        path_specifier: Some(grpc_path(matched)),
        headers,
        grpc: Some(GrpcRouteMatchOptions {}),
        ..Default::default()
    })
}

/// Every request, whatever it asks for.
pub(crate) fn everything() -> RouteMatch {
    RouteMatch {
        path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
        ..Default::default()
    }
}

fn path_of(matched: &HttpRouteMatch) -> PathSpecifier {
    if let Some(path) = &matched.path {
        if let Some(exact) = &path.exact {
            return PathSpecifier::Path(exact.clone());
        }
        if let Some(pattern) = &path.regex {
            return PathSpecifier::SafeRegex(proto::regex(pattern));
        }
    }
    PathSpecifier::Prefix(matched.prefix.clone().unwrap_or_else(|| "/".to_owned()))
}

fn grpc_path(matched: &GrpcRouteMatch) -> PathSpecifier {
    match (&matched.service_name, &matched.method_name) {
        (Some(service), Some(method)) => PathSpecifier::Path(format!("/{service}/{method}")),
        (Some(service), None) => PathSpecifier::Prefix(format!("/{service}/")),
        (None, _) => PathSpecifier::Prefix("/".to_owned()),
    }
}

fn header_matchers(headers: Option<&[HeaderMatch]>) -> Result<Vec<HeaderMatcher>, String> {
    headers
        .unwrap_or_default()
        .iter()
        .map(header_matcher)
        .collect()
}

fn header_matcher(header: &HeaderMatch) -> Result<HeaderMatcher, String> {
    let name = &header.name;
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) {
        return Err(format!(
            "matches a header named `{name}`; use visible ASCII characters without spaces"
        ));
    }
    let text = |pattern| HeaderMatchSpecifier::StringMatch(proto::text(pattern));
    let specifier = match &header.r#match {
        None => HeaderMatchSpecifier::PresentMatch(true),
        Some(HeaderMatchMethod::Exact(value)) => text(MatchPattern::Exact(value.clone())),
        Some(HeaderMatchMethod::Prefix(value) | HeaderMatchMethod::Suffix(value))
            if value.is_empty() =>
        {
            return Err(format!(
                "matches header `{name}` by nothing; leave `match` out to ask for its presence"
            ));
        }
        Some(HeaderMatchMethod::Prefix(value)) => text(MatchPattern::Prefix(value.clone())),
        Some(HeaderMatchMethod::Suffix(value)) => text(MatchPattern::Suffix(value.clone())),
        Some(HeaderMatchMethod::Regex(pattern)) => {
            check_regex(pattern)?;
            text(MatchPattern::SafeRegex(proto::regex(pattern)))
        }
        Some(HeaderMatchMethod::Range(range)) => HeaderMatchSpecifier::RangeMatch(Int64Range {
            start: range.start.unwrap_or(0),
            end: range.end,
        }),
    };
    Ok(HeaderMatcher {
        name: name.clone(),
        invert_match: header.invert.unwrap_or(false),
        header_match_specifier: Some(specifier),
        ..Default::default()
    })
}

fn exact_header(name: &str, value: &str) -> HeaderMatcher {
    let pattern = MatchPattern::Exact(value.to_owned());
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(proto::text(pattern))),
        ..Default::default()
    }
}

fn query_parameter(parameter: &HttpQueryParameter) -> Result<QueryParameterMatcher, String> {
    if parameter.name.is_empty() {
        return Err("matches a query parameter without a name; name it".to_owned());
    }
    let exact = parameter
        .r#match
        .as_ref()
        .and_then(|matched| matched.exact.as_ref());
    let specifier = match exact {
        None => QueryParameterMatchSpecifier::PresentMatch(true),
        Some(value) => QueryParameterMatchSpecifier::StringMatch(proto::text(MatchPattern::Exact(
            value.clone(),
        ))),
    };
    Ok(QueryParameterMatcher {
        name: parameter.name.clone(),
        query_parameter_match_specifier: Some(specifier),
    })
}

fn check_regex(pattern: &str) -> Result<(), String> {
    regex::check(pattern).map_err(|fault| {
        format!(
            "matches by the regular expression `{pattern}`, which {fault}; write it as RE2 reads it"
        )
    })
}

fn method_name(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Connect => "CONNECT",
        HttpMethod::Options => "OPTIONS",
        HttpMethod::Trace => "TRACE",
        HttpMethod::Patch => "PATCH",
    }
}
