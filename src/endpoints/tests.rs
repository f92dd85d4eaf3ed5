use std::path::PathBuf;

use tokio::task::JoinHandle;
use tokio::time::advance;

use super::*;
use crate::model::NodeName;
use crate::model::endpoint::RegisteredEndpoint;

/// A running owner; the time is the test's.
struct Bed {
    registrations: Registrations,
    table: watch::Receiver<EndpointTable>,
    registry: Registry,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Bed {
    fn start(file: Option<&Path>) -> Self {
        let kept = file.map(|file| Disk::open(file).unwrap());
        Self::run(|metrics, published| Owner::new(metrics, published, kept))
    }

    #[expect(clippy::disallowed_methods, reason = "awaited in `stop`")]
    fn run(owner: impl FnOnce(Metrics, watch::Sender<State>) -> Owner) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let (endpoints, registrations) = Endpoints::with(metrics, owner);
        let (sender, table) = watch::channel(EndpointTable::new());
        let stop = CancellationToken::new();
        let running = tokio::spawn(endpoints.run(sender, stop.clone()));
        Self {
            registrations,
            table,
            registry,
            stop,
            running,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }

    async fn put(&self, name: &str, count: u8, lease: Option<u64>) -> Result<Done, CallError> {
        let lease = lease.map(Duration::from_secs);
        self.registrations.put(node(name), set(count), lease).await
    }

    /// How many endpoints translation has been handed for a node.
    fn published(&self, name: &str) -> Option<usize> {
        let table = self.table.borrow();
        table.registered(&node(name)).map(|set| set.len())
    }

    /// Waits until the table says so.
    async fn until(&mut self, name: &str, count: Option<usize>) {
        let node = node(name);
        let said = |table: &EndpointTable| table.registered(&node).map(|set| set.len()) == count;
        self.table.wait_for(said).await.unwrap();
    }

    fn metric(&self, name: &str) -> String {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap();
        let metric = &family.get_metric()[0];
        let value = metric.get_gauge().get_value() + metric.get_counter().get_value();
        value.to_string()
    }
}

fn node(name: &str) -> NodeKey {
    (MeshName::new("m"), NodeName::new(name))
}

fn set(count: u8) -> RegisteredSet {
    let endpoint = |last| RegisteredEndpoint {
        address: [10, 0, 0, last].into(),
        port: None,
        weight: 1,
        zone: None,
    };
    RegisteredSet::new((1..=count).map(endpoint).collect())
}

fn done(changed: bool, durable: bool) -> Done {
    Done { changed, durable }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_ends() {
    let mut bed = Bed::start(None);
    assert_eq!(bed.put("a", 2, Some(10)).await, Ok(done(true, false)));
    assert_eq!(bed.put("b", 1, None).await, Ok(done(true, false)));
    assert_eq!((bed.published("a"), bed.published("b")), (Some(2), Some(1)));
    advance(Duration::from_secs(9)).await;
    bed.table.mark_unchanged();
    assert_eq!(bed.put("a", 2, Some(10)).await, Ok(done(false, false)));
    let woken = bed.table.has_changed().unwrap();
    assert!(!woken, "a renewal must not wake the translation");
    advance(Duration::from_secs(9)).await;
    assert_eq!(bed.put("b", 1, None).await, Ok(done(false, false)));
    assert_eq!(
        bed.published("a"),
        Some(2),
        "renewed a second before its end"
    );
    bed.until("a", None).await;
    assert_eq!(bed.published("b"), Some(1), "without a lease it stays");
    assert_eq!(bed.registrations.get(&node("a")), None);
    assert_eq!(
        bed.metric("outrigger_registration_leases_expired_total"),
        "1"
    );
    assert_eq!(bed.metric("outrigger_registered_endpoints"), "1");
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_together_are_done_in_their_order() {
    let bed = Bed::start(None);
    let (first, second) = (bed.put("a", 1, None), bed.put("a", 2, None));
    let third = bed.registrations.delete(node("b"));
    let (first, second, third) = tokio::join!(first, second, third);
    assert_eq!(first, Ok(done(true, false)));
    assert_eq!(second, Ok(done(true, false)));
    assert_eq!(third, Ok(done(false, false)), "nothing was registered");
    assert_eq!(bed.published("a"), Some(2));
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_calls_while_it_stops_is_told() {
    let bed = Bed::start(None);
    let handle = bed.registrations.clone();
    bed.stop().await;
    let call = handle.put(node("a"), set(1), None).await;
    assert_eq!(call, Err(CallError::Stopping));
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("endpoints.redb")
}

#[tokio::test]
async fn a_restart_keeps_everything_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::start(Some(&file(&folder)));
    assert_eq!(bed.put("a", 3, None).await, Ok(done(true, true)));
    assert_eq!(bed.put("b", 1, Some(3600)).await, Ok(done(true, true)));
    assert_eq!(bed.put("c", 1, None).await, Ok(done(true, true)));
    assert_eq!(
        bed.registrations.delete(node("c")).await,
        Ok(done(true, true))
    );
    // As a crash ends it: nothing is written any more.
    bed.running.abort();
    drop(bed.running.await);

    let mut bed = Bed::start(Some(&file(&folder)));
    bed.until("a", Some(3)).await;
    assert_eq!((bed.published("b"), bed.published("c")), (Some(1), None));
    let kept = bed.registrations.get(&node("b")).unwrap();
    assert_eq!(kept.lease, Some(Duration::from_hours(1)));
    bed.stop().await;
}

/// Nobody can renew a lease while the control plane is away.
#[tokio::test(start_paused = true)]
async fn a_restart_keeps_what_is_left_of_a_lease() {
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::start(Some(&file(&folder)));
    assert_eq!(bed.put("a", 1, Some(100)).await, Ok(done(true, true)));
    advance(Duration::from_secs(40)).await;
    bed.stop().await;
    advance(Duration::from_hours(1)).await;
    let mut bed = Bed::start(Some(&file(&folder)));
    bed.until("a", Some(1)).await;
    let kept = bed.registrations.get(&node("a")).unwrap();
    let left = kept.ends_at().unwrap() - tokio::time::Instant::now();
    let left = left.as_secs();
    assert!(
        (55..=60).contains(&left),
        "{left} s are left of 100 s after 40 s"
    );
    bed.until("a", None).await;
    bed.stop().await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (there, away) = (folder.path().join("there"), folder.path().join("away"));
    std::fs::create_dir(&there).unwrap();
    let path = there.join("endpoints.redb");
    let bed = Bed::start(Some(&path));
    assert_eq!(bed.put("a", 1, None).await, Ok(done(true, true)));
    bed.stop().await;

    let (mut disk, loaded) = Disk::open(&path).unwrap();
    disk.close();
    std::fs::rename(&there, &away).unwrap();
    let bed = Bed::run(|metrics, published| Owner::new(metrics, published, Some((disk, loaded))));
    let refused = bed.put("b", 1, None).await.unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("endpoints.redb") && text.contains("nothing is changed"),
        "{text}"
    );
    assert_eq!(bed.registrations.get(&node("b")), None);
    assert_eq!((bed.published("a"), bed.published("b")), (Some(1), None));

    // Another file in its place gets all, not what was called since.
    std::fs::create_dir(&there).unwrap();
    assert_eq!(bed.put("c", 1, None).await, Ok(done(true, true)));
    bed.stop().await;
    let (_disk, loaded) = Disk::open(&path).unwrap();
    let kept: Vec<&NodeKey> = loaded.registrations.iter().map(|(node, _)| node).collect();
    assert_eq!(kept, [&node("a"), &node("c")]);
}

/// Renewals are refused as long as they cannot be kept, and nobody is to lose a lease by that.
#[tokio::test(start_paused = true)]
async fn no_lease_ends_while_renewals_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (there, away) = (folder.path().join("there"), folder.path().join("away"));
    std::fs::create_dir(&there).unwrap();
    let path = there.join("endpoints.redb");
    let bed = Bed::start(Some(&path));
    assert_eq!(bed.put("a", 1, Some(10)).await, Ok(done(true, true)));
    bed.stop().await;

    let (mut disk, loaded) = Disk::open(&path).unwrap();
    disk.close();
    std::fs::rename(&there, &away).unwrap();
    let mut bed =
        Bed::run(|metrics, published| Owner::new(metrics, published, Some((disk, loaded))));
    for _ in 0..4 {
        bed.put("a", 1, Some(10)).await.unwrap_err();
        advance(Duration::from_secs(8)).await;
    }
    assert_eq!(bed.published("a"), Some(1));

    // Once they can be kept again, a whole lease is left to renew.
    std::fs::create_dir(&there).unwrap();
    assert_eq!(bed.put("b", 1, None).await, Ok(done(true, true)));
    advance(Duration::from_secs(8)).await;
    assert_eq!(bed.put("b", 1, None).await, Ok(done(false, true)));
    assert_eq!(bed.published("a"), Some(1));
    bed.until("a", None).await;
    bed.stop().await;
}
