//! What networks, load balancers and busy servers do to calls, while a mirror is at work.

use super::pair::{KeysFile, Pair, create, mesh, mirrored};
use super::proxy::Fate;
use super::{every_kind, id};
use crate::appmesh::served::Served;

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

/// AWS's SDK signs by the clock of the target, as its answers tell it. Where something before the target tells another time,
/// the target refuses the signature, and nothing else comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_not_the_targets_is_said_to_be_the_clocks_trouble() {
    let keys = KeysFile::new(&[("ALL", "")]);
    let target = Served::start(&["--api-auth", "sigv4", "--api-credentials", keys.path()]).await;
    let pair = Pair::between(Served::start(&[]).await, target).await;
    for (id, [spec, _]) in &every_kind() {
        assert_eq!(create(&pair.source, id, spec, &[]).await, 200, "{id}");
    }
    pair.proxy.set(|_, _| Fate::Late);
    let late = keys.run(&pair, "ALL", &["sync", "apply"]).await;
    assert_eq!(late.code, Some(2), "{late:?}");
    let words = [
        "InvalidSignatureException",
        "set the clock",
        "needs mesh/m, which failed",
    ];
    assert!(
        words.iter().all(|words| late.out.contains(words)),
        "{late:?}"
    );
    pair.proxy.set(|_, _| Fate::Passes);
    let applied = keys.run(&pair, "ALL", &["sync", "apply"]).await;
    let kinds = every_kind().len();
    assert!(
        applied.out.ends_with(&format!("{kinds} created\n")),
        "{applied:?}"
    );
}
