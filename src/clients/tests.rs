//! The list of clients and the set of views follow the registrations.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::model::{Capture, ClientKind};
use crate::snapshot::Kind;

fn info(node: &str, bind: u8) -> ClientInfo {
    let node = NodeRef::parse(&format!("mesh/m/virtualNode/{node}")).unwrap();
    ClientInfo {
        key: ViewKey {
            node: node.clone(),
            capture: Capture::Explicit {
                bind: IpAddr::V4(Ipv4Addr::new(127, 0, 0, bind)),
                applications: BTreeMap::new(),
            },
            client: ClientKind::Envoy,
        },
        node,
        peer: Peer::Tcp(([127, 0, 0, 1], 40000).into()),
        variant: Variant::Delta,
        user_agent: "envoy 1.40.0".to_owned(),
        connected_at: SystemTime::UNIX_EPOCH,
    }
}

fn listed(clients: &Clients) -> Vec<String> {
    (clients.list().iter())
        .map(|client| client.info.node.to_string())
        .collect()
}

#[test]
fn a_client_is_listed_as_long_as_its_registration_lives() {
    let clients = Clients::default();
    let b = clients.register(info("b", 1));
    let a = clients.register(info("a", 1));
    assert_eq!(
        listed(&clients),
        ["mesh/m/virtualNode/a", "mesh/m/virtualNode/b"]
    );
    drop(b);
    assert_eq!(listed(&clients), ["mesh/m/virtualNode/a"]);
    drop(a);
    assert!(clients.is_empty());
}

#[test]
fn clients_of_one_node_are_listed_in_the_order_in_which_they_came() {
    let clients = Clients::default();
    let registrations: Vec<Registration> =
        (0..20).map(|_| clients.register(info("a", 1))).collect();
    let ids: Vec<ClientId> = registrations.iter().map(Registration::id).collect();
    let list: Vec<ClientId> = clients.list().iter().map(|client| client.id).collect();
    assert_eq!(list, ids);
}

#[test]
fn a_view_is_published_before_its_first_client_is_told() {
    let clients = Clients::default();
    let mut views = clients.views();
    assert!(views.borrow_and_update().is_empty());
    let _client = clients.register(info("a", 1));
    assert!(views.has_changed().unwrap());
    assert!(views.borrow().contains(&info("a", 1).key));
}

#[test]
fn a_view_stays_until_its_last_client_leaves() {
    let clients = Clients::default();
    let mut views = clients.views();
    let first = clients.register(info("a", 1));
    let second = clients.register(info("a", 1));
    let other = clients.register(info("a", 2));
    assert_eq!(views.borrow_and_update().len(), 2);
    drop(first);
    assert!(!views.has_changed().unwrap(), "one client is still there");
    drop(second);
    let left = views.borrow_and_update().clone();
    assert_eq!(
        left.into_iter().collect::<Vec<_>>(),
        [other.info().key.clone()]
    );
}

#[test]
fn a_second_client_of_a_view_wakes_nobody() {
    let clients = Clients::default();
    let mut views = clients.views();
    let _first = clients.register(info("a", 1));
    views.mark_unchanged();
    let _second = clients.register(info("a", 1));
    assert!(!views.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_client_ages_from_the_opening_of_its_stream() {
    let clients = Clients::default();
    let client = clients.register(info("a", 1));
    tokio::time::advance(Duration::from_secs(100)).await;
    let mut status = StreamStatus::default();
    status.kinds[Kind::Cluster].resources = 3;
    client.update(status.clone(), Duration::from_secs(7));
    tokio::time::advance(Duration::from_secs(2)).await;
    let list = clients.list();
    assert_eq!(list[0].age, Duration::from_secs(9));
    assert_eq!(list[0].status, status);
}

#[test]
fn many_threads_register_and_leave_and_nothing_stays() {
    let clients = Clients::default();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let clients = clients.clone();
            scope.spawn(move || {
                for round in 0..200 {
                    let client = clients.register(info("a", round % 3));
                    assert!(clients.views().borrow().contains(&client.info().key));
                    client.update(StreamStatus::default(), Duration::from_secs(thread));
                }
            });
        }
    });
    assert!(clients.is_empty());
    assert!(clients.views().borrow().is_empty());
    assert!(clients.0.counts.lock().unwrap().is_empty());
}
