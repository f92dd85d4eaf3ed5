//! Texts before and after, without files or clocks.

use super::*;
use crate::files::load::assemble;

type Files<'a> = &'a [(&'a str, &'a str)];

fn contents(files: Files<'_>) -> Vec<Arc<Content>> {
    let content = |(path, text): &(&str, &str)| {
        Arc::new(Content::of((*path).into(), text.as_bytes().to_vec()))
    };
    files.iter().map(content).collect()
}

fn known(files: Files<'_>) -> Known {
    let contents = contents(files);
    let mut known = Known::default();
    known.update(&contents, &Ok(assemble(&contents, &[])));
    known
}

fn mesh(name: &str) -> String {
    format!("kind: Mesh\nmeshName: {name}\n")
}

#[test]
fn the_more_has_changed_the_longer_it_must_rest() {
    let names: Vec<String> = (0..1000).map(|number| format!("{number}.yaml")).collect();
    let files = |text: &'static str| -> Vec<(&str, &str)> {
        names.iter().map(|name| (name.as_str(), text)).collect()
    };
    let before = files("a: 1");
    let known = known(&before);
    let rest_after = |changed: usize, text: &'static str| {
        let after = [&files(text)[..changed], &before[changed..]].concat();
        known.rest(&contents(&after)).as_millis()
    };
    assert_eq!(rest_after(1, "a: 2"), 20, "a saved file");
    assert_eq!(rest_after(2, "a: 2"), 25);
    assert_eq!(rest_after(21, "a: 2"), 120);
    assert_eq!(rest_after(1000, "a: 2"), 500);
    assert_eq!(rest_after(1, "a: 1\nb: 2"), 80, "one that has grown");
    assert_eq!(
        known.rest(&contents(&before[..999])).as_millis(),
        20,
        "one gone"
    );
    let new = [&before[..], &[("new.yaml", "a: 1")]].concat();
    assert_eq!(known.rest(&contents(&new)).as_millis(), 80, "a new one");
}

#[test]
fn what_takes_something_away_is_doubted() {
    let (a, b, c) = (mesh("a"), mesh("b"), mesh("c"));
    let both = format!("{a}---\n{b}");
    let known = known(&[("1.yaml", &both), ("2.yaml", &c)]);
    let doubts = |files: Files<'_>| {
        let contents = contents(files);
        let outcome = Ok(assemble(&contents, &[]));
        let doubts = known.doubts(&contents, &outcome);
        let shown: Vec<String> = doubts.iter().map(|doubt| format!("{doubt:?}")).collect();
        shown.join(" ").replace('"', "")
    };
    assert_eq!(doubts(&[("1.yaml", &both), ("2.yaml", &c)]), "");
    // A document that moves to another file is not gone, and neither is a renamed file.
    assert_eq!(
        doubts(&[("1.yaml", &b), ("3.yaml", &format!("{c}---\n{a}"))]),
        ""
    );
    assert_eq!(doubts(&[("2.yaml", &c)]), "Gone(Mesh(a)) Gone(Mesh(b))");
    assert_eq!(
        doubts(&[("1.yaml", ""), ("2.yaml", &c)]),
        "Gone(Mesh(a)) Gone(Mesh(b)) Cut(1.yaml)"
    );
    assert_eq!(
        doubts(&[("1.yaml", &a), ("2.yaml", &c)]),
        "Gone(Mesh(b)) Cut(1.yaml)"
    );
    let cut = doubts(&[("1.yaml", &both), ("2.yaml", "kind: Mesh\nmeshName: ")]);
    assert_eq!(cut, "Failing Gone(Mesh(c)) Cut(2.yaml)");
    let missing = LoadError::Missing {
        path: "1.yaml".into(),
    };
    assert_eq!(
        known.doubts(&[], &Err(missing)),
        [Doubt::Missing("1.yaml".into())].into()
    );
}
