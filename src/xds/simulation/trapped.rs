//! Each mistake of [`Trap`] breaks a law within a number of schedules, so the laws would have caught it.
//!
//! Mistake 18, a lock held while sending, cannot be made here: the state of a stream holds no lock and awaits nothing.

use super::check;
use super::schedule::Schedule;
use crate::xds::traps::{self, Trap};

const SCHEDULES: u64 = 2000;

#[track_caller]
fn notices(trap: Trap) {
    let broken = traps::with(Some(trap), || {
        (0..SCHEDULES).find_map(|seed| Some((seed, check(&Schedule::random(seed)).err()?)))
    });
    let (seed, why) = broken.unwrap_or_else(|| panic!("{trap:?} breaks no law"));
    assert_eq!(
        check(&Schedule::random(seed)),
        Ok(()),
        "seed {seed} is none for {trap:?}"
    );
    println!("{trap:?}: seed {seed}: {why}");
}

macro_rules! trapped {
    ($($test:ident: $trap:ident,)*) => {
        $(
            #[test]
            fn $test() {
                notices(Trap::$trap);
            }
        )*
    };
}

trapped! {
    trap_1_endpoints_do_not_follow: EndpointsDoNotFollow,
    trap_2_next_type_waits_for_ack: NextTypeWaitsForAck,
    trap_3_repeated_name_is_not_answered: RepeatedNameIsNotAnswered,
    trap_4_absent_is_not_told: AbsentIsNotTold,
    trap_5_removal_unsubscribes: RemovalUnsubscribes,
    trap_6_initial_versions_ignored: InitialVersionsIgnored,
    trap_7_rejected_counts_as_delivered: RejectedCountsAsDelivered,
    trap_7_rejected_is_sent_at_once: RejectedIsSentAtOnce,
    trap_8_stale_request_is_taken: StaleRequestIsTaken,
    trap_8_stale_names_are_ignored: StaleNamesAreIgnored,
    trap_9_empty_list_is_everything: EmptyListIsEverything,
    trap_10_answer_waits_for_all_names: AnswerWaitsForAllNames,
    trap_11_empty_answer_is_not_sent: EmptyAnswerIsNotSent,
    trap_12_unknown_type_ends_the_stream: UnknownTypeEndsTheStream,
    trap_13_version_of_the_replica: VersionOfTheReplica,
    trap_14_order_of_iteration: OrderOfIteration,
    trap_15_bytes_of_the_process: BytesOfTheProcess,
    trap_16_cluster_goes_first: ClusterGoesFirst,
    trap_17_one_endpoint_version: OneEndpointVersion,
    trap_19_watch_is_leaked: WatchIsLeaked,
    trap_20_cache_key_misses_an_input: CacheKeyMissesAnInput,
}
