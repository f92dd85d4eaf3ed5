//! What a folder may hold beside sound mesh files: other bytes, other sorts of files, other forms of documents.

use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use super::super::{LoadError, load};
use super::{folder, lines};

const MESH: &str = "kind: Mesh\nmeshName: m\n";

/// The reports of one file beside a sound one.
fn report_of(name: &str, content: impl AsRef<[u8]>) -> String {
    let folder = folder(&[("mesh.yaml", MESH)]);
    fs::write(folder.path().join(name), content).unwrap();
    lines(&folder)
}

#[test]
fn bytes_that_are_no_text_are_said_to_be_none() {
    assert_eq!(
        report_of("b.yaml", b"\xff\xfek\0i\0n\0d\0"),
        "b.yaml: the file is UTF-16 text, not UTF-8; save it as UTF-8"
    );
    let nul = report_of("b.yaml", "kind: Mesh\nmeshName: \"a\0b\"\n");
    assert!(nul.starts_with("b.yaml:2:"), "{nul}");
    // Windows writes these.
    assert_eq!(
        report_of("b.yaml", "\u{feff}kind: Mesh\r\nmeshName: n\r\n"),
        ""
    );
    let tab = report_of("b.yaml", "kind: Mesh\nspec:\n\tegressFilter: {}\n");
    assert!(tab.starts_with("b.yaml:3:"), "{tab}");
    for nothing in [
        "",
        "\n",
        "# a comment\n",
        "---\n# one\n---\n...\n",
        "\u{feff}",
    ] {
        assert_eq!(report_of("b.yaml", nothing), "");
        assert_eq!(report_of("b.json", nothing), "");
    }
}

#[test]
fn texts_made_to_hurt_are_refused_quickly() {
    let begun = Instant::now();
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{items}]").unwrap();
    }
    let deep = format!(
        "kind: Mesh\nspec: {}{}\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let deep_json = format!(
        "{{\"kind\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for text in [bomb, deep, deep_json] {
        let report = report_of("b.yaml", &text);
        assert!(report.starts_with("b.yaml:"), "{report:.300}");
        assert!(report.len() < 500, "{report:.300}");
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    let folder = folder(&[("mesh.yaml", MESH)]);
    let large = File::create(folder.path().join("large.yaml")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    assert_eq!(
        lines(&folder),
        "large.yaml: the file is larger than 64 MiB; split it: a folder may hold any number of files"
    );
}

#[test]
fn what_is_no_file_is_left_unread_and_never_waited_for() {
    let folder = folder(&[
        ("mesh.yaml", MESH),
        ("folder.yaml/in.yaml", "kind: Mesh\nmeshName: n\n"),
    ]);
    let path = |name: &str| folder.path().join(name);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("pipe.yaml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    symlink("/dev/zero", path("device.yaml")).unwrap();
    let _socket = UnixListener::bind(path("socket.yaml")).unwrap();
    symlink("nowhere", path("dangling.yaml")).unwrap();
    let not_read = |name: &str, what: &str| {
        format!("{name}: this is {what}, which is not read; put a file there, or remove it")
    };
    assert_eq!(
        lines(&folder),
        [
            not_read("dangling.yaml", "a link to nowhere"),
            not_read("device.yaml", "a device"),
            not_read("pipe.yaml", "a named pipe"),
            not_read("socket.yaml", "a socket"),
        ]
        .join("\n")
    );
    let loaded = load(&[folder.path().to_owned()]).unwrap();
    assert_eq!(loaded.model().unwrap().meshes().count(), 2);
    let error = load(&[path("pipe.yaml")]).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::NoFile {
                what: "a named pipe",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn broken_json_is_called_json() {
    let report = report_of(
        "b.json",
        "{\n  \"kind\": \"Mesh\",\n  \"meshName\": \"n\"\n  \"spec\": {}\n}\n",
    );
    assert_eq!(
        report,
        "b.json:4:3: the document is not valid JSON: expected `,` or `}`; mind commas, quotes and brackets; JSON has no \
         comments, and no comma behind the last member"
    );
    let cut = report_of("b.json", "{\n  \"kind\": \"Mesh\", \"ä\": [");
    assert!(
        cut.starts_with("b.json:2:24: the document is not valid JSON: EOF while parsing a list"),
        "{cut}"
    );
    let yaml = report_of("b.yaml", "kind: [\n");
    assert!(yaml.contains("not valid YAML"), "{yaml}");
}

#[test]
fn json_documents_may_follow_each_other() {
    let line = |name: &str| format!("{{\"kind\": \"Mesh\", \"meshName\": \"{name}\"}}");
    assert_eq!(
        report_of(
            "b.json",
            format!("{}\n{}\n\n{}", line("a"), line("b"), line("c"))
        ),
        ""
    );
    // The sound ones count, and places are those of the whole file.
    let report = report_of(
        "b.json",
        format!(
            "{}\n{{\"kind\": \"Mesh\", \"meshName\": 5}}\n{{\"kind\"",
            line("a")
        ),
    );
    let lines: Vec<&str> = report.lines().collect();
    assert!(
        lines[0].starts_with("b.json:2:30: meshName: `meshName` must be text, not 5"),
        "{report}"
    );
    assert!(
        lines[1].starts_with("b.json:3:7: the document is not valid JSON: EOF"),
        "{report}"
    );
}

#[test]
fn what_aws_describes_is_a_declaration() {
    let described = |status: &str| {
        format!(
            "{{\n    \"virtualNode\": {{\n        \"meshName\": \"m\",\n        \"metadata\": {{ \"arn\": \"arn:aws:appmesh:x\", \"version\": 3 }},\n\
             \x20       \"spec\": {{ \"serviceDiscovery\": {{ \"dns\": {{ \"hostname\": \"a.local\" }} }}, \"listeners\": [{{ \"portMapping\": {{ \"port\": 80, \"protocol\": \"htp\" }} }}] }},\n\
             \x20       \"status\": {{ \"status\": \"{status}\" }},\n        \"virtualNodeName\": \"n\"\n    }}\n}}\n"
        )
    };
    let sound = described("ACTIVE").replace("htp", "http");
    let folder = folder(&[("mesh.yaml", MESH), ("node.json", &sound)]);
    let loaded = load(&[folder.path().to_owned()]).unwrap();
    let ids: Vec<String> = loaded
        .resources
        .iter()
        .map(|declared| declared.resource.id.to_string())
        .collect();
    assert_eq!(ids, ["mesh/m", "mesh/m/virtualNode/n"]);
    assert_eq!(loaded.errors(), 0);

    let report = report_of("node.json", described("ACTIVE"));
    assert!(
        report.starts_with("node.json:5:")
            && report
                .contains(": spec.listeners[0].portMapping.protocol: `protocol` cannot be `htp`"),
        "{report}"
    );
    let report = report_of("node.json", described("DELETED").replace("htp", "http"));
    assert!(
        report.starts_with("node.json:6:31: status.status: this is what AWS said of a VirtualNode when it was deleted"),
        "{report}"
    );
    // In YAML, as `--output yaml` prints it, and with another kind.
    assert_eq!(
        report_of(
            "service.yaml",
            "virtualService: { meshName: m, virtualServiceName: s, spec: {} }\n"
        ),
        ""
    );
}
