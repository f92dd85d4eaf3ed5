//! What mesh files declare, beside what the API was told.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

fn files(resources: &[Resource]) -> Files {
    let place = |(resource, line): (&Resource, u32)| {
        let path = Arc::from(Path::new("mesh.yaml"));
        (resource.id.clone(), Place { path, line })
    };
    Files {
        model: Model::from_resources(resources.iter().cloned()),
        places: resources.iter().zip(1..).map(place).collect(),
        tags: BTreeMap::new(),
    }
}

#[tokio::test]
async fn nothing_is_published_and_nothing_written_before_files_are_loaded() {
    for kept in Kept::all() {
        let store = kept.open_for_files();
        assert!(store.current().changed_at.is_none());
        let early = store.make(mesh("m")).await.unwrap_err();
        assert!(matches!(early, WriteError::NotLoaded), "{early}");
        // Files that declare nothing count.
        assert_eq!(store.declare(Files::default()).await, Some(Revision(0)));
        assert!(store.current().changed_at.is_some());
        store.make(mesh("m")).await.unwrap();
    }
}

#[tokio::test]
async fn a_files_resource_belongs_to_its_file() {
    for kept in Kept::all() {
        let store = kept.open_for_files();
        store.declare(files(&[mesh("m"), node("a", "{}")])).await;
        let id = node_id("a");
        let resource = node("a", "{}");
        for action in [
            create(resource.clone(), &[]),
            Action::Update { resource },
            Action::Delete { id: id.clone() },
            Action::Tag {
                id: id.clone(),
                tags: tags(&[("a", "b")]),
            },
        ] {
            let error = store.act(action).await.unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(&error, WriteError::OwnedByFile { line: 2, .. })
                    && text.contains("mesh.yaml"),
                "{text}"
            );
        }
        // Others may stand beside it.
        store.make(node("b", "{}")).await.unwrap();
        assert_eq!(store.current().records.len(), 3);
    }
}

#[tokio::test]
async fn a_files_resource_keeps_its_uid_and_counts_its_versions() {
    for kept in Kept::all() {
        let store = kept.open_for_files();
        store.declare(files(&[mesh("m"), mesh("n")])).await;
        let first = store.record(&mesh_id("m")).unwrap();
        assert_eq!(first.version, 1);
        let revision = store.current().revision;
        // On another line now: known, and no change.
        assert_eq!(store.declare(files(&[mesh("n"), mesh("m")])).await, None);
        let owner = store.record(&mesh_id("m")).unwrap().owner.clone();
        assert!(matches!(owner, Owner::File { line: 2, .. }), "{owner:?}");
        assert_eq!(store.current().revision, revision);
        let next = store.declare(files(&[open_mesh("m"), mesh("n")])).await;
        assert!(next > Some(revision));
        store.stop().await;

        // Nothing changed while nobody watched.
        let store = kept.open_for_files();
        let again = store.declare(files(&[open_mesh("m"), mesh("n")])).await;
        assert_eq!(again, next);
        let second = store.record(&mesh_id("m")).unwrap();
        assert_eq!((&second.uid, second.version), (&first.uid, 2));
        store.stop().await;

        // Something did, and something is gone.
        let store = kept.open_for_files();
        assert!(store.declare(files(&[mesh("m")])).await > next);
        let third = store.record(&mesh_id("m")).unwrap();
        assert_eq!((&third.uid, third.version), (&first.uid, 3));
        assert_eq!(third.created_at, first.created_at);
        store.stop().await;

        // What is declared after it was gone is another.
        let store = kept.open_for_files();
        store.declare(files(&[mesh("m"), mesh("n")])).await;
        assert_eq!(store.record(&mesh_id("n")).unwrap().version, 1);
        store.stop().await;
    }
}

#[tokio::test]
async fn a_files_resource_has_the_files_tags() {
    for kept in Kept::all() {
        let declared = |values: &[(&str, &str)]| Files {
            tags: [(mesh_id("m"), tags(values))].into(),
            ..files(&[mesh("m")])
        };
        let store = kept.open_for_files();
        let first = store.declare(declared(&[("team", "a")])).await;
        let record = store.record(&mesh_id("m")).unwrap();
        assert_eq!(record.tags, tags(&[("team", "a")]));
        assert_eq!(store.declare(declared(&[("team", "a")])).await, None);
        // Other tags are no other version, but another content.
        let next = store.declare(declared(&[("team", "b")])).await;
        assert!(next > first);
        let record = store.record(&mesh_id("m")).unwrap();
        assert_eq!((&record.tags, record.version), (&tags(&[("team", "b")]), 1));
        let changes = store.changes_since(first.unwrap());
        assert!(
            matches!(&changes, Changes::Since { changed, .. } if changed.contains(&mesh_id("m"))),
            "{changes:?}"
        );
        store.stop().await;

        let store = kept.open_for_files();
        assert_eq!(store.declare(declared(&[("team", "b")])).await, next);
        store.stop().await;
        let store = kept.open_for_files();
        assert!(store.declare(files(&[mesh("m")])).await > next);
        assert_eq!(store.record(&mesh_id("m")).unwrap().tags, tags(&[]));
        store.stop().await;
    }
}

#[tokio::test]
async fn the_file_wins_while_it_is_there() {
    for kept in Kept::all() {
        let store = kept.open();
        let made = store.act(create(mesh("m"), &[("team", "a")])).await;
        let made = made.unwrap();
        store.stop().await;

        let goes_on = |record: &Record, version| {
            assert_eq!(record.uid, made.record.uid);
            assert_eq!(record.created_at, made.record.created_at);
            assert_eq!(record.version, version);
        };
        let store = kept.open_for_files();
        store.declare(files(&[open_mesh("m")])).await;
        let stored = store.current();
        assert_eq!(stored.model.get(&made.id), Some(open_mesh("m").spec));
        goes_on(&stored.records[&made.id], 2);
        store.stop().await;

        let store = kept.open_for_files();
        store.declare(files(&[open_mesh("m")])).await;
        assert_eq!(store.current().records, stored.records);
        // What the API was told comes back.
        store.declare(files(&[])).await;
        let stored = store.current();
        assert_eq!(stored.model.get(&made.id), Some(mesh("m").spec));
        let back = Arc::clone(&stored.records[&made.id]);
        goes_on(&back, 3);
        assert_eq!((&back.tags, &back.owner), (&made.record.tags, &Owner::Api));
        store.declare(files(&[open_mesh("m")])).await;
        goes_on(&store.record(&made.id).unwrap(), 4);
        store.stop().await;

        // It is kept meanwhile, and what becomes of it without files counts.
        let store = kept.open();
        assert_eq!(store.record(&made.id), Some(back));
        for resource in [open_mesh("m"), mesh("m")] {
            store.act(Action::Update { resource }).await.unwrap();
        }
        store.stop().await;
        let store = kept.open_for_files();
        store.declare(files(&[open_mesh("m")])).await;
        goes_on(&store.record(&made.id).unwrap(), 6);
        store.stop().await;

        // What a file is found not to declare any more after a restart is no different.
        let store = kept.open_for_files();
        store.declare(files(&[])).await;
        goes_on(&store.record(&made.id).unwrap(), 7);
        store.stop().await;
        let store = kept.open_for_files();
        store.declare(files(&[])).await;
        goes_on(&store.record(&made.id).unwrap(), 7);
        store.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_says_the_same_as_the_api_changes_the_owner_only() {
    for kept in Kept::all() {
        let store = kept.open();
        let made = store.make(mesh("m")).await.unwrap();
        store.stop().await;
        let store = kept.open_for_files();
        store.declare(files(&[mesh("m")])).await;
        let record = store.record(&made.id).unwrap();
        assert!(matches!(record.owner, Owner::File { line: 1, .. }));
        let owner = Owner::Api;
        assert_eq!(
            Record {
                owner,
                ..record.as_ref().clone()
            },
            *made.record
        );
        store.declare(files(&[])).await;
        assert_eq!(store.record(&made.id), Some(made.record));
        store.stop().await;
    }
}

/// Files are read anew as a whole; readers compare only what changed in them.
#[test]
fn what_stays_the_same_stays_shared() {
    let (store, mut writer) = Store::in_memory().unwrap();
    let mut replace = |resources: &[Resource]| {
        let model = Model::from_resources(resources.iter().cloned());
        writer.replace_files(model.into(), Instant::now()).unwrap()
    };
    let spec = |name: &str| {
        store
            .current()
            .model
            .mesh(&MeshName::new(name))?
            .spec
            .clone()
    };
    assert_eq!(
        replace(&[mesh("same"), mesh("changed"), mesh("removed")]),
        Some(Revision(1))
    );
    let same = spec("same").unwrap();
    let next = [mesh("same"), open_mesh("changed"), mesh("added")];
    assert_eq!(replace(&next), Some(Revision(2)));
    assert!(Arc::ptr_eq(&spec("same").unwrap(), &same));
    assert_eq!(store.current().model, Model::from_resources(next.clone()));
    assert_eq!(replace(&next), None);
}

#[tokio::test]
async fn what_the_api_has_in_a_mesh_that_is_gone_can_be_deleted() {
    for kept in Kept::all() {
        let store = kept.open_for_files();
        store.declare(files(&[mesh("m")])).await;
        store.make(node("a", "{}")).await.unwrap();
        store.declare(files(&[])).await;
        let id = node_id("a");
        store.act(Action::Delete { id: id.clone() }).await.unwrap();
        assert!(store.record(&id).is_none());
        // What is not there either is told by the outermost that is missing.
        let error = store.act(Action::Delete { id }).await.unwrap_err();
        assert!(error.to_string().contains("`mesh/m`"), "{error}");
        store.stop().await;
    }
}
