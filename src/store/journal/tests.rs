//! What every journal promises, held against each of them; and what the one in the data folder refuses.

mod crash;
mod damage;

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::model::spec::{EgressFilter, EgressFilterType, MeshSpec};
use crate::model::tags::Tags;
use crate::model::{MeshName, NodeName};
use crate::store::record::Owner;

/// Numbers that look random and are the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

/// What a journal has to show after some batches.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Expected {
    revision: Revision,
    resources: BTreeMap<ResourceId, Kept>,
    files: BTreeMap<ResourceId, FileFact>,
    tokens: BTreeMap<String, Remembered>,
}

impl Expected {
    pub(super) fn take(&mut self, batch: &Batch) {
        fn all<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, changes: &[(K, Option<V>)]) {
            for (key, value) in changes {
                map.remove(key);
                map.extend(value.clone().map(|value| (key.clone(), value)));
            }
        }
        self.revision = batch.revision;
        all(&mut self.resources, &batch.resources);
        all(&mut self.files, &batch.files);
        all(&mut self.tokens, &batch.tokens);
    }
}

impl From<Loaded> for Expected {
    fn from(loaded: Loaded) -> Self {
        Self {
            revision: loaded.revision,
            resources: loaded.resources.into_iter().collect(),
            files: loaded.files.into_iter().collect(),
            tokens: loaded.tokens.into_iter().collect(),
        }
    }
}

fn record(dice: &mut Dice) -> Arc<Record> {
    let tag = |dice: &mut Dice| {
        (
            format!("key{}", dice.roll(9)),
            "value".repeat(dice.roll(20)),
        )
    };
    Arc::new(Record {
        uid: format!("uid-{}", dice.roll(1_000_000)),
        created_at: Timestamp::from_millis(1_700_000_000_000),
        updated_at: Timestamp::from_millis(1_700_000_000_000 + dice.roll(1000) as u64),
        version: 1 + dice.roll(1000) as u64,
        tags: (0..dice.roll(4)).map(|_| tag(dice)).collect::<Tags>(),
        owner: Owner::Api,
    })
}

fn resource(dice: &mut Dice) -> (ResourceId, Option<Kept>) {
    let name = format!("r{}", dice.roll(60));
    let mesh = MeshName::new("m");
    let filter = EgressFilter {
        r#type: EgressFilterType::AllowAll,
    };
    let (id, spec) = if dice.roll(3) == 0 {
        let spec = MeshSpec {
            egress_filter: (dice.roll(2) == 0).then_some(filter),
            service_discovery: None,
        };
        (
            ResourceId::Mesh(MeshName::new(name)),
            Spec::Mesh(spec.into()),
        )
    } else {
        let json = format!(
            r#"{{"serviceDiscovery":{{"dns":{{"hostname":"{}.local"}}}}}}"#,
            "x".repeat(dice.roll(2000))
        );
        let spec = serde_json::from_str(&json).unwrap();
        let id = ResourceId::VirtualNode(mesh, NodeName::new(name));
        (id, Spec::VirtualNode(spec))
    };
    let kept = (dice.roll(4) > 0).then(|| Kept {
        spec,
        record: record(dice),
    });
    (id, kept)
}

/// A batch such as a group of writes leaves behind.
pub(super) fn batch(dice: &mut Dice, revision: u64) -> Batch {
    let resources: BTreeMap<_, _> = (0..=dice.roll(8)).map(|_| resource(dice)).collect();
    let fact = |dice: &mut Dice| {
        let id = ResourceId::Mesh(MeshName::new(format!("f{}", dice.roll(9))));
        let fact = FileFact {
            uid: format!("uid-{}", dice.roll(1_000_000)),
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(2),
            version: 3,
            digest: u128::MAX - dice.roll(9) as u128,
        };
        (id, (dice.roll(3) > 0).then_some(fact))
    };
    let files: BTreeMap<_, _> = (0..dice.roll(3)).map(|_| fact(dice)).collect();
    let token = |dice: &mut Dice| {
        let remembered = Remembered {
            digest: dice.roll(9) as u128,
            at: Timestamp::from_millis(5),
            record: record(dice),
            revision: Revision::new(revision),
        };
        let token = format!("token {}", dice.roll(20));
        (token, (dice.roll(3) > 0).then_some(remembered))
    };
    let tokens: BTreeMap<_, _> = (0..dice.roll(4)).map(|_| token(dice)).collect();
    Batch {
        revision: Revision::new(revision),
        resources: resources.into_iter().collect(),
        files: files.into_iter().collect(),
        tokens: tokens.into_iter().collect(),
    }
}

/// The suite: `open` is called again and again on one place.
fn keeps_its_promises(open: impl Fn() -> Box<dyn Journal>) {
    let mut journal = open();
    assert_eq!(journal.load().unwrap(), Loaded::default());
    let server = journal.server_id().unwrap();
    let (mut dice, mut expected) = (Dice(1), Expected::default());
    for revision in 1..60 {
        let batch = batch(&mut dice, revision);
        journal.commit(&batch).unwrap();
        expected.take(&batch);
        if dice.roll(5) == 0 {
            drop(journal);
            journal = open();
            assert_eq!(journal.server_id().unwrap(), server);
            assert_eq!(Expected::from(journal.load().unwrap()), expected);
        }
    }
    // What is loaded once is loaded the same again.
    assert_eq!(Expected::from(journal.load().unwrap()), expected);
    // The same batch twice is as good as once.
    let again = batch(&mut dice, 60);
    journal.commit(&again).unwrap();
    journal.commit(&again).unwrap();
    expected.take(&again);
    drop(journal);
    assert_eq!(Expected::from(open().load().unwrap()), expected);
}

#[test]
fn memory_keeps_its_promises() {
    let kept = Memory::default();
    keeps_its_promises(|| Box::new(kept.clone()));
}

#[test]
fn no_two_servers_have_an_id_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let id = |name: &str| Redb::new(&file(name)).server_id();
    for name in ["a.redb", "b.redb"] {
        open(&file(name)).unwrap();
    }
    assert_ne!(id("a.redb").unwrap(), id("b.redb").unwrap());
    assert_ne!(
        Memory::default().server_id().unwrap(),
        Memory::default().server_id().unwrap()
    );
    let database = ::redb::Database::open(file("a.redb")).unwrap();
    let writing = database.begin_write().unwrap();
    {
        let table = ::redb::TableDefinition::<&str, &[u8]>::new(facts::TABLE);
        let mut table = writing.open_table(table).unwrap();
        use ::redb::ReadableTable;
        let row = table.get(facts::SERVER).unwrap().unwrap().value().to_vec();
        let flipped: Vec<u8> = row.iter().map(|byte| byte ^ 1).collect();
        table.insert(facts::SERVER, flipped.as_slice()).unwrap();
    }
    writing.commit().unwrap();
    drop(database);
    let error = id("a.redb").unwrap_err();
    assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
}

#[test]
fn redb_keeps_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.redb");
    keeps_its_promises(|| Box::new(Redb::new(&file)));
}

pub(super) fn open(path: &Path) -> Result<Loaded, LoadError> {
    Redb::new(path).load()
}
