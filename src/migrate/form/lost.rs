//! What App Mesh's agent would have read of a sidecar's variables, and nothing reads any more.

use super::super::declared::{CONFIG_FILE, Sidecar, XDS_ENDPOINT, is_ours};
use super::{ACCESS_PORT, CLUSTERS, admin_port};

/// Variables by which App Mesh's agent adds to the bootstrap that it writes, and what goes without it.
const LOST: [(&str, &str); 18] = [
    ("ENABLE_ENVOY_XRAY_TRACING", "X-Ray tracing"),
    ("ENABLE_ENVOY_DATADOG_TRACING", "Datadog tracing"),
    ("ENABLE_ENVOY_JAEGER_TRACING", "Jaeger tracing"),
    ("ENVOY_TRACING_CFG_FILE", "the tracing that it configures"),
    (
        "APPMESH_SET_TRACING_DECISION",
        "the decision in request ids",
    ),
    ("ENABLE_ENVOY_DOG_STATSD", "DogStatsD"),
    ("ENVOY_STATS_SINKS_CFG_FILE", "the statistics' sinks"),
    ("ENVOY_STATS_CONFIG_FILE", "the statistics' settings"),
    ("ENVOY_STATS_FLUSH_INTERVAL", "the interval"),
    ("ENVOY_RESOURCES_CONFIG_FILE", "the resources in it"),
    (
        "APPMESH_METRIC_EXTENSION_VERSION",
        "App Mesh's metrics extension",
    ),
    ("APPMESH_SDS_SOCKET_PATH", "certificates from that socket"),
    (
        "ENVOY_OUTLIER_DETECTION_EVENT_LOG_PATH",
        "the log of ejected hosts",
    ),
    (
        "ENVOY_ADMIN_ACCESS_LOG_FILE",
        "the admin interface's access log",
    ),
    (
        "ENVOY_ADMIN_ACCESS_ENABLE_IPV6",
        "the admin interface's IPv6 address",
    ),
    (
        "ENVOY_INITIAL_FETCH_TIMEOUT",
        "the time to wait at the start",
    ),
    ("MAX_REQUESTS_PER_IO_CYCLE", "the limit on requests"),
    (
        "ENVOY_ENABLE_TCP_POOL_IDLE_TIMEOUT",
        "the idle timeout of TCP connections",
    ),
];

/// What takes its value from the variables when it is moved: the bootstrap, and Envoy's command.
const OF_BOOTSTRAP: [&str; 3] = [CLUSTERS[0], CLUSTERS[1], ACCESS_PORT];
pub(super) const OF_COMMAND: [&str; 3] = [
    "ENVOY_LOG_LEVEL",
    "ENVOY_CONCURRENCY",
    "LISTENER_DRAIN_WAIT_TIME_S",
];

/// What the bootstrap that App Mesh's agent wrote had, and Outrigger's has not.
pub(in crate::migrate) fn lost(sidecar: &Sidecar<'_>) -> Vec<String> {
    let variables = sidecar.variables;
    // As the agent reads a word for false.
    let is_off = |value: &str| matches!(value, "0" | "f" | "F" | "false" | "False" | "FALSE");
    let is_on = |name: &str| variables.get(name).is_some_and(|value| !is_off(value));
    let is_set = |name: &str| variables.is_hidden(name) || is_on(name);
    let lost = LOST.into_iter().filter(|(name, _)| is_set(name));
    let lost = lost.map(|(name, what)| {
        sidecar.note(&format!(
            "sets `{name}`, which nothing reads any more: {what} has to be added to the bootstrap by hand"
        ))
    });
    let mut notes: Vec<String> = lost.collect();
    notes.extend(hidden(sidecar, &OF_BOOTSTRAP));
    if variables.has(CONFIG_FILE) && !variables.get(CONFIG_FILE).is_some_and(is_ours) {
        notes.push(sidecar.note(&format!(
            "sets `{CONFIG_FILE}`, which nothing reads any more: what is in that file has to be added to the bootstrap by hand"
        )));
    }
    if let Some(endpoint) = variables.get(XDS_ENDPOINT)
        && endpoint.starts_with("unix:")
    {
        notes.push(format!(
            "{}: `{XDS_ENDPOINT}` is left of an earlier move and has no effect; it can go, and so can the volume of its socket's \
             folder if `--xds-socket` is not used any more",
            sidecar.place
        ));
    }
    notes.push(sidecar.note(&format!(
        "has Envoy's admin interface on 127.0.0.1:{} alone, where App Mesh's was on every address: neither Prometheus nor a \
         probe over the network reaches it",
        admin_port(variables)
    )));
    notes
}

/// What cannot be taken over, since its value stands elsewhere.
pub(super) fn hidden(sidecar: &Sidecar<'_>, names: &[&str]) -> Vec<String> {
    let names = names.iter();
    let hidden = names.filter(|name| sidecar.variables.is_hidden(name));
    hidden
        .map(|name| {
            sidecar.note(&format!(
                "sets `{name}`, whose value does not stand in this file, so that the default is used; write the value out and \
                 move the file again"
            ))
        })
        .collect()
}
