//! What is said of a stream to those who run the server: log lines, metrics, and who was refused.

use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, warn};

use super::{End, Protocol, Session};
use crate::clients::RefusedNode;
use crate::snapshot::PerKind;
use crate::telemetry::metrics::Refusal;
use crate::xds::{Event, Step, StreamError};

/// Lines about rejections that a stream may cause at once: a search for what is bad among thousands takes as many.
pub(super) const REJECTED_LINES: u32 = 32;

impl<P: Protocol> Session<P> {
    pub(super) fn refuse(&self, reason: Refusal, message: String) -> End {
        warn!(peer = %self.peer, "refused: {message}");
        self.note_refusal(reason, &message);
        Status::invalid_argument(message).into()
    }

    /// Counts a refusal, and remembers whose it was if the client has said who it is.
    pub(super) fn note_refusal(&self, reason: Refusal, message: &str) {
        self.context.metrics.stream_refused(reason);
        let Some(claim) = self.claim.clone() else {
            return;
        };
        let now = Instant::now();
        self.context.clients.refused(RefusedNode {
            node: claim.id,
            peer: self.peer,
            user_agent: claim.user_agent,
            reason,
            message: message.to_owned(),
            count: 1,
            first: now,
            last: now,
        });
    }

    pub(super) fn observe(
        &self,
        step: &Step,
        changed_at: Option<std::time::Instant>,
        pushed: &mut PerKind<Option<std::time::Instant>>,
        node: &str,
    ) {
        let metrics = &self.context.metrics;
        if let Some(changed_at) = changed_at
            && !step.responses.is_empty()
        {
            metrics.change_sent(changed_at.elapsed());
        }
        for event in &step.events {
            metrics.observe(event);
            match event {
                Event::Sent {
                    kind,
                    resources,
                    removed,
                } => {
                    debug!(node, r#type = %kind, resources, removed, "sent");
                    pushed[*kind] = changed_at;
                }
                Event::Acked { kind, .. } => {
                    if let Some(changed_at) = pushed[*kind].take() {
                        metrics.change_acked(changed_at.elapsed());
                    }
                }
                Event::Rejected {
                    kind,
                    nonce,
                    message,
                    resources,
                } => {
                    let peer = &self.peer;
                    if let Some(more) = self.rejected_lines.pass() {
                        warn!(node, %peer, r#type = %kind, nonce, ?resources, more, "rejected: {message}");
                    } else {
                        debug!(node, %peer, r#type = %kind, nonce, ?resources, "rejected: {message}");
                    }
                }
            }
        }
    }
}

pub(super) fn refusal(error: &StreamError) -> Refusal {
    match error {
        StreamError::NoTypeUrl | StreamError::OtherType { .. } => Refusal::Protocol,
        StreamError::TooManyNames { .. } => Refusal::Limit,
    }
}
