//! Which account a target answers for. Nothing says so but what stands there, and a key, a role or an address may become
//! another account's. Pure.

use std::collections::BTreeSet;

use super::client::Metadata;
use super::plan::TAG;
use super::read::Target;
use crate::model::arn::parse_arn;

/// The account that owns a resource, if the target says it.
pub(super) fn owner(metadata: &Metadata) -> Option<String> {
    if !metadata.resource_owner.is_empty() {
        return Some(metadata.resource_owner.clone());
    }
    parse_arn(&metadata.arn).ok().map(|arn| arn.account)
}

/// Who may be the target's account, by what it has: the owners of what this mirror made, or else of everything. In a mesh
/// that is shared between accounts, others own some of it.
pub(super) fn owners(target: &Target, mirror: &str) -> BTreeSet<String> {
    let all = target.resources.values();
    let ours = all.clone().filter(|held| is_ours(&held.tags, mirror));
    let ours: BTreeSet<String> = ours.filter_map(|held| owner(&held.metadata)).collect();
    if ours.is_empty() {
        all.filter_map(|held| owner(&held.metadata)).collect()
    } else {
        ours
    }
}

/// Whether anything there is this mirror's.
pub(super) fn has_ours(target: &Target, mirror: &str) -> bool {
    let mut all = target.resources.values();
    all.any(|held| is_ours(&held.tags, mirror))
}

fn is_ours(tags: &crate::model::tags::Tags, mirror: &str) -> bool {
    tags.get(TAG).is_some_and(|of| of == mirror)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appmesh::client::Held;
    use crate::model::ResourceId;
    use crate::model::tags::Tags;

    fn held(path: &str, account: &str, of: Option<&str>) -> (ResourceId, Held) {
        let metadata = Metadata {
            arn: format!("arn:aws:appmesh:eu-central-1:{account}:{path}"),
            ..Metadata::default()
        };
        let tags = of.map(|of| (TAG.to_owned(), of.to_owned()));
        let held = Held {
            spec: serde_json::Value::Null,
            tags: tags.into_iter().collect::<Tags>(),
            metadata,
            no_tags: None,
        };
        (ResourceId::parse(path).unwrap(), held)
    }

    #[test]
    fn the_mirrors_own_say_it_best() {
        let mut target = Target::default();
        assert!(owners(&target, "us").is_empty());
        target.resources.extend([
            held("mesh/shared", "111111111111", None),
            held("mesh/m", "222222222222", Some("them")),
        ]);
        let all = ["111111111111", "222222222222"].map(str::to_owned);
        assert_eq!(owners(&target, "us"), all.into());
        assert!(!has_ours(&target, "us"));
        target
            .resources
            .extend([held("mesh/n", "333333333333", Some("us"))]);
        assert_eq!(owners(&target, "us"), ["333333333333".to_owned()].into());
        assert!(has_ours(&target, "us"));
    }

    #[test]
    fn a_resource_in_a_shared_mesh_is_of_who_made_it() {
        let (_, held) = held("mesh/shared/virtualNode/n", "111111111111", None);
        let metadata = Metadata {
            resource_owner: "222222222222".to_owned(),
            ..held.metadata
        };
        assert_eq!(owner(&metadata).unwrap(), "222222222222");
        assert_eq!(owner(&Metadata::default()), None);
    }
}
