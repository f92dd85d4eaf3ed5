//! What happened shows in the text that Prometheus reads.

use prometheus::TextEncoder;

use super::*;

fn text(metrics: &Metrics) -> String {
    (TextEncoder::new().encode_to_string(&metrics.registry().gather())).unwrap()
}

#[track_caller]
fn check(metrics: &Metrics, lines: &[&str]) {
    let text = text(metrics);
    for line in lines {
        assert!(
            text.lines().any(|found| found == *line),
            "no `{line}` in:\n{text}"
        );
    }
}

#[test]
fn every_series_starts_at_zero() {
    check(
        &Metrics::new().unwrap(),
        &[
            "outrigger_xds_streams{variant=\"sotw\"} 0",
            "outrigger_xds_streams{variant=\"delta\"} 0",
            "outrigger_xds_pushes_total{type=\"ecds\"} 0",
            "outrigger_xds_nacks_total{type=\"lds\"} 0",
            "outrigger_xds_refused_streams_total{reason=\"not_ready\"} 0",
            "outrigger_connections{listener=\"xds-socket\"} 0",
            "outrigger_closed_connections_total{listener=\"api\",reason=\"silent\"} 0",
            "outrigger_mesh_reloads_total{result=\"failed\"} 0",
            "outrigger_mesh_reload_failed 0",
            "outrigger_mesh_problems{severity=\"error\"} 0",
            "outrigger_model_resources{kind=\"VirtualGateway\"} 0",
            "outrigger_xds_change_to_ack_seconds_count 0",
            concat!(
                "outrigger_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ],
    );
}

#[test]
fn events_of_a_stream_are_counted_by_type() {
    let metrics = Metrics::new().unwrap();
    let sent = |resources| Event::Sent {
        kind: Kind::Cluster,
        resources,
        removed: 1,
    };
    metrics.observe(&sent(3));
    metrics.observe(&sent(4));
    metrics.observe(&Event::Acked {
        kind: Kind::Cluster,
        after: Duration::from_millis(3),
    });
    metrics.observe(&Event::Rejected {
        kind: Kind::Listener,
        nonce: "7".to_owned(),
        message: "address in use".to_owned(),
        resources: Vec::new(),
    });
    check(
        &metrics,
        &[
            "outrigger_xds_pushes_total{type=\"cds\"} 2",
            "outrigger_xds_push_resources_total{type=\"cds\"} 7",
            "outrigger_xds_pushes_total{type=\"lds\"} 0",
            "outrigger_xds_ack_seconds_bucket{type=\"cds\",le=\"0.0025\"} 0",
            "outrigger_xds_ack_seconds_bucket{type=\"cds\",le=\"0.005\"} 1",
            "outrigger_xds_nacks_total{type=\"lds\"} 1",
            "outrigger_xds_nacks_total{type=\"cds\"} 0",
        ],
    );
}

#[test]
fn a_stream_counts_as_long_as_it_is_open() {
    let metrics = Metrics::new().unwrap();
    let stream = metrics.stream_opened(Variant::Delta);
    check(&metrics, &["outrigger_xds_streams{variant=\"delta\"} 1"]);
    drop(stream);
    metrics.stream_refused(Refusal::UnknownNode);
    check(
        &metrics,
        &[
            "outrigger_xds_streams{variant=\"delta\"} 0",
            "outrigger_xds_refused_streams_total{reason=\"unknown_node\"} 1",
        ],
    );
}

#[test]
fn a_failed_reload_shows_until_one_succeeds() {
    let metrics = Metrics::new().unwrap();
    metrics.mesh_reloaded(Reload::Failed);
    metrics.set_mesh_problems(2, 1);
    check(
        &metrics,
        &[
            "outrigger_mesh_reload_failed 1",
            "outrigger_mesh_problems{severity=\"error\"} 2",
            "outrigger_mesh_problems{severity=\"warning\"} 1",
        ],
    );
    metrics.mesh_reloaded(Reload::Applied);
    metrics.set_mesh_problems(0, 1);
    check(
        &metrics,
        &[
            "outrigger_mesh_reload_failed 0",
            "outrigger_mesh_reloads_total{result=\"failed\"} 1",
            "outrigger_mesh_reloads_total{result=\"applied\"} 1",
            "outrigger_mesh_problems{severity=\"error\"} 0",
        ],
    );
}

#[test]
fn times_and_counts_reach_their_series() {
    let metrics = Metrics::new().unwrap();
    metrics.change_sent(Duration::from_millis(1500));
    metrics.change_acked(Duration::from_mins(1));
    metrics.set_resources(Kind::Endpoint, 12);
    metrics.set_model_resources(ResourceKind::Route, 5);
    check(
        &metrics,
        &[
            "outrigger_xds_change_to_send_seconds_bucket{le=\"1\"} 0",
            "outrigger_xds_change_to_send_seconds_bucket{le=\"2.5\"} 1",
            "outrigger_xds_change_to_ack_seconds_bucket{le=\"30\"} 0",
            "outrigger_xds_change_to_ack_seconds_bucket{le=\"+Inf\"} 1",
            "outrigger_resources{type=\"eds\"} 12",
            "outrigger_model_resources{kind=\"Route\"} 5",
        ],
    );
}
