use super::*;

#[test]
fn an_interval_is_neither_too_short_nor_too_long() {
    assert_eq!(checked_interval("5m").unwrap(), Duration::from_mins(5));
    assert_eq!(checked_interval("365d").unwrap(), *INTERVALS.end());
    for wrong in ["999ms", "366d", "300000000000y", "often"] {
        assert!(checked_interval(wrong).is_err(), "{wrong}");
    }
}

fn watch(target: &str, source: &watch::Sender<Stored>) -> (Watch, Mirror) {
    let settings = Settings {
        target: TargetOptions::new(target),
        scope: Scope::All,
        adopt: false,
        prune: false,
        drift: Drift::Repair,
        // Whoever makes settings without reading them from a text.
        drift_interval: Duration::MAX,
    };
    let registry = Registry::new();
    Watch::new(settings, "us".to_owned(), source.subscribe(), &registry).unwrap()
}

#[tokio::test]
async fn a_panic_is_told_and_tried_again() {
    let loaded = Stored {
        changed_at: Some(std::time::Instant::now()),
        ..Stored::default()
    };
    let source = watch::Sender::new(loaded);
    let (mut watch, mut mirror) = watch("http://127.0.0.1:1", &source);
    watch.panics = 1;
    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(watch.run(stop.clone()));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        assert!(mirror.changed().await, "it has ended");
        if let State::Unavailable { error, .. } = mirror.status().state
            && seen.last() != Some(&error)
        {
            seen.push(error);
        }
    }
    assert!(seen[0].contains("as a test wants it"), "{seen:?}");
    assert!(seen[1].contains("does not answer"), "{seen:?}");
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_end_is_no_panic() {
    let within = tokio::time::timeout(Duration::from_hours(1), after(Duration::MAX));
    assert!(within.await.is_err());
}
