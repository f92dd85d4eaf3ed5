//! The socket's folder, mounted.

use super::check::*;
use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a list, one case after another")]
fn the_sockets_folder_is_one_volume_and_one_mount() {
    let volumes = |volume: &str| format!("  volumes:\n  - name: {volume}\n");
    let mounts = |volume: &str, path: &str| {
        format!("    volumeMounts:\n    - name: {volume}\n      mountPath: {path}\n")
    };
    let host = "outrigger-xds\n    hostPath:\n      path: /run/outrigger\n      type: Directory";
    let ours = pod(
        &[],
        &(mounts("outrigger-xds", "/run/outrigger") + &volumes(host)),
    );
    let foreign = pod(&[], &volumes("outrigger-xds\n    emptyDir: {}"));
    let taken = pod(
        &[],
        &(mounts("x", "/run/outrigger") + &volumes("x\n    emptyDir: {}")),
    );
    let named = pod(
        &[],
        &volumes("sockets\n    hostPath: { path: /run/outrigger }"),
    );
    let efs = ", \"volumes\": [{\"name\": \"x\", \"efsVolumeConfiguration\": {}}]";
    let efs = task(
        ", \"mountPoints\": [{\"sourceVolume\": \"x\", \"containerPath\": \"/run/outrigger\"}]",
        efs,
    );
    let moved = |text: &str, target: &Target| sidecar(text, target).unwrap().text;
    let injected = moved(MANIFEST, &socket());
    check(&[
        (
            ours,
            other_socket(),
            &["mountPath: /run/other", "path: /run/other\n"],
            &["/run/outrigger"],
        ),
        (
            foreign,
            socket(),
            &[
                "- name: outrigger-xds-2\n        mountPath: /run/outrigger\n",
                "  - name: outrigger-xds-2\n    hostPath:",
            ],
            &[],
        ),
        (
            taken,
            socket(),
            &["error:", "`envoy` has the volume `x` at `/run/outrigger`"],
            &[],
        ),
        (
            named,
            socket(),
            &["name: sockets\n        mountPath: /run/outrigger\n"],
            &["outrigger-xds"],
        ),
        (
            efs,
            socket(),
            &["error:", "`envoy` has the volume `x` at `/run/outrigger`"],
            &[],
        ),
        (
            moved(TASK, &socket()),
            other_socket(),
            &[
                "\"sourcePath\": \"/run/other\"",
                "\"containerPath\": \"/run/other\"",
            ],
            &["/run/outrigger"],
        ),
        (
            injected,
            other_socket(),
            &[
                "volumeMounts: outrigger-xds:/run/other\n",
                "path: /run/other\n",
            ],
            &["/run/outrigger"],
        ),
        (
            run("-v /run/outrigger:/run/outrigger2"),
            socket(),
            &["-v /run/outrigger:/run/outrigger:ro"],
            &[],
        ),
        (
            run("--mount type=bind,source=/run/outrigger,target=/run/outrigger"),
            socket(),
            &[],
            &["-v "],
        ),
        (
            run("-v /run/outrigger:/run/outrigger:z"),
            socket(),
            &[],
            &["outrigger:ro"],
        ),
        (
            run("-v cache:/run/outrigger"),
            socket(),
            &["error:", "has the volume `cache` at `/run/outrigger`"],
            &[],
        ),
    ]);
}

#[test]
fn the_socket_is_in_a_folder_of_its_own() {
    let at = |path: &str| target(&format!("unix://{path}"));
    let folder: &[&str] = &["error:", "put the socket in a folder of its own"];
    let path: &[&str] = &["error:", "name its plain path"];
    check(&[
        (run(""), at("/run/outrigger/../xds.sock"), path, &[]),
        (run(""), at("/run/a:b/x.sock"), path, &[]),
        (run(""), at("/usr/bin/x.sock"), folder, &[]),
        (run(""), at("/usr/x/x.sock"), folder, &[]),
        (run(""), at("/etc/ssl/x.sock"), folder, &[]),
        (run(""), at("/var/run/x.sock"), folder, &[]),
        (run(""), at("/dev/shm/x.sock"), folder, &[]),
        (run(""), at("/run/x.sock"), folder, &[]),
        (
            run(""),
            at("/run/outrigger/./xds.sock"),
            &["-v /run/outrigger:/run/outrigger:ro"],
            &[],
        ),
        (
            run(""),
            at("/var/run/outrigger/xds.sock"),
            &["-v /var/run/outrigger:/var/run/outrigger:ro"],
            &[],
        ),
        (task("", ""), socket(), &["\"readOnly\": true"], &[]),
        (pod(&[], ""), socket(), &["readOnly: true\n"], &[]),
    ]);
}
