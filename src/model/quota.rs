//! How many of a thing there may be, as App Mesh's service quotas count them.

/// A quota, by what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    Meshes,
}

/// Which quotas hold. All are off unless set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    pub meshes: Option<u32>,
}
