//! What writes do, and what is there after a restart.

use super::*;
use crate::model::admission::Refusal;

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    for kept in Kept::all() {
        let store = kept.open();
        let made = store
            .act(create(mesh("m"), &[("team", "a")]))
            .await
            .unwrap();
        assert_eq!((made.record.version, made.revision), (1, Revision(1)));
        store.make(node("a", "{}")).await.unwrap();
        let spec = r#"{"serviceDiscovery":{"dns":{"hostname":"a.local"}}}"#;
        let resource = node("a", spec);
        let updated = store
            .act(Action::Update {
                resource: resource.clone(),
            })
            .await
            .unwrap();
        assert_eq!((updated.record.version, updated.revision), (2, Revision(3)));
        assert_eq!(updated.spec, resource.spec);
        store.make(node("gone", "{}")).await.unwrap();
        let id = node_id("gone");
        let deleted = store.act(Action::Delete { id }).await.unwrap();
        assert_eq!(deleted.record.version, 2);
        let before = store.current();
        store.stop().await;

        let store = kept.open();
        let after = store.current();
        assert_eq!((after.model, after.records), (before.model, before.records));
        assert_eq!(after.revision, before.revision);
        let next = store.make(node("b", "{}")).await.unwrap();
        assert!(next.revision > before.revision);
        store.stop().await;
    }
}

#[tokio::test]
async fn the_same_again_is_a_success_and_no_change() {
    for kept in Kept::all() {
        let store = kept.open();
        let made = store.make(mesh("m")).await.unwrap();
        assert_eq!(store.make(mesh("m")).await.unwrap(), made);
        let resource = mesh("m");
        let updated = store.act(Action::Update { resource }).await.unwrap();
        assert_eq!(updated, made);
        // Other content, or other tags, under the same name.
        let other = store.make(open_mesh("m")).await.unwrap_err();
        assert!(matches!(other, WriteError::Exists { id } if id == mesh_id("m")));
        let tagged = store.act(create(mesh("m"), &[("a", "b")])).await;
        assert!(matches!(tagged, Err(WriteError::Exists { .. })));
        assert_eq!(store.current().revision, made.revision);
        // One made anew is another.
        let id = mesh_id("m");
        store.act(Action::Delete { id }).await.unwrap();
        let anew = store.make(mesh("m")).await.unwrap();
        assert_ne!(anew.record.uid, made.record.uid);
        assert_eq!(anew.record.version, 1);
    }
}

#[tokio::test]
async fn what_is_missing_is_said_by_name() {
    for kept in Kept::all() {
        let store = kept.open();
        let not_found = |result: Result<Written, WriteError>| match result {
            Err(WriteError::Refused(Refusal::NotFound { id })) => id,
            other => panic!("{other:?}"),
        };
        let id = node_id("a");
        let resource = node("a", "{}");
        let changes = [
            Action::Update { resource },
            Action::Delete { id: id.clone() },
            Action::Tag {
                id: id.clone(),
                tags: tags(&[("a", "b")]),
            },
            Action::Untag {
                id: id.clone(),
                keys: vec!["a".to_owned()],
            },
        ];
        // Of a node whose mesh is not there, the mesh.
        assert_eq!(not_found(store.make(node("a", "{}")).await), mesh_id("m"));
        for action in changes.clone() {
            assert_eq!(not_found(store.act(action).await), mesh_id("m"));
        }
        store.make(mesh("m")).await.unwrap();
        for action in changes {
            assert_eq!(not_found(store.act(action).await), id);
        }
        assert_eq!(store.current().revision, Revision(1));
    }
}

#[tokio::test]
async fn tags_change_without_a_version_and_have_a_limit() {
    for kept in Kept::all() {
        let store = kept.open();
        let id = mesh_id("m");
        store.act(create(mesh("m"), &[("a", "1")])).await.unwrap();
        let tag = |tags| Action::Tag {
            id: id.clone(),
            tags,
        };
        let tagged = store
            .act(tag(tags(&[("a", "2"), ("b", "3")])))
            .await
            .unwrap();
        assert_eq!(tagged.record.tags, tags(&[("a", "2"), ("b", "3")]));
        assert_eq!((tagged.record.version, tagged.revision), (1, Revision(2)));
        let keys = vec!["a".to_owned(), "c".to_owned()];
        let untagged = store
            .act(Action::Untag {
                id: id.clone(),
                keys,
            })
            .await
            .unwrap();
        assert_eq!(untagged.record.tags, tags(&[("b", "3")]));
        let many = (0..50).map(|n| (n.to_string(), String::new())).collect();
        let error = store.act(tag(many)).await.unwrap_err();
        assert!(
            matches!(
                error,
                WriteError::TooManyTags {
                    count: 51,
                    limit: 50,
                    ..
                }
            ),
            "{error}"
        );
        store.stop().await;
        let record = kept.open().record(&id).unwrap();
        assert_eq!(record.tags, tags(&[("b", "3")]));
    }
}

#[tokio::test]
async fn a_client_token_stands_for_one_change_also_across_a_restart() {
    for kept in Kept::all() {
        let store = kept.open();
        let write = |resource, digest| Write {
            action: create(resource, &[]),
            token: Some(ClientToken {
                token: "t".to_owned(),
                digest,
            }),
        };
        let made = store.write(write(mesh("m"), 1)).await.unwrap();
        let resource = open_mesh("m");
        store.act(Action::Update { resource }).await.unwrap();
        // Sent again, it is answered as it was, and what came after stays.
        assert_eq!(store.write(write(mesh("m"), 1)).await.unwrap(), made);
        store.stop().await;
        let store = kept.open();
        let again = store.write(write(mesh("m"), 1)).await.unwrap();
        assert_eq!((again.record, again.spec), (made.record, made.spec));
        let error = store.write(write(mesh("n"), 2)).await.unwrap_err();
        assert!(matches!(error, WriteError::TokenReused { token } if token == "t"));
        assert_eq!(store.record(&mesh_id("m")).unwrap().version, 2);
        assert!(store.record(&mesh_id("n")).is_none());
        store.stop().await;
    }
}

#[tokio::test]
async fn a_health_check_without_a_port_is_stored_with_the_listeners() {
    for kept in Kept::all() {
        let store = kept.open();
        store.make(mesh("m")).await.unwrap();
        let spec = |port: &str| {
            format!(
                r#"{{"listeners":[{{"portMapping":{{"port":8080,"protocol":"http"}},"healthCheck":{{"protocol":"http",{port}
                "path":"/","healthyThreshold":2,"unhealthyThreshold":2,"timeoutMillis":2000,"intervalMillis":5000}}}}]}}"#
            )
        };
        let made = store.make(node("a", &spec(""))).await.unwrap();
        let filled = node("a", &spec(r#""port":8080,"#));
        assert_eq!(made.spec, filled.spec);
        // Both forms are the same resource.
        assert_eq!(store.make(filled.clone()).await.unwrap(), made);
        let resource = node("a", &spec(""));
        assert_eq!(store.act(Action::Update { resource }).await.unwrap(), made);
        assert_eq!(store.current().model.get(&filled.id), Some(filled.spec));
    }
}

#[tokio::test]
async fn of_two_that_race_for_one_resource_one_wins_and_the_other_is_told() {
    for kept in Kept::all() {
        let store = kept.open();
        let (one, other) = soon(async {
            tokio::join!(
                store.make(mesh("m")),
                store.act(create(open_mesh("m"), &[]))
            )
        })
        .await;
        let won = one.unwrap();
        assert!(matches!(other, Err(WriteError::Exists { .. })), "{other:?}");

        let resource = |filter| Resource {
            id: won.id.clone(),
            spec: Spec::Mesh(Arc::new(MeshSpec {
                egress_filter: Some(EgressFilter { r#type: filter }),
                ..MeshSpec::default()
            })),
        };
        let update = |filter| {
            store.act(Action::Update {
                resource: resource(filter),
            })
        };
        let (one, other) = soon(async {
            tokio::join!(
                update(EgressFilterType::AllowAll),
                update(EgressFilterType::DropAll)
            )
        })
        .await;
        let one = one.unwrap();
        assert!(matches!(other, Err(WriteError::Raced { .. })), "{other:?}");
        assert_eq!(store.current().model.get(&won.id), Some(one.spec));
        // Read again and retried, it counts.
        let retried = update(EgressFilterType::DropAll).await.unwrap();
        assert_eq!(retried.record.version, 3);

        let id = won.id.clone();
        let deletes = || store.act(Action::Delete { id: id.clone() });
        let (one, other) = soon(async { tokio::join!(deletes(), deletes()) }).await;
        one.unwrap();
        assert!(
            matches!(other, Err(WriteError::Refused(Refusal::NotFound { .. }))),
            "{other:?}"
        );
    }
}

#[tokio::test]
async fn writes_that_wait_share_a_commit_and_are_all_answered() {
    for kept in Kept::all() {
        let registry = Registry::new();
        let (store, writer) = Store::new(kept.journal(), Options::default(), &registry).unwrap();
        let stop = CancellationToken::new();
        // Asked before there is anybody to answer, and told to stop at once.
        let mut asked = JoinSet::new();
        for n in 0..100 {
            let store = store.clone();
            let action = create(mesh(&format!("m{n}")), &[]);
            let token = None;
            asked.spawn(async move { store.write(Write { action, token }).await });
        }
        tokio::task::yield_now().await;
        while store.queue.capacity() > WAITING_WRITES - asked.len() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        soon(writer.run(stop)).await;
        for answer in soon(asked.join_all()).await {
            answer.unwrap();
        }
        let families = registry.gather();
        let commits = families
            .iter()
            .find(|family| family.name() == "outrigger_store_commit_writes")
            .unwrap();
        let commits = commits.get_metric()[0].get_histogram();
        assert_eq!(
            (commits.get_sample_count(), commits.get_sample_sum()),
            (1, 100.0)
        );
        assert_eq!(store.current().records.len(), 100);
        let late = store.write(Write {
            action: create(mesh("late"), &[]),
            token: None,
        });
        let late = soon(late).await.unwrap_err();
        assert!(
            matches!(&late, WriteError::Unavailable { source } if matches!(**source, Trouble::Stopping)),
            "{late:?}"
        );
    }
}

#[tokio::test]
async fn a_client_token_brings_back_what_was_deleted() {
    for kept in Kept::all() {
        let store = kept.open();
        let write = || Write {
            action: create(mesh("m"), &[]),
            token: Some(ClientToken {
                token: "t".to_owned(),
                digest: 1,
            }),
        };
        let first = store.write(write()).await.unwrap();
        store
            .act(Action::Delete { id: mesh_id("m") })
            .await
            .unwrap();
        let second = store.write(write()).await.unwrap();
        assert_ne!(second.record.uid, first.record.uid);
        assert_eq!(
            store.record(&mesh_id("m")),
            Some(Arc::clone(&second.record))
        );
        assert_eq!(store.write(write()).await.unwrap().record, second.record);
        store.stop().await;
    }
}
