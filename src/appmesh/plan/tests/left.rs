//! What a plan leaves as it is, and why.

use super::*;

#[test]
fn what_others_made_is_left_alone() {
    let others = {
        let mut node = node("n", &[81]);
        node["tags"][TAG] = json!("another");
        node
    };
    let there = target(&[mesh(), others, node("beside", &[80])]);
    let wanted = source(&[
        mesh(),
        node("n", &[80]),
        service(&json!({ "virtualNode": { "virtualNodeName": "n" } })),
    ]);
    let options = Options {
        prune: true,
        ..options()
    };
    let plan = plan(&wanted, &there, &options);
    // What stands on it can be made.
    assert_eq!(lines(&plan), ["0 create s"]);
    let foreign: Vec<_> = plan
        .foreign
        .iter()
        .map(|foreign| (foreign.id.name(), foreign.of.as_deref()))
        .collect();
    assert_eq!(
        foreign,
        [("m", None), ("beside", None), ("n", Some("another"))]
    );
    let states: Vec<_> = plan.foreign.iter().map(|foreign| &foreign.state).collect();
    assert!(
        matches!(states[..], [ForeignState::Same, ForeignState::Beside, ForeignState::Differs(changes)] if changes.len() == 1)
    );

    let adopt = super::plan(
        &wanted,
        &there,
        &Options {
            adopt: true,
            ..options
        },
    );
    assert_eq!(
        lines(&adopt),
        [
            "0 adopt (+ tags.outrigger:mirrored-from: \"source\") m",
            "1 adopt (~ spec.listeners[0].portMapping.port: 81 → 80, ~ tags.outrigger:mirrored-from: \"another\" → \
             \"source\") n",
            "2 create s after n",
        ]
    );
    assert_eq!(adopt.foreign.len(), 1, "{adopt:?}");
}

#[test]
fn what_the_target_has_no_kind_for_is_not_mirrored() {
    let lacking = Target {
        lacks: [ResourceKind::VirtualService].into(),
        ..Target::default()
    };
    let known = Known::read(lacking, &Model::default());
    let service = service(&json!({ "virtualNode": { "virtualNodeName": "n" } }));
    let plan = plan(
        &source(&[mesh(), node("n", &[80]), service]),
        &known,
        &options(),
    );
    assert_eq!(lines(&plan), ["0 create m", "1 create n after m"]);
    let kind = ResourceKind::VirtualService;
    let left: Vec<&Why> = plan.not_mirrored.iter().map(|left| &left.why).collect();
    assert_eq!(left, [&Why::Unknown { kind }]);
}

#[test]
fn what_does_not_tell_its_tags_is_nobodys_to_change() {
    let mut known = target(&[ours(mesh())]);
    for (name, port) in [("alike", 80), ("n", 81), ("beside", 80)] {
        let (resource, tags) = read(&node(name, &[port]));
        let held = Held {
            spec: json(&resource.spec),
            tags,
            no_tags: Some(NoTags::Refused("ForbiddenException: no".to_owned())),
            metadata: Metadata::default(),
        };
        known.take_in(&resource.id, held, &Model::default());
    }
    let wanted = source(&[mesh(), node("alike", &[80]), node("n", &[80])]);
    for adopt in [false, true] {
        let options = Options {
            adopt,
            prune: true,
            ..options()
        };
        let plan = plan(&wanted, &known, &options);
        assert_eq!(lines(&plan), [""; 0], "{plan:?}");
        let left: Vec<String> = plan.foreign.iter().map(ToString::to_string).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        let why = "its tags cannot be read, so it may be anybody's (ForbiddenException: no)";
        assert!(left.iter().all(|line| line.starts_with(why)), "{left:?}");
    }
}

#[test]
fn a_mesh_that_another_account_shares_is_no_target() {
    let shared = Known::read(
        Target {
            shared: [(MeshName::new("m"), ["210987654321".to_owned()].into())].into(),
            ..Target::default()
        },
        &Model::default(),
    );
    let adopt = Options {
        adopt: true,
        ..options()
    };
    let plan = plan(&source(&[mesh(), node("n", &[80])]), &shared, &adopt);
    assert_eq!(lines(&plan), [""; 0], "{plan:?}");
    let left: Vec<String> = plan
        .not_mirrored
        .iter()
        .map(|left| left.why.to_string())
        .collect();
    assert_eq!(
        left,
        [
            "account 210987654321 shares a mesh of that name with the target's account, and it is not the mirror's",
            "it needs `mesh/m`, which is not at the target",
        ]
    );
}

#[test]
fn what_is_gone_is_kept_without_prune_and_while_it_is_used() {
    let there = [mesh(), node("n", &[80]), router(&[80])].map(ours);
    // Made by somebody else.
    let user = route("x", None, "n", None);
    let there = target(&[there.as_slice(), &[user]].concat());
    let kept = plan(&source(&[]), &there, &options());
    assert_eq!(kept.steps, []);
    let why: Vec<&Kept> = kept.orphaned.iter().map(|orphan| &orphan.why).collect();
    assert_eq!(why, [&Kept::Unpruned; 3]);
    let pruned = plan(
        &source(&[]),
        &there,
        &Options {
            prune: true,
            ..options()
        },
    );
    assert_eq!(pruned.steps, []);
    let kept: Vec<String> = pruned
        .orphaned
        .iter()
        .map(|orphan| format!("{} {:?}", orphan.id, orphan.why))
        .collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!(
        kept[1],
        "mesh/m/virtualNode/n InUse { by: [Route(\"m\", \"r\", \"x\")] }"
    );
}

#[test]
fn what_cannot_be_mirrored_says_why() {
    let tagged = |mut document: Json, tags: Json| {
        document["tags"] = tags;
        document
    };
    let many: BTreeMap<String, String> = (0..50)
        .map(|index| (format!("t{index:02}"), String::new()))
        .collect();
    let documents = [
        mesh(),
        tagged(node("copy", &[80]), json!({ TAG: "target" })),
        tagged(node("many", &[80]), json!(many)),
        tagged(node("reserved", &[80]), json!({ "AWS:x": "y" })),
        router(&[80, 81]),
        route("x", None, "n", None),
        node("n", &[80]),
        service(&json!({ "virtualNode": { "virtualNodeName": "many" } })),
    ];
    let plan = plan(&source(&documents), &target(&[]), &options());
    let left: Vec<String> = plan
        .not_mirrored
        .iter()
        .map(|left| format!("{}: {}", left.id.name(), left.why))
        .collect();
    assert_eq!(
        left,
        [
            "copy: it was mirrored from the target",
            "many: it would have 51 tags with `outrigger:mirrored-from`, of 50 that a resource can have; remove some",
            "reserved: tags that start with `aws:` are AWS's own; remove `AWS:x`",
            "s: it needs `mesh/m/virtualNode/many`, which is not at the target",
            "x: App Mesh's service refuses it, since virtual router `r` has several listeners, so `port` must say which",
        ]
    );
    assert_eq!(
        lines(&plan),
        ["0 create m", "1 create n after m", "1 create r after m"]
    );
}

#[test]
fn a_copy_goes_back_when_that_is_asked_for_and_then_goes_on() {
    let copy = |document: Json, of: &str| {
        let mut document = document;
        document["tags"] = json!({ TAG: of });
        document
    };
    let here = [
        copy(mesh(), "target"),
        copy(node("a", &[81]), "target"),
        copy(node("b", &[81]), "target"),
    ];
    let there = [mesh(), node("a", &[80])];
    let cautious = plan(&source(&here), &target(&there), &options());
    assert_eq!(lines(&cautious), [""; 0]);
    assert_eq!(cautious.not_mirrored.len(), 3, "{cautious:?}");
    let adopting = Options {
        adopt: true,
        ..options()
    };
    let back = plan(&source(&here), &target(&there), &adopting);
    assert_eq!(back.not_mirrored, []);
    assert_eq!(back.steps.len(), 3, "{:?}", lines(&back));
    // Each side has the other's tag then, and whichever mirror runs is followed.
    let there = [ours(mesh()), ours(node("a", &[80])), ours(node("b", &[81]))];
    let after = plan(&source(&here), &target(&there), &options());
    let steps: Vec<String> = after.steps.iter().map(|step| step.id.to_string()).collect();
    assert_eq!(
        (steps, after.unchanged),
        (vec!["mesh/m/virtualNode/a".to_owned()], 2)
    );
}

#[test]
fn other_meshes_are_out_of_scope() {
    let other = json!({ "kind": "Mesh", "meshName": "other", "spec": {} });
    let options = Options {
        scope: Scope::Named([MeshName::new("m")].into()),
        ..options()
    };
    let plan = plan(&source(&[mesh(), other.clone()]), &target(&[]), &options);
    assert_eq!(lines(&plan), ["0 create m"]);
    let plan = super::plan(&source(&[]), &target(&[ours(other)]), &options);
    assert_eq!((plan.orphaned.len(), plan.foreign.len()), (0, 0));
}
