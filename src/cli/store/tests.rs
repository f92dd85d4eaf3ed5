use std::path::Path;

use super::*;
use crate::model::ResourceId;
use crate::store::journal::{Batch, FileFact};
use crate::store::{Owner, Record, Revision, Timestamp};

fn folder(path: &Path) -> Folder {
    Folder {
        data_dir: path.to_owned(),
    }
}

fn import_text(path: &Path, text: &str) -> Result<String, String> {
    let file = path.with_extension("export");
    fs::write(&file, text).unwrap();
    let args = ImportArgs {
        folder: folder(path),
        file,
    };
    import(&args).map_err(|error| error.text())
}

fn export_text(path: &Path) -> String {
    let args = ExportArgs {
        folder: folder(path),
        file: None,
    };
    export(&args).unwrap()
}

/// Every kind.
const MESH: &str = concat!(
    include_str!("../../../config/mesh/mesh.yaml"),
    "\n---\n",
    include_str!("../../../config/mesh/service-a.yaml"),
    "\n---\n",
    include_str!("../../../config/mesh/service-b.yaml"),
    r#"
---
kind: VirtualGateway
meshName: appMesh
virtualGatewayName: gateway
spec: { listeners: [{ portMapping: { port: 8088, protocol: http } }] }
---
kind: GatewayRoute
meshName: appMesh
virtualGatewayName: gateway
gatewayRouteName: route
spec:
  httpRoute:
    action: { target: { virtualService: { virtualServiceName: service-b.local } } }
    match: { prefix: / }
"#
);

fn filled(path: &Path) -> Loaded {
    import_text(path, MESH).unwrap();
    let file = path.join(STORE_FILE);
    let mut journal = Redb::new(&file);
    let loaded = journal.load().unwrap();
    let mut batch = Batch {
        revision: Revision::new(77),
        ..Batch::default()
    };
    for (id, kept) in loaded.resources {
        let record = Record {
            uid: format!("uid of {id}"),
            created_at: Timestamp::from_millis(1_700_000_000_123),
            updated_at: Timestamp::from_millis(1_700_000_000_456),
            version: 9,
            tags: [("yes".to_owned(), "no: 1e3 =+@ - é".to_owned())].into(),
            owner: Owner::Api,
        };
        let record = record.into();
        batch.resources.push((id, Some(Kept { record, ..kept })));
    }
    let fact = FileFact {
        uid: "u".to_owned(),
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(2),
        version: 3,
        digest: u128::MAX,
    };
    let route = ResourceId::Route(
        crate::model::MeshName::new("m"),
        crate::model::RouterName::new("r"),
        crate::model::RouteName::new("x"),
    );
    batch.files.push((route, Some(fact)));
    journal.commit(&batch).unwrap();
    journal.load().unwrap()
}

#[test]
fn an_export_restores_the_store_completely() {
    let parent = tempfile::tempdir().unwrap();
    let (old, new) = (parent.path().join("old"), parent.path().join("new"));
    let before = filled(&old);
    for kind in crate::model::ResourceKind::ALL {
        let mut ids = before.resources.iter().map(|(id, _)| id.kind());
        assert!(ids.any(|one| one == kind), "{kind}");
    }
    let exported = export_text(&old);
    import_text(&new, &exported).unwrap();
    assert_eq!(load(&new.join(STORE_FILE)).unwrap(), before);
    assert_eq!(export_text(&new), exported);
}

#[test]
fn an_export_is_a_mesh_file() {
    let parent = tempfile::tempdir().unwrap();
    let before = filled(&parent.path().join("data"));
    let file = parent.path().join("mesh.yaml");
    fs::write(&file, export_text(&parent.path().join("data"))).unwrap();
    let loaded = crate::files::load(&[file]).unwrap();
    assert_eq!(loaded.errors(), 0);
    let read = loaded.model().unwrap();
    for (id, kept) in before.resources {
        assert_eq!(read.get(&id), Some(kept.spec));
    }
}

#[test]
fn nothing_is_imported_over_something_or_with_a_mistake() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    for (text, told) in [
        ("kind: Mesh\nmeshName: m\nspecs: {}\n", "line 3: "),
        (
            "--- {kind: Mesh, meshName: m}\n--- {kind: Mesh, meshName: m}\n",
            "line 2: `mesh/m` is there twice",
        ),
        (
            "kind: Mesh\nmeshName: m\n---\nkind: Mesh\nmeshName: m\n",
            "twice",
        ),
        ("# metadata: {}\nkind: Mesh\nmeshName: m\n", "line 1"),
        ("kind: [\n", "line"),
    ] {
        let error = import_text(&path, text).unwrap_err();
        assert!(error.contains(told), "{error}");
        assert!(!path.exists());
    }
    import_text(&path, "kind: Mesh\nmeshName: m\n").unwrap();
    let error = import_text(&path, "kind: Mesh\nmeshName: n\n").unwrap_err();
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(load(&path.join(STORE_FILE)).unwrap().resources.len(), 1);
}

#[test]
fn a_folder_in_use_and_one_without_a_store_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    let checked = |path: &Path| {
        let args = CheckArgs {
            folder: folder(path),
            output: Output::Table,
        };
        check(&args).map_err(|error| error.text())
    };
    let error = checked(&path).unwrap_err();
    assert!(error.contains("there is no store"), "{error}");
    assert!(!path.exists());
    import_text(&path, MESH).unwrap();
    let text = checked(&path).unwrap();
    assert!(
        text.contains("is whole") && text.contains("revision 1"),
        "{text}"
    );
    let text = compact(&folder(&path)).unwrap();
    assert!(text.contains("bytes"), "{text}");
    let held = DataDir::open(&path).unwrap();
    for error in [
        checked(&path).unwrap_err(),
        import_text(&path, MESH).unwrap_err(),
        compact(&folder(&path)).unwrap_err().text(),
    ] {
        assert!(error.contains("in use by another process"), "{error}");
    }
    drop(held);
    let file = path.join(STORE_FILE);
    fs::write(&file, "").unwrap();
    let error = checked(&path).unwrap_err();
    assert!(error.contains("is empty"), "{error}");
}

/// What a shell leaves of an export that failed.
#[test]
fn nothing_at_all_is_no_export() {
    let parent = tempfile::tempdir().unwrap();
    for text in ["", "\n \n"] {
        let refused = import_text(&parent.path().join("data"), text);
        let refused = refused.unwrap_err();
        assert!(refused.contains("nothing to import"), "{refused}");
    }
}

#[test]
fn a_document_may_begin_on_the_line_of_its_marker() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    let text = "--- {kind: Mesh, meshName: m}\n--- {kind: Mesh, meshName: n}\n";
    import_text(&path, text).unwrap();
    let names = load(&path.join(STORE_FILE)).unwrap().resources;
    let names = names.iter().map(|(id, _)| id.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["mesh/m", "mesh/n"]);
}

#[test]
fn an_export_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let parent = tempfile::tempdir().unwrap();
    let (old, new) = (parent.path().join("old"), parent.path().join("new"));
    filled(&old);
    let exported = export_text(&old);
    let lines = exported.match_indices('\n').map(|(at, _)| at + 1);
    let cuts: Vec<usize> = lines.filter(|at| *at < exported.len()).collect();
    for cut in &cuts {
        let refused = import_text(&new, &exported[..*cut]).unwrap_err();
        let next = &exported[*cut..];
        // Between two documents nothing else tells.
        if next.starts_with("---") || next.starts_with("# end") {
            assert!(refused.contains("the export is cut off"), "{refused}");
        }
    }
    assert!(cuts.len() > 100);
    // Neither is one that has lost its beginning or its middle whole.
    let (beginning, _) = exported.split_once("---\n").unwrap();
    let (_, without_beginning) = exported.split_once('\n').unwrap();
    let (_, end) = exported.rsplit_once("---\n").unwrap();
    let without_middle = format!("{beginning}---\n{end}");
    for text in [without_beginning, &without_middle] {
        let refused = import_text(&new, text).unwrap_err();
        assert!(
            refused.contains("at its end it says revision 77"),
            "{refused}"
        );
    }
    // Somebody may add to it.
    import_text(
        &new,
        &format!("{exported}--- {{kind: Mesh, meshName: more}}\n"),
    )
    .unwrap();
}

#[test]
fn metadata_is_of_the_document_below_it() {
    let parent = tempfile::tempdir().unwrap();
    let (old, new) = (parent.path().join("old"), parent.path().join("new"));
    filled(&old);
    let exported = export_text(&old);
    // A document is gone, and its metadata is not.
    let (document, _) = exported.match_indices("\n{\n").nth(1).unwrap();
    let rest = &exported[document..];
    let after = rest.find("---\n").unwrap();
    let refused = import_text(&new, &[&exported[..=document], &rest[after..]].concat());
    assert!(
        refused
            .unwrap_err()
            .contains("is not what `store export` prints")
    );
    // One of another format is for another program.
    let refused = import_text(&new, &exported.replacen("format 1,", "format 2,", 1));
    assert!(refused.unwrap_err().contains("has format 2"));
}

#[test]
fn nothing_is_imported_without_what_it_stands_in() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    let node = "kind: VirtualNode\nmeshName: m\nvirtualNodeName: n\nspec: {}\n";
    let refused = import_text(&path, &format!("kind: Mesh\nmeshName: other\n---\n{node}"));
    let refused = refused.unwrap_err();
    assert!(
        refused.contains("line 4: `mesh/m/virtualNode/n` stands in `mesh/m`"),
        "{refused}"
    );
    // A mesh that a file declares is there once that is served.
    let declared = r#"# declared in a file: {"names":["Mesh","m","",""],"metadata":{"uid":"u","version":1,"createdAt":1,"updatedAt":1},"digest":"0"}"#;
    import_text(&path, &format!("{declared}\n---\n{node}")).unwrap();
}

#[test]
fn a_store_that_was_emptied_takes_an_export_and_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    let before = filled(&path);
    let exported = export_text(&path);
    let mut journal = Redb::new(&path.join(STORE_FILE));
    journal.load().unwrap();
    let resources = before.resources.iter().map(|(id, _)| (id.clone(), None));
    let files = before.files.iter().map(|(id, _)| (id.clone(), None));
    let emptied = Batch {
        revision: Revision::new(80),
        resources: resources.collect(),
        files: files.collect(),
        ..Batch::default()
    };
    journal.commit(&emptied).unwrap();
    drop(journal);
    import_text(&path, &exported).unwrap();
    let after = load(&path.join(STORE_FILE)).unwrap();
    assert_eq!(
        (after.revision, after.resources),
        (Revision::new(81), before.resources)
    );
}
