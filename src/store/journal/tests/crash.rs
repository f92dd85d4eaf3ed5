//! Power cuts: what is written and not synced is lost, whole or in parts, wherever the cut comes.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ::redb::{Database, DatabaseError, StorageBackend};

use super::super::redb::{Storage, begin, builder};
use super::*;

/// What a disk writes at once.
const SECTOR: usize = 512;

/// A disk with a cache that a power cut empties.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What a reader sees.
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync.
    unsynced: Vec<Step>,
    /// Steps until the power is cut; `None`: it stays.
    left: Option<usize>,
}

#[derive(Clone, Debug)]
enum Step {
    Resize(usize),
    Write(usize, Vec<u8>),
}

impl Step {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Resize(len) => to.resize(*len, 0),
            Self::Write(at, data) => {
                if to.len() < at + data.len() {
                    to.resize(at + data.len(), 0);
                }
                to[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }

    /// What of it may reach the platter one by one.
    fn sectors(self) -> Vec<Self> {
        match self {
            Self::Resize(_) => vec![self],
            Self::Write(at, data) => {
                let first = SECTOR - at % SECTOR;
                let (head, tail) = data.split_at(first.min(data.len()));
                let mut parts = vec![Self::Write(at, head.to_vec())];
                for (index, part) in tail.chunks(SECTOR).enumerate() {
                    let at = at + head.len() + index * SECTOR;
                    parts.push(Self::Write(at, part.to_vec()));
                }
                parts
            }
        }
    }
}

impl Platter {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => return Err(io::Error::other("the power is cut")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }
}

impl Disk {
    /// The disk when the power is back: of what was not synced, some sectors are there and some are not.
    fn after_cut(&self, dice: &mut Dice) -> Self {
        let platter = self.0.lock().unwrap();
        let mut durable = platter.durable.clone();
        let all_or_some = dice.roll(3);
        for sector in platter.unsynced.iter().cloned().flat_map(Step::sectors) {
            let is_kept = match all_or_some {
                0 => true,
                1 => false,
                _ => dice.roll(2) == 0,
            };
            if is_kept {
                sector.apply(&mut durable);
            }
        }
        Self(Arc::new(Mutex::new(Platter {
            cached: durable.clone(),
            durable,
            ..Platter::default()
        })))
    }

    fn journal(&self) -> Redb {
        Redb::with(Path::new("no-such-folder/mesh.redb"), self.clone())
    }
}

impl Storage for Disk {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().cached.clone())
    }

    fn open(&self) -> Result<Database, DatabaseError> {
        builder().create_with_backend(self.clone())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        let data = platter.cached.get(at..at + out.len());
        out.copy_from_slice(data.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.step()?;
        let step = Step::Resize(usize::try_from(len).unwrap());
        step.apply(&mut platter.cached);
        platter.unsynced.push(step);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.step()?;
        platter.durable = platter.cached.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.step()?;
        let step = Step::Write(usize::try_from(offset).unwrap(), data.to_vec());
        step.apply(&mut platter.cached);
        platter.unsynced.push(step);
        Ok(())
    }
}

#[test]
fn every_acknowledged_batch_survives_a_power_cut_and_nothing_else() {
    let (mut lost, mut found) = (0, 0);
    for seed in 0..120 {
        let mut dice = Dice(seed);
        let disk = Disk::default();
        begin(&builder().create_with_backend(disk.clone()).unwrap()).unwrap();
        let mut expected = Expected::default();
        let mut disk = disk;
        // Cut after cut, on what the one before left.
        for _ in 0..3 {
            let mut journal = disk.journal();
            assert_eq!(Expected::from(journal.load().unwrap()), expected, "{seed}");
            disk.0.lock().unwrap().left = Some(dice.roll(120));
            let in_flight = (0..120).find_map(|_| {
                let batch = batch(&mut dice, expected.revision.as_u64() + 1);
                if journal.commit(&batch).is_err() {
                    return Some(batch);
                }
                expected.take(&batch);
                None
            });
            let in_flight = in_flight.expect("each commit writes, so that the cut comes");
            let after = disk.after_cut(&mut dice);
            drop(journal);
            disk = after;
            // What was under way may have reached the disk, and then whole.
            let loaded = Expected::from(disk.journal().load().unwrap());
            let mut with = expected.clone();
            with.take(&in_flight);
            if loaded == with {
                found += 1;
                expected = with;
            } else {
                lost += 1;
                assert_eq!(loaded, expected, "{seed}");
            }
        }
    }
    // The cuts came at different moments.
    assert!(lost > 100 && found > 5, "{lost} lost, {found} found");
}
