//! `outrigger migrate sidecar`.

use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use miette::miette;

use super::output::CliError;
use super::validate::standard_input;
use crate::envoy::bootstrap::XdsAddress;
use crate::migrate::{self, MigrateError, Target, is_app_mesh_image, upstream_image};
use crate::model::NodeRef;

/// The word for upstream's image of the release that Outrigger is tested with.
const UPSTREAM: &str = "upstream";

/// Move what was made for App Mesh over to Outrigger
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Sidecar(SidecarArgs),
}

/// Print the file that declares an App Mesh sidecar, with what must change so that it asks Outrigger
#[derive(Debug, clap::Args)]
struct SidecarArgs {
    /// A task definition of ECS, Kubernetes' YAML or JSON, or a `docker run` line; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    xds: Xds,
    /// Use an image with nothing but Envoy instead of App Mesh's own: `upstream`, or its name
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    image: Option<String>,
    /// Whose sidecar it is, where the file does not say: mesh/MESH/virtualNode/NODE, or the whole ARN
    #[arg(long, value_name = "NODE", value_parser = NodeRef::parse)]
    node: Option<NodeRef>,
}

/// Where Outrigger is.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Xds {
    /// The --xds-addr of `serve`, as the sidecar reaches it
    #[arg(long, value_name = "HOST:PORT")]
    xds_addr: Option<XdsAddress>,
    /// The --xds-socket of `serve`, which runs on the sidecar's host
    #[arg(long, value_name = "PATH", value_parser = socket)]
    xds_socket: Option<XdsAddress>,
}

fn socket(path: &str) -> Result<XdsAddress, String> {
    if Path::new(path).is_absolute() {
        Ok(XdsAddress::Unix(path.into()))
    } else {
        Err("name the whole path, such as /run/outrigger/xds.sock".to_owned())
    }
}

/// An image that has Envoy alone.
fn image(name: &str) -> Result<String, String> {
    if name == UPSTREAM {
        Ok(upstream_image())
    } else if name.is_empty() || name.contains(char::is_whitespace) {
        Err("it is no image's name".to_owned())
    } else if is_app_mesh_image(name) {
        Err(
            "it is App Mesh's own; leave `--image` out, and change its version in the file"
                .to_owned(),
        )
    } else {
        Ok(name.to_owned())
    }
}

/// The file as it has to be; what there is to say of it goes to standard error.
///
/// # Errors
/// When the file cannot be read, or has no sidecar that could be moved.
pub fn run(args: MigrateArgs) -> Result<String, CliError> {
    let Command::Sidecar(args) = args.command;
    let Some(xds) = args.xds.xds_addr.or(args.xds.xds_socket) else {
        return Err(CliError::unable(miette!(
            "say where Outrigger is: --xds-addr or --xds-socket"
        )));
    };
    let text = read(&args.file)?;
    let target = Target {
        xds,
        image: args.image,
        node: args.node,
    };
    let file = args.file.display();
    let migrated = migrate::sidecar(&text, &target).map_err(|error: MigrateError| {
        let report = miette::Report::from_err(error);
        CliError::no(report.wrap_err(format!("cannot move what `{file}` declares")))
    })?;
    for note in &migrated.notes {
        drop(writeln!(stderr(), "note: {file}: {note}"));
    }
    Ok(migrated.text)
}

fn read(path: &Path) -> Result<String, CliError> {
    let bytes = if path == Path::new("-") {
        standard_input()
    } else {
        fs::read(path)
    };
    let text = bytes.and_then(|bytes| {
        String::from_utf8(bytes)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it is no text"))
    });
    text.map_err(|error| {
        CliError::unable(miette!(
            help = "name a file that this user may read, or `-` for standard input",
            "cannot read `{}`: {error}",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_name_and_is_not_app_meshs() {
        assert_eq!(image(UPSTREAM), Ok(upstream_image()));
        assert_eq!(image("my/envoy:1"), Ok("my/envoy:1".to_owned()));
        for bad in ["", "up stream"] {
            assert!(image(bad).unwrap_err().contains("no image's name"));
        }
        let app_mesh = "registry.test/appmesh/aws-appmesh-envoy:v1.30.0.0-prod";
        assert!(image(app_mesh).unwrap_err().contains("leave `--image` out"));
    }
}
