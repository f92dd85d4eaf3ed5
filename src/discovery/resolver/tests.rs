use std::future::{pending, ready};

use tokio::time::timeout;

use super::*;

fn found() -> Answer<u8> {
    let ttl = Duration::ZERO;
    let records = vec![1];
    Answer::Found { records, ttl }
}

fn denied() -> Answer<u8> {
    let ttl = Duration::ZERO;
    Answer::NoRecords { ttl }
}

/// Name servers that ignore questions for AAAA exist; they must not delay every answer by the time limit.
#[tokio::test(start_paused = true)]
async fn the_other_family_is_not_waited_for() {
    let limit = Duration::from_secs(1);
    let raced = timeout(limit, race(ready(found()), pending())).await;
    assert_eq!(raced, Ok((found(), Answer::NotAsked)));
    let raced = timeout(limit, race(ready(denied()), pending())).await;
    assert!(raced.is_err(), "a denial alone decides nothing");
    let raced = timeout(limit, race(pending(), ready(found()))).await;
    assert!(raced.is_err(), "the preferred family may still answer");
}

#[test]
fn names_are_absolute() {
    let name = absolute("a.test").expect("a name");
    assert!(name.is_fqdn());
    assert_eq!(&*host_name(&name), "a.test");
    for nonsense in ["a..b", &"a".repeat(64)] {
        assert_eq!(absolute(nonsense), None, "{nonsense}");
    }
}
