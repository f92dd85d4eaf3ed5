//! `docs/mirroring.md`, followed command by command: `source` and `standby` are addresses of one host, and what the document
//! leaves running runs in the background.

use std::path::Path;

use crate::continuity::a_calls_b;
use crate::shell::{Shell, mount, sections};
use crate::sidecar_image::alone_in_a_network;

/// What the document takes for granted.
const AROUND: &str = r#"
begin() { "${@:2}" >"$1.log" 2>&1 & echo $! >"$1.pid"; }
end() { kill "$(<"$1.pid")"; while [ -d "/proc/$(<"$1.pid")" ]; do sleep 0.05; done; }
until_said() { for _ in {1..300}; do if "${@:2}" 2>&1 | grep --quiet "$1"; then return; fi; sleep 0.1; done; "${@:2}"; false; }
well() { until_said '^ok\|ready' outrigger health "http://$1:9081/readyz"; }
begin_standby() {
  begin standby outrigger serve --data-dir standby --api-addr 127.0.0.2:9080 --admin-addr 127.0.0.2:9081 \
    --xds-addr 127.0.0.2:18000
  well 127.0.0.2
}
begin_source() { begin source outrigger serve --data-dir /var/lib/outrigger "$@"; well 127.0.0.1; }
hostname_at() { outrigger get vn serviceANode --mesh appMesh -o yaml --api-url "$1" | grep hostname; }
"#;

fn own_files(folder: &Path) {
    let hosts = folder.join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost source\n127.0.0.2 standby\n").unwrap();
    mount(&["--bind", hosts.to_str().unwrap(), "/etc/hosts"]);
    mount(&["-t", "tmpfs", "tmpfs", "/var/lib"]);
    let mesh = a_calls_b("");
    let changed = mesh.replace("hostname: service-a.local", "hostname: service-a.standby");
    assert_ne!(mesh, changed);
    let gone = "kind: VirtualNode\nmeshName: appMesh\nvirtualNodeName: gone\nspec: {}\n";
    std::fs::write(folder.join("source.yaml"), format!("{mesh}\n---\n{gone}")).unwrap();
    std::fs::write(folder.join("mesh.yaml"), changed).unwrap();
    std::fs::create_dir(folder.join("my-mesh")).unwrap();
    let files = "kind: Mesh\nmeshName: ofFiles\n";
    std::fs::write(folder.join("my-mesh/mesh.yaml"), files).unwrap();
}

/// Runs commands, which print all of these words.
fn run(shell: &mut Shell, commands: &str, words: &[&str]) {
    let printed = shell.run(commands);
    for word in words {
        assert!(
            printed.contains(word),
            "`{word}` of\n{commands}\nin\n{printed}"
        );
    }
}

#[test]
fn the_document_is_followed_to_its_end() {
    if !alone_in_a_network("mirroring::the_document_is_followed_to_its_end") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    own_files(folder.path());
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mirroring.md");
    let sections = sections(&std::fs::read_to_string(document).unwrap());
    let blocks = |heading: &str| {
        let section = sections.iter().find(|(of, _)| of == heading);
        section
            .unwrap_or_else(|| panic!("no `{heading}`"))
            .1
            .as_slice()
    };
    let mut shell = Shell::start(folder.path());
    run(&mut shell, AROUND, &[]);
    let [once, watch, serve, target] = blocks("Three ways to run it") else {
        panic!("{sections:?}")
    };
    run(
        &mut shell,
        "begin_standby; begin_source; outrigger apply source.yaml",
        &["6 created"],
    );
    run(&mut shell, once, &["6 to create", "6 created"]);
    let watch = format!("begin watch {watch}until_said '^in step' cat watch.log; end watch");
    run(&mut shell, &watch, &[]);
    let (serve, status) = serve.trim().split_once('\n').unwrap();
    let mirrors =
        format!("begin source {serve}; well 127.0.0.1; until_said '^state  *in step' {status}");
    run(&mut shell, &format!("end source; {mirrors}"), &[]);
    lost_and_back(
        &mut shell,
        blocks("When the source is lost, and back"),
        &mirrors,
    );
    with_a_key(&mut shell, target);
}

/// `mirrors` starts the source again as it was.
fn lost_and_back(shell: &mut Shell, blocks: &[String], mirrors: &str) {
    let [export, meanwhile, back, swapped] = blocks else {
        panic!("{blocks:?}")
    };
    run(shell, export, &[]);
    let lost = format!(
        "end source; {meanwhile}outrigger delete mesh/appMesh/virtualNode/gone --api-url $STANDBY; hostname_at $STANDBY"
    );
    run(shell, &lost, &["updated", "1 deleted", "service-a.standby"]);
    // What the standby was told does not count.
    let again = format!("{mirrors}; hostname_at $STANDBY; outrigger get all --api-url $STANDBY");
    run(shell, &again, &["hostname: service-a.local", "gone"]);
    // It counts.
    run(shell, &lost, &["1 deleted", "service-a.standby"]);
    run(
        shell,
        "begin_source; hostname_at $SOURCE",
        &["service-a.local"],
    );
    run(shell, back, &["virtualNode/gone", "1 deleted"]);
    run(shell, "hostname_at $SOURCE", &["service-a.standby"]);
    run(shell, swapped, &["nothing"]);
    run(shell, "end source; end standby", &[]);
}

fn with_a_key(shell: &mut Shell, serve: &str) {
    let keys = "[{ accessKeyId: K, secretAccessKey: sixteen-and-more }]";
    let begin = format!(
        "echo '{keys}' >credentials.yaml; chmod 600 credentials.yaml; begin target {serve}well 127.0.0.1"
    );
    run(shell, &begin, &[]);
    let unsigned = "{ outrigger get all || true; } 2>&1";
    run(shell, unsigned, &["not signed"]);
    run(shell, "end target", &[]);
}
