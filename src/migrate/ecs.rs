//! A task definition of ECS, as it is registered, or as `aws ecs describe-task-definition` prints it.

use std::fmt::Write;

use super::declared::{Sidecar, Variables};
use super::form::{self, Form};
use super::mount::{Folder, Names, VOLUME};
use super::new::New;
use super::words::quoted;
use super::{Draft, Found, MigrateError, Place, Target, command, edit, find, listed, set_listed};
use crate::model::document::Located;

const NAMES: Names = Names {
    host: ["host", "sourcePath"],
    kind: None,
    mounts: "mountPoints",
    volume: "sourceVolume",
    path: "containerPath",
};

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

/// A task definition, or its containers alone, as Terraform takes them.
pub(super) struct Task<'d> {
    pub(super) place: Place,
    document: &'d Located,
    containers: &'d [Located],
    definition: Option<&'d Located>,
}

/// The document's task definition, if it is one.
pub(super) fn read<'d>(document: &'d Located, text: &str) -> Option<Task<'d>> {
    let candidates = [Some(document), document.get("taskDefinition")];
    let mut tasks = candidates.into_iter().flatten();
    let task = tasks.find(|task| task.get("containerDefinitions").is_some());
    let has_image = |container: &Located| container.get("image").is_some();
    let (containers, what) = match task {
        Some(task) => (task.get("containerDefinitions")?.items(), "task definition"),
        None if document.items().iter().any(has_image) => {
            (document.items(), "the containers' definitions")
        }
        None => return None,
    };
    let family = task.and_then(|task| task.get("family"));
    Some(Task {
        place: super::place(what, family.and_then(Located::as_str), document, text),
        document,
        containers,
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
        let Some(found) = find(place, self.containers.iter(), variables)? else {
            return Err(MigrateError::NoSidecar {
                place: place.clone(),
            });
        };
        let form = form::form(
            &Sidecar {
                place,
                container: found.name,
                variables: &found.variables,
                command: &command(found.container, ["entryPoint", "command"]),
            },
            target,
        )?;
        self.write(&found, &form, draft)?;
        draft.notes.extend(form.notes);
        draft.notes.push(self.redirection(found.name));
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
                editor.set(container, "user", &New::text(self.user()));
            }
            replace_health_check(found, draft);
        }
        let mut secrets = listed(container.get("secrets"));
        let is_set = |name: &str| form.variables.iter().find(|(set, _)| *set == name);
        if let Some((variable, _)) = secrets.find_map(|(name, _)| is_set(&name)) {
            return Err(MigrateError::Secret {
                place: self.place.clone(),
                container: found.name.to_owned(),
                variable,
            });
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
        let launch = self.member("requiresCompatibilities");
        let mut launch = launch.into_iter().flat_map(Located::items);
        if launch.any(|kind| kind.as_str() == Some("FARGATE")) {
            return Err(MigrateError::Fargate {
                place: self.place.clone(),
            });
        }
        if self.definition.is_none() {
            draft.notes.push(format!(
                "{}: where the task definition is declared, it needs the volume `{VOLUME}` of the host's folder `{folder}`",
                self.place
            ));
        }
        let folder = Folder {
            names: &NAMES,
            owner: self.definition,
            at: folder,
        };
        folder.mount(container, &self.place, &mut draft.editor)
    }

    fn member(&self, name: &str) -> Option<&Located> {
        self.definition?.get(name)
    }

    /// Whose traffic is not redirected.
    fn user(&self) -> String {
        let property = |name| self.property(name).filter(|value| !value.is_empty());
        let user = property("IgnoredUID").unwrap_or_else(|| form::ENVOY_USER.to_string());
        match property("IgnoredGID") {
            Some(group) => format!("{user}:{group}"),
            None => user,
        }
    }

    /// What redirects the task's traffic into the sidecar, and what would elsewhere.
    fn redirection(&self, container: &str) -> String {
        let place = &self.place;
        let proxy = self.member("proxyConfiguration");
        let said = |name| proxy.and_then(|proxy| proxy.get(name)).map(super::shown);
        if self.definition.is_none() {
            return format!(
                "{place}: where the task definition is declared, its `proxyConfiguration` stays as it is and redirects the task's \
                 traffic into `{container}`"
            );
        }
        // ECS knows of no other type, and takes this one where none is said.
        if proxy.is_none() || said("type").is_some_and(|kind| kind != "APPMESH") {
            return format!(
                "{place}: without a `proxyConfiguration` of type APPMESH nothing redirects the task's traffic into `{container}`; \
                 where that is not ECS's part, `outrigger capture install --app-ports PORTS` does it on the host"
            );
        }
        if let Some(other) = said("containerName").filter(|name| name != container) {
            return format!(
                "{place}: `proxyConfiguration` redirects the task's traffic into `{other}`, and the sidecar is `{container}`; its \
                 `containerName` should be that"
            );
        }
        let mut command = "outrigger capture install".to_owned();
        for (property, flag, default) in REDIRECTION {
            if let Some(value) = self.property(property).filter(|value| value != default)
                && !value.is_empty()
            {
                // Writing to a string does not fail.
                let _ = write!(command, " {flag} {}", quoted(&value));
            }
        }
        format!(
            "{place}: `proxyConfiguration` stays, since ECS redirects the task's traffic into `{container}` as before; outside ECS \
             `{command}` does the same"
        )
    }

    fn property(&self, name: &str) -> Option<String> {
        let properties = self.member("proxyConfiguration")?.get("properties");
        let found = listed(properties).find(|(property, _)| property == name);
        found.and_then(|(_, value)| value)
    }

    /// What `describe-task-definition` prints is more than `register-task-definition` takes.
    fn registering(&self) -> Option<String> {
        self.member("taskDefinitionArn")?;
        let of = if self.document.get("taskDefinition").is_none() {
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

/// Of secrets it is only known that they set something, and of files not even what.
fn variables(container: &Located) -> Variables {
    let secrets = listed(container.get("secrets")).map(|(name, _)| (name, None));
    let plain = listed(container.get("environment"));
    Variables {
        known: secrets.chain(plain).collect(),
        are_more: container.get("environmentFiles").is_some(),
    }
}
