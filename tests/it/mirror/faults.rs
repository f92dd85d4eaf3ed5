//! What networks, load balancers and busy servers do to calls, while a mirror is at work.

use super::pair::{Pair, create, mesh, mirrored};
use super::proxy::Fate;
use super::{every_kind, id};

/// Mirrors one resource of each kind through a proxy that does this to some calls.
async fn applies_through(fates: impl Fn(usize, &str) -> Fate + Send + Sync + 'static) {
    let pair = Pair::start().await;
    for (id, [spec, _]) in &every_kind() {
        assert_eq!(
            create(&pair.source, id, spec, &[("team", "a")]).await,
            200,
            "{id}"
        );
    }
    assert_eq!(
        create(
            &pair.target,
            &id("mesh/theirs"),
            &serde_json::json!({}),
            &[]
        )
        .await,
        200
    );
    let before = mesh(&pair.target).await;
    pair.proxy.set(fates);
    let applied = pair.run(&["sync", "apply", "--prune"]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let mut after = mesh(&pair.target).await;
    assert_eq!(mirrored(&after), mesh(&pair.source).await);
    after.retain(|id, _| before.contains_key(id));
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_throttles_is_asked_again() {
    applies_through(|before, _| {
        if before % 3 == 1 {
            Fate::Refused(429)
        } else {
            Fate::Passes
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_now_and_then_is_asked_again() {
    applies_through(|before, _| match before % 4 {
        1 => Fate::Refused(500),
        2 => Fate::Refused(503),
        _ => Fate::Passes,
    })
    .await;
}

/// The same call comes twice then, and is made once.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_are_asked_for_again() {
    applies_through(|before, _| match before % 5 {
        1 => Fate::Unanswered,
        3 => Fate::CutOff,
        _ => Fate::Passes,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nothing_comes_of_is_given_up_in_time() {
    applies_through(|before, _| {
        if before == 9 {
            Fate::Swallowed
        } else {
            Fate::Passes
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_late_matters_to_nobody() {
    applies_through(|_, _| Fate::Late).await;
}
