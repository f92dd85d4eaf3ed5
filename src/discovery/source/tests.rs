use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::discovery::answer::{Answer, HostAnswer};

const RULES: Rules = Rules {
    min_ttl: Duration::from_secs(1),
    max_ttl: Duration::from_secs(30),
    negative_grace: Duration::from_mins(5),
    unresolved_limit: Duration::from_millis(2800),
};

/// A source and a clock that only the test moves.
struct Script {
    source: Source,
    hostname: Arc<str>,
    start: Instant,
    now: Instant,
    jitter: f64,
}

impl Script {
    fn new(hostname: &str, preference: Option<IpPreference>) -> Self {
        let hostname: Arc<str> = hostname.into();
        let start = Instant::now();
        let source = EndpointSource::Dns {
            hostname: Arc::clone(&hostname),
            preference,
        };
        Self {
            source: Source::new(&source, &RULES, start),
            hostname,
            start,
            now: start,
            jitter: 0.0,
        }
    }

    fn plain() -> Self {
        Self::new("a.test", None)
    }

    fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = self.start + Duration::from_secs_f64(seconds);
        self
    }

    fn host(&mut self, v4: Answer<IpAddr>, v6: Answer<IpAddr>) -> Option<Event> {
        let hosts = vec![(Arc::clone(&self.hostname), HostAnswer { v4, v6 })];
        self.take(SourceAnswer {
            services: None,
            hosts,
        })
    }

    fn services(&mut self, services: Answer<Service>, hosts: &[(&str, Answer<IpAddr>)]) {
        let host = |(name, v4): &(&str, Answer<IpAddr>)| {
            let v4 = v4.clone();
            let v6 = none();
            (Arc::from(*name), HostAnswer { v4, v6 })
        };
        self.take(SourceAnswer {
            services: Some(services),
            hosts: hosts.iter().map(host).collect(),
        });
    }

    fn take(&mut self, answer: SourceAnswer) -> Option<Event> {
        let before = self.source.set();
        let outcome = self.source.answered(answer, &RULES, self.now, self.jitter);
        assert_eq!(outcome.changed, before != self.source.set());
        outcome.event
    }

    /// What is published, as `address` or `address:port*weight`; `None` is unresolved.
    fn endpoints(&self) -> Option<Vec<String>> {
        let EndpointSet::Known(endpoints) = self.source.set() else {
            return None;
        };
        let show = |one: &Endpoint| match one.port {
            Some(port) => format!("{}:{port}*{}", one.address, one.weight),
            None => one.address.to_string(),
        };
        Some(endpoints.iter().map(show).collect())
    }

    #[track_caller]
    fn expect(&self, endpoints: &[&str]) {
        let expected = endpoints.iter().map(|one| (*one).to_owned()).collect();
        assert_eq!(self.endpoints(), Some(expected));
    }

    /// Denials at the pace at which they are asked for, from one second to another.
    fn denied(&mut self, from: u32, to: u32, denial: fn() -> Answer<IpAddr>) -> Option<Event> {
        let mut last = None;
        for second in (from..to).step_by(3).chain([to]) {
            let event = self.at(second.into()).host(denial(), denial());
            last = event.or(last);
        }
        last
    }

    /// Seconds from now to the next look-up.
    fn pause(&self) -> f64 {
        let next = self.source.next_query.expect("a look-up is planned");
        next.duration_since(self.now).as_secs_f64()
    }
}

fn v4(last: &[u8]) -> Answer<IpAddr> {
    let address = |last: &u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, *last));
    found(last.iter().map(address).collect(), 5)
}

fn v6(last: &[u16]) -> Answer<IpAddr> {
    let address = |last: &u16| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, *last));
    found(last.iter().map(address).collect(), 5)
}

fn found<T>(records: Vec<T>, seconds: u64) -> Answer<T> {
    let ttl = Duration::from_secs(seconds);
    Answer::Found { records, ttl }
}

fn none<T>() -> Answer<T> {
    let ttl = Duration::from_secs(2);
    Answer::NoRecords { ttl }
}

fn no_name<T>() -> Answer<T> {
    Answer::NoName { ttl: Duration::MAX }
}

fn failed<T>() -> Answer<T> {
    Answer::Failed("no answer in time".into())
}

fn service(target: &str, port: u16, weight: u16) -> Service {
    Service {
        target: target.into(),
        port,
        weight,
    }
}

#[test]
fn an_answer_is_published_sorted_and_without_repetition() {
    let mut script = Script::plain();
    assert_eq!(script.endpoints(), None);
    let event = script.host(v4(&[9, 1, 9, 3]), none());
    assert_eq!(event, Some(Event::Resolved));
    script.expect(&["10.0.0.1", "10.0.0.3", "10.0.0.9"]);
}

#[test]
fn the_same_answer_again_changes_nothing() {
    let mut script = Script::plain();
    script.host(v4(&[1, 2]), none());
    let set = script.source.set();
    assert_eq!(script.at(5.0).host(v4(&[2, 1]), none()), None);
    assert_eq!(script.source.set(), set);
}

#[test]
fn the_next_look_up_follows_the_time_to_live() {
    let mut script = Script::plain();
    for (ttl, pause) in [(0, 1.0), (1, 1.0), (7, 7.0), (30, 30.0), (86_400, 30.0)] {
        script.host(found(vec![[10, 0, 0, 1].into()], ttl), none());
        assert!((script.pause() - pause).abs() < 1e-6, "time to live {ttl}");
    }
    script.jitter = 1.0;
    for (ttl, pause) in [(0, 1.1), (7, 7.7), (30, 31.0)] {
        script.host(found(vec![[10, 0, 0, 1].into()], ttl), none());
        assert!((script.pause() - pause).abs() < 1e-6, "time to live {ttl}");
    }
}

#[test]
fn a_name_that_never_existed_is_known_to_be_empty_at_once() {
    for answers in [
        (no_name(), no_name()),
        (none(), none()),
        (failed(), no_name()),
    ] {
        let mut script = Script::plain();
        assert_eq!(script.host(answers.0, answers.1), Some(Event::NotFound));
        script.expect(&[]);
        assert_eq!(script.source.state(), State::Empty);
        assert!(script.pause() <= 3.0);
    }
}

#[test]
fn without_an_answer_a_source_is_waited_for_up_to_the_limit() {
    let mut script = Script::plain();
    assert!(script.source.start_query(script.now));
    let limit = script.start + RULES.unresolved_limit;
    assert_eq!(
        script.source.wake_at(),
        Some(limit),
        "while the look-up runs"
    );
    script.at(1.0).host(failed(), none());
    script.at(2.5).host(failed(), failed());
    assert_eq!(script.endpoints(), None);
    assert_eq!(script.source.give_up(script.now), None);
    script.at(2.8);
    assert_eq!(script.source.give_up(script.now), Some(Event::GivenUp));
    assert_eq!(script.source.set(), EndpointSet::Unanswered);
    assert_eq!(script.source.give_up(script.now), None, "only once");
    assert!(script.source.start_query(script.now));
    assert_eq!(script.source.wake_at(), None, "nor woken for");
    let event = script.at(10.0).host(v4(&[1]), failed());
    assert_eq!(event, Some(Event::Resolved));
    script.expect(&["10.0.0.1"]);
}

#[test]
fn failures_keep_the_last_good_answer_for_ever() {
    let mut script = Script::plain();
    script.host(v4(&[1]), none());
    assert_eq!(
        script.at(5.0).host(failed(), failed()),
        Some(Event::Failing)
    );
    for hour in 1..100 {
        assert_eq!(
            script.at(3600.0 * f64::from(hour)).host(failed(), failed()),
            None
        );
    }
    script.expect(&["10.0.0.1"]);
    assert_eq!(script.source.oldest(), Some(script.start));
    let event = script.at(400_000.0).host(v4(&[1]), none());
    assert_eq!(event, Some(Event::Recovered));
    assert_eq!(script.source.oldest(), Some(script.now));
}

#[test]
fn failures_are_retried_ever_more_slowly_up_to_a_limit() {
    let mut script = Script::plain();
    script.jitter = 1.0;
    let mut pauses = Vec::new();
    for _ in 0..40 {
        script.host(failed(), failed());
        pauses.push(script.pause());
    }
    assert_eq!(pauses[..7], [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0]);
    assert!(pauses[7..].iter().all(|pause| (pause - 10.0).abs() < 1e-6));
    script.jitter = 0.0;
    script.host(failed(), failed());
    assert!(
        (script.pause() - 5.0).abs() < 1e-6,
        "jitter takes up to half"
    );
    script.host(v4(&[1]), none());
    script.host(failed(), none());
    assert!(script.pause() < 0.3, "a good answer starts anew");
}

#[test]
fn a_denied_name_keeps_its_endpoints_for_the_grace() {
    for denial in [no_name, none] {
        let mut script = Script::plain();
        script.host(v4(&[1]), none());
        let event = script.at(10.0).host(denial(), denial());
        assert_eq!(event, Some(Event::Denied));
        assert!(script.pause() <= 3.0);
        script.denied(13, 308, denial);
        script.at(308.5).host(denial(), denial());
        script.expect(&["10.0.0.1"]);
        assert!(
            (script.pause() - 1.5).abs() < 1e-6,
            "the end is not overslept"
        );
        let event = script.at(310.0).host(denial(), denial());
        assert_eq!(event, Some(Event::Lost));
        script.expect(&[]);
        script.at(320.0).host(v4(&[2]), none());
        script.expect(&["10.0.0.2"]);
    }
}

#[test]
fn failures_do_not_shorten_the_grace_and_an_answer_ends_it() {
    let mut script = Script::plain();
    script.host(v4(&[1]), none());
    script.at(10.0).host(no_name(), no_name());
    script.at(400.0).host(failed(), failed());
    script.expect(&["10.0.0.1"]);
    // Nobody knows what DNS would have said meanwhile.
    assert_eq!(script.host(no_name(), no_name()), None);
    script.expect(&["10.0.0.1"]);
    assert_eq!(
        script.at(401.0).host(v4(&[1]), none()),
        Some(Event::Recovered)
    );
    script.at(500.0).host(no_name(), no_name());
    script.denied(503, 799, no_name);
    script.expect(&["10.0.0.1"]);
}

#[test]
fn an_outage_is_no_part_of_the_grace_and_does_not_start_it_anew() {
    let mut script = Script::plain();
    script.host(v4(&[1]), none());
    script.denied(0, 200, no_name);
    for second in 0..1000 {
        script
            .at(201.0 + f64::from(second))
            .host(failed(), failed());
    }
    script.denied(1300, 1388, no_name);
    script.expect(&["10.0.0.1"]);
    // 200 s before the outage, up to 10 s for the gap, and the rest after it.
    assert_eq!(script.denied(1389, 1400, no_name), Some(Event::Lost));
    script.expect(&[]);
}

#[test]
fn a_name_that_is_denied_and_unanswered_by_turns_is_given_up_in_the_end() {
    let mut script = Script::plain();
    script.host(v4(&[1]), none());
    let mut lost_after = None;
    for second in (0..2000_u32).step_by(5) {
        let answers = if second % 10 == 0 { no_name } else { failed };
        let event = script.at(second.into()).host(answers(), answers());
        if event == Some(Event::Lost) {
            lost_after = Some(second);
        }
    }
    assert_eq!(lost_after, Some(300));
}

#[test]
fn a_family_that_is_refused_is_no_failure_while_the_other_answers() {
    let mut script = Script::plain();
    assert_eq!(script.host(v4(&[1]), failed()), Some(Event::Resolved));
    for second in 1..20 {
        // Whichever of the two comes first.
        let other = if second % 3 == 0 {
            Answer::NotAsked
        } else {
            failed()
        };
        assert_eq!(
            script.at(5.0 * f64::from(second)).host(v4(&[1]), other),
            None
        );
        assert!((script.pause() - 5.0).abs() < 1e-6, "paced by the answer");
        assert_eq!(
            (script.source.state(), script.source.error()),
            (State::Known, None)
        );
    }
    let mut script = Script::new("a.test", Some(IpPreference::Ipv6Preferred));
    assert_eq!(script.host(failed(), v6(&[1])), Some(Event::Resolved));
    assert_eq!(script.at(5.0).host(failed(), v6(&[1])), None);
}

#[test]
fn a_preferred_family_that_is_always_refused_leaves_the_other_in_use() {
    let mut script = Script::plain();
    assert_eq!(script.host(failed(), v6(&[1])), Some(Event::Resolved));
    for second in 1..20 {
        assert_eq!(script.at(f64::from(second)).host(failed(), v6(&[1])), None);
        script.expect(&["fd00::1"]);
        assert_eq!(
            script.source.state(),
            State::Known,
            "what is in use is confirmed"
        );
    }
}

#[test]
fn the_first_refreshes_are_spread_over_the_time_to_live() {
    let first = |jitter: f64| {
        let mut script = Script::plain();
        script.jitter = jitter;
        script.host(found(vec![[10, 0, 0, 1].into()], 30), none());
        script.pause()
    };
    for (jitter, pause) in [(0.0, 30.0), (0.5, 15.5), (1.0, 1.0)] {
        assert!((first(jitter) - pause).abs() < 1e-6, "{jitter}");
    }
    let mut script = Script::plain();
    script.host(v4(&[1]), none());
    script.host(failed(), failed());
    script.jitter = 1.0;
    script.host(v4(&[1]), none());
    assert!((script.pause() - 1.0).abs() < 1e-6, "after an outage too");
    script.host(v4(&[1]), none());
    assert!((script.pause() - 5.5).abs() < 1e-6, "and only then");
}

/// The state of a source, through the disk and back, at a later time.
fn restarted(
    script: &Script,
    hostname: &str,
    preference: Option<IpPreference>,
    after: u64,
) -> Script {
    let wall = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let clocks = Clocks {
        now: script.now,
        wall,
    };
    let mut new = Script::new(hostname, preference);
    let source = EndpointSource::Dns {
        hostname: hostname.into(),
        preference,
    };
    let saved = script
        .source
        .saved(&source, clocks)
        .expect("something to save");
    let text = crate::discovery::saved::print(&[saved]);
    let [saved] = crate::discovery::saved::parse(&text)
        .unwrap()
        .try_into()
        .unwrap();
    let wall = wall + Duration::from_secs(after);
    new.source.restore(saved, Clocks { now: new.now, wall });
    new
}

#[test]
fn what_was_known_is_known_after_a_restart_with_its_age() {
    let mut script = Script::plain();
    script.host(v4(&[1, 2]), v6(&[1]));
    script.at(100.0);
    let mut script = restarted(&script, "a.test", None, 50);
    script.expect(&["10.0.0.1", "10.0.0.2"]);
    let age = script.now - script.source.oldest().unwrap();
    assert_eq!(age, Duration::from_secs(150));
    assert!(script.source.start_query(script.now), "asked for at once");
    assert_eq!(script.host(failed(), failed()), Some(Event::Failing));
    assert_eq!(script.source.state(), State::Stale);
    script.at(3.0);
    assert_eq!(script.source.give_up(script.now), None);
    script.expect(&["10.0.0.1", "10.0.0.2"]);
    script.host(v4(&[3]), none());
    script.expect(&["10.0.0.3"]);
}

#[test]
fn services_survive_a_restart() {
    let name = "_grpc._tcp.a.test";
    let mut script = Script::new(name, None);
    let services = found(vec![service("a", 80, 2), service("b", 81, 3)], 9);
    script.services(services, &[("a", v4(&[1])), ("b", v4(&[2]))]);
    let mut script = restarted(&script, name, None, 1);
    script.expect(&["10.0.0.1:80*2", "10.0.0.2:81*3"]);
    script.services(failed(), &[]);
    script.expect(&["10.0.0.1:80*2", "10.0.0.2:81*3"]);
}

#[test]
fn the_grace_goes_on_after_a_restart() {
    let mut script = Script::plain();
    script.host(v4(&[1]), none());
    script.denied(0, 240, no_name);
    // An hour in which nobody asked.
    let mut script = restarted(&script, "a.test", None, 3600);
    script.expect(&["10.0.0.1"]);
    assert_eq!(script.source.state(), State::Denied);
    script.denied(0, 57, no_name);
    script.expect(&["10.0.0.1"]);
    assert_eq!(script.denied(58, 62, no_name), Some(Event::Lost));
}

#[test]
fn what_was_never_found_is_not_saved() {
    let source = |hostname: &str| EndpointSource::Dns {
        hostname: hostname.into(),
        preference: None,
    };
    let mut script = Script::plain();
    script.host(none(), none());
    assert_eq!(script.source.saved(&source("a.test"), Clocks::now()), None);
    let script = Script::new("10.0.0.1", None);
    assert_eq!(
        script.source.saved(&source("10.0.0.1"), Clocks::now()),
        None
    );
}

#[test]
fn the_preferred_family_is_used_if_it_has_addresses() {
    let (four, six) = (["10.0.0.1"].as_slice(), ["fd00::1"].as_slice());
    for (preference, both) in [
        (None, four),
        (Some(IpPreference::Ipv4Preferred), four),
        (Some(IpPreference::Ipv6Preferred), six),
    ] {
        let mut script = Script::new("a.test", preference);
        script.host(v4(&[1]), v6(&[1]));
        script.expect(both);
        for (answers, expected) in [((v4(&[1]), none()), four), ((none(), v6(&[1])), six)] {
            let mut script = Script::new("a.test", preference);
            script.host(answers.0, answers.1);
            script.expect(expected);
        }
    }
}

#[test]
fn the_family_that_fails_keeps_its_addresses() {
    let mut script = Script::plain();
    script.host(v4(&[1]), v6(&[1]));
    script.at(5.0).host(failed(), v6(&[2]));
    script.expect(&["10.0.0.1"]);
    // What answers is used where there is nothing earlier.
    let mut script = Script::plain();
    script.host(failed(), v6(&[1]));
    script.expect(&["fd00::1"]);
    assert!(script.pause() < 0.3, "the other family is asked again soon");
    script.at(1.0).host(v4(&[1]), v6(&[1]));
    script.expect(&["10.0.0.1"]);
}

#[test]
fn a_host_that_moves_to_the_other_family_does_so_at_once() {
    let mut script = Script::plain();
    script.host(v4(&[1]), none());
    script.at(5.0).host(none(), v6(&[1]));
    script.expect(&["fd00::1"]);
    assert!(
        (script.pause() - 5.0).abs() < 1e-6,
        "paced by the answer, not the denial"
    );
}

#[test]
fn an_address_needs_no_look_up() {
    for (hostname, expected) in [("127.0.0.1", "127.0.0.1"), ("fd00::1", "fd00::1")] {
        let mut script = Script::new(hostname, Some(IpPreference::Ipv4Only));
        script.expect(&[expected]);
        assert_eq!(script.source.wake_at(), None);
        assert!(!script.source.start_query(script.now));
    }
}

#[test]
fn only_two_underscored_labels_make_a_service() {
    for (name, expected) in [
        ("_grpc._tcp.a.test", true),
        ("_grpc.a.test", false),
        ("a._tcp.test", false),
        ("a.test", false),
    ] {
        assert_eq!(is_service(name), expected, "{name}");
    }
}

#[test]
fn services_bring_port_and_weight() {
    let mut script = Script::new("_grpc._tcp.a.test", None);
    let services = vec![
        service("b", 9000, 0),
        service("a", 8000, 7),
        service("a", 8001, 1),
    ];
    script.services(found(services, 9), &[("a", v4(&[1])), ("b", v4(&[2, 1]))]);
    script.expect(&[
        "10.0.0.1:8000*7",
        "10.0.0.1:8001*1",
        "10.0.0.1:9000*1",
        "10.0.0.2:9000*1",
    ]);
    assert!(
        (script.pause() - 5.0).abs() < 1e-6,
        "the shortest time to live"
    );
}

#[test]
fn services_that_share_an_address_and_port_add_their_weights() {
    let mut script = Script::new("_grpc._tcp.a.test", None);
    let services = vec![service("a", 80, 2), service("b", 80, 3)];
    script.services(found(services, 9), &[("a", v4(&[1])), ("b", v4(&[1]))]);
    script.expect(&["10.0.0.1:80*5"]);
}

#[test]
fn a_service_host_that_fails_keeps_its_addresses() {
    let mut script = Script::new("_grpc._tcp.a.test", None);
    let services = || found(vec![service("a", 80, 1), service("b", 80, 1)], 9);
    script.services(services(), &[("a", v4(&[1])), ("b", v4(&[2]))]);
    script
        .at(5.0)
        .services(services(), &[("a", v4(&[3])), ("b", failed())]);
    script.expect(&["10.0.0.2:80*1", "10.0.0.3:80*1"]);
    script.at(6.0).services(failed(), &[]);
    script.expect(&["10.0.0.2:80*1", "10.0.0.3:80*1"]);
    // A host that the services no longer name goes at once.
    let only_a = found(vec![service("a", 80, 1)], 9);
    script.at(7.0).services(only_a, &[("a", v4(&[3]))]);
    script.expect(&["10.0.0.3:80*1"]);
    script.at(8.0).services(none(), &[]);
    script.expect(&["10.0.0.3:80*1"]);
    for second in 9..=308 {
        script.at(f64::from(second)).services(none(), &[]);
    }
    script.expect(&[]);
}

fn any_answer() -> impl Strategy<Value = Answer<IpAddr>> {
    let addresses = proptest::collection::vec(1_u8..5, 1..4);
    prop_oneof![
        addresses.prop_map(|last| v4(&last)),
        Just(none()),
        Just(no_name()),
        Just(failed()),
    ]
}

proptest! {
    /// Whatever comes back: the table is sorted, a failure alone changes nothing, and the next look-up is in time.
    #[test]
    fn any_answers_keep_the_promises(
        answers in proptest::collection::vec((any_answer(), any_answer(), 0.0..1.0), 1..30)
    ) {
        let mut script = Script::plain();
        for (turn, (v4, v6, jitter)) in answers.into_iter().enumerate() {
            script.at(f64::from(u32::try_from(turn).unwrap_or(0)) * 40.0);
            script.jitter = jitter;
            script.source.give_up(script.now);
            let before = script.endpoints();
            let only_failures = v4 == failed() && v6 == failed();
            script.host(v4, v6);
            if only_failures {
                prop_assert_eq!(&before, &script.endpoints());
            }
            if before.is_some() {
                prop_assert!(script.endpoints().is_some());
            }
            let EndpointSet::Known(endpoints) = script.source.set() else { continue };
            prop_assert!(endpoints.is_sorted_by(|a, b| a < b));
            prop_assert!(script.pause() > 0.1 && script.pause() <= 31.0);
        }
    }
}
