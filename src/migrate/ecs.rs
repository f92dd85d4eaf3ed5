//! A task definition of ECS, as it is registered, or as `aws ecs describe-task-definition` prints it.

use std::fmt::Write;

use super::form::{self, Form, Sidecar, Variables};
use super::new::New;
use super::{Draft, Found, MigrateError, Place, Target, edit, find, listed, set_listed};
use crate::model::document::Located;

/// The volume of the socket's folder.
const VOLUME: &str = "outrigger-xds";

/// What ECS calls App Mesh's redirection, what `outrigger capture install` calls it, and both's default.
const REDIRECTION: [(&str, &str, &str); 7] = [
    ("AppPorts", "--app-ports", ""),
    ("ProxyIngressPort", "--ingress-port", "15000"),
    ("ProxyEgressPort", "--egress-port", "15001"),
    ("IgnoredUID", "--ignore-uid", "1337"),
    ("IgnoredGID", "--ignore-gid", ""),
    (
        "EgressIgnoredIPs",
        "--egress-ignored-ip",
        "169.254.170.2,169.254.169.254",
    ),
    ("EgressIgnoredPorts", "--egress-ignored-ports", ""),
];

/// A task definition.
pub(super) struct Task<'d> {
    pub(super) place: Place,
    document: &'d Located,
    definition: &'d Located,
}

/// The document's task definition, if it is one.
pub(super) fn read<'d>(document: &'d Located, text: &str) -> Option<Task<'d>> {
    let candidates = [Some(document), document.get("taskDefinition")];
    let task = (candidates.into_iter().flatten())
        .find(|task| task.get("containerDefinitions").is_some())?;
    let family = task.get("family").and_then(Located::as_str);
    Some(Task {
        place: super::place("task definition", family, document, text),
        document,
        definition: task,
    })
}

impl Task<'_> {
    pub(super) fn migrate(
        &self,
        target: &Target,
        draft: &mut Draft<'_>,
    ) -> Result<(), MigrateError> {
        let place = &self.place;
        if edit::has_references(self.document) {
            return Err(MigrateError::References {
                place: place.clone(),
            });
        }
        let containers = self.definition.get("containerDefinitions");
        let containers = containers.into_iter().flat_map(Located::items);
        let Some(found) = find(place, containers, variables)? else {
            return Err(MigrateError::NoSidecar {
                place: place.clone(),
            });
        };
        let has = |name| {
            let list = found.container.get(name);
            list.is_some_and(|list| !list.items().is_empty())
        };
        let form = form::form(
            &Sidecar {
                place,
                container: found.name,
                variables: &found.variables,
                has_command: has("entryPoint") || has("command"),
            },
            target,
        )?;
        self.write(&found, &form, draft)?;
        draft.notes.extend(form.notes);
        if !form.is_gateway {
            draft.notes.push(self.redirection(found.name));
        }
        draft.notes.extend(self.registering());
        Ok(())
    }

    fn write(
        &self,
        found: &Found<'_>,
        form: &Form,
        draft: &mut Draft<'_>,
    ) -> Result<(), MigrateError> {
        let editor = &mut draft.editor;
        let container = found.container;
        if let Some(image) = &form.image {
            editor.set(container, "image", &New::text(image));
            if container.get("user").is_none() {
                let user = self.property("IgnoredUID");
                let user = user.unwrap_or_else(|| form::ENVOY_USER.to_string());
                editor.set(container, "user", &New::text(user));
            }
            replace_health_check(found, draft);
        }
        let editor = &mut draft.editor;
        set_listed(editor, container, "environment", form);
        if let Some(start) = &form.start {
            editor.set(container, "entryPoint", &New::texts([start.program]));
            editor.set(container, "command", &New::texts(&start.arguments));
        }
        if let Some(folder) = &form.folder {
            self.mount(container, folder, draft)?;
        }
        Ok(())
    }

    fn mount(
        &self,
        container: &Located,
        folder: &str,
        draft: &mut Draft<'_>,
    ) -> Result<(), MigrateError> {
        let launch = self.definition.get("requiresCompatibilities");
        let mut launch = launch.into_iter().flat_map(Located::items);
        if launch.any(|kind| kind.as_str() == Some("FARGATE")) {
            return Err(MigrateError::Fargate {
                place: self.place.clone(),
            });
        }
        let volumes = self
            .definition
            .get("volumes")
            .map_or(&[][..], Located::items);
        let is_there = |volume: &&Located| {
            let host = volume.get("host").and_then(|host| host.get("sourcePath"));
            host.and_then(Located::as_str) == Some(folder)
        };
        let volume = volumes.iter().find(is_there);
        let volume = volume.and_then(|volume| volume.get("name")?.as_str());
        if volume.is_none() {
            let host = New::map([("sourcePath", New::text(folder))]);
            let volume = New::map([("name", New::text(VOLUME)), ("host", host)]);
            draft.editor.push(self.definition, "volumes", vec![volume]);
        }
        let mounts = container.get("mountPoints");
        let mut mounts = mounts.into_iter().flat_map(Located::items);
        let path = |mount: &Located| mount.get("containerPath")?.as_str().map(ToOwned::to_owned);
        if !mounts.any(|mount| path(mount).as_deref() == Some(folder)) {
            let mount = New::map([
                ("sourceVolume", New::text(volume.unwrap_or(VOLUME))),
                ("containerPath", New::text(folder)),
            ]);
            draft.editor.push(container, "mountPoints", vec![mount]);
        }
        Ok(())
    }

    /// What redirects the task's traffic into the sidecar, and what would elsewhere.
    fn redirection(&self, container: &str) -> String {
        let place = &self.place;
        let proxy = self.definition.get("proxyConfiguration");
        let kind = proxy.and_then(|proxy| proxy.get("type")).map(super::shown);
        // ECS knows of no other type, and takes this one where none is said.
        if proxy.is_none() || kind.is_some_and(|kind| kind != "APPMESH") {
            return format!(
                "{place}: without a `proxyConfiguration` of type APPMESH nothing redirects the task's traffic into `{container}`; \
                 where that is not ECS's part, `outrigger capture install --app-ports PORTS` does it on the host"
            );
        }
        let mut command = "outrigger capture install".to_owned();
        for (property, flag, default) in REDIRECTION {
            if let Some(value) = self.property(property).filter(|value| value != default)
                && !value.is_empty()
            {
                // Writing to a string does not fail.
                let _ = write!(command, " {flag} {value}");
            }
        }
        format!(
            "{place}: `proxyConfiguration` stays, since ECS redirects the task's traffic into `{container}` as before; outside ECS \
             `{command}` does the same"
        )
    }

    fn property(&self, name: &str) -> Option<String> {
        let properties = self.definition.get("proxyConfiguration")?.get("properties");
        let found = listed(properties).find(|(property, _)| property == name);
        found.and_then(|(_, value)| value)
    }

    /// What `describe-task-definition` prints is more than `register-task-definition` takes.
    fn registering(&self) -> Option<String> {
        self.definition.get("taskDefinitionArn")?;
        let of = if std::ptr::eq(self.document, self.definition) {
            "."
        } else {
            ".taskDefinition"
        };
        Some(format!(
            "{}: before it is registered, what ECS adds by itself has to go: `jq '{of} | del(.taskDefinitionArn, .revision, .status, \
             .requiresAttributes, .compatibilities, .registeredAt, .registeredBy)'`",
            self.place
        ))
    }
}

/// Upstream's image has no curl.
fn replace_health_check(found: &Found<'_>, draft: &mut Draft<'_>) {
    let Some(check) = found.container.get("healthCheck") else {
        return;
    };
    let command = check.get("command").map_or(&[][..], Located::items);
    let command = command.iter().filter_map(Located::as_str);
    if command.into_iter().any(form::needs_app_mesh_image) {
        let ready = form::ready(&found.variables);
        let command = New::texts(["CMD", "bash", "-c", &ready]);
        draft.editor.set(check, "command", &command);
    }
}

/// Of secrets and files it is only known that they set something.
fn variables(container: &Located) -> Variables {
    let secrets = listed(container.get("secrets")).map(|(name, _)| (name, None));
    let plain = listed(container.get("environment"));
    Variables(secrets.chain(plain).collect())
}
