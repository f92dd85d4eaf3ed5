//! The feed of changes, from a revision on.

use super::*;

fn since(store: &Store, revision: Revision) -> Option<Vec<ResourceId>> {
    match store.changes_since(revision) {
        Changes::Since { changed, .. } => Some(changed.into_iter().collect()),
        Changes::Full { .. } => None,
    }
}

#[tokio::test]
async fn a_reader_resumes_where_it_was() {
    for kept in Kept::all() {
        let store = kept.open();
        store.make(mesh("m")).await.unwrap();
        let seen = store.current().revision;
        assert_eq!(since(&store, seen), Some(vec![]));
        store.make(node("a", "{}")).await.unwrap();
        store.make(node("b", "{}")).await.unwrap();
        let id = mesh_id("m");
        let tags = tags(&[("a", "b")]);
        store.act(Action::Tag { id, tags }).await.unwrap();
        let id = node_id("a");
        store.act(Action::Delete { id }).await.unwrap();
        let changed = vec![mesh_id("m"), node_id("a"), node_id("b")];
        assert_eq!(since(&store, seen), Some(changed));
        assert_eq!(since(&store, store.current().revision), Some(vec![]));
        // A revision that never was.
        assert_eq!(since(&store, Revision(99)), None);
        let last = store.current().revision;
        store.stop().await;

        // What led to a revision before the start is not known, and that one still is.
        let store = kept.open();
        assert_eq!(since(&store, seen), None);
        assert_eq!(since(&store, last), Some(vec![]));
        store.stop().await;
    }
}

#[test]
fn the_window_is_bounded_in_revisions_and_in_names() {
    let ids = |count: usize| -> Arc<[ResourceId]> {
        (0..count).map(|n| mesh_id(&n.to_string())).collect()
    };
    let stored = |feed: &Feed, revision| Stored {
        feed: feed.clone(),
        revision,
        ..Stored::default()
    };
    let is_known = |feed: &Feed, newest, since| {
        let changes = stored(feed, Revision(newest)).changes_since(Revision(since));
        matches!(changes, Changes::Since { .. })
    };
    let mut feed = Feed::starting_at(Revision(10));
    assert!(is_known(&feed, 10, 10) && !is_known(&feed, 10, 9));
    for revision in 11..=5010 {
        feed.push(Revision(revision), ids(1));
    }
    assert!(is_known(&feed, 5010, 914) && !is_known(&feed, 5010, 913));
    feed.push(Revision(5011), ids(65_000));
    assert!(is_known(&feed, 5011, 5010) && !is_known(&feed, 5011, 4000));
    // More than fits at once: only who has seen it is up to date.
    feed.push(Revision(5012), ids(70_000));
    assert!(is_known(&feed, 5012, 5012) && !is_known(&feed, 5012, 5011));
}
