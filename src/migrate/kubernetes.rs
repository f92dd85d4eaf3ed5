//! Pods, and what makes them: Deployments and the like, as people write them, or as the API server has them.
//!
//! A sidecar is a container of the pod, or one that App Mesh's controller will inject, which annotations of the pod's
//! template speak of.

mod injected;

use super::form::{self, Form, Sidecar, Variables};
use super::new::New;
use super::{Draft, Found, MigrateError, Place, Target, edit, find, listed, set_listed};
use crate::model::document::Located;

/// The volume of the socket's folder.
const VOLUME: &str = "outrigger-xds";

/// A pod, or the template of pods.
pub(super) struct Pod<'d> {
    pub(super) place: Place,
    document: &'d Located,
    /// With `metadata` and `spec`.
    template: &'d Located,
    spec: &'d Located,
    namespace: Option<&'d str>,
    /// Of what the user wrote: the Deployment, not its pods.
    name: &'d str,
}

pub(super) fn is_object(document: &Located) -> bool {
    document.get("apiVersion").is_some() && document.get("kind").is_some()
}

/// The pods of a document, of a list of objects too.
pub(super) fn pods<'d>(document: &'d Located, text: &str) -> Vec<Pod<'d>> {
    let is_list = document.get("kind").and_then(Located::as_str) == Some("List");
    let objects = match document.get("items") {
        Some(items) if is_list => items.items(),
        _ => std::slice::from_ref(document),
    };
    let objects = objects.iter().filter(|object| is_object(object));
    objects
        .filter_map(|object| pod(document, object, text))
        .collect()
}

fn pod<'d>(document: &'d Located, object: &'d Located, text: &str) -> Option<Pod<'d>> {
    let spec = object.get("spec")?;
    let job = spec.get("jobTemplate").and_then(|job| job.get("spec"));
    let template = job.unwrap_or(spec).get("template").unwrap_or(object);
    let pod = template.get("spec")?;
    pod.get("containers")?;
    let kind = object.get("kind").and_then(Located::as_str)?;
    let metadata = |member| object.get("metadata")?.get(member)?.as_str();
    let name = metadata("name").or_else(|| metadata("generateName"));
    Some(Pod {
        place: super::place(kind, name, object, text),
        document,
        template,
        spec: pod,
        namespace: metadata("namespace"),
        name: name.unwrap_or(kind),
    })
}

/// Moves the pods that have a sidecar, and says which was the first.
pub(super) fn migrate(
    pods: &[Pod<'_>],
    target: &Target,
    draft: &mut Draft<'_>,
) -> Result<Option<Place>, MigrateError> {
    let mut moved = None;
    for pod in pods {
        let containers = |name| pod.spec.get(name).map_or(&[][..], Located::items);
        let all = containers("containers").iter();
        // A sidecar that Kubernetes knows to be one is an init container.
        let all = all.chain(containers("initContainers"));
        let found = find(&pod.place, all, variables)?;
        if found.is_none() && !pod.is_injected() {
            continue;
        }
        if moved.is_some() && target.node.is_some() {
            return Err(MigrateError::OneNode {
                place: pod.place.clone(),
            });
        }
        if edit::has_references(pod.document) {
            return Err(MigrateError::References {
                place: pod.place.clone(),
            });
        }
        match found {
            Some(found) => pod.migrate(&found, target, draft)?,
            None => pod.migrate_injected(target, draft)?,
        }
        moved.get_or_insert(pod.place.clone());
    }
    Ok(moved)
}

impl Pod<'_> {
    fn migrate(
        &self,
        found: &Found<'_>,
        target: &Target,
        draft: &mut Draft<'_>,
    ) -> Result<(), MigrateError> {
        let has = |name| found.container.get(name).is_some();
        let form = form::form(
            &Sidecar {
                place: &self.place,
                container: found.name,
                variables: &found.variables,
                has_command: has("command") || has("args"),
            },
            target,
        )?;
        self.write(found, &form, draft);
        draft.notes.extend(form.notes);
        if !form.is_gateway {
            draft.notes.push(self.redirection(found.name));
        }
        Ok(())
    }

    fn write(&self, found: &Found<'_>, form: &Form, draft: &mut Draft<'_>) {
        let editor = &mut draft.editor;
        let container = found.container;
        if let Some(image) = &form.image {
            editor.set(container, "image", &New::text(image));
            self.set_user(container, draft);
            replace_probes(found, draft);
        }
        let editor = &mut draft.editor;
        set_listed(editor, container, "env", form);
        if let Some(start) = &form.start {
            editor.set(container, "command", &New::texts([start.program]));
            editor.set(container, "args", &New::texts(&start.arguments));
        }
        if let Some(folder) = &form.folder {
            let volume = self.host_folder(folder, draft);
            let mounts = container.get("volumeMounts");
            let mut mounts = mounts.into_iter().flat_map(Located::items);
            if !mounts.any(|mount| text_of(mount, "mountPath") == Some(folder)) {
                let mount = New::map([
                    ("name", New::text(volume)),
                    ("mountPath", New::text(folder)),
                ]);
                draft.editor.push(container, "volumeMounts", vec![mount]);
            }
        }
    }

    /// Upstream's image would run Envoy as a user whose traffic is redirected into Envoy.
    fn set_user(&self, container: &Located, draft: &mut Draft<'_>) {
        let user = |of: &Located| of.get("securityContext")?.get("runAsUser").cloned();
        if user(container).or_else(|| user(self.spec)).is_none() {
            let user = ("runAsUser".to_owned(), New::Number(form::ENVOY_USER));
            draft.editor.put(container, "securityContext", vec![user]);
        }
    }

    /// The pod's volume of a folder of its host, made if there is none.
    fn host_folder(&self, folder: &str, draft: &mut Draft<'_>) -> String {
        let volumes = self.spec.get("volumes").map_or(&[][..], Located::items);
        let path = |volume: &Located| {
            let path = volume.get("hostPath")?.get("path")?;
            path.as_str().map(ToOwned::to_owned)
        };
        let is_there = |volume: &&Located| path(volume).as_deref() == Some(folder);
        if let Some(volume) = volumes.iter().find(is_there)
            && let Some(name) = text_of(volume, "name")
        {
            return name.to_owned();
        }
        // Without the folder there is no control plane on the host, and the pod says so instead of making an empty one.
        let host = New::map([
            ("path", New::text(folder)),
            ("type", New::text("Directory")),
        ]);
        let volume = New::map([("name", New::text(VOLUME)), ("hostPath", host)]);
        draft.editor.push(self.spec, "volumes", vec![volume]);
        VOLUME.to_owned()
    }

    fn redirection(&self, container: &str) -> String {
        let place = &self.place;
        let inits = self.spec.get("initContainers");
        let mut inits = inits.into_iter().flat_map(Located::items);
        let init = inits.find(|init| variables(init).has("APPMESH_APP_PORTS"));
        match init.and_then(|init| text_of(init, "name")) {
            Some(init) => format!(
                "{place}: the init container `{init}` stays and redirects the pod's traffic into `{container}` as before; \
                 `outrigger capture install` reads the same variables and can take its place"
            ),
            None => format!(
                "{place}: no init container redirects the pod's traffic into `{container}`; App Mesh's CNI plugin does, or a \
                 container with `outrigger capture install --app-ports PORTS` and the capability NET_ADMIN"
            ),
        }
    }
}

/// Upstream's image has neither curl nor App Mesh's agent.
fn replace_probes(found: &Found<'_>, draft: &mut Draft<'_>) {
    let ready = form::ready(&found.variables);
    // What is started behind the container must end well, or the container is ended.
    let wait = format!("for i in {{1..180}}; do ({ready}) && exit; sleep 1; done; exit 1");
    let container = found.container;
    let lifecycle = container.get("lifecycle");
    let hook = |name| lifecycle.and_then(|lifecycle| lifecycle.get(name));
    for (handler, script) in [
        (container.get("startupProbe"), &ready),
        (container.get("readinessProbe"), &ready),
        (container.get("livenessProbe"), &ready),
        (hook("postStart"), &wait),
    ] {
        let exec = handler.and_then(|handler| handler.get("exec"));
        let command = exec.and_then(|exec| exec.get("command"));
        let mut command = command.into_iter().flat_map(Located::items);
        if let Some(exec) = exec
            && command.any(|word| word.as_str().is_some_and(form::needs_app_mesh_image))
        {
            let command = New::texts(["bash", "-c", script.as_str()]);
            draft.editor.set(exec, "command", &command);
        }
    }
}

/// Of references it is only known that they set something.
fn variables(container: &Located) -> Variables {
    let listed = listed(container.get("env"));
    Variables(listed.collect())
}

fn text_of<'d>(node: &'d Located, member: &str) -> Option<&'d str> {
    node.get(member)?.as_str()
}
