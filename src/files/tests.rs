//! Texts, and files on disk in real folders.

mod odd;

use super::parse::parse;
use super::{LoadError, load};
use crate::model::document::{Located, Value};

/// Every key and scalar of a text's documents, as the spans cut them out of the text.
fn cuts(text: &str) -> Vec<Vec<String>> {
    fn walk(node: &Located, text: &str, cuts: &mut Vec<String>) {
        let cut = |span: Option<crate::model::document::Span>| {
            let span = span.unwrap();
            text[span.start..span.start + span.len].to_owned()
        };
        match &node.value {
            Value::Map(members) => {
                for (key, value) in members {
                    cuts.push(cut(key.span));
                    walk(value, text, cuts);
                }
            }
            Value::List(items) => items.iter().for_each(|item| walk(item, text, cuts)),
            _ => cuts.push(cut(node.span)),
        }
    }
    let (documents, problems) = parse(text);
    assert_eq!(problems, []);
    let documents = documents.iter().map(|document| {
        let mut cuts = Vec::new();
        walk(document, text, &mut cuts);
        cuts
    });
    documents.collect()
}

#[test]
fn spans_count_bytes_of_the_whole_text() {
    let text = "\u{feff}# é\nkind: Mesh # ü\r\n\"nämé\": 'ß'\r\n---\n# nothing\n---\n# λ\nλ: [1, -2, {ö: true}]\n...\n\
                %YAML 1.2\n---\nx: \"€\"\n--- {y: z}\n";
    assert_eq!(
        cuts(text),
        [
            vec!["kind", "Mesh", "\"nämé\"", "'ß'"],
            vec!["λ", "1", "-2", "ö", "true"],
            vec!["x", "\"€\""],
            vec!["y", "z"],
        ]
    );
}

#[test]
fn json_is_read_too() {
    let text = "{\n\t\"kind\": \"Mesh\",\n\t\"a\\/b\": \"\\ud83d\\ude00\", \"n\": [null, 1.5]\n}\n";
    assert_eq!(
        cuts(text),
        [[
            "\"kind\"",
            "\"Mesh\"",
            "\"a\\/b\"",
            "\"\\ud83d\\ude00\"",
            "\"n\"",
            "null",
            "1.5"
        ]]
    );
    let (documents, _) = parse(text);
    assert_eq!(documents[0].get("a/b").unwrap().as_str(), Some("😀"));
}

#[test]
fn aliases_and_merges_point_at_what_they_stand_for() {
    let text = "a: &base {b: 1}\nc: {<<: *base, d: 2}\ne: *base\n";
    assert_eq!(
        cuts(text),
        [["a", "b", "1", "c", "d", "2", "b", "1", "e", "b", "1"]]
    );
}

#[test]
fn text_that_only_looks_like_yaml_11_booleans_stays_text() {
    let (documents, _) = parse("a: no\nb: on\nc: true\n");
    let values: Vec<Value> = documents[0]
        .members()
        .unwrap()
        .iter()
        .map(|(_, value)| value.value.clone())
        .collect();
    assert_eq!(
        values,
        [
            Value::String("no".into()),
            Value::String("on".into()),
            Value::Bool(true)
        ]
    );
}

#[test]
fn a_syntax_error_hides_no_other_document() {
    let text = "a: é: b\n---\nb: 1\n---\nc: [1\n---\nd: 2\n";
    let (documents, problems) = parse(text);
    assert_eq!(documents.len(), 2);
    let shown: Vec<_> = problems
        .iter()
        .map(|problem| {
            (
                problem.what.as_str(),
                &text[problem.span.unwrap().start..][..1],
            )
        })
        .collect();
    assert_eq!(shown.len(), 2);
    assert_eq!(
        shown[0],
        (
            "the document is not valid YAML: mapping values are not allowed in this context",
            ":"
        )
    );
}

/// Writes files into a new folder.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// The one-line reports of a folder, its path left out.
fn lines(folder: &tempfile::TempDir) -> String {
    let loaded = load(&[folder.path().to_owned()]).unwrap();
    let prefix = format!("{}/", folder.path().display());
    let lines: Vec<String> = loaded
        .reports
        .iter()
        .map(|report| report.line().replace(&prefix, ""))
        .collect();
    lines.join("\n")
}

const FIVE_MISTAKES: &str = "\
kind: Mesh
meshName: größe
---
kind: VirtualNode
meshName: shop
virtualNodeName: cart
spec:
  serviceDiscovery: { dns: { hostname: cart.local } }
  listeners:
    - portMapping: { port: \"8080\", protocol: htp }
      healthChek: {}
---
kind: VirtualService
meshName: shop
virtualServiceName: cart.local
spec:
  provider: { virtualNode: { virtualNodeName: cart }, virtualRouter: { virtualRouterName: carts } }
";

#[test]
fn five_mistakes_are_five_reports() {
    let folder = folder(&[("mesh.yaml", FIVE_MISTAKES)]);
    insta::assert_snapshot!(lines(&folder));
}

#[test]
fn reports_show_the_text_with_a_mark() {
    let folder = folder(&[("mesh.yaml", FIVE_MISTAKES)]);
    let loaded = load(&[folder.path().to_owned()]).unwrap();
    let handler =
        miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    let mut text = String::new();
    for report in &loaded.reports {
        handler.render_report(&mut text, report).unwrap();
    }
    insta::assert_snapshot!(text.replace(&format!("{}/", folder.path().display()), ""));
}

#[test]
fn a_folder_is_one_model() {
    let folder = folder(&[
        ("mesh.yaml", "kind: Mesh\nmeshName: m\n"),
        (
            "deep/er/node.yml",
            "kind: VirtualNode\nmeshName: m\nvirtualNodeName: n\nspec: {}\n",
        ),
        (
            "service.JSON",
            "{ \"kind\": \"VirtualService\", \"meshName\": \"m\", \"virtualServiceName\": \"s\",\n\t\"spec\": { \"provider\": { \"virtualNode\": { \"virtualNodeName\": \"n\" } } } }\n",
        ),
        (".hidden.yaml", "a: ["),
        (".git/x.yaml", "a: ["),
        ("mesh.yaml~", "a: ["),
        ("notes.txt", "a: ["),
        ("empty.yaml", "# nothing yet\n---\n"),
    ]);
    let loaded = load(&[folder.path().to_owned(), folder.path().join("mesh.yaml")]).unwrap();
    assert_eq!(lines(&folder), "");
    assert_eq!(loaded.files.len(), 4);
    let ids: Vec<String> = loaded
        .model()
        .unwrap()
        .resources()
        .iter()
        .map(|resource| resource.id.to_string())
        .collect();
    assert_eq!(
        ids,
        ["mesh/m", "mesh/m/virtualNode/n", "mesh/m/virtualService/s"]
    );
}

#[test]
fn references_and_duplicates_across_files_say_both_places() {
    let node = "kind: VirtualNode\nmeshName: m\nvirtualNodeName: n\nspec: {}\n";
    let folder = folder(&[
        (
            "a.yaml",
            &format!("kind: Mesh\nmeshName: m\n---\n# ä\n{node}"),
        ),
        ("b.yaml", node),
        (
            "c.yaml",
            "kind: VirtualService\nmeshName: m\nvirtualServiceName: s\nspec:\n  provider: { virtualNode: { virtualNodeName: nn } }\n",
        ),
    ]);
    let shown = lines(&folder);
    let prefix = format!("{}/", folder.path().display());
    assert_eq!(
        shown.replace(&prefix, ""),
        "\
        b.yaml:1:1: `mesh/m/virtualNode/n` is declared twice; first at a.yaml:5:1; keep one of the two, or rename one\n\
        c.yaml:5:47: spec.provider.virtualNode.virtualNodeName: provider `nn` names no virtual node; did you mean `n`? known virtual nodes: n"
    );
    let errors = load(&[folder.path().to_owned()])
        .unwrap()
        .model()
        .unwrap_err();
    assert_eq!(errors.errors, 2);
}

#[test]
fn repeated_fields_and_fractions_are_problems() {
    let folder = folder(&[(
        "mesh.yaml",
        "kind: VirtualRouter\nmeshName: m\nvirtualRouterName: r\nmeshName: m\nspec:\n  listeners:\n    - portMapping: { port: 80.0, protocol: http }\n",
    )]);
    assert_eq!(
        lines(&folder),
        "mesh.yaml:4:1: meshName: `meshName` is given twice; keep one of the two\n\
         mesh.yaml:7:28: spec.listeners[0].portMapping.port: `port` must be a whole number, not 80.0; \
         write a whole number, from 1 to 65535"
    );
}

#[test]
fn columns_count_characters() {
    let folder = folder(&[(
        "mesh.yaml",
        "kind: Mesh\nmeshName: m\nspec: {\"egressFilter\": {\"type\": \"äöü\" , tüp: 1}}\n",
    )]);
    let loaded = load(&[folder.path().to_owned()]).unwrap();
    let at: Vec<_> = loaded
        .reports
        .iter()
        .map(|report| report.position().unwrap().to_string())
        .collect();
    assert_eq!(at, ["3:33", "3:41"]);
}

#[test]
fn what_cannot_be_read_is_an_error_of_its_own() {
    let folder = folder(&[("notes.txt", "")]);
    let missing = folder.path().join("missing.yaml");
    assert!(
        matches!(load(std::slice::from_ref(&missing)), Err(LoadError::Missing { path }) if path == missing)
    );
    let error = load(&[folder.path().to_owned()]).unwrap_err();
    assert!(matches!(error, LoadError::Empty { .. }));
    assert!(error.to_string().contains("has no mesh files"), "{error}");
}

#[test]
fn what_leads_nowhere_is_unread() {
    let folder = folder(&[("mesh.yaml", "{kind: Mesh, meshName: m}")]);
    let unread = || {
        let loaded = load(&[folder.path().into()]).unwrap();
        let names = loaded
            .unread
            .iter()
            .map(|path| path.file_name().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert!(unread().is_empty());
    for name in ["folder", "node.yaml"] {
        std::os::unix::fs::symlink("nowhere", folder.path().join(name)).unwrap();
    }
    assert_eq!(unread(), ["folder", "node.yaml"]);
    std::fs::remove_file(folder.path().join("mesh.yaml")).unwrap();
    std::fs::remove_file(folder.path().join("node.yaml")).unwrap();
    let error = load(&[folder.path().into()]).unwrap_err().to_string();
    assert!(error.contains("folder` does not exist"), "{error}");
}

#[test]
fn a_file_in_another_encoding_is_reported_beside_the_rest() {
    let folder = folder(&[("a.yaml", "kind: Mesh\nmeshName: 1\n")]);
    std::fs::write(folder.path().join("b.yaml"), b"kind: M\xe4sh\n").unwrap();
    assert_eq!(
        lines(&folder),
        "\
        a.yaml:2:11: meshName: `meshName` must be text, not 1; put it in quotes\n\
        b.yaml: the file is no UTF-8 text: byte 7 is part of no character; save it as UTF-8"
    );
}

#[test]
fn equal_content_has_an_equal_fingerprint() {
    let folder = folder(&[("a.yaml", "kind: Mesh\nmeshName: m\n")]);
    let fingerprint = || load(&[folder.path().to_owned()]).unwrap().fingerprint;
    let before = fingerprint();
    assert_eq!(fingerprint(), before);
    std::fs::write(folder.path().join("a.yaml"), "kind: Mesh\nmeshName: n\n").unwrap();
    assert_ne!(fingerprint(), before);
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_parser_and_spans_stay_in_it(text in "([a-cé€:\\-\\[\\]{}&*#|>\"'%~,. \t]|\n|---\n|\\.\\.\\.\n|kind: |  ){0,60}") {
        let (documents, problems) = parse(&text);
        let mut spans: Vec<_> = problems.iter().filter_map(|problem| problem.span).collect();
        let mut left: Vec<&Located> = documents.iter().collect();
        while let Some(node) = left.pop() {
            spans.extend(node.span);
            left.extend(node.items());
            for (key, value) in node.members().unwrap_or_default() {
                spans.extend(key.span);
                left.push(value);
            }
        }
        for span in spans {
            proptest::prop_assert!(text.get(span.start..span.start + span.len).is_some(), "{span:?}");
        }
    }
}
