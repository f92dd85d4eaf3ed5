//! A sidecar that App Mesh's controller injects into the pod: what it gets is said by annotations of the pod's template.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::declared::{CONFIG_FILE, MOUNTED, Sidecar, Variables, XDS_ENDPOINT};
use super::super::form;
use super::super::mount::{folder_of, without_slash};
use super::super::new::New;
use super::super::{Draft, MigrateError, Target};
use super::{Pod, objects, text_of};
use crate::envoy::bootstrap::XdsAddress;
use crate::model::document::Located;

/// All of the controller's annotations begin with it.
const PREFIX: &str = "appmesh.k8s.aws/";
const INJECT: &str = "appmesh.k8s.aws/sidecarInjectorWebhook";
/// `NAME=VALUE,…`: the sidecar's further variables.
const ENV: &str = "appmesh.k8s.aws/sidecarEnv";
/// A list of maps; what it names counts before what [`ENV`] does.
const ENV_JSON: &str = "appmesh.k8s.aws/sidecarEnvJson";
/// `VOLUME:PATH,…`: volumes of the pod that the sidecar mounts.
const MOUNTS: &str = "appmesh.k8s.aws/volumeMounts";

/// Where the bootstrap is in the sidecar, by the name that [`MOUNTED`] has it by.
const FOLDER: &str = "/etc/outrigger";
const FILE: &str = "envoy.json";
const BOOTSTRAP_VOLUME: &str = "outrigger-bootstrap";

impl Pod<'_> {
    /// Whether the controller is told of this pod.
    pub(super) fn is_injected(&self) -> bool {
        let annotations = self.annotations().and_then(Located::members);
        let mut annotations = annotations.into_iter().flatten();
        let is_off = self.annotation(INJECT) == Some("disabled");
        !is_off && annotations.any(|(key, _)| key.name.starts_with(PREFIX))
    }

    pub(super) fn migrate_injected(
        &self,
        documents: &[Located],
        target: &Target,
        draft: &mut Draft<'_>,
    ) -> Result<(), MigrateError> {
        if target.image.is_some() {
            return Err(MigrateError::InjectedImage {
                place: self.place.clone(),
            });
        }
        let variables = self.variables()?;
        let sidecar = Sidecar {
            place: &self.place,
            container: "envoy",
            variables: &variables,
            command: &[],
        };
        let mounts = self.annotation(MOUNTS);
        let mounted = mounts.unwrap_or_default();
        let mounted =
            pairs(mounted, ':').ok_or_else(|| self.malformed(MOUNTS, mounted, "VOLUME:PATH"))?;
        let mounted: Vec<(&str, &str)> = mounted
            .iter()
            .map(|(volume, path)| (volume.as_str(), without_slash(path)))
            .collect();
        let (name, value, volume, folder) = match (&target.xds, &target.node) {
            (XdsAddress::Unix(path), _) => {
                sidecar.check_agent(None)?;
                let folder = folder_of(path)?;
                let volume = self.folder(&folder).volume(&mounted, &mut draft.editor);
                let volume = volume.map_err(|volume| MigrateError::Mounted {
                    place: self.place.clone(),
                    container: sidecar.container.to_owned(),
                    volume,
                    folder: folder.clone(),
                })?;
                let endpoint = format!("unix://{}", path.display());
                (XDS_ENDPOINT, endpoint, volume, folder)
            }
            (xds, Some(node)) => {
                sidecar.check_agent(Some(MOUNTED))?;
                self.set_bootstrap(&form::file(node, xds, &variables)?, documents, draft);
                draft.notes.extend(form::lost(&sidecar));
                let volume = BOOTSTRAP_VOLUME.to_owned();
                (CONFIG_FILE, MOUNTED.to_owned(), volume, FOLDER.to_owned())
            }
            (_, None) => {
                return Err(MigrateError::InjectedNode {
                    place: self.place.clone(),
                });
            }
        };
        let is_mounted = mounted.contains(&(&volume, &folder));
        let mount = with_pair(mounts, ':', &volume, &folder);
        self.annotate(name, &value, (!is_mounted).then_some(mount), draft)?;
        draft.notes.push(format!(
            "{}: the controller injects the sidecar as before, with these annotations, and redirects the pod's traffic into it",
            self.place
        ));
        Ok(())
    }

    /// Has the controller set a variable, and mount these volumes.
    fn annotate(
        &self,
        name: &str,
        value: &str,
        mounts: Option<String>,
        draft: &mut Draft<'_>,
    ) -> Result<(), MigrateError> {
        if self.json_variables()?.contains_key(name) {
            return Err(MigrateError::Twice {
                place: self.place.clone(),
                annotation: ENV_JSON,
                name: name.to_owned(),
            });
        }
        let env = with_pair(self.annotation(ENV), '=', name, value);
        // The controller cuts at each comma and each sign.
        pairs(&env, '=').ok_or_else(|| self.malformed(ENV, &env, "NAME=VALUE"))?;
        let mut members = vec![(ENV.to_owned(), New::text(env))];
        members.extend(mounts.map(|mounts| (MOUNTS.to_owned(), New::text(mounts))));
        if let Some(metadata) = self.template.get("metadata") {
            draft.editor.put(metadata, "annotations", members);
        } else {
            let annotations = ("annotations".to_owned(), New::Map(members));
            let metadata = vec![annotations];
            draft.editor.put(self.template, "metadata", metadata);
        }
        Ok(())
    }

    /// Puts the bootstrap into a `ConfigMap`, which is added if there is none, and has the pod's volume of it.
    fn set_bootstrap(&self, bootstrap: &Value, documents: &[Located], draft: &mut Draft<'_>) {
        let name = format!("{}-outrigger", self.name.trim_end_matches('-'));
        let volumes = self.spec.get("volumes").map_or(&[][..], Located::items);
        let is_ours = |volume: &Located| text_of(volume, "name") == Some(BOOTSTRAP_VOLUME);
        if !volumes.iter().any(is_ours) {
            let map = New::map([("name", New::text(&name))]);
            let volume = New::map([("name", New::text(BOOTSTRAP_VOLUME)), ("configMap", map)]);
            draft.editor.push(self.spec, "volumes", vec![volume]);
        }
        let is_json = draft.text.trim_start().starts_with('{');
        let bootstrap = if is_json {
            bootstrap.to_string()
        } else {
            format!("{bootstrap:#}\n")
        };
        let data = vec![(FILE.to_owned(), New::text(bootstrap))];
        let is_it = |object: &&Located| {
            let metadata = |member| object.get("metadata").and_then(|of| text_of(of, member));
            text_of(object, "kind") == Some("ConfigMap")
                && metadata("name") == Some(&name)
                && metadata("namespace") == self.namespace
        };
        if let Some(map) = documents.iter().flat_map(objects).find(is_it) {
            draft.editor.put(map, "data", data);
            return;
        }
        let mut metadata = vec![("name".to_owned(), New::text(name))];
        if let Some(namespace) = self.namespace {
            metadata.push(("namespace".to_owned(), New::text(namespace)));
        }
        let map = New::map([
            ("apiVersion", New::text("v1")),
            ("kind", New::text("ConfigMap")),
            ("metadata", New::Map(metadata)),
            ("data", New::Map(data)),
        ]);
        draft.appended.push(if is_json {
            format!("{}\n", map.json("", "  "))
        } else {
            format!("---\n{}", map.yaml_document())
        });
    }

    /// The variables of the annotations; the controller sets more.
    fn variables(&self) -> Result<Variables, MigrateError> {
        let plain = self.annotation(ENV).unwrap_or_default();
        let read = pairs(plain, '=');
        let read = read.ok_or_else(|| self.malformed(ENV, plain, "NAME=VALUE"))?;
        let known = read.into_iter().chain(self.json_variables()?);
        let known = known.map(|(name, value)| (name, Some(value)));
        Ok(Variables {
            known: known.collect(),
            are_more: false,
        })
    }

    fn json_variables(&self) -> Result<BTreeMap<String, String>, MigrateError> {
        let Some(text) = self.annotation(ENV_JSON) else {
            return Ok(BTreeMap::new());
        };
        let maps: Result<Vec<BTreeMap<String, String>>, _> = serde_json::from_str(text);
        match maps {
            Ok(maps) => Ok(maps.into_iter().flatten().collect()),
            Err(_) => Err(self.malformed(ENV_JSON, text, "[{\"NAME\":\"VALUE\"}]")),
        }
    }

    fn annotations(&self) -> Option<&Located> {
        self.template.get("metadata")?.get("annotations")
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations()?.get(name)?.as_str()
    }

    fn malformed(&self, annotation: &'static str, value: &str, form: &'static str) -> MigrateError {
        MigrateError::Annotation {
            place: self.place.clone(),
            annotation,
            value: value.to_owned(),
            form,
        }
    }
}

/// Reads `a=b, c=d` as the controller does.
fn pairs(text: &str, sign: char) -> Option<Vec<(String, String)>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let pair = |segment: &str| {
        let (name, value) = segment.split_once(sign)?;
        let is_whole = !value.contains(sign);
        is_whole.then(|| (name.trim().to_owned(), value.trim().to_owned()))
    };
    text.split(',').map(pair).collect()
}

/// The list with one pair more, or with another value for a name that it has.
fn with_pair(text: Option<&str>, sign: char, name: &str, value: &str) -> String {
    let new = format!("{name}{sign}{value}");
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return new;
    }
    let is_it = |segment: &str| segment.split(sign).next().map(str::trim) == Some(name);
    if text.split(',').any(is_it) {
        let replaced = text.split(',').map(|segment| {
            if is_it(segment) {
                new.as_str()
            } else {
                segment
            }
        });
        replaced.collect::<Vec<_>>().join(",")
    } else {
        format!("{},{new}", text.trim_end())
    }
}
