use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::appmesh::client::Metadata;
use crate::cli::store::export;
use crate::files;
use crate::model::problem::Severity;
use crate::model::schema::echo;
use crate::model::{MeshName, NodeName, schema};
use crate::store::STORE_FILE;
use crate::store::journal::{Journal, Redb};

fn taken(id: ResourceId, spec: Value, tags: &[(&str, &str)], account: &str) -> Taken {
    let tags = tags.iter();
    let held = Held {
        spec,
        tags: tags
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        no_tags: None,
        metadata: Metadata {
            arn: format!("arn:aws:appmesh:eu-west-1:{account}:{id}"),
            created_at: 1_767_225_600.123,
            last_updated_at: 1_767_225_660.001,
            uid: "an-uid".into(),
            version: 7,
            ..Metadata::default()
        },
    };
    Taken::new((id, held))
}

fn node(name: &str) -> ResourceId {
    ResourceId::VirtualNode(MeshName::new("shop"), NodeName::new(name))
}

fn shop() -> Vec<Taken> {
    let tags = [
        ("team", "a: b"),
        ("aws:cloudformation:stack-id", "x"),
        ("outrigger:applied-by", "shop"),
    ];
    vec![
        taken(
            ResourceId::Mesh(MeshName::new("shop")),
            json!(null),
            &tags,
            "123456789012",
        ),
        taken(
            node("web"),
            json!({ "listeners": [], "backends": null }),
            &[],
            "123456789012",
        ),
    ]
}

#[test]
fn files_are_mesh_files_with_tags() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("new/mesh");
    let into = Into::open(Some(to.clone()), None).unwrap();
    let said = into.write("http://127.0.0.1:1", &shop()).unwrap();
    assert_eq!(
        said,
        format!("`{}/shop.yaml` has 2 resources\n", to.display())
    );
    let text = std::fs::read_to_string(to.join("shop.yaml")).unwrap();
    assert!(
        text.starts_with("# From http://127.0.0.1:1.\nkind: Mesh\n"),
        "{text}"
    );
    let (documents, problems) = files::parse(&text);
    assert_eq!(problems, []);
    assert_eq!(documents[1].to_json()["spec"], json!({ "listeners": [] }));
    let tags = schema::tags_of(&documents[0]);
    assert_eq!(tags, [("team".to_owned(), "a: b".to_owned())].into());
    // What is there is not written over.
    let again = Into::open(Some(to), None).unwrap_err().text();
    assert!(
        again.contains("is not empty: it has `shop.yaml`"),
        "{again}"
    );
}

#[test]
fn a_store_keeps_what_a_file_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let into = Into::open(None, Some(data.clone())).unwrap();
    let said = into.write("http://127.0.0.1:1", &shop()).unwrap();
    assert!(said.contains("has 2 resources at revision 1"), "{said}");
    let mut journal = Redb::new(&data.join(STORE_FILE));
    let text = export::print(&journal.load().unwrap());
    drop(journal);
    assert!(
        text.contains(
            r#"{"uid":"an-uid","version":7,"createdAt":1767225600123,"updatedAt":1767225660001}"#
        ),
        "{text}"
    );
    assert!(
        text.contains("outrigger:applied-by") && !text.contains("aws:cloud"),
        "{text}"
    );
    let again = Into::open(None, Some(data)).unwrap_err().text();
    assert!(
        again.contains("is not empty: it has 2 resources"),
        "{again}"
    );
}

#[test]
fn what_cannot_be_served_is_in_files_and_in_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let broken = [taken(node("web"), json!({ "listener": [] }), &[], "1")];
    let data = folder.path().join("data");
    let into = Into::open(None, Some(data)).unwrap();
    let error = into
        .write("http://127.0.0.1:1", &broken)
        .unwrap_err()
        .text();
    assert!(
        error.contains("`mesh/shop/virtualNode/web` is nothing that a store takes"),
        "{error}"
    );
    assert!(
        error.contains("listener") && error.contains("--output"),
        "{error}"
    );
    let to = folder.path().join("mesh");
    let into = Into::open(Some(to.clone()), None).unwrap();
    let said = into.write("http://127.0.0.1:1", &broken).unwrap();
    assert!(
        said.contains("1 of them cannot be served as they are: `outrigger validate"),
        "{said}"
    );
    let (documents, _) = files::parse(&std::fs::read_to_string(to.join("shop.yaml")).unwrap());
    let problems = schema::read(&documents[0]).problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    );
}

/// Names are a server's own, and no way out of the folder.
#[test]
fn a_file_stays_in_its_folder_and_is_found() {
    for (mesh, file) in [
        ("shop", "shop.yaml"),
        ("../shop", "%2E.%2Fshop.yaml"),
        (".hidden", "%2Ehidden.yaml"),
        ("a/b c", "a%2Fb%20c.yaml"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("mesh");
        let into = Into::open(Some(to.clone()), None).unwrap();
        let mesh = taken(ResourceId::Mesh(MeshName::new(mesh)), json!({}), &[], "1");
        into.write("http://127.0.0.1:1", &[mesh]).unwrap();
        assert!(to.join(file).is_file(), "{file}");
    }
}

#[test]
fn every_mesh_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("mesh");
    let into = Into::open(Some(to.clone()), None).unwrap();
    let long = "m".repeat(255);
    let names = ["Shop", "shop", &format!("{long}a"), &format!("{long}b")];
    let meshes = names.map(|name| ResourceId::Mesh(MeshName::new(name)));
    let meshes = meshes.map(|mesh| taken(mesh, json!({}), &[], "1"));
    into.write("http://127.0.0.1:1", &meshes).unwrap();
    let mut found: Vec<_> = std::fs::read_dir(&to)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let long = "m".repeat(200);
    let expected = [
        "Shop.yaml".to_owned(),
        format!("{long}.yaml"),
        format!("{long}~2.yaml"),
        "shop~2.yaml".to_owned(),
    ];
    assert_eq!(found, expected);
}

/// A text that ends in white space, at the end of a document too.
#[test]
fn white_space_at_the_end_counts() {
    let words = "word ".repeat(30);
    for text in [&words, "a\n\n", " ", "\n", "a \n b\n \n"] {
        let spec = json!({ "httpRoute": { "match": { "path": { "regex": text } } } });
        let taken = taken(node("web"), spec.clone(), &[], "1");
        let both = into::content("http://127.0.0.1:1", &[&taken, &taken]).unwrap();
        let (documents, problems) = files::parse(&both);
        assert_eq!(problems, [], "{both}");
        for document in documents {
            assert_eq!(document.to_json()["spec"], spec, "{both}");
        }
    }
}

#[test]
fn the_flags_are_those_that_keep_most_arns() {
    let mut resources = shop();
    assert_eq!(
        identity(&resources),
        "their ARNs stay as they are with `outrigger serve --account-id 123456789012 --region eu-west-1`\n"
    );
    resources.push(taken(node("shared"), json!({}), &[], "210987654321"));
    resources[2].held.metadata.resource_owner = "210987654321".into();
    assert_eq!(
        identity(&resources),
        "2 of 3 ARNs stay as they are with `outrigger serve --account-id 123456789012 --region eu-west-1`; of the others, \
         `arn:aws:appmesh:eu-west-1:210987654321:mesh/shop/virtualNode/shared` becomes \
         `arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/shared`\n\
         1 resource of another account, or in a mesh of one, will be of 123456789012\n"
    );
    resources[0].held.metadata.arn = String::new();
    assert!(
        identity(&resources[..1]).starts_with("there is no ARN"),
        "{resources:?}"
    );
}

/// As the store completes it, and as a server would have done long ago.
fn with_check_ports(mut spec: Value) -> Value {
    let listeners = spec.get_mut("listeners").and_then(|all| all.as_array_mut());
    for listener in listeners.into_iter().flatten() {
        let port = listener["portMapping"]["port"].clone();
        if let Some(check) = listener.get_mut("healthCheck") {
            let check = check.as_object_mut().unwrap();
            check.entry("port").or_insert(port);
        }
    }
    spec
}

proptest! {
    /// Whatever the spec, the file says the same, and so does the store.
    #[test]
    fn a_spec_stays_as_it_was((kind, spec) in echo::any_spec()) {
        let taken = taken(echo::id(kind), spec.clone(), &[("k", "a: b = yes")], "123456789012");
        let text = into::content("http://127.0.0.1:1", &[&taken]).unwrap();
        let (documents, problems) = files::parse(&text);
        prop_assert!(problems.is_empty(), "{}", text);
        let read = documents[0].to_json();
        prop_assert_eq!(&read["spec"], &spec, "{}", text);
        prop_assert_eq!(&read["tags"], &json!([{ "key": "k", "value": "a: b = yes" }]));
        let batch = into::batch(&[taken]).unwrap();
        let (id, kept) = &batch.resources[0];
        let kept = kept.as_ref().unwrap();
        prop_assert_eq!(id, &echo::id(kind));
        prop_assert_eq!(kept.record.version, 7);
        prop_assert_eq!(serde_json::to_value(&kept.spec).unwrap(), with_check_ports(spec));
    }
}
