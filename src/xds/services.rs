//! Which streams there are: the aggregated service opens one for all types, the service of a type one for that type.

use tonic::Status;

use crate::clients::Variant;
use crate::snapshot::Kind;

/// Services, what their methods are about, and the one type that they serve.
const SERVICES: [(&str, &str, Option<Kind>); 7] = [
    (
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "AggregatedResources",
        None,
    ),
    (
        "envoy.service.cluster.v3.ClusterDiscoveryService",
        "Clusters",
        Some(Kind::Cluster),
    ),
    (
        "envoy.service.endpoint.v3.EndpointDiscoveryService",
        "Endpoints",
        Some(Kind::Endpoint),
    ),
    (
        "envoy.service.secret.v3.SecretDiscoveryService",
        "Secrets",
        Some(Kind::Secret),
    ),
    (
        "envoy.service.listener.v3.ListenerDiscoveryService",
        "Listeners",
        Some(Kind::Listener),
    ),
    (
        "envoy.service.route.v3.RouteDiscoveryService",
        "Routes",
        Some(Kind::Route),
    ),
    (
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        "ExtensionConfigs",
        Some(Kind::Extension),
    ),
];

/// What a call opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) variant: Variant,
    /// The type that alone is served, if not all are.
    pub(super) only: Option<Kind>,
}

/// Reads the path of a call.
///
/// # Errors
/// `UNIMPLEMENTED`, with what to call instead.
pub(super) fn opening(path: &str) -> Result<Opening, Status> {
    let (service, method) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((path, ""));
    let known = SERVICES.iter().find(|(name, ..)| *name == service);
    let Some((_, resources, only)) = known else {
        return Err(Status::unimplemented(format!(
            "`{service}` is not served here; xDS, of version 3, and the client status service are"
        )));
    };
    let variant = match method.strip_suffix(resources) {
        Some("Stream") => Variant::Sotw,
        Some("Delta") => Variant::Delta,
        _ => {
            return Err(Status::unimplemented(format!(
                "`{service}` has no `{method}` here; open a stream with `Stream{resources}` or `Delta{resources}`"
            )));
        }
    };
    Ok(Opening {
        variant,
        only: *only,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_which_variant_of_which_types_it_opens() {
        let opens = |path: &str| {
            let opening = opening(path).map_err(|status| status.message().to_owned());
            opening.map(|opening| (opening.variant, opening.only))
        };
        let ads = "/envoy.service.discovery.v3.AggregatedDiscoveryService";
        let routes = "/envoy.service.route.v3.RouteDiscoveryService";
        for (path, expected) in [
            (
                format!("{ads}/StreamAggregatedResources"),
                (Variant::Sotw, None),
            ),
            (
                format!("{ads}/DeltaAggregatedResources"),
                (Variant::Delta, None),
            ),
            (
                format!("{routes}/StreamRoutes"),
                (Variant::Sotw, Some(Kind::Route)),
            ),
            (
                format!("{routes}/DeltaRoutes"),
                (Variant::Delta, Some(Kind::Route)),
            ),
        ] {
            assert_eq!(opens(&path), Ok(expected), "{path}");
        }
        for (path, said) in [
            (
                format!("{routes}/FetchRoutes"),
                "`StreamRoutes` or `DeltaRoutes`",
            ),
            (
                format!("{routes}/StreamClusters"),
                "no `StreamClusters` here",
            ),
            (
                format!("{routes}/StreamRoutes/x"),
                "no `StreamRoutes/x` here",
            ),
            (
                "/envoy.api.v2.RouteDiscoveryService/StreamRoutes".to_owned(),
                "not served here",
            ),
            ("/".to_owned(), "not served here"),
        ] {
            let text = opens(&path).unwrap_err();
            assert!(text.contains(said), "{path}: {text}");
        }
    }
}
