//! What a client has of one name, as far as its words tell.
//!
//! A NACK that blames some resources of a response leaves the others open: Envoy applies them if it is the content of the
//! blamed ones that it rejects, and takes nothing at all if one breaks a constraint of its message, in words that may
//! repeat its name just the same (measured on Envoy 1.40).
//!
//! **Invariant:** of what is open, no version is said to be the client's, and what is fallen back on is what was there
//! before, if there was anything.

use std::sync::Arc;

use crate::snapshot::{Resource, Version};

/// How many resources of rejected responses are told apart, of one name.
const NEWER: usize = 4;

#[derive(Clone, Debug, Default)]
pub(in crate::xds) enum Has {
    #[default]
    Nothing,
    /// Something from an earlier stream, that is not what the snapshot has.
    Unknown,
    /// This version, from an earlier stream.
    Version(Version),
    Resource(Arc<Resource>),
    Either(Box<Either>),
}

/// What was there before, or one of those that came with responses that were rejected for others.
#[derive(Clone, Debug)]
pub(in crate::xds) struct Either {
    /// None of this kind itself.
    before: Has,
    /// Oldest first.
    newer: Vec<Arc<Resource>>,
    /// There were more of them.
    and_others: bool,
}

impl Has {
    pub(super) fn of(resource: Option<&Arc<Resource>>) -> Self {
        resource.map_or(Self::Nothing, |resource| {
            Self::Resource(Arc::clone(resource))
        })
    }

    pub(in crate::xds) fn is(&self, version: Version) -> bool {
        match self {
            Self::Resource(resource) => resource.version() == version,
            Self::Version(held) => *held == version,
            Self::Nothing | Self::Unknown | Self::Either(_) => false,
        }
    }

    /// Whether it is certain that there is nothing.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// The newest that the client is known to have accepted.
    pub(in crate::xds) fn accepted(&self) -> Option<&Arc<Resource>> {
        match self {
            Self::Resource(resource) => Some(resource),
            Self::Either(either) => either.before.accepted(),
            Self::Nothing | Self::Unknown | Self::Version(_) => None,
        }
    }

    /// Whether it is open what there is, and this was there before, and accepted.
    pub(super) fn was(&self, resource: &Resource) -> bool {
        let version = resource.version();
        matches!(self, Self::Either(either) if either.before.is(version))
    }

    /// What the client is to keep as long as there is nothing better.
    pub(in crate::xds) fn fallback(&self) -> Option<&Arc<Resource>> {
        self.accepted().or_else(|| self.newest())
    }

    /// The newest that the client may have.
    pub(in crate::xds) fn newest(&self) -> Option<&Arc<Resource>> {
        match self {
            Self::Either(either) => either.newer.last().or_else(|| either.before.accepted()),
            _ => self.accepted(),
        }
    }

    /// This, or a resource that came after it with a response that was rejected for another.
    pub(super) fn or(self, resource: &Arc<Resource>) -> Self {
        let mut either = match self {
            Self::Either(either) => either,
            before if before.is(resource.version()) => return before,
            before => Box::new(Either {
                before,
                newer: Vec::new(),
                and_others: false,
            }),
        };
        let version = resource.version();
        either.newer.retain(|newer| newer.version() != version);
        if either.newer.len() >= NEWER {
            either.newer.remove(0);
            either.and_others = true;
        }
        either.newer.push(Arc::clone(resource));
        Self::Either(either)
    }

    /// This, if the client has rejected a version for what it is.
    pub(super) fn but_for(self, version: Version) -> Self {
        let Self::Either(mut either) = self else {
            return self;
        };
        either.newer.retain(|newer| newer.version() != version);
        if either.newer.is_empty() && !either.and_others {
            return either.before;
        }
        Self::Either(either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Kind;
    use crate::xds::testing::Labelled;

    fn resource(label: usize) -> Arc<Resource> {
        let message = Labelled {
            name: "a".to_owned(),
            label: label.to_string(),
        };
        Arc::new(Resource::new(Kind::Cluster, "a".into(), &message, None))
    }

    fn version(label: usize) -> Version {
        resource(label).version()
    }

    fn versions(has: &Has) -> [Option<Version>; 2] {
        [has.accepted(), has.newest()].map(|resource| Some(resource?.version()))
    }

    #[test]
    fn what_is_open_is_no_version() {
        let has = Has::of(Some(&resource(1))).or(&resource(2));
        assert!(!has.is(version(1)) && !has.is(version(2)));
        assert_eq!(versions(&has), [Some(version(1)), Some(version(2))]);
        assert_eq!(has.fallback().unwrap().version(), version(1));
        let has = Has::Nothing.or(&resource(2));
        assert!(!has.is_nothing());
        assert_eq!(versions(&has), [None, Some(version(2))]);
        assert_eq!(has.fallback().unwrap().version(), version(2));
        // The same again opens nothing.
        assert!(Has::of(Some(&resource(1))).or(&resource(1)).is(version(1)));
    }

    #[test]
    fn what_is_rejected_for_itself_was_never_there() {
        let has = Has::of(Some(&resource(1)))
            .or(&resource(2))
            .or(&resource(3));
        let has = has.or(&resource(2)).but_for(version(2));
        assert_eq!(versions(&has), [Some(version(1)), Some(version(3))]);
        assert!(has.but_for(version(3)).is(version(1)));
        let has = Has::Nothing.or(&resource(2)).but_for(version(2));
        assert!(has.is_nothing());
        assert!(
            Has::of(Some(&resource(1)))
                .but_for(version(1))
                .is(version(1))
        );
    }

    #[test]
    fn what_is_no_longer_told_apart_stays_open() {
        let mut has = Has::of(Some(&resource(0)));
        for label in 1..=NEWER + 1 {
            has = has.or(&resource(label));
        }
        for label in 1..=NEWER + 1 {
            has = has.but_for(version(label));
        }
        assert!(!has.is(version(0)));
        assert_eq!(versions(&has), [Some(version(0)), Some(version(0))]);
    }
}
