use std::net::IpAddr;

use super::*;

const LIMIT: Duration = Duration::from_secs(1);

fn addresses(last: &[u8]) -> Vec<SocketAddr> {
    let address = |last: &u8| SocketAddr::new(IpAddr::from([192, 0, 2, *last]), 53);
    last.iter().map(address).collect()
}

fn listed(servers: &Servers) -> Vec<SocketAddr> {
    let (list, _) = servers.in_order(Instant::now());
    list.iter().map(|server| server.address).collect()
}

/// A server that does not answer is the last to be asked, until its rest is over; then one question tries it.
#[test]
fn the_order_is_the_operator_s_but_for_servers_that_rest() {
    let servers = Servers::new(&addresses(&[1, 2, 3]), LIMIT).unwrap();
    let now = Instant::now();
    let order = |at: Instant| servers.in_order(at).1;
    assert_eq!(order(now), [0, 1, 2]);
    let (list, _) = servers.in_order(now);
    for position in [0, 1] {
        *list[position].rest() = Some(list[position].rest_from(now));
    }
    assert_eq!(order(now), [2, 0, 1]);
    let later = now + LIMIT * REST;
    assert_eq!(order(later), [0, 1, 2], "one question tries them");
    assert_eq!(order(later), [2, 0, 1], "the others do not");
    *list[0].rest() = None;
    assert_eq!(
        order(later),
        [0, 2, 1],
        "it answered: it is the first again"
    );
}

#[test]
fn the_system_s_servers_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    let servers = Servers::of_system(path.clone(), LIMIT).unwrap();
    let local = [SocketAddr::from((Ipv4Addr::LOCALHOST, 53))];
    assert_eq!(
        listed(&servers),
        local,
        "resolv.conf(5): without a file, the local machine's"
    );
    fs::write(
        &path,
        "search x.test\noptions ndots:5\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n",
    )
    .unwrap();
    servers.follow_system();
    assert_eq!(listed(&servers), addresses(&[1, 2]));
    let (before, _) = servers.in_order(Instant::now());
    servers.follow_system();
    fs::write(&path, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n").unwrap();
    servers.follow_system();
    let (after, _) = servers.in_order(Instant::now());
    assert!(
        Arc::ptr_eq(&before, &after),
        "the same servers keep their state"
    );
    let aside = folder.path().join("new");
    fs::write(&aside, "nameserver 192.0.2.3\n").unwrap();
    fs::rename(&aside, &path).unwrap();
    servers.follow_system();
    assert_eq!(listed(&servers), addresses(&[3]));
}
