//! Files that the store cannot keep.

use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::{Registry, TextEncoder};

use super::*;
use crate::files;
use crate::store::journal::{Batch, CommitError, Journal, LoadError, Loaded, Memory};
use crate::store::{Options, ServerId};

/// A journal that counts how often it is asked to keep something, and fails until it is mended.
#[derive(Debug)]
struct Failing {
    inner: Memory,
    asked: watch::Sender<u32>,
    is_mended: Arc<AtomicBool>,
}

impl Journal for Failing {
    fn load(&mut self) -> Result<Loaded, LoadError> {
        self.inner.load()
    }

    fn server_id(&mut self) -> Result<ServerId, LoadError> {
        self.inner.server_id()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.asked.send_modify(|asked| *asked += 1);
        if self.is_mended.load(Ordering::SeqCst) {
            return self.inner.commit(batch);
        }
        Err(CommitError {
            path: "mesh.redb".into(),
            source: "no space left on device".into(),
        })
    }
}

fn reloads(metrics: &Metrics, result: &str) -> Option<u64> {
    let text = TextEncoder::new().encode_to_string(&metrics.registry().gather());
    let series = format!("outrigger_mesh_reloads_total{{result=\"{result}\"}} ");
    let text = text.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(&series))?;
    value.parse().ok()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_tried_again_and_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    std::fs::write(&file, "kind: Mesh\nmeshName: m\n").unwrap();
    let (_latest, mut newest) = watch::channel(Arc::new(files::load(&[file])));

    let (asked, mut was_asked) = watch::channel(0);
    let is_mended = Arc::new(AtomicBool::new(false));
    let journal = Failing {
        inner: Memory::default(),
        asked,
        is_mended: Arc::clone(&is_mended),
    };
    let options = Options {
        awaits_files: true,
        ..Options::default()
    };
    let (store, writer) = Store::new(Box::new(journal), options, &Registry::new()).unwrap();
    let sink = Sink {
        store: store.clone(),
        metrics: Metrics::new().unwrap(),
        ready: Ready::default(),
    };
    let stop = CancellationToken::new();
    let watching = async {
        let mut asked = async |times| {
            was_asked.wait_for(|asked| *asked >= times).await.unwrap();
            reloads(&sink.metrics, "failed")
        };
        // The first commit is in doubt, and those that follow are refused because of it.
        let said = asked(4).await;
        assert_eq!(said, Some(2));
        assert_eq!(asked(9).await, said);
        assert!(sink.ready.report().degraded().next().is_some());
        is_mended.store(true, Ordering::SeqCst);
    };
    let taking = async {
        let taken = sink.take(&mut newest).await;
        stop.cancel();
        taken
    };
    let (taken, (), ()) = tokio::join!(taking, watching, writer.run(stop.clone()));
    assert!(taken);
    assert_eq!(reloads(&sink.metrics, "applied"), Some(1));
    assert_eq!(sink.ready.report().degraded().count(), 0);
    assert_eq!(store.current().records.len(), 1);
}
