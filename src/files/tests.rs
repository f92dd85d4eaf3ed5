//! Texts, and files on disk in real folders.

use super::parse::parse;
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
