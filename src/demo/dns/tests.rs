use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_server::proto::op::{Message, Query};
use hickory_server::proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(10);

struct Bed {
    addr: SocketAddr,
    zone: Zone,
    _server: JoinSet<()>,
}

impl Bed {
    async fn new() -> Self {
        let zone = Zone::default();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let bound = DnsServer::bind(any, zone.clone()).await.expect("a port");
        let addr = bound.addr();
        let mut server = JoinSet::new();
        server.spawn(async { bound.run(CancellationToken::new()).await.expect("serves") });
        Self {
            addr,
            zone,
            _server: server,
        }
    }

    async fn udp(&self, name: &str, kind: RecordType) -> Message {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        socket
            .send_to(&question(name, kind), self.addr)
            .await
            .expect("sent");
        let mut answer = vec![0; 4096];
        let received = timeout(PATIENCE, socket.recv(&mut answer)).await;
        let length = received.expect("an answer").expect("received");
        Message::from_vec(&answer[..length]).expect("a message")
    }

    async fn tcp(&self, name: &str, kind: RecordType) -> Message {
        let mut stream = TcpStream::connect(self.addr).await.expect("connects");
        let question = question(name, kind);
        let length = u16::try_from(question.len()).expect("short");
        stream.write_u16(length).await.expect("sent");
        stream.write_all(&question).await.expect("sent");
        let length = timeout(PATIENCE, stream.read_u16())
            .await
            .expect("an answer");
        let mut answer = vec![0; length.expect("a length").into()];
        stream.read_exact(&mut answer).await.expect("whole");
        Message::from_vec(&answer).expect("a message")
    }
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message.to_vec().expect("encodes")
}

fn data(message: &Message) -> Vec<String> {
    let show = |record: &Record| record.data.to_string();
    message.answers.iter().map(show).collect()
}

#[tokio::test]
async fn addresses_are_answered_with_authority() {
    let bed = Bed::new().await;
    let addresses = vec![[127, 0, 0, 2].into(), Ipv6Addr::LOCALHOST.into()];
    bed.zone.set("A.Test.", MINUTE, addresses);
    let four = bed.udp("a.test.", RecordType::A).await;
    assert!(four.authoritative);
    assert_eq!(data(&four), ["127.0.0.2"]);
    assert_eq!(four.answers[0].ttl, 60);
    assert_eq!(data(&bed.udp("a.TEST.", RecordType::AAAA).await), ["::1"]);
    assert_eq!(bed.zone.questions("a.test"), 2);
}

#[tokio::test]
async fn denials_say_how_long_they_hold() {
    let bed = Bed::new().await;
    bed.zone
        .set("host.a.test", MINUTE, vec![[127, 0, 0, 2].into()]);
    for (name, code) in [
        ("host.a.test.", ResponseCode::NoError),
        ("a.test.", ResponseCode::NoError),
        ("b.test.", ResponseCode::NXDomain),
    ] {
        let denial = bed.udp(name, RecordType::AAAA).await;
        assert_eq!(denial.response_code, code, "{name}");
        assert_eq!(data(&denial), [""; 0]);
        assert!(
            matches!(denial.authorities[0].data, RData::SOA(_)),
            "{name}"
        );
    }
    bed.zone.remove("host.a.test");
    let gone = bed.udp("host.a.test.", RecordType::A).await;
    assert_eq!(gone.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn aliases_come_with_what_they_lead_to() {
    let bed = Bed::new().await;
    bed.zone
        .set("host.test", MINUTE, vec![[127, 0, 0, 2].into()]);
    bed.zone.set_alias("a.test", MINUTE, "host.test");
    let answer = bed.udp("a.test.", RecordType::A).await;
    assert_eq!(data(&answer), ["host.test.", "127.0.0.2"]);
    bed.zone.set_alias("loop.test", MINUTE, "loop.test");
    let answer = bed.udp("loop.test.", RecordType::A).await;
    assert_eq!(answer.response_code, ResponseCode::NoError);
}

#[tokio::test]
async fn what_does_not_fit_is_whole_over_tcp() {
    let bed = Bed::new().await;
    let many = (0..200).map(|last| [127, 0, 1, last].into()).collect();
    bed.zone.set("many.test", MINUTE, many);
    bed.zone
        .set("few.test", MINUTE, vec![[127, 0, 0, 2].into()]);
    bed.zone.fail("few.test", Some(Failure::Truncate));
    for (name, count) in [("many.test.", 200), ("few.test.", 1)] {
        assert!(bed.udp(name, RecordType::A).await.truncation, "{name}");
        let whole = bed.tcp(name, RecordType::A).await;
        assert!(!whole.truncation);
        assert_eq!(whole.answers.len(), count);
    }
}

#[tokio::test]
async fn a_failing_name_recovers_with_its_records() {
    let bed = Bed::new().await;
    bed.zone.set("a.test", MINUTE, vec![[127, 0, 0, 2].into()]);
    bed.zone.fail("a.test", Some(Failure::ServFail));
    let failed = bed.udp("a.test.", RecordType::A).await;
    assert_eq!(failed.response_code, ResponseCode::ServFail);
    bed.zone.fail("a.test", None);
    assert_eq!(
        data(&bed.udp("a.test.", RecordType::A).await),
        ["127.0.0.2"]
    );
}

#[tokio::test]
async fn it_ends_when_told_to_and_frees_its_port() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = DnsServer::bind(any, Zone::default()).await.expect("a port");
    let addr = bound.addr();
    assert!(
        DnsServer::bind(addr, Zone::default()).await.is_err(),
        "taken"
    );
    let stop = CancellationToken::new();
    stop.cancel();
    let ended = timeout(PATIENCE, bound.run(stop)).await.expect("in time");
    ended.expect("without error");
    DnsServer::bind(addr, Zone::default())
        .await
        .expect("free again");
}
