//! Files that are not what was written: refused with what to do, and left as they are.

use std::fs;
use std::path::PathBuf;

use ::redb::ReadableTable;

use super::*;

/// A journal with something in it, closed.
fn written(folder: &Path) -> (PathBuf, Expected) {
    let path = folder.join("mesh.redb");
    let mut journal = Redb::new(&path);
    journal.load().unwrap();
    let (mut dice, mut expected) = (Dice(7), Expected::default());
    for revision in 1..40 {
        let batch = batch(&mut dice, revision);
        journal.commit(&batch).unwrap();
        expected.take(&batch);
    }
    (path, expected)
}

fn refused(path: &Path) -> LoadError {
    let before = fs::read(path).unwrap();
    let error = open(path).unwrap_err();
    let text = error.to_string();
    let shown = path.display().to_string();
    assert!(
        text.contains(&shown) && text.contains("bring back a copy"),
        "{text}"
    );
    assert!(fs::read(path).unwrap() == before, "{text}");
    error
}

#[test]
fn an_empty_a_truncated_and_a_foreign_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = written(folder.path());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, "").unwrap();
    assert!(matches!(refused(&path), LoadError::Empty { .. }));
    for len in [1, 100, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        refused(&path);
    }
    fs::write(&path, "kind: Mesh\n".repeat(1000)).unwrap();
    refused(&path);
    // Whole again, it is taken.
    fs::write(&path, &whole).unwrap();
    open(&path).unwrap();
}

#[test]
fn a_database_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.redb");
    drop(::redb::Database::create(&path).unwrap());
    let error = open(&path).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::Format {
                found: 0,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_file_that_is_gone_or_older_than_it_was_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, expected) = written(folder.path());
    let older = fs::read(&path).unwrap();
    let mut journal = Redb::new(&path);
    journal.load().unwrap();
    journal.commit(&batch(&mut Dice(1), 40)).unwrap();
    drop(journal);
    fs::write(&path, older).unwrap();
    let error = refused(&path).to_string();
    assert!(
        error.contains("revision 39") && error.contains("mesh.revision"),
        "{error}"
    );
    let mark = path.with_extension("revision");
    fs::remove_file(&mark).unwrap();
    assert_eq!(Expected::from(open(&path).unwrap()), expected);
    fs::remove_file(&path).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("it is not there"), "{error}");
    assert!(!path.exists());
    fs::remove_file(&mark).unwrap();
    assert_eq!(open(&path).unwrap(), Loaded::default());
}

/// After a clean end, and after a kill, which leaves something to repair.
#[test]
fn a_look_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, expected) = written(folder.path());
    let killed = folder.path().join("killed.redb");
    let mut journal = Redb::new(&path);
    journal.load().unwrap();
    fs::copy(&path, &killed).unwrap();
    drop(journal);
    Redb::new(&path).compact().unwrap();
    for path in [path, killed] {
        let before = fs::read(&path).unwrap();
        let looked = Redb::new(&path).look().unwrap();
        assert_eq!(Expected::from(looked), expected);
        assert!(fs::read(&path).unwrap() == before);
    }
    assert!(!folder.path().join("killed.revision").exists());
}

/// Flips bits of a database one by one: each is either in a place that says nothing, or the file is refused.
fn is_not_believed(whole: &[u8], mark: &[u8], expected: &Expected) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.redb");
    let mut dice = Dice(3);
    let mut refusals = 0;
    let header = (0..320).step_by(7).map(|byte| byte * 8 + byte % 8);
    let elsewhere: Vec<usize> = (0..100).map(|_| dice.roll(whole.len() * 8)).collect();
    for bit in (72..80).chain(header).chain(elsewhere) {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        fs::write(path.with_extension("revision"), mark).unwrap();
        if let Ok(loaded) = open(&path) {
            assert_eq!(Expected::from(loaded), *expected, "bit {bit}");
        } else {
            assert!(fs::read(&path).unwrap() == flipped, "bit {bit}");
            refusals += 1;
        }
    }
    assert!(refusals > 20, "{refusals}");
}

#[test]
fn a_flipped_bit_is_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, expected) = written(folder.path());
    let mark = fs::read(path.with_extension("revision")).unwrap();
    is_not_believed(&fs::read(&path).unwrap(), &mark, &expected);
}

/// Redb goes back by a commit where the newest does not hold and the process had no time to close the file.
#[test]
fn a_flipped_bit_is_never_believed_after_a_kill_either() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut expected) = written(folder.path());
    let mut journal = Redb::new(&path);
    journal.load().unwrap();
    for revision in 40..45 {
        let batch = batch(&mut Dice(revision), revision);
        journal.commit(&batch).unwrap();
        expected.take(&batch);
    }
    let mark = fs::read(path.with_extension("revision")).unwrap();
    // As the kernel has it while the process still has the file open.
    is_not_believed(&fs::read(&path).unwrap(), &mark, &expected);
}

/// What is in the right form and yet not what was written, with the row's name.
#[test]
fn a_row_that_was_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, expected) = written(folder.path());
    let id = expected.resources.keys().next().unwrap();
    let database = ::redb::Database::open(&path).unwrap();
    let table = ::redb::TableDefinition::<row::Key<'static>, &[u8]>::new("resources");
    let writing = database.begin_write().unwrap();
    {
        let mut table = writing.open_table(table).unwrap();
        let mut changed = table.get(row::key(id)).unwrap().unwrap().value().to_vec();
        *changed.last_mut().unwrap() ^= 1;
        table.insert(row::key(id), changed.as_slice()).unwrap();
    }
    writing.commit().unwrap();
    drop(database);
    let error = refused(&path).to_string();
    assert!(error.contains(&format!("`{id}` in `resources`")), "{error}");

    // A row that is missing has no name, and is missed.
    let database = ::redb::Database::open(&path).unwrap();
    let writing = database.begin_write().unwrap();
    let mut resources = writing.open_table(table).unwrap();
    resources.remove(row::key(id)).unwrap();
    drop(resources);
    writing.commit().unwrap();
    drop(database);
    let error = refused(&path).to_string();
    assert!(error.contains("rows that are not the"), "{error}");
}
