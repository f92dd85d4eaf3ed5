//! A server that goes and comes back: streams that break come back by themselves, and whoever drives the run asks how the
//! fleet stands.

use crate::protocol::Protocol;
use crate::report::{Audit, Look};
use crate::run::Run;
use anyhow::{Context, Result};
use std::sync::atomic::Ordering::SeqCst;
use tokio::io::{AsyncBufReadExt, BufReader};

impl Run {
    /// Answers each line of standard input, until its end.
    pub(crate) async fn follow<P: Protocol>(&self) -> Result<()> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while lines.next_line().await.context("reading")?.is_some() {
            println!("{}", serde_json::to_string(&self.look::<P>().await?)?);
        }
        Ok(())
    }

    /// Waits until all streams are there and nothing more comes, and compares what they hold with what new ones are sent.
    async fn look<P: Protocol>(&self) -> Result<Look> {
        let streams = self.args.streams;
        self.recorder
            .wait_attached(streams, self.storm_limit())
            .await;
        self.recorder
            .wait_quiet(self.quiet(), self.storm_limit())
            .await;
        let (attached, _) = self.recorder.generation();
        let Audit {
            compared,
            stale,
            failure,
            ..
        } = self.audit::<P>().await?;
        Ok(Look {
            attached,
            broken: self.recorder.broken.load(SeqCst),
            resent: self.recorder.resent.load(SeqCst),
            messages: self.recorder.traffic().messages,
            compared,
            stale,
            failure,
        })
    }
}
