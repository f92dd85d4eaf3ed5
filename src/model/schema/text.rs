//! The forms that texts must have: what the API's patterns and its server refuse.

use crate::model::names::{check_name, check_service_name};
use crate::model::tags;

/// What a text must look like, beyond its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Any,
    /// Of a resource other than a virtual service.
    Name,
    /// Of a virtual service: what applications dial.
    ServiceName,
    HostName,
    /// The end of a host name, such as `.example.com`.
    HostNameSuffix,
    PathPrefix,
    /// A path prefix outside those that App Mesh reserves.
    GatewayPathPrefix,
    /// A gRPC service outside those that App Mesh reserves.
    GatewayGrpcService,
    PrefixRewrite,
    /// Of an HTTP header or of gRPC metadata: `^[!-9;-~]+$`, so no pseudo headers.
    HeaderName,
    /// Any text; only some of them do something.
    HttpRetryEvent,
    /// Of a Cloud Map instance: `^[a-zA-Z0-9!-~]+$`.
    AttributeKey,
    /// `^([a-zA-Z0-9!-~][ \ta-zA-Z0-9!-~]*)?[a-zA-Z0-9!-~]?$`.
    AttributeValue,
    TagKey,
    TagValue,
    /// What makes a repeated call the same one.
    ClientToken,
}

pub(super) const HTTP_RETRY_EVENTS: [&str; 4] = [
    "server-error",
    "gateway-error",
    "client-error",
    "stream-error",
];

impl Form {
    /// Whether a text has the form; otherwise what it must look like.
    pub(super) fn check(self, text: &str) -> Result<(), &'static str> {
        let (holds, wanted) = match self {
            Self::Any | Self::HttpRetryEvent => (true, ""),
            Self::Name => return check_name(text),
            Self::ServiceName => return check_service_name(text),
            Self::TagKey => return tags::check_key(text),
            Self::TagValue => return tags::check_value(text),
            Self::ClientToken => (
                text.chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'),
                "use letters, digits, hyphens and underscores only",
            ),
            Self::HostName => (
                is_host_name(text),
                "use a host name such as `service-a.local`",
            ),
            Self::HostNameSuffix => (
                is_host_name(text.trim_start_matches(['*', '.'])),
                "use the end of a host name, such as `.example.com`",
            ),
            Self::PathPrefix => (text.starts_with('/'), "start it with `/`"),
            Self::GatewayPathPrefix => (
                text.starts_with('/')
                    && !["/aws-appmesh", "/aws-app-mesh"]
                        .iter()
                        .any(|reserved| text.starts_with(reserved)),
                "start it with `/`, but not with `/aws-appmesh` or `/aws-app-mesh`, which App Mesh reserves",
            ),
            Self::GatewayGrpcService => (
                !["aws.app-mesh", "aws.appmesh"]
                    .iter()
                    .any(|reserved| text.trim_start_matches('/').starts_with(reserved)),
                "use a service other than `aws.app-mesh` and `aws.appmesh`, which App Mesh reserves",
            ),
            Self::PrefixRewrite => (
                text.starts_with('/') && text.ends_with('/'),
                "start and end it with `/`",
            ),
            Self::HeaderName => (
                text.chars().all(|c| c.is_ascii_graphic() && c != ':'),
                "use a header's name, without blanks and colons; pseudo headers such as `:path` have matches of their own",
            ),
            Self::AttributeKey => (
                text.chars().all(|c| c.is_ascii_graphic()),
                "use printable ASCII without blanks",
            ),
            Self::AttributeValue => (
                text.chars()
                    .all(|c| c.is_ascii_graphic() || c == ' ' || c == '\t')
                    && !text.starts_with([' ', '\t']),
                "use printable ASCII that does not start with a blank",
            ),
        };
        if holds { Ok(()) } else { Err(wanted) }
    }

    /// A text of this form, for documents that hold every member.
    #[cfg(test)]
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::PathPrefix | Self::GatewayPathPrefix | Self::PrefixRewrite => "/a/",
            Self::HttpRetryEvent => "server-error",
            Self::HostName => "a.local",
            Self::HostNameSuffix => ".local",
            _ => "abc",
        }
    }
}

/// Whether a text is a DNS name: labels of at most 63 letters, digits, hyphens and underscores (SRV names have them).
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}
