use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::files;

/// A text after some edits of its only document.
fn edited(text: &str, edit: impl FnOnce(&mut Editor<'_>, &Located)) -> String {
    let (documents, problems) = files::parse(text);
    assert!(problems.is_empty(), "{text}\n{problems:?}");
    let mut editor = Editor::new(text);
    edit(&mut editor, &documents[0]);
    editor.finish().unwrap()
}

fn pair(name: &str) -> New {
    New::map([("name", New::text(name)), ("value", New::text("1"))])
}

#[test]
fn block_yaml_keeps_its_comments_and_its_order() {
    let text = "\
# of a pod
spec: # here
  containers:
  - # the sidecar
    name: envoy
    env:
    - name: a  # the first
      value: 'x'
    # the last
    - { name: b }
  - name: app
# the end
";
    let new = edited(text, |editor, document| {
        let spec = document.get("spec").unwrap();
        let envoy = &spec.get("containers").unwrap().items()[0];
        // In another order than that of the text.
        editor.push(spec, "volumes", vec![pair("v")]);
        editor.set(envoy, "image", &New::text("envoy:1"));
        editor.push(envoy, "env", vec![pair("c"), pair("d")]);
        let first = &envoy.get("env").unwrap().items()[0];
        editor.set(first, "value", &New::text("a \"quoted\" word"));
    });
    assert_eq!(
        new,
        "\
# of a pod
spec: # here
  containers:
  - # the sidecar
    name: envoy
    env:
    - name: a  # the first
      value: 'a \"quoted\" word'
    # the last
    - { name: b }
    - name: c
      value: \"1\"
    - name: d
      value: \"1\"
    image: envoy:1
  - name: app
  volumes:
    - name: v
      value: \"1\"
# the end
"
    );
}

#[test]
fn json_keeps_its_layout() {
    let text = "{\n    \"name\" : \"envoy\",\n    \"environment\": [\n        {\n            \"name\": \"a\", \"value\": \"1\"\n        }\n    ],\n    \"user\": \"1\",\n    \"mounts\": []\n}\n";
    let new = edited(text, |editor, document| {
        editor.set(document, "user", &New::text("1337"));
        editor.push(document, "environment", vec![pair("b")]);
        editor.push(document, "mounts", vec![pair("m")]);
        editor.set(document, "image", &New::text("envoy"));
    });
    assert_eq!(
        new,
        r#"{
    "name" : "envoy",
    "environment": [
        {
            "name": "a", "value": "1"
        },
        {
            "name": "b",
            "value": "1"
        }
    ],
    "user": "1337",
    "mounts": [
        {
            "name": "m",
            "value": "1"
        }
    ],
    "image": "envoy"
}
"#
    );
    let compact = r#"{"a":[1],"b":{}}"#;
    let new = edited(compact, |editor, document| {
        editor.push(document, "a", vec![New::Number(2)]);
        editor.put(document, "b", vec![("c".to_owned(), New::text("d"))]);
    });
    assert_eq!(new, r#"{"a":[1, 2],"b": {"c": "d"}}"#);
}

#[test]
fn values_in_any_form_are_replaced_whole() {
    for old in [
        "old",
        "'it''s'",
        "\"o\\\"ld\"",
        "|\n  some\n  lines\n",
        ">-\n  some\n  lines",
        "\n  on its own line",
        "!!str old",
        "[a, b]",
        "[a,\n # c\n b]",
        "\n- a\n- b",
        "\n  a: b",
        "~",
        "",
    ] {
        let text = format!("k: {old}\nnext: 1\n");
        let new = edited(&text, |editor, document| {
            editor.set(document, "k", &New::text("new"));
        });
        let (documents, problems) = files::parse(&new);
        assert!(problems.is_empty(), "{text}\n{new}");
        let json = documents[0].to_json();
        assert_eq!(json, json!({ "k": "new", "next": 1 }), "{text}\n{new}");
    }
}

#[test]
fn windows_lines_and_a_missing_last_line_end_are_no_trouble() {
    for text in ["a:\r\n- b\r\nc: d\r\n", "a:\n- b\nc: d"] {
        let new = edited(text, |editor, document| {
            editor.push(document, "a", vec![New::text("x")]);
            editor.set(document, "e", &New::text("f"));
        });
        let (documents, problems) = files::parse(&new);
        assert!(problems.is_empty(), "{new:?}");
        let expected = json!({ "a": ["b", "x"], "c": "d", "e": "f" });
        assert_eq!(documents[0].to_json(), expected, "{new:?}");
    }
}

/// Its first item is where the whole list begins, and no bracket of the list's own.
#[test]
fn a_list_below_its_name_may_begin_with_brackets() {
    for (list, expected) in [
        ("a:\n- { b: 1 }\n", json!([{ "b": 1 }, "x"])),
        ("a: # c\n- [b]\n# d\n", json!([["b"], "x"])),
        ("a:\n  - {}\n", json!([{}, "x"])),
        ("a: [{ b: 1 }]\n", json!([{ "b": 1 }, "x"])),
        ("a: [[b]]\n", json!([["b"], "x"])),
    ] {
        let new = edited(list, |editor, document| {
            editor.push(document, "a", vec![New::text("x")]);
        });
        let (documents, problems) = files::parse(&new);
        assert!(problems.is_empty(), "{new}");
        assert_eq!(documents[0].to_json(), json!({ "a": expected }), "{new}");
    }
}

/// The blank lines behind `|+` are part of the text.
#[test]
fn a_text_that_ends_with_blank_lines_keeps_them() {
    let text = "a:\n- b: |+\n    c\n\n\n- b: d\ne:\n  f: >+\n    g\n\n";
    let new = edited(text, |editor, document| {
        editor.set(&document.get("a").unwrap().items()[0], "h", &New::text("i"));
        editor.set(document.get("e").unwrap(), "j", &New::text("k"));
    });
    let (documents, problems) = files::parse(&new);
    assert!(problems.is_empty(), "{new}");
    let expected = json!({
        "a": [{ "b": "c\n\n\n", "h": "i" }, { "b": "d" }],
        "e": { "f": "g\n\n", "j": "k" },
    });
    assert_eq!(documents[0].to_json(), expected, "{new}");
}

#[test]
fn new_lines_end_as_the_others_do() {
    let new = edited("a:\r\n- b\r\nc: d\r\n", |editor, document| {
        editor.push(document, "a", vec![pair("x"), New::text("y")]);
        editor.set(document, "c", &New::texts(["e"]));
    });
    assert_eq!(
        new,
        "a:\r\n- b\r\n- name: x\r\n  value: \"1\"\r\n- \"y\"\r\nc:\r\n  - e\r\n"
    );
}

#[test]
fn references_are_seen() {
    let has = |text: &str| has_references(&files::parse(text).0[0]);
    assert!(has("a: &x { b: c }\nd: *x\n"));
    assert!(has("a: &x [1]\nb:\n  <<: { c: d }\n  e: *x\n"));
    assert!(!has("a: &x { b: c }\nd: { e: }\nf:\ng: [1, ~, { h: i }]\n"));
}

/// Writes a value behind its name or its dash, whose lines are indented by so much at least: in brackets or in lines, with
/// comments, as the seeds say.
pub(in crate::migrate) fn write(
    value: &Json,
    indent: usize,
    seeds: &mut impl Iterator<Item = u8>,
) -> String {
    let seed = seeds.next().unwrap_or(0);
    let is_empty = match value {
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => return format!(" {value}"),
    };
    if is_empty || seed.is_multiple_of(4) {
        return format!(" {value}");
    }
    if seed % 4 == 1 {
        let pretty = serde_json::to_string_pretty(value).unwrap();
        return format!(
            " {}",
            pretty.replace('\n', &format!("\n{}", " ".repeat(indent + 1)))
        );
    }
    let comment = if seed % 4 == 2 { " # comment" } else { "" };
    let indent = indent + usize::from(seed % 8 > 3);
    let lead = format!("{comment}\n{}", " ".repeat(indent));
    let mut text = String::new();
    match value {
        Json::Array(items) => {
            for item in items {
                let item = write(item, indent + 1, seeds);
                text += &[&lead, "-", &on_the_dashs_line(item, indent, seed)].concat();
            }
        }
        Json::Object(members) => {
            for (name, value) in members {
                // The dashes of a list may stand below its name.
                let may_be_below = value.is_array() && seed % 16 > 7;
                let indent = indent + usize::from(!may_be_below);
                text += &[&lead, name, ":", &write(value, indent, seeds)].concat();
            }
        }
        _ => {}
    }
    text
}

/// `- a: b`, as most lists of maps are written.
fn on_the_dashs_line(item: String, dash: usize, seed: u8) -> String {
    let Some(line) = item.strip_prefix('\n').filter(|_| seed % 32 > 15) else {
        return item;
    };
    let first = line.trim_start_matches(' ');
    match (line.len() - first.len()).checked_sub(dash + 1) {
        Some(spaces @ 1..) => [&" ".repeat(spaces), first].concat(),
        _ => item,
    }
}

/// The maps of a value, each with the members by which it is reached.
fn maps(value: &Json, path: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let children: Vec<(String, &Json)> = match value {
        Json::Object(members) => {
            found.push(path.to_vec());
            members
                .iter()
                .map(|(name, value)| (name.clone(), value))
                .collect()
        }
        Json::Array(items) => (0..)
            .zip(items)
            .map(|(at, item): (usize, _)| (at.to_string(), item))
            .collect(),
        _ => Vec::new(),
    };
    for (step, child) in children {
        found.extend(maps(child, &[path.to_vec(), vec![step]].concat()));
    }
    found
}

fn located<'d>(document: &'d Located, path: &[String]) -> &'d Located {
    path.iter().fold(document, |node, step| match &node.value {
        Value::List(items) => &items[step.parse::<usize>().unwrap()],
        _ => node.get(step).unwrap(),
    })
}

fn leaf() -> impl Strategy<Value = Json> {
    prop_oneof![
        "[a-c#:' -]{0,6}".prop_map(Json::from),
        any::<u8>().prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
    ]
}

fn document() -> impl Strategy<Value = Json> {
    let value = leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::btree_map("[a-e]", inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-e]", value, 1..4)
        .prop_map(|members| Json::Object(members.into_iter().collect()))
}

proptest! {
    /// Whatever the layout, what is read of the new text is the old value with the change, and all lines but those that
    /// were touched are there as they were.
    #[test]
    fn an_edit_changes_what_it_says(
        value in document(),
        seeds in prop::collection::vec(any::<u8>(), 32),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..2u8), 1..4),
    ) {
        let text = write(&value, 0, &mut seeds.into_iter());
        let text = format!("{}\n", text.strip_prefix('\n').unwrap_or(&text));
        let (documents, problems) = files::parse(&text);
        prop_assert!(problems.is_empty(), "{text}");
        let mut expected = documents[0].to_json();
        prop_assert_eq!(&expected, &value, "{}", text);
        let maps = maps(&value, &[]);
        let mut editor = Editor::new(&text);
        let mut touched: Vec<Vec<String>> = Vec::new();
        for (map, name, what) in edits {
            let path = map.get(&maps);
            let names = located(&documents[0], path).members().unwrap().iter();
            let mut names: Vec<&str> = names.map(|(key, _)| key.name.as_str()).collect();
            names.push("f");
            let name = (*name.get(&names)).to_owned();
            let whole = [path.clone(), vec![name.clone()]].concat();
            // Two changes of one value, or of one within another, are no business of the editor.
            if touched.iter().any(|other| other.starts_with(&whole) || whole.starts_with(other)) {
                continue;
            }
            let mut at = &mut expected;
            for step in path {
                at = match at {
                    Json::Array(items) => &mut items[step.parse::<usize>().unwrap()],
                    other => &mut other[step.as_str()],
                };
            }
            let map = located(&documents[0], path);
            let is_list = at.get(&name).is_none_or(Json::is_array);
            if what == 0 || !is_list {
                editor.set(map, &name, &pair("set"));
                at[&name] = json!({ "name": "set", "value": "1" });
            } else {
                editor.push(map, &name, vec![pair("one"), New::text("two")]);
                let list = at.as_object_mut().unwrap().entry(&name).or_insert(json!([]));
                let list = list.as_array_mut().unwrap();
                list.extend([json!({ "name": "one", "value": "1" }), json!("two")]);
            }
            touched.push(whole);
        }
        let new = editor.finish().unwrap();
        let (documents, problems) = files::parse(&new);
        prop_assert!(problems.is_empty(), "{text}\n--- becomes\n{new}");
        prop_assert_eq!(documents[0].to_json(), expected, "{}\n--- becomes\n{}", text, new);
    }
}
