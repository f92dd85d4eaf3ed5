//! The settings of quotas: AWS's as a whole, and single ones.

use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

use crate::model::quota::{Quota, Quotas, UnknownQuota};

/// Which quotas to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum QuotaSet {
    /// Nothing is limited.
    None,
    /// What AWS granted an account that never asked for more.
    Aws,
}

/// One quota and its limit, as `NAME=N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct QuotaLimit {
    quota: Quota,
    limit: u32,
}

/// Why a text is no limit of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuotaLimitError {
    #[error(
        "`{text}` is no quota with its limit; write NAME=N, such as `virtual-nodes-per-mesh=200`"
    )]
    Form { text: String },
    #[error(transparent)]
    Unknown(#[from] UnknownQuota),
}

impl FromStr for QuotaLimit {
    type Err = QuotaLimitError;

    fn from_str(text: &str) -> Result<Self, QuotaLimitError> {
        let form = || QuotaLimitError::Form { text: text.into() };
        let (name, limit) = text.split_once('=').ok_or_else(form)?;
        Ok(Self {
            quota: name.trim().parse()?,
            limit: limit.trim().parse().map_err(|_| form())?,
        })
    }
}

impl TryFrom<String> for QuotaLimit {
    type Error = QuotaLimitError;

    fn try_from(text: String) -> Result<Self, QuotaLimitError> {
        text.parse()
    }
}

/// The quotas in force: a set, with single ones in place of its own.
pub(super) fn quotas(set: Option<QuotaSet>, single: &[QuotaLimit]) -> Quotas {
    let mut quotas = match set {
        None | Some(QuotaSet::None) => Quotas::default(),
        Some(QuotaSet::Aws) => Quotas::of_aws(),
    };
    for QuotaLimit { quota, limit } in single {
        quotas.set(*quota, *limit);
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_quota_counts_before_the_set() {
        let single = ["virtual-nodes-per-mesh=5".parse().unwrap()];
        let of_aws = quotas(Some(QuotaSet::Aws), &single);
        assert_eq!(of_aws.limit(Quota::VirtualNodesPerMesh), Some(5));
        assert_eq!(of_aws.limit(Quota::MeshesPerAccount), Some(15));
        let alone = quotas(None, &single);
        assert_eq!(alone.limit(Quota::MeshesPerAccount), None);
    }

    #[test]
    fn what_is_no_limit_is_said() {
        for (text, expected) in [
            ("virtual-nodes-per-mesh", "write NAME=N"),
            ("virtual-nodes-per-mesh=-1", "write NAME=N"),
            (
                "virtual-node-per-mesh=1",
                "did you mean `virtual-nodes-per-mesh`?",
            ),
        ] {
            let error = text.parse::<QuotaLimit>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
