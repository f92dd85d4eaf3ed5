use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};

use super::*;
use crate::snapshot::{Kind, Version};
use crate::xds::testing::resource;

const VERSION: Version = Version::from_hash(7);

/// Cluster `c` with so many bytes of content.
fn cluster(len: usize) -> Arc<Resource> {
    resource(Kind::Cluster, "c", &"x".repeat(len))
}

fn responses(len: usize, number: u64) -> [Response; 2] {
    let entries = [
        Entries::Sotw(vec![cluster(len), cluster(3)]),
        Entries::Delta {
            resources: vec![cluster(len)],
            removed: vec!["gone".into()],
        },
    ];
    entries.map(|entries| Response::of(Kind::Cluster, VERSION, number, entries))
}

fn sent(response: &Response, bodies: &Bodies) -> Vec<u8> {
    let sent = bodies.frames(response).concat();
    let (prefix, message) = sent.split_at(PREFIX);
    assert_eq!(prefix[0], 0);
    let len = u32::from_be_bytes(prefix[1..].try_into().unwrap());
    assert_eq!(len as usize, message.len());
    assert_eq!(message, response.encode());
    message.to_vec()
}

#[test]
fn a_response_says_all_that_it_is_to() {
    let bodies = Bodies::default();
    for len in [0, 100, SHARED_BODY + 1] {
        let [sotw, delta] = responses(len, 0x2a);
        let sotw = DiscoveryResponse::decode(&*sent(&sotw, &bodies)).unwrap();
        assert_eq!(sotw.resources.len(), 2);
        assert_eq!(sotw.version_info, VERSION.to_string());
        assert_eq!(parse_nonce(&sotw.nonce), Some(0x2a));
        assert_eq!(sotw.control_plane.unwrap().identifier, IDENTIFIER);
        let delta = DeltaDiscoveryResponse::decode(&*sent(&delta, &bodies)).unwrap();
        assert_eq!(delta.resources.len(), 1);
        assert_eq!(delta.removed_resources, ["gone"]);
        assert_eq!(delta.system_version_info, VERSION.to_string());
        assert_eq!(parse_nonce(&delta.nonce), Some(0x2a));
        assert_eq!(delta.control_plane.unwrap().identifier, IDENTIFIER);
    }
}

#[test]
fn replicas_share_a_large_body_and_differ_in_the_nonce() {
    let bodies = Bodies::default();
    for variant in [0, 1] {
        let frames = [1, 2].map(|number| bodies.frames(&responses(SHARED_BODY, number)[variant]));
        let [[body, nonce], [other_body, other_nonce]] = &frames;
        assert_eq!(body.as_ptr(), other_body.as_ptr());
        assert_eq!(nonce.len(), other_nonce.len());
        assert_ne!(nonce, other_nonce);
    }
}

#[test]
fn only_a_few_bodies_outlive_their_responses() {
    let bodies = Bodies::default();
    let of = |len| bodies.frames(&responses(SHARED_BODY + len, 1)[0]);
    let kept = of(0);
    for len in 1..100 {
        drop(of(len));
    }
    assert_eq!(bodies.known.lock().unwrap().recent.len(), RECENT);
    drop(of(RECENT_BYTES));
    assert!(bodies.known.lock().unwrap().recent.is_empty());
    assert_eq!(of(0)[0].as_ptr(), kept[0].as_ptr());
}

#[test]
fn whatever_a_body_says_tells_it_from_others() {
    let [sotw, delta] = responses(10, 1);
    let bodies = Bodies::default();
    let base = |response: &Response| bodies.fingerprint(response);
    let of = |change: fn(&mut Response)| {
        let mut changed = delta.clone();
        change(&mut changed);
        bodies.fingerprint(&changed)
    };
    let edit = |change: fn(&mut Vec<Arc<Resource>>, &mut Vec<crate::snapshot::ResourceName>)| {
        let mut changed = delta.clone();
        if let Entries::Delta { resources, removed } = &mut changed.entries {
            change(resources, removed);
        }
        bodies.fingerprint(&changed)
    };
    let mut all = vec![
        base(&sotw),
        base(&delta),
        of(|response| response.type_url = "other".into()),
        of(|response| response.version = None),
        edit(|resources, _| resources.clear()),
        edit(|resources, _| resources.push(cluster(11))),
        edit(|_, removed| removed.clear()),
        edit(|_, removed| *removed = vec!["go".into(), "ne".into()]),
    ];
    assert_eq!(of(|response| response.nonce = 9), base(&delta));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn only_nonces_of_our_own_are_read() {
    for number in [0, 1, 0xabc, u64::MAX] {
        assert_eq!(parse_nonce(&nonce(number)), Some(number));
    }
    for text in [
        "",
        "1",
        "+000000000000001",
        "000000000000000g",
        "00000000000000001",
    ] {
        assert_eq!(parse_nonce(text), None, "{text}");
    }
}
