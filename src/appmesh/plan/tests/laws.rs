//! What holds for any two sides: each step is one that the service takes, whatever the order within its phase; afterwards
//! the target is as the source says, what others made is as it was, and there is nothing left to do.

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::appmesh::client::{Metadata, Written};
use crate::model::admission::{self, admit, admit_strictly};
use crate::model::quota::Quotas;

/// What a resource is drawn from: whether it is there, whose it is, and two numbers that choose the rest.
#[derive(Clone, Debug)]
struct Seed {
    is_there: bool,
    owner: u8,
    one: u8,
    two: u8,
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let seed = (prop::bool::weighted(0.7), 0..8_u8, any::<u8>(), any::<u8>());
    let seed = seed.prop_map(|(is_there, owner, one, two)| Seed {
        is_there,
        owner,
        one,
        two,
    });
    prop::collection::vec(seed, 16)
}

fn ports(number: u8) -> Vec<u16> {
    let all = [80_u16, 81, 82];
    let chosen = all
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| number >> bit & 1 == 1);
    let chosen: Vec<u16> = chosen.map(|(_, port)| port).collect();
    if chosen.is_empty() { vec![80] } else { chosen }
}

/// One of the ports that there are, or none if that is allowed and drawn.
fn a_port(ports: &[u16], number: u8) -> Option<u16> {
    let may_be_none = ports.len() == 1 && number.is_multiple_of(2);
    (!may_be_none).then(|| ports[usize::from(number) % ports.len()])
}

/// Documents out of which a service with AWS's rules takes each, in this order.
fn documents(seeds: &[Seed]) -> Vec<(Json, u8)> {
    let node_ports: Vec<Vec<u16>> = seeds[..3].iter().map(|seed| ports(seed.one)).collect();
    let (router_ports, gateway_ports) = (ports(seeds[3].one), ports(seeds[4].one));
    let nodes = ["a", "b", "c"];
    let mut all: Vec<(Json, &Seed)> = vec![(mesh(), &seeds[5])];
    for (index, name) in nodes.iter().enumerate() {
        all.push((node(name, &node_ports[index]), &seeds[index]));
    }
    all.push((router(&router_ports), &seeds[3]));
    let gateway = json!({ "kind": "VirtualGateway", "meshName": "m", "virtualGatewayName": "g", "spec": {
        "listeners": listeners(&gateway_ports),
    } });
    all.push((gateway, &seeds[4]));
    for (name, seed) in ["x", "y", "z"].iter().zip(&seeds[6..9]) {
        let to = usize::from(seed.two) % nodes.len();
        let target = a_port(&node_ports[to], seed.two / 4);
        all.push((
            route(name, a_port(&router_ports, seed.one), nodes[to], target),
            seed,
        ));
    }
    let (provider, provider_ports) = if seeds[9].one.is_multiple_of(2) {
        (
            json!({ "virtualRouter": { "virtualRouterName": "r" } }),
            &router_ports,
        )
    } else {
        let to = usize::from(seeds[9].two) % nodes.len();
        (
            json!({ "virtualNode": { "virtualNodeName": nodes[to] } }),
            &node_ports[to],
        )
    };
    all.push((service(&provider), &seeds[9]));
    for (name, seed) in ["v", "w"].iter().zip(&seeds[10..12]) {
        let mut spec = json!({ "httpRoute": {
            "match": { "prefix": "/" },
            "action": { "target": { "virtualService": { "virtualServiceName": "s" } } },
        } });
        if let Some(port) = a_port(&gateway_ports, seed.one) {
            spec["httpRoute"]["match"]["port"] = json!(port);
        }
        if let Some(port) = a_port(provider_ports, seed.two) {
            spec["httpRoute"]["action"]["target"]["port"] = json!(port);
        }
        let route = json!({ "kind": "GatewayRoute", "meshName": "m", "virtualGatewayName": "g", "gatewayRouteName": name, "spec": spec });
        all.push((route, seed));
    }
    let mut model = Model::default();
    let mut taken = Vec::new();
    for (document, seed) in all.into_iter().filter(|(_, seed)| seed.is_there) {
        let (resource, _) = read(&document);
        if admit_strictly(&model, admission::Change::Create(&resource)) {
            model.insert(resource);
            taken.push((document, seed.owner));
        }
    }
    taken
}

/// A service with AWS's rules, or with Outrigger's for what is unsure.
#[derive(Clone, Debug)]
struct Service {
    known: Known,
    is_strict: bool,
    /// What it takes in no case.
    refuses: Option<Step>,
}

impl Service {
    fn new(known: Known, is_strict: bool) -> Self {
        Self {
            known,
            is_strict,
            refuses: None,
        }
    }
}

impl Service {
    /// Whether it takes a step.
    fn take(&mut self, step: &Step, source: &Model) -> bool {
        let id = &step.id;
        let spec = match &step.action {
            Action::Create { spec, .. } => Some(spec),
            Action::Update { spec, .. } => spec.as_ref(),
            Action::Delete => None,
        };
        let resource = spec.map(|spec| Resource {
            id: id.clone(),
            spec: crate::appmesh::known::typed(id, spec).unwrap(),
        });
        let change = match (&step.action, &resource) {
            (Action::Create { .. }, Some(resource)) => Some(admission::Change::Create(resource)),
            (Action::Update { .. }, Some(resource)) => Some(admission::Change::Update(resource)),
            (Action::Delete, _) => Some(admission::Change::Delete(id)),
            _ => None,
        };
        let exists = self.known.contains(id);
        assert_eq!(
            exists,
            !matches!(step.action, Action::Create { .. }),
            "{step:?}"
        );
        if let (Action::Update { tags, .. }, Some(there)) = (&step.action, self.known.get(id)) {
            // Nothing is changed before it is the mirror's.
            let is_ours = there.tags.get(TAG).is_some_and(|of| of == OURS);
            assert!(is_ours || tags.contains_key(TAG), "{step:?}");
        }
        let model = self.known.model();
        let is_taken = change.is_none_or(|change| {
            if self.is_strict || !step.is_unsure {
                admit_strictly(model, change)
            } else {
                admit(model, change, &Quotas::default()).is_ok()
            }
        });
        if is_taken {
            let metadata = Metadata {
                arn: format!("arn:{id}"),
                ..Metadata::default()
            };
            let written = spec.map(|spec| Written {
                spec: spec.clone(),
                metadata,
            });
            self.known.wrote(step, written.as_ref(), source);
        }
        is_taken
    }

    /// Does a plan, each phase in any order. Returns the steps that were refused, and those that were not tried for it.
    fn follow(&mut self, plan: &Plan, source: &Model, any: u64) -> (Vec<Step>, Vec<Step>) {
        let mut steps: Vec<(u64, &Step)> = plan
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                (
                    xxh3_64(&[any, index as u64].map(u64::to_le_bytes).concat()),
                    step,
                )
            })
            .collect();
        steps.sort_by_key(|(any, step)| (step.phase, *any));
        let (mut refused, mut blocked): (Vec<Step>, Vec<Step>) = Default::default();
        let mut failed = BTreeSet::new();
        for (_, step) in steps {
            let list = if step.blocked_by(&failed).is_some() {
                &mut blocked
            } else if self.refuses.as_ref() == Some(step) || !self.take(step, source) {
                &mut refused
            } else {
                continue;
            };
            list.push(step.clone());
            failed.insert(step.id.clone());
        }
        (refused, blocked)
    }
}

/// Whether a step may keep AWS's service from taking the plan in any order: a gateway route names a port of its gateway and
/// one of its service's provider, and both change.
fn is_hopeless(step: &Step) -> bool {
    matches!(step.id, ResourceId::GatewayRoute(..))
}

fn source_of(seeds: &[Seed]) -> Stored {
    let documents = documents(seeds).into_iter().map(|(mut document, owner)| {
        if owner.is_multiple_of(2) {
            document["tags"] = json!({ "team": owner.to_string() });
        }
        document
    });
    source(&documents.collect::<Vec<_>>())
}

/// A target with resources of ours, of another mirror and of nobody's.
fn target_of(seeds: &[Seed], all_ours: bool) -> Known {
    let documents = documents(seeds).into_iter().map(|(mut document, owner)| {
        match owner {
            0 if !all_ours => document["tags"][TAG] = json!("another"),
            1 if !all_ours => document["tags"]["theirs"] = json!("yes"),
            _ => document = ours(document),
        }
        document
    });
    target(&documents.collect::<Vec<_>>())
}

fn states(known: &Known) -> BTreeMap<ResourceId, (Json, Tags)> {
    let state = |id: &ResourceId| {
        let there = known.get(id).unwrap();
        (id.clone(), (there.spec, there.tags.clone()))
    };
    known.ids().map(state).collect()
}

proptest! {
    /// Where all is ours and the rest is to go, the service takes each step, and the end is the source.
    #[test]
    fn a_mirror_becomes_its_source(from in seeds(), to in seeds(), any in any::<u64>()) {
        let stored = source_of(&to);
        let mut service = Service::new(target_of(&from, true), false);
        let options = Options { prune: true, ..options() };
        let plan = plan(&stored, &service.known, &options);
        let refused = service.follow(&plan, &stored.model, any);
        prop_assert_eq!(refused, Default::default(), "{:#?}", lines(&plan));
        let is_sure = plan.steps.iter().all(|step| !step.is_unsure);
        prop_assert!(is_sure || plan.steps.iter().any(is_hopeless), "{:#?}", lines(&plan));
        prop_assert_eq!(service.known.model(), &stored.model);
        let again = super::plan(&stored, &service.known, &options);
        prop_assert_eq!(lines(&again), Vec::<String>::new());
        prop_assert_eq!(again.unchanged, stored.records.len());
    }

    /// With others' resources among ours: these stay as they are, and what is left undone is said.
    #[test]
    fn what_others_made_stays(
        from in seeds(), to in seeds(), any in any::<u64>(), adopt in any::<bool>(), prune in any::<bool>(), is_strict in any::<bool>(),
    ) {
        let stored = source_of(&to);
        let mut service = Service::new(target_of(&from, false), is_strict);
        let before = states(&service.known);
        let options = Options { adopt, prune, ..options() };
        let plan = plan(&stored, &service.known, &options);
        let (refused, blocked) = service.follow(&plan, &stored.model, any);
        for step in &refused {
            prop_assert!(step.is_unsure, "{step:?}\n{:#?}", lines(&plan));
        }
        let after = states(&service.known);
        for (id, (_, tags)) in before.iter().filter(|(_, (_, tags))| tags.get(TAG).is_none_or(|of| of != OURS)) {
            if !adopt || !stored.records.contains_key(id) {
                prop_assert_eq!(after.get(id), before.get(id));
            }
            prop_assert!(tags.iter().all(|(key, _)| after[id].1.contains_key(key)));
        }
        // What is deleted was ours, and is not in the source.
        for (id, (_, tags)) in before.iter().filter(|(id, _)| !after.contains_key(id)) {
            prop_assert!(prune && tags[TAG] == OURS && !stored.records.contains_key(id));
        }
        // All of the source is there, or it is said why not.
        let said: BTreeSet<&ResourceId> = (plan.foreign.iter().map(|foreign| &foreign.id))
            .chain(plan.not_mirrored.iter().map(|left| &left.id))
            .chain(refused.iter().chain(&blocked).map(|step| &step.id))
            .collect();
        for (id, record) in stored.records.iter().filter(|(id, _)| !said.contains(id)) {
            let (spec, tags) = &after[id];
            prop_assert_eq!(spec, &json(&stored.model.get(id).unwrap()));
            prop_assert_eq!(&tags[TAG], OURS);
            prop_assert!(record.tags.iter().all(|tag| tags.get(tag.0) == Some(tag.1)));
        }
        if refused.is_empty() {
            let again = super::plan(&stored, &service.known, &options);
            prop_assert_eq!(lines(&again), Vec::<String>::new());
        }
    }

    /// One refusal takes down what needs that step, and nothing else.
    #[test]
    fn a_refusal_is_felt_by_those_that_need_it(from in seeds(), to in seeds(), any in any::<u64>(), which in any::<prop::sample::Index>()) {
        let stored = source_of(&to);
        let mut service = Service::new(target_of(&from, true), false);
        let options = Options { prune: true, ..options() };
        let plan = plan(&stored, &service.known, &options);
        prop_assume!(!plan.steps.is_empty());
        let refused = which.get(&plan.steps).clone();
        service.refuses = Some(refused.clone());
        let (all, _) = service.follow(&plan, &stored.model, any);
        prop_assert_eq!(all, [refused], "{:#?}", lines(&plan));
    }

    /// A plan of what has changed is as good as one of everything.
    #[test]
    fn a_change_is_followed_by_itself(from in seeds(), to in seeds(), any in any::<u64>()) {
        let (older, newer) = (source_of(&from), source_of(&to));
        let mut service = Service::new(Known::default(), false);
        let options = Options { prune: true, ..options() };
        let all = plan(&older, &service.known, &options);
        prop_assert_eq!(service.follow(&all, &older.model, any), Default::default());
        let changed = older.records.keys().chain(newer.records.keys()).filter(|id| {
            older.records.get(*id) != newer.records.get(*id) || older.model.get(id) != newer.model.get(id)
        });
        let some = plan_of(changed.cloned().collect(), &newer, &service.known, &options);
        prop_assert_eq!(service.follow(&some, &newer.model, any), Default::default());
        let left = plan(&newer, &service.known, &options);
        prop_assert_eq!(lines(&left), Vec::<String>::new());
    }
}
