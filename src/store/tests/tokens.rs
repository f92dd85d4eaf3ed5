//! How long client tokens are remembered, and how many.

use super::super::tokens::{MOST, Tokens};
use super::*;
use crate::store::journal::Remembered;

const HOUR: Duration = Duration::from_hours(1);

fn remembered(at: Timestamp) -> Remembered {
    let record = Record {
        uid: "u".to_owned(),
        created_at: at,
        updated_at: at,
        version: 1,
        tags: Tags::new(),
        owner: Owner::Api,
    };
    Remembered {
        digest: 1,
        at,
        record: Arc::new(record),
        revision: Revision(1),
    }
}

#[test]
fn a_token_is_remembered_for_an_hour() {
    let at = Timestamp::from_millis(1_000);
    let mut tokens = Tokens::default();
    tokens.insert("t".to_owned(), remembered(at));
    let last = Timestamp::from_millis(at.saturating_add(HOUR).as_millis() - 1);
    assert!(tokens.get("t", last).is_some());
    assert_eq!(tokens.forget(last), [""; 0]);
    let over = at.saturating_add(HOUR);
    assert!(tokens.get("t", over).is_none());
    assert_eq!(tokens.forget(over), ["t"]);
    assert!(tokens.get_any("t").is_none());
    // Used again, it counts from then.
    tokens.insert("t".to_owned(), remembered(at));
    tokens.insert("t".to_owned(), remembered(last));
    assert_eq!(tokens.forget(over), [""; 0]);
    assert!(tokens.get("t", over).is_some());
}

#[test]
fn of_too_many_tokens_the_oldest_are_forgotten() {
    let mut tokens = Tokens::default();
    let at = |number| Timestamp::from_millis(number);
    let all = u64::try_from(MOST).unwrap() + 2;
    for number in 0..all {
        tokens.insert(format!("t{number}"), remembered(at(number)));
    }
    assert_eq!(tokens.forget(at(all)), ["t0", "t1"]);
    assert!(tokens.get("t1", at(all)).is_none() && tokens.get("t2", at(all)).is_some());
    assert_eq!(tokens.forget(at(all)), [""; 0]);
}

#[tokio::test]
async fn what_an_old_token_was_used_for_is_forgotten_with_the_next_write() {
    for kept in Kept::all() {
        let now = Timestamp::from(std::time::SystemTime::now());
        let old = Timestamp::from_millis(now.as_millis() - 3_600_000);
        let young = Timestamp::from_millis(now.as_millis() - 3_000_000);
        let mut journal = kept.journal();
        journal.load().unwrap();
        let seeded = [("old", old), ("older", old), ("young", young)];
        let batch = Batch {
            revision: Revision(1),
            tokens: seeded
                .map(|(token, at)| (token.to_owned(), Some(remembered(at))))
                .into(),
            ..Batch::default()
        };
        journal.commit(&batch).unwrap();
        drop(journal);

        let store = kept.open();
        let write = |token: &str| Write {
            action: create(mesh("m"), &[]),
            token: Some(ClientToken {
                token: token.to_owned(),
                digest: 2,
            }),
        };
        let reused = store.write(write("young")).await;
        assert!(
            matches!(&reused, Err(WriteError::TokenReused { token }) if token == "young"),
            "{reused:?}"
        );
        store.write(write("old")).await.unwrap();
        store.stop().await;
        let tokens = kept.journal().load().unwrap().tokens;
        let names: Vec<(&str, u128)> = tokens
            .iter()
            .map(|(token, one)| (token.as_str(), one.digest))
            .collect();
        assert_eq!(names, [("old", 2), ("young", 1)]);
    }
}
