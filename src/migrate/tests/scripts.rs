//! Lines of `docker run`, and what is none.

use super::check::*;
use super::*;

#[test]
fn an_expansion_is_not_taken_for_the_image() {
    let written_out: &[&str] = &["error:", "write it out"];
    check(&[
        (run("\"${ARGS[@]}\""), upstream(address()), written_out, &[]),
        (
            format!("docker run $OPTS -e APPMESH_RESOURCE_ARN={NODE} aws-appmesh-envoy:v1\n"),
            socket(),
            &["error:", "`$OPTS` (line 1)", "write it out"],
            &[],
        ),
        (
            format!("docker run -e APPMESH_RESOURCE_ARN={NODE} $IMAGE\n"),
            socket(),
            written_out,
            &[],
        ),
        (
            "docker run $OPTS $IMAGE\n".to_owned(),
            socket(),
            written_out,
            &[],
        ),
        (
            format!("docker run $OPTS $IMAGE\n{}", run("")),
            socket(),
            &["-v /run/outrigger"],
            &["error:"],
        ),
        (
            format!(
                "docker run -e APPMESH_RESOURCE_ARN={NODE} \"$REGISTRY/aws-appmesh-envoy:$TAG\"\n"
            ),
            socket(),
            &["-v /run/outrigger:/run/outrigger:ro \"$REGISTRY"],
            &["error:"],
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list, one case after another")]
fn commands_are_found_where_a_shell_would_find_them() {
    let image = format!("-e APPMESH_RESOURCE_ARN={NODE} aws-appmesh-envoy:v1");
    let moved: &[&str] = &["-v /run/outrigger:/run/outrigger:ro aws-appmesh-envoy:v1"];
    check(&[
        (
            format!("CID=$(docker run -d {image})\n"),
            socket(),
            moved,
            &[],
        ),
        (
            format!("CID=\"$(sudo docker run -d {image} | head -1)\"\n"),
            socket(),
            moved,
            &[],
        ),
        (format!("(docker run -d {image})\n"), socket(), moved, &[]),
        (
            format!("podman run --replace --name envoy {image}\n"),
            socket(),
            moved,
            &[],
        ),
        (
            format!("docker -D --context x container run -d {image}\n"),
            socket(),
            moved,
            &[],
        ),
        (
            format!("sudo -u docker docker run -d {image}\n"),
            socket(),
            moved,
            &[],
        ),
        (
            format!(
                "docker run -d --name envoy -e APPMESH_RESOURCE_ARN={NODE} -- aws-appmesh-envoy:v1\n"
            ),
            socket(),
            &["-v /run/outrigger:/run/outrigger:ro -- aws-appmesh-envoy:v1"],
            &[],
        ),
        (
            format!("docker network create aws-appmesh-envoy-net\ndocker run -d {image}\n"),
            socket(),
            moved,
            &[],
        ),
        (
            format!("docker compose run {image}\n"),
            socket(),
            &["error:"],
            &[],
        ),
        (
            format!("docker service create {image}\n"),
            socket(),
            &["error:"],
            &[],
        ),
        (
            format!(
                "[Unit]\nDescription=Envoy's sidecar\n[Service]\nExecStart=/usr/bin/docker run {image}\n"
            ),
            socket(),
            &[
                "error: line 2: a quote begins here and does not end",
                "a file of its own",
            ],
            &[],
        ),
        (
            format!("cat <<EOF\nit's\nEOF\ndocker run {image}\n"),
            socket(),
            &["error: line 2: a quote begins here and does not end"],
            &[],
        ),
        (
            run("-e APPMESH_XDS_ENDPOINT=a -e APPMESH_XDS_ENDPOINT=b"),
            socket(),
            &["=a -e APPMESH_XDS_ENDPOINT=unix:"],
            &["=b"],
        ),
        (
            run(""),
            socket(),
            &["note: `docker run` (line 1): in the network namespace that `aws-appmesh-envoy:v1`"],
            &["`docker run` of"],
        ),
    ]);
    let twice = pod(
        &[("APPMESH_XDS_ENDPOINT", "a"), ("APPMESH_XDS_ENDPOINT", "b")],
        "",
    );
    check(&[(
        twice,
        socket(),
        &["value: \"a\"", "value: unix:"],
        &["\"b\""],
    )]);
}
