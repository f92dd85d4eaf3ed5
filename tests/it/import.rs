//! `outrigger import appmesh`: out of a real control plane and back into others, and out of an independent double of the API.

mod every_field;
mod moto;

use std::collections::BTreeMap;
use std::path::Path;

use outrigger::appmesh::client::{Client, KeySource, TargetOptions};
use outrigger::model::{ResourceId, ResourceKind};
use serde_json::{Value, json};

use crate::appmesh::served::Served;
use crate::cli::outrigger_with;

const IDENTITY: [&str; 4] = ["--account-id", "123456789012", "--region", "eu-west-1"];

async fn client(endpoint: &str) -> Client {
    let mut options = TargetOptions::new(endpoint);
    options.keys = KeySource::Key {
        id: "any".to_owned(),
        secret: "any".to_owned(),
    };
    Client::connect(options).await.unwrap()
}

/// Runs a command in a folder, and returns its exit code and what it says on either stream.
fn outrigger(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = outrigger_with(folder, &[], arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (output.status.code().unwrap(), said)
}

fn import(folder: &Path, endpoint: &str, arguments: &[&str]) -> String {
    let import = ["import", "appmesh", "--endpoint", endpoint];
    let (code, said) = outrigger(folder, &[&import, arguments].concat());
    assert_eq!(code, 0, "{said}");
    said
}

/// Makes resources that have, together, every field that there is, and some that others refer to.
async fn fill(endpoint: &str) -> usize {
    let client = client(endpoint).await;
    let specs = every_field::every_field();
    let mut all = vec![
        ("mesh/m".to_owned(), json!({})),
        ("mesh/m/virtualNode/abc".to_owned(), json!({})),
        ("mesh/m/virtualRouter/abc".to_owned(), json!({})),
        ("mesh/m/virtualService/abc".to_owned(), json!({})),
    ];
    let (_, gateway) = specs
        .iter()
        .find(|(kind, _)| *kind == ResourceKind::VirtualGateway)
        .unwrap();
    all.push(("mesh/m/virtualGateway/abc".to_owned(), gateway.clone()));
    for (number, (kind, spec)) in specs.into_iter().enumerate() {
        let path = match kind {
            ResourceKind::Mesh => format!("mesh/m{number}"),
            ResourceKind::VirtualNode => format!("mesh/m/virtualNode/n{number}"),
            ResourceKind::VirtualService => format!("mesh/m/virtualService/s{number}.local"),
            ResourceKind::VirtualRouter => format!("mesh/m/virtualRouter/r{number}"),
            ResourceKind::Route => format!("mesh/m/virtualRouter/abc/route/r{number}"),
            ResourceKind::VirtualGateway => format!("mesh/m/virtualGateway/g{number}"),
            ResourceKind::GatewayRoute => {
                format!("mesh/m/virtualGateway/abc/gatewayRoute/g{number}")
            }
        };
        all.push((path, spec));
    }
    for (number, (path, spec)) in all.iter().enumerate() {
        let id = ResourceId::parse(path).unwrap();
        let tags = [("number".to_owned(), number.to_string())].into();
        let token = format!("create-{number}");
        client.create(&id, spec, &tags, &token).await.unwrap();
    }
    // Later versions, too.
    for (hostname, token) in [("a.invalid", "a"), ("b.invalid", "b")] {
        let id = ResourceId::parse("mesh/m/virtualNode/abc").unwrap();
        let spec = json!({ "serviceDiscovery": { "dns": { "hostname": hostname } } });
        client.update(&id, &spec, token).await.unwrap();
    }
    all.len()
}

/// Everything that a control plane has, with all that it says of it.
async fn resources(served: &Served) -> Value {
    served.get("/outrigger/v1/resources").await.ok()["resources"].clone()
}

/// The files of a folder, without the line that says where they come from.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let (heading, rest) = text.split_once('\n').unwrap();
        assert!(heading.starts_with("# From http://"), "{heading}");
        (file.file_name().into_string().unwrap(), rest.to_owned())
    });
    files.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_comes_back_as_it_was_by_the_store_and_by_files() {
    let source = Served::start(&IDENTITY).await;
    let count = fill(&source.url()).await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();

    // By the store, uids, versions and times stay, and with the flags that are named, ARNs.
    let copy_at = tempfile::tempdir().unwrap();
    let data = copy_at.path().join("data");
    let into = ["--data-dir", data.to_str().unwrap()];
    let said = import(at, &source.url(), &into);
    let expected = format!("has {count} resources at revision 1\n");
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains(&IDENTITY.join(" ")), "{said}");
    let copy = Served::start_in(copy_at, &IDENTITY).await;
    let (had, has) = (resources(&source).await, resources(&copy).await);
    assert_eq!(had.as_array().unwrap().len(), count);
    let versions = had.as_array().unwrap().iter();
    let mut versions = versions.map(|resource| resource["metadata"]["version"].as_u64());
    assert!(versions.any(|version| version == Some(3)));
    assert_eq!(has, had);

    // By files, from either.
    import(at, &source.url(), &["--output", "source"]);
    import(at, &copy.url(), &["--output", "copy"]);
    let meshes = files(&at.join("source"));
    assert!(meshes.len() > 1 && meshes.contains_key("m.yaml"));
    assert_eq!(files(&at.join("copy")), meshes);
    let (code, said) = outrigger(at, &["validate", "source"]);
    assert_eq!(code, 0, "{said}");

    // And from one that was given the files.
    let other = Served::start(&IDENTITY).await;
    let url = other.url();
    let (code, said) = outrigger(at, &["apply", "source", "--api-url", &url]);
    assert_eq!(code, 0, "{said}");
    import(at, &url, &["--output", "other"]);
    assert_eq!(files(&at.join("other")), meshes);
    // One mesh of many.
    import(at, &url, &["--output", "one", "--mesh", "m"]);
    assert_eq!(
        files(&at.join("one")),
        [("m.yaml".to_owned(), meshes["m.yaml"].clone())].into()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_said_before_anything_is_written() {
    let empty = Served::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("full")).unwrap();
    std::fs::write(at.join("full/a.yaml"), "").unwrap();
    let data = empty.folder.path().join("data");
    let data = data.to_str().unwrap();
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let admin = format!("http://{}", empty.admin);
    let url = empty.url();
    let out = ["--output", "mesh"];
    for (endpoint, arguments, code, words) in [
        (&url, &out[..], 1, "has no mesh"),
        (
            &url,
            &["--output", "mesh", "--mesh", "shop"],
            1,
            "has no mesh `shop`",
        ),
        (
            &url,
            &["--output", "full"],
            1,
            "`full` is not empty: it has `a.yaml`",
        ),
        (&url, &["--data-dir", data], 2, "in use by another process"),
        (&url, &[], 2, "--output <DIR>"),
        (
            &url,
            &["--output", "mesh", "--data-dir", "data"],
            2,
            "cannot be used with",
        ),
        (&nobody, &out, 2, "does not answer"),
        (&admin, &out, 2, "answers what App Mesh's API does not"),
    ] {
        let import = ["import", "appmesh", "--endpoint", endpoint];
        let (ended, said) = outrigger(at, &[&import, arguments].concat());
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(ended, code, "{arguments:?}: {said}");
    }
    let (code, said) = outrigger(at, &["import", "appmesh", "--output", "mesh"]);
    assert!(code == 2 && said.contains("--endpoint <URL>"), "{said}");
    assert_eq!(std::fs::read_dir(at.join("mesh")).unwrap().count(), 0);
}
