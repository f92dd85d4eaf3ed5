//! Mistakes that real servers made, to be switched on by a test that must notice them.
//!
//! Outside tests none is ever on, which the compiler knows.

/// A mistake. The numbers are those of the list in the notes on the xDS protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "some are made by the tests' own replicas")
)]
pub(super) enum Trap {
    /// 1: a cluster that changes is not followed by its load assignment.
    EndpointsDoNotFollow,
    /// 2: the next type waits for the ACK of clusters, which Envoy holds back.
    NextTypeWaitsForAck,
    /// 3: a name asked for again is not sent again.
    RepeatedNameIsNotAnswered,
    /// 4: nobody says that a name does not exist.
    AbsentIsNotTold,
    /// 5: a removal ends the subscription.
    RemovalUnsubscribes,
    /// 6: what a client comes back with is ignored.
    InitialVersionsIgnored,
    /// 7: what was rejected counts as delivered.
    RejectedCountsAsDelivered,
    /// 7: what was rejected is sent again at once.
    RejectedIsSentAtOnce,
    /// 8: a stale request is taken (state of the world).
    StaleRequestIsTaken,
    /// 8: a stale request's names are ignored (delta).
    StaleNamesAreIgnored,
    /// 9: an empty list means everything, whatever was named before.
    EmptyListIsEverything,
    /// 10: an answer waits until everything there is has been asked for.
    AnswerWaitsForAllNames,
    /// 11: an empty first answer is not sent.
    EmptyAnswerIsNotSent,
    /// 12: a type that is not served ends the stream.
    UnknownTypeEndsTheStream,
    /// 13: a version tells which replica it is from.
    VersionOfTheReplica,
    /// 14: a repeated field is in the order of a hash table.
    OrderOfIteration,
    /// 15: equal content has other bytes in another process.
    BytesOfTheProcess,
    /// 16: a cluster goes before the routes that name it.
    ClusterGoesFirst,
    /// 17: one version for all load assignments.
    OneEndpointVersion,
    /// 19: what was unsubscribed from is watched on.
    WatchIsLeaked,
    /// 20: what is kept for a key is not what the key does not cover.
    CacheKeyMissesAnInput,
}

#[cfg(not(test))]
pub(super) const fn active(_: Trap) -> bool {
    false
}

#[cfg(test)]
pub(super) use switch::{active, with};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Trap;

    thread_local! {
        static ACTIVE: Cell<Option<Trap>> = const { Cell::new(None) };
    }

    pub(in crate::xds) fn active(trap: Trap) -> bool {
        ACTIVE.get() == Some(trap)
    }

    /// Makes a mistake on this thread, as long as `run` takes.
    pub(in crate::xds) fn with<T>(trap: Option<Trap>, run: impl FnOnce() -> T) -> T {
        let before = ACTIVE.replace(trap);
        let result = run();
        ACTIVE.set(before);
        result
    }
}
