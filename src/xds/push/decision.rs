//! What happens to a name that is behind: whether it is sent now, later, or said to be gone.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, NAMING};
use crate::snapshot::{Kind, Resource, Snapshot, Withheld};
use crate::xds::ledger::{Behind, Has, Ledger};
use crate::xds::traps::{self, Trap};

/// What decides about one type in one step.
pub(super) struct Rules {
    kind: Kind,
    now: Duration,
    /// How long a removal waits.
    removal_hold: Duration,
    withheld_hold: Duration,
    /// Until when nothing that may name a cluster is sent unasked.
    held_until: Option<Duration>,
    /// Until when what is asked for and may name a cluster is not sent.
    pub(super) asked_until: Option<Duration>,
    /// Until when a name that does not exist is not said to.
    absent_until: Option<Duration>,
}

/// What happens to a name that is behind.
pub(super) enum Decision {
    /// It no longer is.
    Even,
    /// Not now; look again then, or when something comes in.
    Wait(Option<Duration>),
    Send(Arc<Resource>),
    /// An older one, in place of one that was rejected or is not there.
    SendOld(Arc<Resource>),
    /// A rejected one whose back-off is over.
    Retry(Arc<Resource>),
    Absent,
    /// There will be one, but the client has waited long enough.
    AbsentForNow,
    /// There will be one, and the client may have an older one.
    LeftAsItIs,
}

impl Rules {
    pub(super) fn of(engine: &Engine, kind: Kind, now: Duration) -> Self {
        let hold = engine.limits.withheld_hold;
        let removal_hold = match kind {
            Kind::Cluster if !traps::active(Trap::ClusterGoesFirst) => engine.limits.removal_hold,
            _ => Duration::ZERO,
        };
        // Who wants all clusters asks for the load assignments of those that are new.
        let will_ask = engine.kinds[Kind::Endpoint].subscription.is_asked()
            || engine.kinds[Kind::Cluster].subscription.is_wildcard();
        let is_held = NAMING.contains(&kind) && will_ask;
        let why_withheld = |name: &str| engine.seen.why_withheld(Kind::Endpoint, name);
        let is_overdue = |name: &str| why_withheld(name) == Some(Withheld::Overdue);
        let until = |is_held: bool, counts: &dyn Fn(&str) -> bool| {
            if !is_held {
                None
            } else if engine.clusters_due {
                // For clusters that are yet to be sent, as long as anything may be held.
                Some(Duration::MAX)
            } else {
                // Nobody waits for what may never come.
                let newest = (engine.uncovered).newest(|name| counts(name) && !is_overdue(name));
                let until = newest?.saturating_add(hold);
                Some(until).filter(|until| *until > now)
            }
        };
        let is_there = |name: &str| engine.seen.get(Kind::Endpoint, name).is_some();
        Self {
            kind,
            now,
            removal_hold,
            withheld_hold: match kind {
                // The client asks for its clusters once it has these, and is to have clusters before its routes.
                Kind::Endpoint if engine.clusters_due => hold / 2,
                _ => hold,
            },
            held_until: until(is_held, &|_| true),
            // It waits for what the client is about to ask for; not for what nobody knows.
            asked_until: until(is_held && !kind.is_wildcard(), &is_there),
            // Said to have no endpoints, a cluster that is still in use would answer 503.
            absent_until: match kind {
                Kind::Endpoint => engine.routes_first(now),
                _ => None,
            },
        }
    }

    /// `resource` is what the snapshot has of the name.
    pub(super) fn decide(
        &self,
        name: &str,
        resource: Option<&Arc<Resource>>,
        behind: &Behind,
        ledger: &Ledger,
        seen: &Snapshot,
    ) -> Decision {
        if behind.deferred {
            return Decision::Wait(None);
        }
        if let Some(resource) = resource {
            return self.decide_present(resource, behind, ledger);
        }
        if let Some(why) = seen.why_withheld(self.kind, name) {
            let hold = match why {
                Withheld::Awaited => self.withheld_hold,
                Withheld::Overdue => Duration::ZERO,
            };
            return match behind.since.saturating_add(hold) {
                _ if !behind.owed => Decision::Wait(None),
                // "There is none" would take away what it may have. A cluster that changed meanwhile warms on, and the
                // one before it serves.
                _ if matches!(behind.has, Has::Version(_))
                    || ledger.may_have_unknown && matches!(behind.has, Has::Unknown) =>
                {
                    Decision::LeftAsItIs
                }
                until if until > self.now => Decision::Wait(Some(until)),
                _ => match behind.has.newest() {
                    Some(newest) => Decision::SendOld(Arc::clone(newest)),
                    None => Decision::AbsentForNow,
                },
            };
        }
        if behind.owed {
            if traps::active(Trap::AbsentIsNotTold) {
                return Decision::Wait(None);
            }
            return match (behind.has.newest(), self.absent_until) {
                // It went while the client rejected the response that it was in.
                (Some(newest), _) if !self.kind.is_wildcard() => {
                    Decision::SendOld(Arc::clone(newest))
                }
                (_, Some(until)) => Decision::Wait(Some(until)),
                _ => Decision::Absent,
            };
        }
        let released = behind.since.saturating_add(self.removal_hold);
        match (&behind.has, self.held_until(behind)) {
            (Has::Nothing, _) => Decision::Even,
            // Clients keep what they have of other types until its parent goes (xDS protocol, "Deleting resources").
            _ if !self.kind.is_wildcard() => Decision::Wait(None),
            (_, Some(until)) => Decision::Wait(Some(until)),
            _ if released > self.now => Decision::Wait(Some(released)),
            _ => Decision::Absent,
        }
    }

    fn decide_present(
        &self,
        resource: &Arc<Resource>,
        behind: &Behind,
        ledger: &Ledger,
    ) -> Decision {
        let version = resource.version();
        if behind.has.is(version) && !behind.owed {
            return Decision::Even;
        }
        if let Some(until) = ledger.quarantine.until(resource.name(), version) {
            return match behind.has.fallback() {
                _ if until <= self.now && behind.owed => Decision::Send(Arc::clone(resource)),
                _ if until <= self.now => Decision::Retry(Arc::clone(resource)),
                Some(good) if behind.owed => Decision::SendOld(Arc::clone(good)),
                None if behind.owed => Decision::AbsentForNow,
                _ => Decision::Wait(Some(until)),
            };
        }
        match self.held_until(behind) {
            Some(until) => Decision::Wait(Some(until)),
            None => Decision::Send(Arc::clone(resource)),
        }
    }

    /// Until when a name waits for the endpoints of clusters: no longer than those of one cluster may take, or a row of
    /// new clusters, each as slow as it may be, would hold it up for ever.
    fn held_until(&self, behind: &Behind) -> Option<Duration> {
        let until = if behind.owed {
            self.asked_until
        } else {
            self.held_until
        };
        let longest = behind.since.saturating_add(self.withheld_hold);
        Some(until?.min(longest)).filter(|until| *until > self.now)
    }
}
