use std::fs;

use tokio::time::Instant;

use super::*;
use crate::model::endpoint::RegisteredEndpoint;

fn node(name: &str) -> NodeKey {
    (MeshName::new("m"), NodeName::new(name))
}

fn endpoints(count: u8) -> RegisteredSet {
    let endpoint = |last| RegisteredEndpoint {
        address: [10, 0, 0, last].into(),
        port: Some(8080),
        weight: 7,
        zone: Some("a".into()),
    };
    RegisteredSet::new((1..=count).map(endpoint).collect())
}

fn save(name: &str, count: u8, lease: Option<u64>, renewed_at: Instant) -> Save {
    Save {
        node: node(name),
        registration: Some(Registration {
            endpoints: endpoints(count),
            lease: lease.map(Duration::from_secs),
            renewed_at,
        }),
        only_lease: false,
    }
}

fn kept(count: u8, lease: Option<u64>, renewed_at: u64) -> Kept {
    Kept {
        endpoints: endpoints(count),
        lease: lease.map(Duration::from_secs),
        renewed_at: Duration::from_secs(renewed_at),
    }
}

#[test]
fn what_is_saved_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.redb");
    let started = Instant::now();
    let at = |seconds| started + Duration::from_secs(seconds);
    let clock = |now| Clock {
        base: Duration::from_secs(100),
        started,
        now: at(now),
    };
    let (mut disk, loaded) = Disk::open(&path).unwrap();
    assert_eq!(loaded, Loaded::default());
    let all = [
        save("a", 2, None, at(1)),
        save("b", 1, Some(30), at(1)),
        save("c", 0, None, at(1)),
        save("d", 3, None, at(1)),
    ];
    disk.save(&all, clock(2)).unwrap();
    let renewed = Save {
        only_lease: true,
        ..save("b", 1, Some(60), at(5))
    };
    let gone = Save {
        node: node("d"),
        registration: None,
        only_lease: false,
    };
    disk.save(&[renewed, gone], clock(6)).unwrap();
    drop(disk);
    let (_disk, loaded) = Disk::open(&path).unwrap();
    let expected = Loaded {
        clock: Duration::from_secs(106),
        registrations: vec![
            (node("a"), kept(2, None, 101)),
            (node("b"), kept(1, Some(60), 105)),
            (node("c"), kept(0, None, 101)),
        ],
    };
    assert_eq!(loaded, expected);
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.redb");
    fs::write(&path, "something else entirely").unwrap();
    let error = Disk::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("endpoints.redb") && error.contains("move it away"),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"something else entirely");
}

#[test]
fn a_later_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.redb");
    let now = Instant::now();
    let clock = Clock {
        base: Duration::ZERO,
        started: now,
        now,
    };
    let (mut disk, _) = Disk::open(&path).unwrap();
    disk.save(&[], clock).unwrap();
    let database = disk.database.take().unwrap();
    let writing = database.begin_write().unwrap();
    writing
        .open_table(FACTS)
        .unwrap()
        .insert(FORMAT, 2)
        .unwrap();
    writing.commit().unwrap();
    drop(database);
    let error = Disk::open(&path).unwrap_err();
    assert!(
        matches!(error, DiskError::Format { found: 2, .. }),
        "{error}"
    );
}
