//! A line of `docker run`, or of another engine that takes the same options, alone or in a script.

use std::ops::Range;

use super::form::{self, Form, Sidecar, Variables};
use super::words::{Word, commands, quoted};
use super::{Draft, MigrateError, Place, Target, line_of};

const ENGINES: [&str; 4] = ["docker", "podman", "nerdctl", "finch"];

/// Options of `docker run` that take no value; every other one does.
const SWITCHES: [&str; 14] = [
    "--detach",
    "--disable-content-trust",
    "--help",
    "--init",
    "--interactive",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--privileged",
    "--publish-all",
    "--quiet",
    "--read-only",
    "--rm",
    "--sig-proxy",
    "--tty",
];
const SHORT_SWITCHES: &str = "ditPq";

/// A command that starts a container.
#[derive(Debug)]
pub(super) struct Run {
    options: Vec<Choice>,
    image: Word,
    arguments: Vec<Word>,
}

/// An option, with its value if it takes one.
#[derive(Debug)]
struct Choice {
    name: String,
    value: String,
    /// Whether the shell would put something else in place of a part of the value.
    is_expanded: bool,
    /// What the value is written in, and what of that stands before the value.
    range: Range<usize>,
    head: String,
}

/// The commands of a script that start containers.
pub(super) fn read(script: &str) -> Vec<Run> {
    let commands = commands(script).unwrap_or_default();
    commands.into_iter().filter_map(run).collect()
}

fn run(words: Vec<Word>) -> Option<Run> {
    let is_engine = |word: &Word| {
        let name = word.text.rsplit('/').next();
        name.is_some_and(|name| ENGINES.contains(&name))
    };
    let mut words = words
        .into_iter()
        .skip_while(|word| !is_engine(word))
        .skip(1);
    words.find(|word| matches!(word.text.as_str(), "run" | "create"))?;
    let mut options = Vec::new();
    loop {
        let word = words.next()?;
        if !word.text.starts_with('-') || word.text == "-" {
            return Some(Run {
                options,
                image: word,
                arguments: words.collect(),
            });
        }
        match choice(&word) {
            Choosing::Whole(choice) => options.push(choice),
            Choosing::Switch => {}
            Choosing::Value(name) => {
                let value = words.next()?;
                options.push(Choice {
                    name,
                    value: value.text,
                    is_expanded: value.is_expanded,
                    range: value.range,
                    head: String::new(),
                });
            }
        }
    }
}

enum Choosing {
    Switch,
    /// The value is in the same word.
    Whole(Choice),
    /// The value is the next word.
    Value(String),
}

fn choice(word: &Word) -> Choosing {
    let whole = |name: &str, head: String, value: &str| {
        Choosing::Whole(Choice {
            name: name.to_owned(),
            value: value.to_owned(),
            is_expanded: word.is_expanded,
            range: word.range.clone(),
            head,
        })
    };
    if word.text.starts_with("--") {
        return match word.text.split_once('=') {
            Some((name, value)) => whole(name, format!("{name}="), value),
            None if SWITCHES.contains(&word.text.as_str()) => Choosing::Switch,
            None => Choosing::Value(word.text.clone()),
        };
    }
    let letters = word.text.char_indices().skip(1);
    let mut valued = letters.skip_while(|(_, letter)| SHORT_SWITCHES.contains(*letter));
    let Some((at, letter)) = valued.next() else {
        return Choosing::Switch;
    };
    let (head, value) = word.text.split_at(at + letter.len_utf8());
    let name = format!("-{letter}");
    if value.is_empty() {
        Choosing::Value(name)
    } else {
        whole(&name, head.to_owned(), value.trim_start_matches('='))
    }
}

/// Moves the one sidecar that a script starts.
pub(super) fn migrate(
    runs: &[Run],
    target: &Target,
    draft: &mut Draft<'_>,
) -> Result<Place, MigrateError> {
    let sidecars = runs
        .iter()
        .filter(|run| run.variables().is_sidecar() || form::is_app_mesh_image(&run.image.text));
    let sidecars: Vec<&Run> = sidecars.collect();
    let place = |run: &Run| Place {
        what: format!("`docker run` of `{}`", run.image.text),
        line: line_of(draft.text, run.image.range.start),
    };
    let (Some(first), Some(run)) = (runs.first(), sidecars.first()) else {
        let what = "the `docker run` line".to_owned();
        let line = runs.first().map_or(1, |run| place(run).line);
        return Err(MigrateError::NoSidecar {
            place: Place { what, line },
        });
    };
    if sidecars.len() > 1 {
        return Err(MigrateError::Several {
            place: place(first),
            containers: sidecars.iter().map(|run| run.name().to_owned()).collect(),
        });
    }
    let place = place(run);
    let variables = run.variables();
    let form = form::form(
        &Sidecar {
            place: &place,
            container: run.name(),
            variables: &variables,
            has_command: !run.arguments.is_empty() || run.option(&["--entrypoint"]).is_some(),
        },
        target,
    )?;
    run.write(&variables, &form, draft);
    draft.notes.extend(form.notes);
    if form.is_gateway {
        return Ok(place);
    }
    draft.notes.push(format!(
        "{place}: in the network namespace that `{}` shares with its application, `outrigger capture install --app-ports PORTS` \
         redirects the traffic, as App Mesh's own script did",
        run.name()
    ));
    Ok(place)
}

impl Run {
    fn name(&self) -> &str {
        let name = self.option(&["--name"]);
        name.map_or(&self.image.text, |choice| &choice.value)
    }

    fn option(&self, names: &'static [&'static str]) -> Option<&Choice> {
        self.all(names).next()
    }

    fn all(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Choice> {
        let options = self.options.iter();
        options.filter(|choice| names.contains(&choice.name.as_str()))
    }

    /// What is passed on from the shell, or stands in a file, is not known.
    fn variables(&self) -> Variables {
        let variables = self.all(&["-e", "--env"]).map(|choice| {
            let (name, value) = match choice.value.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (choice.value.as_str(), None),
            };
            let value = value.filter(|_| !choice.is_expanded);
            (name.to_owned(), value.map(ToOwned::to_owned))
        });
        Variables(variables.collect())
    }

    fn write(&self, variables: &Variables, form: &Form, draft: &mut Draft<'_>) {
        let mut added = Vec::new();
        for (name, value) in &form.variables {
            let pair = format!("{name}={value}");
            let is_it = |choice: &&Choice| choice.value.split('=').next() == Some(name);
            match self.all(&["-e", "--env"]).find(is_it) {
                Some(choice) => replace(choice, &pair, draft),
                None => added.push(format!("-e {}", quoted(&pair))),
            }
        }
        if let Some(folder) = &form.folder {
            let pair = format!("{folder}:{folder}");
            let mut mounts = self.all(&["-v", "--volume"]);
            if !mounts.any(|choice| choice.value.starts_with(&pair)) {
                added.push(format!("-v {}", quoted(&pair)));
            }
        }
        if let Some(image) = &form.image {
            if self.option(&["-u", "--user"]).is_none() {
                added.push(format!("--user {}", form::ENVOY_USER));
            }
            let check = self.option(&["--health-cmd"]);
            if let Some(check) = check.filter(|check| form::needs_app_mesh_image(&check.value)) {
                let ready = format!("bash -c {}", quoted(&form::ready(variables)));
                replace(check, &ready, draft);
            }
            draft
                .editor
                .rewrite(self.image.range.clone(), quoted(image));
        }
        if let Some(start) = &form.start {
            match self.option(&["--entrypoint"]) {
                Some(choice) => replace(choice, start.program, draft),
                None => added.push(format!("--entrypoint {}", start.program)),
            }
            self.replace_arguments(&start.arguments, draft);
        }
        let at = self.image.range.start;
        let separator = separator(draft.text, at);
        for option in added {
            draft.editor.rewrite(at..at, option + &separator);
        }
    }

    fn replace_arguments(&self, arguments: &[String], draft: &mut Draft<'_>) {
        let arguments: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        let arguments = arguments.join(" ");
        if let (Some(first), Some(last)) = (self.arguments.first(), self.arguments.last()) {
            let old = first.range.start..last.range.end;
            draft.editor.rewrite(old, arguments);
        } else {
            let end = self.image.range.end;
            draft.editor.rewrite(end..end, format!(" {arguments}"));
        }
    }
}

fn replace(choice: &Choice, value: &str, draft: &mut Draft<'_>) {
    let text = format!("{}{}", choice.head, quoted(value));
    draft.editor.rewrite(choice.range.clone(), text);
}

/// What stands between two options: a new line, where the image begins one of its own.
fn separator(script: &str, image: usize) -> String {
    let head = script.get(..image).unwrap_or_default();
    let line = head.rfind('\n').map_or(0, |newline| newline + 1);
    let (before, indent) = head.split_at(line);
    if before.is_empty() || !indent.trim().is_empty() {
        " ".to_owned()
    } else {
        format!(" \\\n{indent}")
    }
}
