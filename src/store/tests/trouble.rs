//! A disk that is full, or broken: nothing half-written, reads go on, and writes when it is mended.

use std::sync::Mutex;

use super::*;

/// How a commit goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing reaches the disk.
    Before,
    /// All of it does, and that is not known.
    After,
}

/// A journal that fails when told to.
#[derive(Debug)]
struct Failing {
    inner: Box<dyn Journal>,
    fault: Arc<Mutex<Option<Fault>>>,
    /// How much the largest batch was about.
    largest: Arc<Mutex<usize>>,
}

impl Journal for Failing {
    fn load(&mut self) -> Result<Loaded, LoadError> {
        self.inner.load()
    }

    fn server_id(&mut self) -> Result<ServerId, LoadError> {
        self.inner.server_id()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let fault = *self.fault.lock().unwrap();
        let about = batch.resources.len() + batch.files.len() + batch.tokens.len();
        let mut largest = self.largest.lock().unwrap();
        *largest = about.max(*largest);
        drop(largest);
        if fault != Some(Fault::Before) {
            self.inner.commit(batch)?;
        }
        match fault {
            None => Ok(()),
            Some(_) => Err(CommitError {
                path: "/data/mesh.redb".into(),
                source: "no space left on device".into(),
            }),
        }
    }
}

fn unavailable(result: Result<Written, WriteError>) -> String {
    match result {
        Err(WriteError::Unavailable { source }) => format!("{source}: {source:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_and_never_seen() {
    for fault in [Fault::Before, Fault::After] {
        for kept in Kept::all() {
            let failing = Arc::default();
            let journal = Failing {
                inner: kept.journal(),
                fault: Arc::clone(&failing),
                largest: Arc::default(),
            };
            let store = Running::start(Box::new(journal), Options::default());
            let made = store.make(mesh("m")).await.unwrap();
            let before = store.current();
            *failing.lock().unwrap() = Some(fault);
            let text = unavailable(store.make(node("a", "{}")).await);
            assert!(text.contains("/data/mesh.redb"), "{text}");
            assert!(text.contains("InDoubt"), "{text}");
            let resource = open_mesh("m");
            let text = unavailable(store.act(Action::Update { resource }).await);
            assert!(text.contains("NotKept"), "{text}");
            let resource = open_mesh("m");
            unavailable(store.act(Action::Update { resource }).await);
            let id = mesh_id("m");
            unavailable(store.act(Action::Delete { id }).await);
            let token = Some(ClientToken {
                token: "t".to_owned(),
                digest: 1,
            });
            let action = create(mesh("n"), &[]);
            unavailable(soon(store.write(Write { action, token })).await);
            // What is refused for a reason of its own is told that one, and what is there already is no write.
            assert!(matches!(
                store.make(open_mesh("m")).await,
                Err(WriteError::Exists { .. })
            ));
            assert_eq!(store.make(mesh("m")).await.unwrap().record, made.record);
            let now = store.current();
            assert_eq!((&now.model, &now.records), (&before.model, &before.records));
            assert_eq!(now.revision, before.revision);

            *failing.lock().unwrap() = None;
            let next = store.make(node("b", "{}")).await.unwrap();
            assert!(next.revision > before.revision);
            let stored = store.current();
            store.stop().await;
            // The disk has what was answered and nothing else, whatever it had in between.
            let store = kept.open();
            let again = store.current();
            assert_eq!((again.model, again.records), (stored.model, stored.records));
            assert!(again.revision >= next.revision);
            // The token of what was refused stands for nothing.
            let token = Some(ClientToken {
                token: "t".to_owned(),
                digest: 2,
            });
            let action = create(mesh("x"), &[]);
            soon(store.write(Write { action, token })).await.unwrap();
            store.stop().await;
        }
    }
}

#[tokio::test]
async fn files_that_cannot_be_kept_are_taken_once_they_can() {
    for kept in Kept::all() {
        let failing = Arc::new(Mutex::new(Some(Fault::Before)));
        let journal = Failing {
            inner: kept.journal(),
            fault: Arc::clone(&failing),
            largest: Arc::default(),
        };
        let options = Options {
            awaits_files: true,
            ..Options::default()
        };
        let store = Running::start(Box::new(journal), options);
        let files = || Files::from(Model::from_resources([mesh("m")]));
        let refused = soon(store.replace_files(files(), Instant::now())).await;
        assert!(matches!(refused, Err(WriteError::Unavailable { .. })));
        assert!(store.current().changed_at.is_none());
        *failing.lock().unwrap() = None;
        assert!(store.declare(files()).await.is_some());
        assert_eq!(store.current().records.len(), 1);
        store.stop().await;

        // Known from before, they need no disk.
        let journal = Failing {
            inner: kept.journal(),
            fault: Arc::new(Mutex::new(Some(Fault::Before))),
            largest: Arc::default(),
        };
        let options = Options {
            awaits_files: true,
            ..Options::default()
        };
        let store = Running::start(Box::new(journal), options);
        assert!(store.declare(files()).await.is_some());
        store.stop().await;
    }
}

#[tokio::test]
async fn however_long_a_disk_refuses_one_batch_is_in_doubt_at_most() {
    for fault in [Fault::Before, Fault::After] {
        for kept in Kept::all() {
            let (failing, largest) = (Arc::default(), Arc::default());
            let journal = Failing {
                inner: kept.journal(),
                fault: Arc::clone(&failing),
                largest: Arc::clone(&largest),
            };
            let store = Running::start(Box::new(journal), Options::default());
            store.make(mesh("m")).await.unwrap();
            *failing.lock().unwrap() = Some(fault);
            for number in 0..50 {
                let token = Some(ClientToken {
                    token: format!("t{number}"),
                    digest: 1,
                });
                let action = create(node(&format!("n{number}"), "{}"), &[]);
                unavailable(soon(store.write(Write { action, token })).await);
            }
            *failing.lock().unwrap() = None;
            store.make(node("at-last", "{}")).await.unwrap();
            assert_eq!(*largest.lock().unwrap(), 2, "a node and its token");
            let stored = store.current();
            store.stop().await;
            let store = kept.open();
            assert_eq!(store.current().records, stored.records);
            store.stop().await;
        }
    }
}

#[tokio::test]
async fn what_is_known_of_files_outlives_a_disk_that_refuses_at_the_start() {
    for fault in [Fault::Before, Fault::After] {
        for kept in Kept::all() {
            let store = kept.open_for_files();
            let files = |all: &[Resource]| Files::from(Model::from_resources(all.iter().cloned()));
            store.declare(files(&[mesh("m")])).await;
            let before = store.record(&mesh_id("m"));
            store.stop().await;

            let failing = Arc::new(Mutex::new(Some(fault)));
            let journal = Failing {
                inner: kept.journal(),
                fault: Arc::clone(&failing),
                largest: Arc::default(),
            };
            let options = Options {
                awaits_files: true,
                ..Options::default()
            };
            let store = Running::start(Box::new(journal), options);
            let other = store.replace_files(files(&[mesh("n")]), Instant::now());
            soon(other).await.unwrap_err();
            *failing.lock().unwrap() = None;
            let both = [mesh("m"), mesh("n")];
            store.declare(files(&both)).await;
            store.stop().await;
            let store = kept.open_for_files();
            store.declare(files(&both)).await;
            assert_eq!(store.record(&mesh_id("m")), before);
            store.stop().await;
        }
    }
}
