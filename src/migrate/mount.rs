//! The socket's folder, and as a volume of the host for ECS and Kubernetes, which have the same two lists by other names.

use std::path::{Component, Path};

use super::edit::Editor;
use super::new::New;
use super::{MigrateError, Place};
use crate::model::document::Located;

/// The volume of the socket's folder, unless another has the name.
pub(super) const VOLUME: &str = "outrigger-xds";

/// Folders that an image has itself, with all that is in them.
const OF_IMAGES: [&str; 9] = [
    "/bin", "/boot", "/dev", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr",
];
/// Folders whose subfolders are not an image's.
const SHARED: [&str; 9] = [
    "/etc/pki",
    "/etc/ssl",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/var/tmp",
    "/run/lock",
];

/// What an orchestrator calls the parts.
pub(super) struct Names {
    /// Of a volume: what says that it is the host's, and of that the folder's path.
    pub(super) host: [&'static str; 2],
    /// The `type` of a volume of the host, if there are several.
    pub(super) kind: Option<&'static str>,
    /// Of a container: its mounts, and of one the volume's name and where it is.
    pub(super) mounts: &'static str,
    pub(super) volume: &'static str,
    pub(super) path: &'static str,
}

/// A folder and who is to have it.
pub(super) struct Folder<'a> {
    pub(super) names: &'static Names,
    /// What has the volumes, if that is in the file.
    pub(super) owner: Option<&'a Located>,
    pub(super) at: &'a str,
}

impl Folder<'_> {
    /// The volume's name; it is made if there is none. `mounted` are the volumes that the container has, with their paths.
    ///
    /// # Errors
    /// The volume that is where the folder should be.
    pub(super) fn volume(
        &self,
        mounted: &[(&str, &str)],
        editor: &mut Editor<'_>,
    ) -> Result<String, String> {
        let volumes = self.owner.and_then(|owner| owner.get("volumes"));
        let volumes = volumes.map_or(&[][..], Located::items);
        let named = |name: &str| {
            let mut volumes = volumes.iter();
            volumes.find(|volume| text_of(volume, "name") == Some(name))
        };
        for (volume, path) in mounted {
            let is_it = named(volume).and_then(|volume| self.host_path(volume)) == Some(self.at)
                || self.owner.is_none() && *volume == VOLUME;
            if without_slash(path) == self.at && !is_it {
                return Err((*volume).to_owned());
            }
        }
        let mut of_host = volumes.iter();
        let there = of_host.find(|volume| self.host_path(volume) == Some(self.at));
        if let Some(name) = there.and_then(|volume| text_of(volume, "name")) {
            return Ok(name.to_owned());
        }
        let ours = named(VOLUME);
        if let Some(ours) = ours
            && let Some(path) = self.host_path(ours)
            && mounted.contains(&(VOLUME, path))
            && let Some(host) = ours.get(self.names.host[0])
        {
            editor.set(host, self.names.host[1], &New::text(self.at));
            return Ok(VOLUME.to_owned());
        }
        let others = (2..).map(|number| format!("{VOLUME}-{number}"));
        let mut free = std::iter::once(VOLUME.to_owned()).chain(others);
        let name = free.find(|name| named(name).is_none());
        let name = name.unwrap_or_default();
        let Some(owner) = self.owner else {
            return Ok(name);
        };
        let [host, path] = self.names.host;
        let mut members = vec![(path.to_owned(), New::text(self.at))];
        // Without the folder there is no control plane on the host, and the pod says so instead of making an empty one.
        let kind = self
            .names
            .kind
            .map(|kind| ("type".to_owned(), New::text(kind)));
        members.extend(kind);
        let volume = vec![
            ("name".to_owned(), New::text(&name)),
            (host.to_owned(), New::Map(members)),
        ];
        editor.push(owner, "volumes", vec![New::Map(volume)]);
        Ok(name)
    }

    /// The same, and the container's mount of it.
    pub(super) fn mount(
        &self,
        container: &Located,
        place: &Place,
        editor: &mut Editor<'_>,
    ) -> Result<(), MigrateError> {
        let Names {
            mounts,
            volume,
            path,
            ..
        } = self.names;
        let list = container.get(mounts).map_or(&[][..], Located::items);
        let pair = |mount| Some((text_of(mount, volume)?, text_of(mount, path)?));
        let mounted: Vec<_> = list.iter().filter_map(pair).collect();
        let name = self.volume(&mounted, editor);
        let name = name.map_err(|volume| MigrateError::Mounted {
            place: place.clone(),
            container: text_of(container, "name").unwrap_or_default().to_owned(),
            volume,
            folder: self.at.to_owned(),
        })?;
        let of_it = list
            .iter()
            .filter(|mount| text_of(mount, volume) == Some(&name));
        let at = |mount: &&Located| text_of(mount, path).map(without_slash) == Some(self.at);
        if of_it.clone().any(|mount| at(&mount)) {
            return Ok(());
        }
        // A connection can be made over a mount that may only be read.
        match of_it.clone().next().filter(|_| name == VOLUME) {
            Some(mount) => editor.set(mount, path, &New::text(self.at)),
            None => editor.push(
                container,
                mounts,
                vec![New::map([
                    (volume, New::text(name)),
                    (path, New::text(self.at)),
                    ("readOnly", New::Bool(true)),
                ])],
            ),
        }
        Ok(())
    }

    fn host_path<'v>(&self, volume: &'v Located) -> Option<&'v str> {
        let [host, path] = self.names.host;
        text_of(volume.get(host)?, path).map(without_slash)
    }
}

/// The folder that is shared with the container: all of it, since a server that starts anew makes its socket anew.
pub(super) fn folder_of(socket: &Path) -> Result<String, MigrateError> {
    let plain = |component: Component<'_>| match component {
        Component::Normal(name) => name
            .to_str()
            .filter(|name| !name.contains(':'))
            .map(|name| format!("/{name}")),
        Component::RootDir => Some(String::new()),
        _ => None,
    };
    let folder = socket.parent().unwrap_or(socket);
    let folder: Option<String> = folder.components().map(plain).collect();
    let folder = folder.ok_or_else(|| MigrateError::SocketPath {
        socket: socket.into(),
    })?;
    // The root, and what hides a folder of the image's own.
    let is_of_image = OF_IMAGES
        .iter()
        .any(|of| Path::new(&folder).starts_with(of));
    if is_of_image || SHARED.contains(&folder.as_str()) || folder.matches('/').count() < 2 {
        return Err(MigrateError::SocketFolder {
            socket: socket.into(),
        });
    }
    Ok(folder)
}

pub(super) fn without_slash(path: &str) -> &str {
    path.trim_end_matches('/')
}

fn text_of<'d>(node: &'d Located, member: &str) -> Option<&'d str> {
    node.get(member)?.as_str()
}
