//! One way to misbehave after the other, against discovery alone: what was known stays known, and what is answered in an
//! odd but honest way is understood.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;
use outrigger::model::spec::IpPreference;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::liar::{EVIL, Liar, Mode};
use super::{Bed, source};
use crate::world::{PATIENCE, eventually};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Of none of these does an honest answer come: the last good one stays, and the next good one is taken.
const HOSTILE: [Mode; 20] = [
    Mode::Silent,
    Mode::Slow(Duration::from_secs(1)),
    Mode::TruncatedWithoutTcp,
    Mode::NoName,
    Mode::NoRecords,
    Mode::AliasCircle,
    Mode::AliasOnAlias,
    Mode::Aliases(40),
    Mode::Fails(ResponseCode::ServFail),
    Mode::Fails(ResponseCode::Refused),
    Mode::Fails(ResponseCode::FormErr),
    Mode::Fails(ResponseCode::NotImp),
    Mode::Refers,
    Mode::Garbage,
    Mode::GarbageBody,
    Mode::Short,
    Mode::Echo,
    Mode::OtherId,
    Mode::OtherQuestion,
    Mode::OtherNames,
];

#[tokio::test(flavor = "multi_thread")]
async fn no_hostile_server_takes_a_known_endpoint_away() {
    let cases = LocalSet::new();
    let mut kept = JoinSet::new();
    for mode in HOSTILE {
        kept.spawn_local_on(keeps_what_it_knows(mode), &cases);
    }
    cases
        .run_until(async {
            while let Some(case) = kept.join_next().await {
                println!("{:?}: kept", case.unwrap());
            }
        })
        .await;
}

async fn keeps_what_it_knows(mode: Mode) -> Mode {
    let liar = Liar::start(LOCALHOST, 0).await;
    liar.set("a.test", vec![ip("10.0.0.1")]);
    let mut bed = Bed::start(vec![liar.address]);
    let a = source("a.test", None);
    bed.want([a.clone()]);
    bed.expect(&a, &["10.0.0.1"]).await;
    bed.table.mark_unchanged();
    liar.behave(mode);
    liar.asked(6).await;
    let what = format!("{mode:?}: it shows that the name is in trouble");
    eventually(&what, PATIENCE, async || {
        let report = bed.ready.report().to_string();
        let told = "degraded: DNS: 1 of 1 names: `a.test`";
        report.contains(told).then_some(())
    })
    .await;
    let changed = bed.table.has_changed().unwrap();
    assert!(!changed, "{mode:?}: {:?}", bed.known(&a));
    liar.set("a.test", vec![ip("10.0.0.2")]);
    liar.behave(Mode::Good);
    bed.expect(&a, &["10.0.0.2"]).await;
    eventually("the trouble is over", PATIENCE, async || {
        let report = bed.ready.report().to_string();
        (!report.contains("DNS")).then_some(())
    })
    .await;
    mode
}

/// Odd, and yet answers. A time to live of 136 years is not believed: such an answer would never be asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn odd_answers_are_understood() {
    for mode in [
        Mode::Truncated,
        Mode::Ttl(0),
        Mode::Ttl(1 << 31),
        Mode::Ttl(u32::MAX),
        Mode::Aliases(12),
        Mode::RefusedFor(RecordType::AAAA),
        Mode::Forged,
        Mode::Slow(Duration::from_millis(50)),
    ] {
        let liar = Liar::start(LOCALHOST, 0).await;
        liar.set("a.test", vec![ip("10.0.0.1")]);
        liar.behave(mode);
        let mut bed = Bed::start(vec![liar.address]);
        let a = source("a.test", None);
        bed.want([a.clone()]);
        bed.expect(&a, &["10.0.0.1"]).await;
        liar.asked(20).await;
        liar.set("a.test", vec![ip("10.0.0.2"), ip("fd00::2")]);
        bed.expect(&a, &["10.0.0.2"]).await;
        assert_ne!(bed.known(&a), Some(vec![EVIL.to_string()]));
        let what = format!("{mode:?}: no trouble");
        eventually(&what, PATIENCE, async || {
            let report = bed.ready.report().to_string();
            (!report.contains("DNS")).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_addresses_are_all_kept() {
    let liar = Liar::start(LOCALHOST, 0).await;
    let many: Vec<IpAddr> = (0..500_u16)
        .map(|n| Ipv4Addr::new(10, 9, n.to_be_bytes()[0], n.to_be_bytes()[1]).into())
        .collect();
    let texts: Vec<String> = many.iter().map(IpAddr::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    liar.set("many.test", many);
    let mut bed = Bed::start(vec![liar.address]);
    let many = source("many.test", None);
    bed.want([many.clone()]);
    bed.expect(&many, &texts).await;
}

/// Fifty names that change at every question are published ten times a second at most, each time all together.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_always_change_make_no_storm() {
    let liar = Liar::start(LOCALHOST, 0).await;
    let names: Vec<String> = (0..50).map(|n| format!("n{n}.test")).collect();
    for name in &names {
        liar.set(name, (1..=9).map(|n| IpAddr::from([10, 0, 0, n])).collect());
    }
    liar.behave(Mode::Changing);
    let mut bed = Bed::start(vec![liar.address]);
    bed.want(
        names
            .iter()
            .map(|name| source(name, Some(IpPreference::Ipv4Only))),
    );
    let (started, mut changes) = (Instant::now(), 0_u32);
    while liar.questions() < 1500 {
        bed.table.changed().await.unwrap();
        bed.table.mark_unchanged();
        changes += 1;
    }
    let (took, questions) = (started.elapsed(), liar.questions());
    println!("{questions} answers, each another, in {took:?}: {changes} changes published");
    let most = took.as_millis() / 100 + 2;
    assert!(u128::from(changes) <= most, "{changes} in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_preference_with_every_mix_of_families() {
    let four = ["10.0.0.1"].as_slice();
    let six = ["fd00::1"].as_slice();
    let liar = Liar::start(LOCALHOST, 0).await;
    liar.set("four.test", vec![ip(four[0])]);
    liar.set("six.test", vec![ip(six[0])]);
    liar.set("both.test", vec![ip(six[0]), ip(four[0])]);
    let only4 = Some(IpPreference::Ipv4Only);
    let only6 = Some(IpPreference::Ipv6Only);
    let first4 = Some(IpPreference::Ipv4Preferred);
    let first6 = Some(IpPreference::Ipv6Preferred);
    let none: &[&str] = &[];
    let cases = [
        ("four.test", vec![None, first4, first6, only4], four),
        ("four.test", vec![only6], none),
        ("six.test", vec![None, first4, first6, only6], six),
        ("six.test", vec![only4], none),
        ("both.test", vec![None, first4, only4], four),
        ("both.test", vec![first6, only6], six),
    ];
    let mut bed = Bed::start(vec![liar.address]);
    let mut all = Vec::new();
    for (name, preferences, expected) in cases {
        all.extend(
            preferences
                .into_iter()
                .map(|one| (source(name, one), expected)),
        );
    }
    assert_eq!(all.len(), 15);
    bed.want(all.iter().map(|(source, _)| source.clone()));
    for (source, expected) in &all {
        bed.expect(source, expected).await;
    }
}
