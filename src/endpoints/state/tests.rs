use super::*;
use crate::model::endpoint::RegisteredEndpoint;

fn node(name: &str) -> NodeKey {
    (MeshName::new("m"), NodeName::new(name))
}

fn registration(count: u8, lease: Option<u64>, renewed_at: Instant) -> Registration {
    let endpoint = |last| RegisteredEndpoint {
        address: [10, 0, 0, last].into(),
        port: None,
        weight: 1,
        zone: None,
    };
    Registration {
        endpoints: RegisteredSet::new((1..=count).map(endpoint).collect()),
        lease: lease.map(Duration::from_secs),
        renewed_at,
    }
}

#[test]
fn a_lease_ends_unless_it_is_renewed() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut state = State::default();
    assert!(state.put(node("a"), registration(2, Some(10), start)));
    assert!(state.put(node("b"), registration(1, Some(10), start)));
    assert!(state.put(node("c"), registration(1, None, start)));
    assert_eq!((state.len(), state.endpoints()), (3, 4));
    assert!(
        !state.put(node("a"), registration(2, Some(10), at(9))),
        "only the lease begins anew"
    );
    assert_eq!(state.next_end(), Some(at(10)));
    assert_eq!(state.expire(at(9)), []);
    assert_eq!(state.expire(at(10)), [node("b")]);
    assert_eq!(state.next_end(), Some(at(19)));
    assert_eq!(state.expire(at(1000)), [node("a")]);
    assert_eq!(
        (state.next_end(), state.len(), state.endpoints()),
        (None, 1, 1)
    );
}

#[test]
fn a_call_without_a_lease_takes_the_lease_away() {
    let start = Instant::now();
    let mut state = State::default();
    state.put(node("a"), registration(1, Some(1), start));
    assert!(!state.put(node("a"), registration(1, None, start)));
    assert_eq!(state.next_end(), None);
    assert!(state.remove(&node("a")).is_some());
    assert!(state.remove(&node("a")).is_none());
    assert_eq!((state.len(), state.endpoints()), (0, 0));
}

#[test]
fn the_same_list_stays_shared() {
    let start = Instant::now();
    let mut state = State::default();
    state.put(node("a"), registration(3, None, start));
    let before = state.get(&node("a")).unwrap().endpoints.as_ptr();
    state.put(node("a"), registration(3, None, start));
    assert_eq!(state.get(&node("a")).unwrap().endpoints.as_ptr(), before);
}

#[test]
fn a_mesh_is_listed_without_its_neighbours() {
    let mut state = State::default();
    for (mesh, name) in [("l", "z"), ("m", "a"), ("m", "b"), ("m2", "a")] {
        let node = (MeshName::new(mesh), NodeName::new(name));
        state.put(node, registration(1, None, Instant::now()));
    }
    let mesh = MeshName::new("m");
    let listed: Vec<&str> = state
        .of_mesh(&mesh)
        .map(|((_, node), _)| node.as_str())
        .collect();
    assert_eq!(listed, ["a", "b"]);
}
