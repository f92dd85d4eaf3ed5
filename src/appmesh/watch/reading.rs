//! What the target has is read: all of it, or some resources.

use std::pin::pin;

use tokio::task::JoinSet;

use super::{Trouble, Watch};
use crate::appmesh::client::{Client, TargetError};
use crate::appmesh::read::{Target, read};
use crate::model::ResourceId;
use crate::store::Stored;

/// Resources that are read at a time.
const AT_A_TIME: usize = 16;

impl Watch {
    /// Reads all of the target.
    pub(super) async fn read(&mut self, client: &Client) -> Result<Target, Trouble> {
        self.touched.clear();
        let read = read(client, &self.settings.scope, |_| ()).await;
        self.has_read(client, read)
    }

    /// The same, and meanwhile goes on as ever: at the pace of a target that is far away, it takes minutes.
    pub(super) async fn read_beside_changes(&mut self, client: &Client) -> Result<Target, Trouble> {
        self.touched.clear();
        let scope = self.settings.scope.clone();
        let mut reading = pin!(read(client, &scope, |_| ()));
        loop {
            tokio::select! {
                read = &mut reading => return self.has_read(client, read),
                () = self.has_news() => self.catch_up(client).await?,
            }
        }
    }

    fn has_read(
        &mut self,
        client: &Client,
        read: Result<Target, TargetError>,
    ) -> Result<Target, Trouble> {
        self.metrics.read(read.is_ok());
        let target = read?;
        self.options.target = client.server_id();
        if self.options.target.as_deref() == Some(&*self.options.mirror) {
            let endpoint = client.endpoint().to_owned();
            return Err(Trouble::Itself { endpoint });
        }
        Ok(target)
    }

    /// Reads some resources.
    pub(super) async fn look_at(
        &mut self,
        client: &Client,
        ids: Vec<ResourceId>,
        stored: &Stored,
    ) -> Result<(), Trouble> {
        let mut waiting = ids.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_A_TIME
                && let Some(id) = waiting.next()
            {
                let client = client.clone();
                running.spawn(async move {
                    let held = client.describe(&id).await;
                    (id, held)
                });
            }
            let Some(done) = running.join_next().await else {
                return Ok(());
            };
            let (id, held) =
                done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            self.touched.insert(id.clone());
            match held? {
                Some(held) => self.known.take_in(&id, held, &stored.model),
                None => self.known.remove(&id),
            }
        }
    }
}
