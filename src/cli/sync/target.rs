//! The target of a mirror, as flags name it.

use miette::miette;

use super::source::Source;
use crate::appmesh::client::{Client, TargetOptions, checked_account};
use crate::appmesh::plan::Options;
use crate::appmesh::read::Scope;
use crate::cli::output::CliError;
use crate::model::MeshName;

/// Where to, and what of the source.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// URL of the API that the mesh is mirrored to: another Outrigger's, or AWS's of a region
    #[arg(long, value_name = "URL", env = "OUTRIGGER_SYNC_ENDPOINT")]
    pub(super) endpoint: String,
    /// Region that calls to the target are signed for [default: that of the environment or the profile]
    #[arg(long, value_name = "REGION")]
    pub(super) target_region: Option<String>,
    /// Profile of AWS's configuration with the target's key [default: where every AWS client looks]
    #[arg(long, value_name = "NAME")]
    pub(super) target_profile: Option<String>,
    /// Account that the target has to belong to [default: whichever it does]
    #[arg(long, value_name = "ID", value_parser = checked_account)]
    pub(super) account: Option<String>,
    /// Mirror this mesh only; may be repeated [default: all]
    #[arg(long, value_name = "MESH", value_parser = MeshName::checked)]
    pub(super) mesh: Vec<MeshName>,
    /// Take over what somebody else made at the target and the source has too
    #[arg(long)]
    pub(super) adopt: bool,
    /// Delete at the target what was mirrored and the source no longer has
    #[arg(long)]
    pub(super) prune: bool,
    /// Calls a second to the target; 0: no limit [default: 50, and no limit on this machine]
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<u32>,
}

/// The target, and which server it is, once it has answered.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) server: Option<String>,
}

impl TargetArgs {
    pub(super) fn scope(&self) -> Scope {
        Scope::of(self.mesh.iter().cloned())
    }

    pub(super) fn target(&self) -> TargetOptions {
        let mut options = TargetOptions::new(&self.endpoint).with(
            self.target_region.clone(),
            self.target_profile.clone(),
            self.rate,
        );
        options.account.clone_from(&self.account);
        options
    }

    pub(super) fn options(&self, source: &Source, target: &Target) -> Options {
        Options {
            mirror: source.server.clone(),
            target: target.server.clone(),
            adopt: self.adopt,
            prune: self.prune,
            scope: self.scope(),
        }
    }
}

impl Target {
    pub(super) async fn connect(args: &TargetArgs) -> Result<Self, CliError> {
        let client = Client::connect(args.target()).await;
        Ok(Self {
            client: client.map_err(CliError::unable_error)?,
            server: None,
        })
    }

    /// A mirror of itself would be its own source.
    pub(super) fn refuse_source(&self, source: &Source) -> Result<(), CliError> {
        if self.server.as_ref() != Some(&source.server) {
            return Ok(());
        }
        Err(CliError::unable(miette!(
            help = "name another with --endpoint; --api-url names the source",
            "the target {} is the source itself",
            self.client.endpoint()
        )))
    }
}
