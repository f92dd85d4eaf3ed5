//! Pods, and what makes them: Deployments and the like, as people write them, or as the API server has them.
//!
//! A sidecar is a container of the pod, or one that App Mesh's controller will inject, which annotations of the pod's
//! template speak of.

mod injected;

use super::declared::{Sidecar, Variables};
use super::form::{self, Form};
use super::mount::{Folder, Names};
use super::new::New;
use super::{Draft, Found, MigrateError, Place, Target, command, edit, find, listed, set_listed};
use crate::model::document::Located;

const NAMES: Names = Names {
    host: ["hostPath", "path"],
    kind: Some("Directory"),
    mounts: "volumeMounts",
    volume: "name",
    path: "mountPath",
};

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

/// The objects of a document, which may be a list of them.
fn objects(document: &Located) -> impl Iterator<Item = &Located> {
    let is_list = document.get("kind").and_then(Located::as_str) == Some("List");
    let objects = match document.get("items") {
        Some(items) if is_list => items.items(),
        _ => std::slice::from_ref(document),
    };
    objects.iter().filter(|object| is_object(object))
}

fn pod<'d>(document: &'d Located, object: &'d Located, text: &str) -> Option<Pod<'d>> {
    let kind = object.get("kind").and_then(Located::as_str)?;
    let spec = object.get("spec");
    let job = spec.and_then(|spec| spec.get("jobTemplate")?.get("spec"));
    // A `PodTemplate` has its template itself.
    let of_template = job.or(spec).unwrap_or(object);
    let template = of_template.get("template").unwrap_or(object);
    let pod = template.get("spec")?;
    pod.get("containers")?;
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
    documents: &[Located],
    target: &Target,
    draft: &mut Draft<'_>,
) -> Result<Option<Place>, MigrateError> {
    let mut moved = None;
    let mut unnamed = Vec::new();
    let pods = documents.iter().flat_map(|document| {
        let objects = objects(document);
        objects.filter_map(|object| pod(document, object, draft.text))
    });
    for pod in pods.collect::<Vec<_>>() {
        let containers = |name| pod.spec.get(name).map_or(&[][..], Located::items);
        let all = containers("containers").iter();
        // A sidecar that Kubernetes knows to be one is an init container.
        let all = all.chain(containers("initContainers"));
        let found = find(&pod.place, all, variables)?;
        if found.is_none() && !pod.is_injected() {
            continue;
        }
        if let Some(found) = &found
            && found.variables.are_nobodys()
            && target.node.is_none()
        {
            unnamed.push((pod.place, found.name.to_owned()));
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
            None => pod.migrate_injected(documents, target, draft)?,
        }
        moved.get_or_insert(pod.place.clone());
    }
    for (place, container) in unnamed {
        if moved.is_none() {
            return Err(MigrateError::UnnamedPod { place, container });
        }
        draft.notes.push(format!(
            "{place}: `{container}` has App Mesh's image and no `APPMESH_RESOURCE_ARN`, as in a virtual gateway's pod, where the \
             controller adds it; it is left as it was"
        ));
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
        let form = form::form(
            &Sidecar {
                place: &self.place,
                container: found.name,
                variables: &found.variables,
                command: &command(found.container, ["command", "args"]),
            },
            target,
        )?;
        self.write(found, &form, draft)?;
        if form.start.is_some() {
            draft.notes.extend(self.unreachable(found));
        }
        draft.notes.extend(form.notes);
        draft.notes.push(self.redirection(found.name));
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
            self.set_user(container, draft);
            replace_probes(found, draft);
        }
        let editor = &mut draft.editor;
        set_listed(editor, container, "env", form);
        if let Some(start) = &form.start {
            editor.set(container, "command", &New::texts([start.program]));
            editor.set(container, "args", &New::texts(&start.arguments));
        }
        match &form.folder {
            Some(folder) => self
                .folder(folder)
                .mount(container, &self.place, &mut draft.editor),
            None => Ok(()),
        }
    }

    fn folder<'a>(&'a self, folder: &'a str) -> Folder<'a> {
        Folder {
            names: &NAMES,
            owner: Some(self.spec),
            at: folder,
        }
    }

    /// Upstream's image would run Envoy as a user whose traffic is redirected into Envoy.
    fn set_user(&self, container: &Located, draft: &mut Draft<'_>) {
        let has = |of: &Located, what| {
            of.get("securityContext")
                .is_some_and(|all| all.get(what).is_some())
        };
        if has(container, "runAsUser") || has(self.spec, "runAsUser") {
            return;
        }
        let ignored = |name| {
            let init = variables(self.redirecting()?);
            init.get(name)?.parse().ok()
        };
        let user = ignored("APPMESH_IGNORE_UID").unwrap_or(form::ENVOY_USER);
        let mut members = vec![("runAsUser".to_owned(), New::Number(user))];
        if let Some(group) = ignored("APPMESH_IGNORE_GID") {
            members.push(("runAsGroup".to_owned(), New::Number(group)));
        }
        draft.editor.put(container, "securityContext", members);
    }

    /// The init container that redirects the pod's traffic.
    fn redirecting(&self) -> Option<&Located> {
        let mut inits = self.spec.get("initContainers")?.items().iter();
        inits.find(|init| variables(init).has("APPMESH_APP_PORTS"))
    }

    /// The probes that ask Envoy's admin interface from outside the pod.
    fn unreachable(&self, found: &Found<'_>) -> impl Iterator<Item = String> {
        let admin = form::admin_port(&found.variables);
        let ports = found.container.get("ports").map_or(&[][..], Located::items);
        let number = |port: &Located| match port.as_str() {
            Some(name) => {
                let named = ports
                    .iter()
                    .find(|port| text_of(port, "name") == Some(name));
                named.and_then(|port| port.get("containerPort")?.as_int())
            }
            None => port.as_int(),
        };
        let asks = |probe: &&str| {
            let probe = found.container.get(probe);
            let of = |how| probe?.get(how)?.get("port");
            let port = of("httpGet").or_else(|| of("tcpSocket"));
            port.and_then(number) == Some(admin.into())
        };
        let probes = ["startupProbe", "readinessProbe", "livenessProbe"].into_iter();
        let probes: Vec<&str> = probes.filter(asks).collect();
        probes.into_iter().map(move |probe| {
            format!(
                "{}: `{}` is not reached on port {admin} from outside the pod any more: its `{probe}` asks there over the network \
                 and will fail; let it be an `exec` of `bash -c` with /dev/tcp, or of curl where the image has it",
                self.place, found.name
            )
        })
    }

    fn redirection(&self, container: &str) -> String {
        let place = &self.place;
        match self.redirecting().and_then(|init| text_of(init, "name")) {
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

/// Of references it is only known that they set something, and of whole objects not even what.
fn variables(container: &Located) -> Variables {
    Variables {
        known: listed(container.get("env")).collect(),
        are_more: container.get("envFrom").is_some(),
    }
}

fn text_of<'d>(node: &'d Located, member: &str) -> Option<&'d str> {
    node.get(member)?.as_str()
}
