//! A line of `docker run`, or of another engine that takes the same options, alone or in a script.

use std::ops::Range;

use super::declared::{NAMES, Sidecar, Variables};
use super::form::{self, Form};
use super::mount::without_slash;
use super::words::{Word, commands, quoted};
use super::{Draft, MigrateError, Place, Target, line_of};

const ENGINES: [&str; 4] = ["docker", "podman", "nerdctl", "finch"];

/// Options of `docker run` that take no value; every other one does.
const SWITCHES: [&str; 27] = [
    "--detach",
    "--disable-content-trust",
    "--env-host",
    "--help",
    "--http-proxy",
    "--init",
    "--insecure-registry",
    "--interactive",
    "--no-healthcheck",
    "--no-hostname",
    "--no-hosts",
    "--oom-kill-disable",
    "--passwd",
    "--privileged",
    "--publish-all",
    "--quiet",
    "--read-only",
    "--read-only-tmpfs",
    "--replace",
    "--rm",
    "--rmi",
    "--rootfs",
    "--sig-proxy",
    "--tls-verify",
    "--tty",
    "--unsetenv-all",
    "--use-api-socket",
];
/// Options of the engine itself that take no value.
const ENGINE_SWITCHES: [&str; 7] = [
    "-D",
    "-r",
    "--debug",
    "--remote",
    "--syslog",
    "--tls",
    "--tlsverify",
];
const SHORT_SWITCHES: &str = "ditPq";

/// A command that starts a container.
#[derive(Debug)]
pub(super) struct Run {
    options: Vec<Choice>,
    /// Behind the options: where more of them may be put.
    end: usize,
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
///
/// # Errors
/// When a quote does not end in what looks like such a script.
pub(super) fn read(script: &str) -> Result<Vec<Run>, MigrateError> {
    match commands(script) {
        Ok(commands) => Ok(commands.iter().filter_map(|words| run(words)).collect()),
        Err(at) if is_meant(script) => Err(MigrateError::Quote {
            line: line_of(script, at),
        }),
        Err(_) => Ok(Vec::new()),
    }
}

fn is_meant(script: &str) -> bool {
    let words: Vec<&str> = script.split_whitespace().collect();
    let has = |names: &[&str]| {
        let last = words
            .iter()
            .filter_map(|word| word.rsplit(['/', '(', '=']).next());
        last.into_iter().any(|word| names.contains(&word))
    };
    has(&ENGINES) && has(&["run", "create"])
}

fn run(words: &[Word]) -> Option<Run> {
    let is_engine = |word: &Word| {
        let name = word.text.rsplit('/').next();
        name.is_some_and(|name| ENGINES.contains(&name))
    };
    let engines = (1..).zip(words).filter(|(_, word)| is_engine(word));
    let mut behind = engines.filter_map(|(behind, _)| words.get(behind..));
    behind.find_map(run_behind)
}

/// What stands behind the engine's name, if that starts a container.
fn run_behind(words: &[Word]) -> Option<Run> {
    let mut words = words.iter().cloned();
    let mut word = words.next()?;
    while word.text.starts_with('-') {
        let has_value = !word.text.contains('=') && !ENGINE_SWITCHES.contains(&word.text.as_str());
        word = words.nth(usize::from(has_value))?;
    }
    if word.text == "container" {
        word = words.next()?;
    }
    if !matches!(word.text.as_str(), "run" | "create") {
        return None;
    }
    let mut options = Vec::new();
    loop {
        let word = words.next()?;
        let end = word.range.start;
        let is_end = word.text == "--";
        let word = if is_end { words.next()? } else { word };
        if is_end || !word.text.starts_with('-') || word.text == "-" {
            return Some(Run {
                options,
                end,
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
    let at = |what: String, word: &Word| Place {
        what,
        line: line_of(draft.text, word.range.start),
    };
    let place = |run: &Run| at("`docker run`".to_owned(), &run.image);
    let sidecars: Vec<&Run> = runs.iter().filter(|run| run.is_sidecar()).collect();
    let unknown = |run: &&Run| run.is_unknown();
    // Where there is no other, any of them may be it.
    let unknown = match sidecars.as_slice() {
        [] => runs.iter().find(unknown),
        some => some.iter().copied().find(unknown),
    };
    if let Some(run) = unknown {
        return Err(MigrateError::Expansion {
            place: at(format!("`{}`", run.image.text), &run.image),
        });
    }
    let Some(run) = sidecars.first() else {
        let what = "the `docker run` line".to_owned();
        let line = runs.first().map_or(1, |run| place(run).line);
        return Err(MigrateError::NoSidecar {
            place: Place { what, line },
        });
    };
    if sidecars.len() > 1 {
        let what = "the script".to_owned();
        return Err(MigrateError::Several {
            place: at(what, &run.image),
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
            command: &run.command(),
        },
        target,
    )?;
    run.write(&variables, &form, &place, draft)?;
    draft.notes.extend(form.notes);
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

    /// Whether it is known only when the script runs what the image is, and what more there is.
    fn is_unknown(&self) -> bool {
        let image = &self.image;
        let begins_so = image.text.starts_with(['$', '`']);
        image.is_expanded && begins_so && !form::is_app_mesh_image(&image.text)
    }

    fn is_sidecar(&self) -> bool {
        if !self.is_unknown() {
            return self.variables().is_sidecar() || form::is_app_mesh_image(&self.image.text);
        }
        // What comes behind may be options.
        let is_it = |word: &Word| {
            let name = word.text.split('=').next().unwrap_or_default();
            NAMES.contains(&name) || form::is_app_mesh_image(&word.text)
        };
        self.variables().is_sidecar() || self.arguments.iter().any(is_it)
    }

    fn command(&self) -> Vec<String> {
        let program = self.option(&["--entrypoint"]).map(|choice| &choice.value);
        let arguments = self.arguments.iter().map(|word| &word.text);
        program.into_iter().chain(arguments).cloned().collect()
    }

    /// Of an option that is there twice, the last counts.
    fn option(&self, names: &'static [&'static str]) -> Option<&Choice> {
        self.all(names).next_back()
    }

    fn all(&self, names: &'static [&'static str]) -> impl DoubleEndedIterator<Item = &Choice> {
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
        Variables {
            known: variables.collect(),
            are_more: self.option(&["--env-file"]).is_some(),
        }
    }

    /// What is mounted where: names of volumes or folders, and paths.
    fn mounted(&self) -> Vec<(&str, &str)> {
        let volumes = self.all(&["-v", "--volume"]).filter_map(|choice| {
            let mut fields = choice.value.split(':');
            let source = fields.next()?;
            // One field is a volume without a name.
            Some((source, fields.next().unwrap_or(source)))
        });
        let mounts = self.all(&["--mount"]).filter_map(|choice| {
            let field = |names: [&str; 3]| {
                let fields = choice
                    .value
                    .split(',')
                    .filter_map(|pair| pair.split_once('='));
                let mut values = fields.filter(|(name, _)| names.contains(name));
                values.next().map(|(_, value)| value)
            };
            let target = field(["target", "destination", "dst"])?;
            Some((field(["source", "src", ""]).unwrap_or("tmpfs"), target))
        });
        let tmpfs = self.all(&["--tmpfs"]).filter_map(|choice| {
            let path = choice.value.split(':').next()?;
            Some(("tmpfs", path))
        });
        let all = volumes.chain(mounts).chain(tmpfs);
        all.map(|(source, path)| (without_slash(source), without_slash(path)))
            .collect()
    }

    fn write(
        &self,
        variables: &Variables,
        form: &Form,
        place: &Place,
        draft: &mut Draft<'_>,
    ) -> Result<(), MigrateError> {
        let mut added = Vec::new();
        for (name, value) in &form.variables {
            let pair = format!("{name}={value}");
            let is_it = |choice: &&Choice| choice.value.split('=').next() == Some(name);
            match self.all(&["-e", "--env"]).rfind(is_it) {
                Some(choice) => replace(choice, &pair, draft),
                None => added.push(format!("-e {}", quoted(&pair))),
            }
        }
        if let Some(folder) = &form.folder {
            let mounted = self.mounted();
            match mounted.iter().find(|(_, path)| path == folder) {
                Some((source, _)) if source == folder => {}
                Some((source, _)) => {
                    return Err(MigrateError::Mounted {
                        place: place.clone(),
                        container: self.name().to_owned(),
                        volume: (*source).to_owned(),
                        folder: folder.clone(),
                    });
                }
                // A connection can be made over a mount that may only be read.
                None => added.push(format!("-v {}", quoted(&format!("{folder}:{folder}:ro")))),
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
        let at = self.end;
        let separator = separator(draft.text, at);
        for option in added {
            draft.editor.rewrite(at..at, option + &separator);
        }
        Ok(())
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
