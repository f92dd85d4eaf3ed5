//! A name server that misbehaves in every way that one can, over raw sockets: what it sends is not checked by any library.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::proto::op::{Message, OpCode, ResponseCode};
use hickory_server::proto::rr::rdata::{CNAME, NS};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::world::{PATIENCE, eventually};

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Good,
    Silent,
    /// It answers rightly, and too late.
    Slow(Duration),
    /// Cut short over UDP, whole over TCP.
    Truncated,
    /// Cut short over UDP, and TCP connections are closed at once.
    TruncatedWithoutTcp,
    Ttl(u32),
    NoName,
    NoRecords,
    Aliases(u16),
    AliasCircle,
    /// An endless chain of aliases, one at a time.
    AliasOnAlias,
    Fails(ResponseCode),
    /// REFUSED for this family; the other is answered.
    RefusedFor(RecordType),
    /// Refers to other servers.
    Refers,
    Garbage,
    /// The right id, and then nonsense.
    GarbageBody,
    /// Two bytes.
    Short,
    /// The question itself comes back.
    Echo,
    OtherId,
    OtherQuestion,
    /// The right question, answered with records of another name.
    OtherNames,
    /// A forged answer comes first, from another port; then the right one.
    Forged,
    /// Another address at every question: the next of these in turn.
    Changing,
}

/// What forged and wrong answers would lead to.
pub(super) const EVIL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66));

pub(super) struct Liar {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

struct State {
    mode: Mode,
    names: BTreeMap<String, Vec<IpAddr>>,
    /// Since the mode was set.
    questions: usize,
}

impl Liar {
    pub(super) async fn start(ip: IpAddr, port: u16) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((ip, port)).await.unwrap();
            match TcpListener::bind(udp.local_addr().unwrap()).await {
                Ok(tcp) => break (udp, tcp),
                Err(error) => assert_eq!(port, 0, "{error}"),
            }
        };
        let address = udp.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Good,
            names: BTreeMap::new(),
            questions: 0,
        }));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(Arc::new(udp), Arc::clone(&state)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&state)));
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    pub(super) fn set(&self, name: &str, addresses: Vec<IpAddr>) {
        let mut state = self.state.lock().unwrap();
        state.names.insert(name.to_owned(), addresses);
    }

    pub(super) fn behave(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap();
        (state.mode, state.questions) = (mode, 0);
    }

    pub(super) fn questions(&self) -> usize {
        self.state.lock().unwrap().questions
    }

    /// Waits until so many questions came since it began to behave as it does.
    pub(super) async fn asked(&self, questions: usize) {
        let what = format!("{questions} questions");
        eventually(&what, PATIENCE, async || {
            (self.questions() >= questions).then_some(())
        })
        .await;
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 4096];
    let mut late = JoinSet::new();
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let Ok(question) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        let (mode, answer) = state.lock().unwrap().answer(&question, true);
        if mode == Mode::Forged {
            let mut forged = answer_with(&question, vec![address(&question, EVIL, 60)]);
            forged.metadata.id = question.metadata.id;
            let elsewhere = UdpSocket::bind((socket.local_addr().unwrap().ip(), 0)).await;
            let forged = forged.to_vec().unwrap();
            elsewhere.unwrap().send_to(&forged, client).await.unwrap();
        }
        let Some(answer) = answer else {
            continue;
        };
        let socket = Arc::clone(&socket);
        late.spawn(async move {
            if let Mode::Slow(delay) = mode {
                tokio::time::sleep(delay).await;
            }
            // A client that no longer waits has closed its socket.
            drop(socket.send_to(&answer, client).await);
        });
        while late.try_join_next().is_some() {}
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if state.lock().unwrap().mode == Mode::TruncatedWithoutTcp {
            continue;
        }
        let state = Arc::clone(&state);
        connections.spawn(async move { drop(serve_connection(stream, &state).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    loop {
        let mut question = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut question).await?;
        let question = Message::from_vec(&question).unwrap();
        let (_, answer) = state.lock().unwrap().answer(&question, false);
        let answer = answer.unwrap_or_default();
        let length = u16::try_from(answer.len()).unwrap();
        stream.write_u16(length).await?;
        stream.write_all(&answer).await?;
    }
}

impl State {
    fn answer(&mut self, question: &Message, udp: bool) -> (Mode, Option<Vec<u8>>) {
        self.questions += 1;
        let mode = self.mode;
        let mut answer = answer_with(question, self.records(question));
        let mut bytes = None;
        match mode {
            Mode::Silent => return (mode, None),
            Mode::Truncated | Mode::TruncatedWithoutTcp if udp => answer = answer.truncate(),
            Mode::Garbage => bytes = Some(vec![0xff; 300]),
            Mode::GarbageBody => {
                let mut body = vec![0xc0; 60];
                body[..2].copy_from_slice(&question.metadata.id.to_be_bytes());
                bytes = Some(body);
            }
            Mode::Short => bytes = Some(question.metadata.id.to_be_bytes().to_vec()),
            Mode::Echo => bytes = Some(question.to_vec().unwrap()),
            Mode::OtherId => answer.metadata.id = question.metadata.id.wrapping_add(1),
            Mode::OtherQuestion => {
                for query in &mut answer.queries {
                    query.name = name("other.test");
                }
            }
            Mode::NoName => answer.metadata.response_code = ResponseCode::NXDomain,
            Mode::Fails(code) => answer.metadata.response_code = code,
            Mode::RefusedFor(kind) if question.queries[0].query_type == kind => {
                answer.metadata.response_code = ResponseCode::Refused;
            }
            Mode::Refers => {
                let other = RData::NS(NS(name("ns.other.test")));
                let zone = name("test");
                answer.authorities = vec![Record::from_rdata(zone, 60, other)];
            }
            _ => {}
        }
        let mut bytes = bytes.unwrap_or_else(|| answer.to_vec().unwrap());
        // What no path carries in one piece is cut short by every server.
        if udp && bytes.len() > 1232 {
            bytes = answer.truncate().to_vec().unwrap();
        }
        (mode, Some(bytes))
    }

    fn records(&self, question: &Message) -> Vec<Record> {
        let asked = &question.queries[0];
        let key = asked.name.to_ascii().to_ascii_lowercase();
        let known = self.names.get(key.trim_end_matches('.'));
        let mut addresses: Vec<IpAddr> = known.cloned().unwrap_or_default();
        addresses.retain(|address| address.is_ipv6() == (asked.query_type == RecordType::AAAA));
        let mut ttl = 0;
        match self.mode {
            Mode::NoName | Mode::NoRecords | Mode::Refers | Mode::Fails(_) => return Vec::new(),
            Mode::RefusedFor(kind) if asked.query_type == kind => return Vec::new(),
            Mode::Ttl(seconds) => ttl = seconds,
            Mode::Changing if !addresses.is_empty() => {
                addresses = vec![addresses[self.questions % addresses.len()]];
            }
            Mode::OtherNames => {
                let mut record = address(question, EVIL, 0);
                record.name = name("other.test");
                return vec![record];
            }
            Mode::AliasCircle => {
                let other = name("circle.test");
                let there = alias(asked.name.clone(), other.clone());
                return vec![there, alias(other, asked.name.clone())];
            }
            Mode::AliasOnAlias => {
                let next = name(&format!("n{}.test", self.questions));
                return vec![alias(asked.name.clone(), next)];
            }
            Mode::Aliases(count) => return chain(question, count, &addresses),
            _ => {}
        }
        let records = addresses.into_iter();
        records.map(|one| address(question, one, ttl)).collect()
    }
}

fn answer_with(question: &Message, records: Vec<Record>) -> Message {
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.queries.clone_from(&question.queries);
    answer.answers = records;
    answer
}

fn address(question: &Message, address: IpAddr, ttl: u32) -> Record {
    Record::from_rdata(question.queries[0].name.clone(), ttl, address.into())
}

fn alias(name: Name, target: Name) -> Record {
    Record::from_rdata(name, 0, RData::CNAME(CNAME(target)))
}

/// The addresses behind so many aliases.
fn chain(question: &Message, count: u16, addresses: &[IpAddr]) -> Vec<Record> {
    let mut here = question.queries[0].name.clone();
    let mut records = Vec::new();
    for step in 0..count {
        let next = name(&format!("alias{step}.test"));
        records.push(alias(here, next.clone()));
        here = next;
    }
    let ends = addresses.iter();
    records.extend(ends.map(|one| Record::from_rdata(here.clone(), 0, (*one).into())));
    records
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}
