//! What becomes of a sidecar in each form.

use super::check::*;
use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a list, one case after another")]
fn what_was_moved_before_is_told_from_what_is_the_users_own() {
    let moved = |text: &str, target: &Target| sidecar(text, target).unwrap().text;
    let injected = moved(MANIFEST, &of_node(address()));
    let command = "    command: [/usr/local/bin/envoy, -c, /x]\n";
    check(&[
        (
            moved(TASK, &address()),
            socket(),
            &["was moved before"],
            &[],
        ),
        (moved(POD, &address()), socket(), &["was moved before"], &[]),
        (moved(RUN, &address()), socket(), &["was moved before"], &[]),
        (injected, socket(), &["was moved before"], &[]),
        (
            moved(TASK, &upstream(socket())),
            socket(),
            &["was moved before"],
            &[],
        ),
        (
            moved(POD, &upstream(address())),
            address(),
            &["was moved before"],
            &[],
        ),
        (
            moved(&moved(RUN, &address()), &upstream(address())),
            address(),
            &["was moved before"],
            &[],
        ),
        (
            moved(TASK, &socket()),
            address(),
            &["`APPMESH_XDS_ENDPOINT` is left of an earlier move"],
            &[],
        ),
        (
            pod(&[], command),
            socket(),
            &[
                "note: Pod `p` (line 1): `envoy` has a command of its own",
                "/usr/bin/agent",
            ],
            &[],
        ),
        (
            pod(
                &[],
                "    command: [sh, -c, /init.sh && exec /usr/bin/agent]\n",
            ),
            upstream(socket()),
            &["`sh -c '/init.sh && exec /usr/bin/agent'` is gone"],
            &[],
        ),
        (
            pod(&[], command),
            address(),
            &["error:", "a command of its own"],
            &[],
        ),
        (
            format!(
                "{HEAD}{NAMED}    - name: ENVOY_CONFIG_FILE\n      valueFrom: {{ fieldRef: {{}} }}\n"
            ),
            socket(),
            &["error:", "starts Envoy with a file of its own"],
            &[],
        ),
    ]);
}

#[test]
fn values_for_envoy_follow_the_agents_rules() {
    let upstream = || upstream(address());
    let concurrency = |value| pod(&[("ENVOY_CONCURRENCY", value)], "");
    let level = |value| pod(&[("ENVOY_LOG_LEVEL", value)], "");
    let drain = |value| pod(&[("LISTENER_DRAIN_WAIT_TIME_S", value)], "");
    let twenty: &[&str] = &["- --drain-time-s\n      - \"20\"\n"];
    check(&[
        (
            level("INFO"),
            upstream(),
            &["- --log-level\n      - info\n"],
            &[],
        ),
        (
            level("warn"),
            upstream(),
            &["- --log-level\n      - warn\n"],
            &[],
        ),
        (level("loud"), upstream(), &[], &["--log-level"]),
        (level(""), upstream(), &[], &["--log-level"]),
        (
            concurrency("2"),
            upstream(),
            &["- --concurrency\n      - \"2\"\n"],
            &[],
        ),
        (concurrency("0"), upstream(), &[], &["--concurrency"]),
        (concurrency("-1"), upstream(), &[], &["--concurrency"]),
        (concurrency("two"), upstream(), &[], &["--concurrency"]),
        (
            drain("5"),
            upstream(),
            &["- --drain-time-s\n      - \"5\"\n"],
            &[],
        ),
        (
            drain("110"),
            upstream(),
            &["- --drain-time-s\n      - \"110\"\n"],
            &[],
        ),
        (drain("111"), upstream(), twenty, &[]),
        (drain("4"), upstream(), twenty, &[]),
        (drain("20s"), upstream(), twenty, &["20s\n"]),
        (
            run("-e ENVOY_LOG_LEVEL=$LVL -e ENVOY_CONCURRENCY"),
            upstream(),
            &[
                "`ENVOY_LOG_LEVEL`, whose value does not stand",
                "`ENVOY_CONCURRENCY`, whose",
            ],
            &["--log-level"],
        ),
        (
            run("-e ENVOY_LOG_LEVEL=$LVL -e APPMESH_RESOURCE_CLUSTER=$C"),
            address(),
            &["`APPMESH_RESOURCE_CLUSTER`, whose value does not stand"],
            &["`ENVOY_LOG_LEVEL`, whose"],
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list, one case after another")]
fn what_nothing_reads_any_more_is_named() {
    let lost = |name: &'static str, value| pod(&[(name, value)], "");
    check(&[
        (
            lost("ENVOY_OUTLIER_DETECTION_EVENT_LOG_PATH", "/x"),
            address(),
            &["`ENVOY_OUTLIER_DETECTION_EVENT_LOG_PATH`"],
            &[],
        ),
        (
            lost("ENVOY_ADMIN_ACCESS_LOG_FILE", "/x"),
            address(),
            &["sets `ENVOY_ADMIN_ACCESS_LOG_FILE`"],
            &[],
        ),
        (
            lost("ENVOY_ADMIN_ACCESS_ENABLE_IPV6", "T"),
            address(),
            &["sets `ENVOY_ADMIN_ACCESS_ENABLE_IPV6`"],
            &[],
        ),
        (
            lost("ENVOY_INITIAL_FETCH_TIMEOUT", "9"),
            address(),
            &["sets `ENVOY_INITIAL_FETCH_TIMEOUT`"],
            &[],
        ),
        (
            lost("MAX_REQUESTS_PER_IO_CYCLE", "1"),
            address(),
            &["sets `MAX_REQUESTS_PER_IO_CYCLE`"],
            &[],
        ),
        (
            lost("ENVOY_ENABLE_TCP_POOL_IDLE_TIMEOUT", "1"),
            address(),
            &["sets `ENVOY_ENABLE_TCP_POOL_IDLE_TIMEOUT`"],
            &[],
        ),
        (
            lost("APPMESH_SET_TRACING_DECISION", "true"),
            address(),
            &["sets `APPMESH_SET_TRACING_DECISION`"],
            &[],
        ),
        (
            lost("ENABLE_ENVOY_XRAY_TRACING", "False"),
            address(),
            &[],
            &["sets `ENABLE_ENVOY_XRAY_TRACING`"],
        ),
        (
            lost("ENABLE_ENVOY_XRAY_TRACING", "F"),
            address(),
            &[],
            &["sets `ENABLE_ENVOY_XRAY_TRACING`"],
        ),
        (
            lost("ENABLE_ENVOY_XRAY_TRACING", "1"),
            socket(),
            &[],
            &["sets `ENABLE_ENVOY_XRAY_TRACING`"],
        ),
        (
            pod(
                &[
                    ("APPNET_AGENT_ADMIN_MODE", "uds"),
                    ("APPNET_ENVOY_LOG_NAME", "x"),
                ],
                "",
            ),
            upstream(address()),
            &["`APPNET_AGENT_ADMIN_MODE`, `APPNET_ENVOY_LOG_NAME`"],
            &[],
        ),
        (
            pod(&[("APPNET_ENVOY_LOG_NAME", "x")], ""),
            address(),
            &[],
            &["`APPNET_ENVOY_LOG_NAME`"],
        ),
    ]);
}

#[test]
fn who_can_no_longer_reach_the_admin_interface_is_said() {
    let probe = "    readinessProbe:\n      httpGet: { path: /ready, port: 9901 }\n";
    let named = "    ports:\n    - { name: admin, containerPort: 9901 }\n    livenessProbe:\n      httpGet: { path: /ready, port: admin }\n";
    let admin: &[&str] = &["admin interface on 127.0.0.1:9901 alone"];
    check(&[
        (pod(&[], ""), address(), admin, &["`readinessProbe`"]),
        (run(""), upstream(socket()), admin, &[]),
        (run(""), socket(), &[], admin),
        (
            pod(&[], probe),
            address(),
            &["its `readinessProbe` asks there over the network and will fail"],
            &[],
        ),
        (
            pod(&[], named),
            upstream(socket()),
            &["its `livenessProbe` asks there"],
            &[],
        ),
        (pod(&[], probe), socket(), &[], &["`readinessProbe` asks"]),
    ]);
}

#[test]
fn upstreams_image_runs_as_the_user_that_is_not_redirected() {
    let init = |name: &str| {
        format!(
            "  initContainers:\n  - name: proxyinit\n    env:\n    - name: {name}\n      value: \"1400\"\n    - name: APPMESH_APP_PORTS\n      value: \"80\"\n"
        )
    };
    let proxy = |properties: &str| {
        task(
            "",
            &format!(
                ", \"proxyConfiguration\": {{\"type\": \"APPMESH\", \"containerName\": \"envoy\", \"properties\": [{properties}]}}"
            ),
        )
    };
    let gid = "{\"name\": \"IgnoredGID\", \"value\": \"1500\"}";
    let uid = "{\"name\": \"IgnoredUID\", \"value\": \"1400\"}";
    let upstream = || upstream(socket());
    check(&[
        (
            pod(&[], &init("APPMESH_IGNORE_UID")),
            upstream(),
            &["runAsUser: 1400\n"],
            &["1337\n"],
        ),
        (
            pod(&[], &init("APPMESH_IGNORE_GID")),
            upstream(),
            &["runAsUser: 1337\n      runAsGroup: 1400\n"],
            &[],
        ),
        (
            pod(&[], ""),
            upstream(),
            &["runAsUser: 1337\n"],
            &["runAsGroup"],
        ),
        (proxy(uid), upstream(), &["\"user\": \"1400\""], &[]),
        (proxy(gid), upstream(), &["\"user\": \"1337:1500\""], &[]),
        (
            proxy(&format!("{uid}, {gid}")),
            upstream(),
            &["\"user\": \"1400:1500\""],
            &[],
        ),
        (task("", ""), upstream(), &["\"user\": \"1337\""], &[]),
    ]);
}
