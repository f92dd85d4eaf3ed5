//! Amazon resource names: who this control plane says it is, and how it names resources to AWS's clients.
//!
//! Printed for one account and region; read whatever the account, region and partition, since what is read was written
//! against AWS.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::names::{ResourceId, ResourceIdError, shown, text_type};

text_type! {
    /// The account that owns what this control plane keeps: 12 digits.
    AccountId
}

text_type! {
    /// The region that this control plane stands in for, such as `us-east-1`.
    Region
}

/// Who this control plane is in ARNs and in the metadata of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub account_id: AccountId,
    pub region: Region,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            account_id: AccountId("000000000000".into()),
            region: Region("us-east-1".into()),
        }
    }
}

/// Why a text cannot stand for an account or a region.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    #[error("`{text}` is no account id; use 12 digits, such as 000000000000")]
    Account { text: String },
    #[error("`{text}` is no region; use lower-case letters, digits and hyphens, such as us-east-1")]
    Region { text: String },
}

impl FromStr for AccountId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.into()))
        } else {
            Err(IdentityError::Account { text: shown(text) })
        }
    }
}

impl FromStr for Region {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(IdentityError::Region { text: shown(text) })
        }
    }
}

impl Region {
    /// The part of AWS that the region belongs to.
    fn partition(&self) -> &'static str {
        let prefixes = [
            ("cn-", "aws-cn"),
            ("us-gov-", "aws-us-gov"),
            ("us-isob-", "aws-iso-b"),
            ("us-iso-", "aws-iso"),
        ];
        prefixes
            .into_iter()
            .find(|(prefix, _)| self.0.starts_with(prefix))
            .map_or("aws", |(_, partition)| partition)
    }
}

/// The resource's name to AWS's clients.
pub fn arn(identity: &Identity, id: &ResourceId) -> String {
    let Identity { account_id, region } = identity;
    let partition = region.partition();
    format!("arn:{partition}:appmesh:{region}:{account_id}:{id}")
}

/// What an ARN says; its account and region may be anyone's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn {
    pub region: String,
    pub account: String,
    pub id: ResourceId,
}

/// Why a text is no ARN of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArnError {
    #[error(
        "`{text}` is no ARN of App Mesh; write `arn:aws:appmesh:REGION:ACCOUNT:mesh/MESH` with the rest of the \
         resource's path"
    )]
    Malformed { text: String },
    /// It is App Mesh's, but names no resource.
    #[error(transparent)]
    Resource(#[from] ResourceIdError),
}

/// Reads the ARN of a resource.
///
/// # Errors
/// [`ArnError`] when it is none, not App Mesh's, or names no resource that there could be.
pub fn parse_arn(text: &str) -> Result<Arn, ArnError> {
    let malformed = || ArnError::Malformed { text: shown(text) };
    let (region, account, path) = split(text).ok_or_else(malformed)?;
    if region.is_empty() || account.is_empty() {
        return Err(malformed());
    }
    Ok(Arn {
        region: region.into(),
        account: account.into(),
        id: ResourceId::parse_path(path)?,
    })
}

/// Region, account and path of an ARN of App Mesh's.
pub(super) fn split(text: &str) -> Option<(&str, &str, &str)> {
    let mut fields = text.splitn(6, ':');
    if fields.next()? != "arn" || !fields.next()?.starts_with("aws") || fields.next()? != "appmesh"
    {
        return None;
    }
    Some((fields.next()?, fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(account: &str, region: &str) -> Identity {
        Identity {
            account_id: account.parse().unwrap(),
            region: region.parse().unwrap(),
        }
    }

    #[test]
    fn an_arn_is_read_as_it_was_printed() {
        for path in [
            "mesh/m",
            "mesh/m/virtualNode/n",
            "mesh/m/virtualService/s.m.local",
            "mesh/m/virtualRouter/r",
            "mesh/m/virtualRouter/r/route/x",
            "mesh/m/virtualGateway/g",
            "mesh/m/virtualGateway/g/gatewayRoute/x",
        ] {
            let id = ResourceId::parse(path).unwrap();
            let text = arn(&identity("123456789012", "eu-west-1"), &id);
            assert_eq!(
                text,
                format!("arn:aws:appmesh:eu-west-1:123456789012:{path}")
            );
            let read = parse_arn(&text).unwrap();
            assert_eq!((read.account.as_str(), &read.id), ("123456789012", &id));
            assert_eq!(ResourceId::parse(&text), Ok(id));
        }
    }

    #[test]
    fn the_partition_follows_the_region() {
        let id = ResourceId::parse("mesh/m").unwrap();
        for (region, partition) in [
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-isob-east-1", "aws-iso-b"),
            ("us-west-2", "aws"),
        ] {
            let arn = arn(&identity("000000000000", region), &id);
            assert_eq!(
                arn,
                format!("arn:{partition}:appmesh:{region}:000000000000:mesh/m")
            );
            assert_eq!(parse_arn(&arn).unwrap().region, region);
        }
    }

    /// Some of AWS's documents name a shared mesh by its owner too.
    #[test]
    fn the_owner_of_a_shared_mesh_is_passed_over() {
        let shared = "arn:aws:appmesh:us-west-2:210987654321:mesh/m@123456789012/virtualNode/n";
        let id = parse_arn(shared).unwrap().id;
        assert_eq!(id.to_string(), "mesh/m/virtualNode/n");
    }

    #[test]
    fn what_is_no_arn_is_refused() {
        for text in [
            "",
            "mesh/m",
            "arn:aws:appmesh:us-east-1:mesh/m",
            "arn:aws:appmesh::000000000000:mesh/m",
            "arn:aws:appmesh:us-east-1::mesh/m",
            "arn:aws:ecs:us-east-1:000000000000:mesh/m",
            "arn:gcp:appmesh:us-east-1:000000000000:mesh/m",
        ] {
            let error = parse_arn(text).unwrap_err();
            assert!(
                matches!(error, ArnError::Malformed { .. }),
                "{text}: {error}"
            );
        }
        let error = parse_arn("arn:aws:appmesh:us-east-1:000000000000:mesh/m/node/n");
        assert!(matches!(error, Err(ArnError::Resource(_))), "{error:?}");
    }

    #[test]
    fn an_identity_is_checked() {
        for account in ["", "1", "12345678901x", "1234567890123", "１２３４"] {
            assert!(account.parse::<AccountId>().is_err(), "{account}");
        }
        for region in ["", "US-EAST-1", "us east", "us:east"] {
            assert!(region.parse::<Region>().is_err(), "{region}");
        }
    }
}
