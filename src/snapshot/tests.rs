use std::collections::HashMap;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::protobuf::{Any, Struct, Value, value};
use prost::Message;

use super::*;

fn cluster_with_metadata(names: &[&str]) -> Cluster {
    let text = |name: &str| Value {
        kind: Some(value::Kind::StringValue(name.to_owned())),
    };
    let fields = names
        .iter()
        .map(|name| ((*name).to_owned(), text(name)))
        .collect::<HashMap<_, _>>();
    let filter_metadata = HashMap::from([("outrigger".to_owned(), Struct { fields })]);
    let metadata = Metadata {
        filter_metadata,
        ..Default::default()
    };
    Cluster {
        name: "c".to_owned(),
        metadata: Some(metadata),
        ..Default::default()
    }
}

fn resource(kind: Kind, name: &str, message: &impl Message) -> Resource {
    Resource::new(kind, name.into(), message, None)
}

/// Trap 15 of the xDS reference: maps without an order make versions flap.
#[test]
fn maps_are_encoded_sorted_whatever_their_order() {
    let names: Vec<String> = (0..40).map(|n| format!("key-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let first = resource(Kind::Cluster, "c", &cluster_with_metadata(&names));
    let plain = cluster_with_metadata(&names);
    for _ in 0..20 {
        // Every HashMap of std has its own order.
        let again = resource(Kind::Cluster, "c", &cluster_with_metadata(&names));
        assert_eq!(again.version(), first.version());
        assert_eq!(again.body(), first.body());
    }
    assert_eq!(
        Cluster::decode(first.body()).unwrap(),
        plain,
        "only the order changes"
    );
}

#[test]
fn maps_inside_any_are_sorted_too() {
    let names: Vec<String> = (0..40).map(|n| format!("key-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wrapped = || {
        let any = Any {
            type_url: Kind::Cluster.type_url().to_owned(),
            value: cluster_with_metadata(&names).encode_to_vec(),
        };
        let typed_filter_metadata = HashMap::from([("x".to_owned(), any)]);
        let metadata = Metadata {
            typed_filter_metadata,
            ..Default::default()
        };
        Cluster {
            metadata: Some(metadata),
            ..Default::default()
        }
    };
    let first = resource(Kind::Cluster, "c", &wrapped());
    assert!((0..20).all(|_| resource(Kind::Cluster, "c", &wrapped()) == first));
}

#[test]
fn one_buffer_is_both_wire_entries() {
    let message = cluster_with_metadata(&["a"]);
    let resource = resource(Kind::Cluster, "c", &message);
    let delta = discovery::DeltaDiscoveryResponse::decode(resource.delta_entry()).unwrap();
    let [entry] = delta.resources.as_slice() else {
        panic!("one resource: {delta:?}")
    };
    assert_eq!(
        (entry.name.as_str(), entry.version.as_str()),
        ("c", &*resource.version().to_string())
    );
    let sotw = discovery::DiscoveryResponse::decode(resource.sotw_entry()).unwrap();
    let [any] = sotw.resources.as_slice() else {
        panic!("one resource: {sotw:?}")
    };
    assert_eq!(entry.resource.as_ref().unwrap(), any);
    assert_eq!(any.type_url, Kind::Cluster.type_url());
    assert_eq!(any.value, resource.body());
    assert_eq!(Cluster::decode(resource.body()).unwrap(), message);
}

#[test]
fn a_version_covers_its_context() {
    let of =
        |context| Resource::new(Kind::Endpoint, "c".into(), &Cluster::default(), context).version();
    assert_ne!(of(None), of(Some(Version::from_hash(1))));
    assert_ne!(
        of(Some(Version::from_hash(1))),
        of(Some(Version::from_hash(2)))
    );
}

#[test]
fn versions_print_and_parse() {
    for hash in [0, 1, 63, 64, 0x0123_4567_89ab_cdef, u64::MAX] {
        let version = Version::from_hash(hash);
        assert_eq!(version.to_string().len(), 11);
        assert_eq!(Version::parse(&version.to_string()), Some(version));
    }
    for text in ["", "1", "zzzzzzzzzzz", "0123456789!", "0123456789ab"] {
        assert_eq!(Version::parse(text), None, "{text}");
    }
    assert!(Version::from_hash(9).to_string() < Version::from_hash(10).to_string());
}

#[test]
fn a_set_has_the_version_of_its_content_and_not_of_its_history() {
    let named = |name: &str| Cluster {
        name: name.to_owned(),
        ..Default::default()
    };
    let (a, b) = (
        resource(Kind::Cluster, "a", &named("a")),
        resource(Kind::Cluster, "b", &named("b")),
    );
    let (a, b) = (Arc::new(a), Arc::new(b));
    let mut one = Snapshot::default();
    one.insert(Arc::clone(&a));
    one.insert(Arc::clone(&b));
    let mut other = Snapshot::default();
    other.insert(Arc::new(resource(Kind::Cluster, "a", &named("old"))));
    other.insert(b);
    assert_ne!(other.version(Kind::Cluster), one.version(Kind::Cluster));
    assert_eq!(
        one.changed_since(&other, Kind::Cluster),
        BTreeSet::from(["a".into()])
    );
    other.insert(a);
    assert_eq!(other, one);
    assert_eq!(other.version(Kind::Cluster), one.version(Kind::Cluster));
    assert!(one.changed_since(&other, Kind::Cluster).is_empty());
    other.remove(Kind::Cluster, "b");
    assert_ne!(other, one);
}

#[test]
fn a_withheld_name_is_neither_there_nor_absent() {
    let mut snapshot = Snapshot::default();
    snapshot.withhold(Kind::Endpoint, "c".into(), Withheld::Awaited);
    assert!(
        snapshot.is_withheld(Kind::Endpoint, "c") && snapshot.get(Kind::Endpoint, "c").is_none()
    );
    let before = snapshot.clone();
    snapshot.insert(Arc::new(resource(Kind::Endpoint, "c", &Cluster::default())));
    assert!(!snapshot.is_withheld(Kind::Endpoint, "c"));
    assert_eq!(
        snapshot.changed_since(&before, Kind::Endpoint),
        BTreeSet::from(["c".into()])
    );
}

#[test]
fn equal_resources_are_held_once() {
    let mut interner = Interner::default();
    let make = || resource(Kind::Cluster, "c", &cluster_with_metadata(&["a"]));
    let first = interner.intern(make());
    assert!(Arc::ptr_eq(&first, &interner.intern(make())));
    let other = interner.intern(resource(Kind::Cluster, "c", &cluster_with_metadata(&["b"])));
    assert!(!Arc::ptr_eq(&first, &other));
}

#[test]
fn json_expands_any() {
    let any = Any {
        type_url: Kind::Cluster.type_url().to_owned(),
        value: cluster_with_metadata(&["a"]).encode_to_vec(),
    };
    let metadata = Metadata {
        typed_filter_metadata: HashMap::from([("x".to_owned(), any)]),
        ..Default::default()
    };
    let cluster = Cluster {
        metadata: Some(metadata),
        ..Default::default()
    };
    let json = descriptors::to_json(Kind::Cluster.type_url(), &cluster.encode_to_vec()).unwrap();
    assert_eq!(json["metadata"]["typedFilterMetadata"]["x"]["name"], "c");
    assert_eq!(json["@type"], Kind::Cluster.type_url());
}

#[test]
fn names_in_order_are_found_as_they_are_one_by_one() {
    let mut snapshot = Snapshot::default();
    for number in (0..100).step_by(3) {
        let name = format!("c{number:02}");
        snapshot.insert(Arc::new(resource(
            Kind::Cluster,
            &name,
            &cluster_with_metadata(&[]),
        )));
    }
    // Few are looked up, many walked.
    for step in [1, 2, 50] {
        let names: Vec<_> = (0..100)
            .step_by(step)
            .map(|number| format!("c{number:02}"))
            .collect();
        let mut in_order = snapshot.in_order(Kind::Cluster, names.len());
        for name in names.iter().flat_map(|name| [name, name]) {
            assert_eq!(
                in_order.get(name),
                snapshot.get(Kind::Cluster, name),
                "{name}, {step}"
            );
        }
    }
}
