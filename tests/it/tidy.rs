//! The structure of `src` is what ARCHITECTURE.md says: which module may use which, and no file that nothing names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each top-level module may use of the crate, besides itself. `*` is everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["*"]),
    ("lib", &[]),
    ("cli", &["*"]),
    (
        "app",
        &[
            "api",
            "appmesh",
            "clients",
            "config",
            "data_dir",
            "discovery",
            "endpoints",
            "files",
            "model",
            "reconcile",
            "snapshot",
            "store",
            "telemetry",
            "translate",
            "transport",
            "xds",
        ],
    ),
    (
        "demo",
        &[
            "app", "appmesh", "clients", "config", "envoy", "model", "snapshot",
        ],
    ),
    ("appmesh", &["back_off", "model", "store"]),
    ("back_off", &[]),
    ("capture", &["envoy", "model"]),
    ("migrate", &["envoy", "files", "model"]),
    ("data_dir", &[]),
    (
        "config",
        &[
            "appmesh",
            "discovery",
            "model",
            "telemetry",
            "translate",
            "transport",
        ],
    ),
    ("model", &[]),
    ("files", &["model", "store", "telemetry"]),
    ("snapshot", &[]),
    ("translate", &["model", "snapshot"]),
    ("store", &["data_dir", "model"]),
    ("discovery", &["model", "telemetry"]),
    ("endpoints", &["data_dir", "model"]),
    (
        "reconcile",
        &["model", "snapshot", "store", "telemetry", "translate"],
    ),
    (
        "xds",
        &[
            "clients",
            "model",
            "reconcile",
            "snapshot",
            "store",
            "telemetry",
            "translate",
            "transport",
        ],
    ),
    (
        "clients",
        &["model", "snapshot", "telemetry", "transport", "xds"],
    ),
    (
        "api",
        &[
            "appmesh",
            "clients",
            "endpoints",
            "model",
            "snapshot",
            "store",
            "telemetry",
            "transport",
        ],
    ),
    ("transport", &["telemetry"]),
    ("envoy", &["config", "model", "telemetry"]),
    ("telemetry", &["clients", "model", "snapshot", "xds"]),
];

/// Modules that are functions of values: what would make them more is not named in them.
const PURE: &[&str] = &["migrate", "model", "translate", "snapshot"];
const IMPURE: &[&str] = &[
    "async fn",
    "tokio::",
    "tracing::",
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "Instant::now",
    "SystemTime::now",
];
/// Files of `xds` that are its shell; all others hold a stream's state, and are pure too.
const SHELL_XDS: &[&str] = &[
    "body", "csds", "few", "report", "requests", "server", "session",
];

/// Files of `appmesh` that are pure.
const PURE_APPMESH: &[&str] = &[
    "account", "interim", "known", "left", "ledger", "order", "plan", "ports", "secret", "unlike",
];
/// And of `api/auth`.
const PURE_AUTH: &[&str] = &["access", "canonical", "claim", "key", "sigv4"];

pub(crate) fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

pub(crate) fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests") || path.iter().any(|part| part == "tests")
}

/// The top-level module that a file belongs to.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(src()).unwrap();
    relative
        .iter()
        .next()
        .unwrap()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// The code without its test module and its comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The top-level modules that the code names by `crate::module` or `use crate::{module, …}`.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let name = |text: &str| {
            text.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        };
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        used.insert(name(item.trim()));
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                item.push(c);
            }
            used.insert(name(item.trim()));
        } else {
            used.insert(name(rest));
        }
    }
    used.retain(|name| !name.is_empty());
    used
}

#[test]
fn modules_use_only_what_the_architecture_says() {
    let mut wrong = Vec::new();
    for path in rust_files(&src()).iter().filter(|path| !is_test(path)) {
        let module = module(path);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("`{module}` is not in the table"));
            continue;
        };
        for used in used_modules(&code(path)) {
            let is_module = MAY_USE.iter().any(|(name, _)| *name == used);
            if is_module
                && used != module
                && !allowed.contains(&"*")
                && !allowed.contains(&used.as_str())
            {
                wrong.push(format!("{} uses `{used}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_do_no_io() {
    let mut wrong = Vec::new();
    for path in rust_files(&src()).iter().filter(|path| !is_test(path)) {
        let module = module(path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let is_pure = PURE.contains(&module.as_str())
            || module == "xds" && !SHELL_XDS.contains(&stem)
            || module == "appmesh" && PURE_APPMESH.contains(&stem)
            || module == "api" && PURE_AUTH.contains(&stem);
        if !is_pure {
            continue;
        }
        let code = code(path);
        for impure in IMPURE.iter().filter(|impure| code.contains(**impure)) {
            wrong.push(format!("{} has `{impure}`", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_is_named_by_a_mod() {
    let files = rust_files(&src());
    let mut orphans = Vec::new();
    for path in &files {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if module(path) == stem && path.parent() == Some(&src()) && ["main", "lib"].contains(&stem)
        {
            continue;
        }
        let folder = path.parent().unwrap();
        let parent = if folder == src() {
            src().join("lib.rs")
        } else {
            folder.with_extension("rs")
        };
        let text = std::fs::read_to_string(&parent).unwrap_or_default();
        let named = text.lines().any(|line| {
            let line = line.trim();
            ["mod", "pub mod", "pub(crate) mod", "pub(super) mod"]
                .iter()
                .any(|keyword| line == format!("{keyword} {stem};"))
        });
        if !named {
            orphans.push(format!(
                "{} is named by no `mod` in {}",
                path.display(),
                parent.display()
            ));
        }
    }
    assert!(orphans.is_empty(), "{}", orphans.join("\n"));
}
