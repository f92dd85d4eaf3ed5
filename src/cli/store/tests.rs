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
        ("kind: Mesh\nmeshName: m\nspecs: {}\n", "specs"),
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
