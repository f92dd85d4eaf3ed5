//! Several name servers: the next one stands in, and the first is the first again when it is back.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;

use super::liar::{Liar, Mode};
use super::{Bed, source};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test(flavor = "multi_thread")]
async fn a_good_server_stands_in_for_a_bad_one_before_it() {
    let first = Liar::start(LOCALHOST, 0).await;
    let second = Liar::start(LOCALHOST, 0).await;
    first.set("a.test", vec![[10, 0, 0, 1].into()]);
    second.set("a.test", vec![[10, 0, 0, 2].into()]);
    let mut bed = Bed::start(vec![first.address, second.address]);
    let a = source("a.test", None);
    bed.want([a.clone()]);
    bed.expect(&a, &["10.0.0.1"]).await;
    for mode in [
        Mode::Silent,
        Mode::Slow(Duration::from_secs(1)),
        Mode::Fails(ResponseCode::ServFail),
        Mode::Fails(ResponseCode::Refused),
        Mode::Garbage,
        Mode::GarbageBody,
        Mode::OtherQuestion,
        Mode::AliasCircle,
        Mode::Refers,
        Mode::TruncatedWithoutTcp,
    ] {
        first.behave(mode);
        bed.expect(&a, &["10.0.0.2"]).await;
        println!("{mode:?}: the second stands in");
        // The one after the other: the second fails while the first is still bad, and nothing is lost.
        second.behave(Mode::Silent);
        second.asked(3).await;
        assert_eq!(bed.known(&a), Some(vec!["10.0.0.2".to_owned()]));
        second.behave(Mode::Good);
        first.behave(Mode::Good);
        bed.expect(&a, &["10.0.0.1"]).await;
    }
}

/// One that denies is believed, but not at once: what it denies stays for the grace.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_server_that_wrongly_denies_takes_nothing_away() {
    let first = Liar::start(LOCALHOST, 0).await;
    let second = Liar::start(LOCALHOST, 0).await;
    first.set("a.test", vec![[10, 0, 0, 1].into()]);
    second.set("a.test", vec![[10, 0, 0, 1].into()]);
    let mut bed = Bed::start(vec![first.address, second.address]);
    let a = source("a.test", None);
    bed.want([a.clone()]);
    bed.expect(&a, &["10.0.0.1"]).await;
    first.behave(Mode::NoName);
    first.asked(20).await;
    assert_eq!(bed.known(&a), Some(vec!["10.0.0.1".to_owned()]));
    first.set("a.test", vec![[10, 0, 0, 3].into()]);
    first.behave(Mode::Good);
    bed.expect(&a, &["10.0.0.3"]).await;
}
