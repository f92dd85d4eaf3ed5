//! The programs that really change files: editors, `sed`, `git`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::{Watched, document, write};

async fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@localhost")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@localhost")
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap_or_else(|error| {
            panic!("`{program}` cannot be run; `.ci/run` installs it: {error}")
        });
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
}

#[tokio::test]
async fn editors_save_in_one_change_and_leave_nothing_behind() {
    let mut watched = Watched::folder().await;
    let mesh = watched.path("mesh");
    // Vim moves the old file away and writes a new one, or copies it and writes in place; both times it tries out a file
    // named `4913`, and keeps a swap file and a backup beside it.
    for (copy, from, to) in [("no", "a", "b"), ("yes", "b", "a")] {
        let set =
            format!("set backup writebackup backupskip= directory=. backupdir=. backupcopy={copy}");
        let substitute = format!("%s/meshName: {from}/meshName: {to}/");
        let arguments = [
            "-u",
            "NONE",
            "-i",
            "NONE",
            "-N",
            "-es",
            "-c",
            &set,
            "-c",
            &substitute,
            "-c",
            "wq",
            "a.yaml",
        ];
        tokio::join!(run(&mesh, "vim", &arguments), watched.until(to, &[]));
        assert!(mesh.join("a.yaml~").exists(), "a backup was left");
    }
    tokio::join!(
        run(
            &mesh,
            "sh",
            &[
                "-c",
                "printf '%s\\n' '/meshName/s/: a/: c/' w q | ed -s a.yaml"
            ]
        ),
        watched.until("c", &[]),
    );
    tokio::join!(
        run(
            &mesh,
            "sed",
            &["-i.bak", "s/meshName: c/meshName: d/", "a.yaml"]
        ),
        watched.until("d", &[]),
    );
    tokio::join!(
        run(
            &mesh,
            "sh",
            &[
                "-c",
                "sed 's/meshName: d/meshName: e/' a.yaml > a.yaml.tmp && mv a.yaml.tmp a.yaml"
            ]
        ),
        watched.until("e", &[]),
    );
    watched.stop().await;
}

#[tokio::test]
async fn files_that_editors_keep_beside_are_none_of_the_mesh() {
    let mut watched = Watched::folder().await;
    let mesh = watched.path("mesh");
    for name in [
        ".a.yaml.swp",
        "a.yaml~",
        "4913",
        "#a.yaml#",
        "a.yaml.bak",
        ".goutputstream-X",
        "a.yaml___jb_tmp___",
    ] {
        write(&mesh.join(name), "beside");
    }
    // Emacs locks a file by a link that leads nowhere.
    std::os::unix::fs::symlink("me@host.1:2", mesh.join(".#a.yaml")).unwrap();
    write(&mesh.join("a.yaml"), "a*");
    watched.until("a*", &[]).await;
    watched.stop().await;
}

/// Commits what `files` say on two branches, `one` and `two`, and checks out `one`.
async fn two_branches(repository: &Path, mut files: impl FnMut(&str)) {
    run(repository, "git", &["init", "-q", "-b", "one"]).await;
    for (branch, star) in [("one", ""), ("two", "*")] {
        if branch == "two" {
            run(repository, "git", &["checkout", "-q", "-b", branch]).await;
        }
        files(star);
        run(repository, "git", &["add", "."]).await;
        run(repository, "git", &["commit", "-q", "-m", branch]).await;
    }
    run(repository, "git", &["checkout", "-q", "one"]).await;
}

fn names(star: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("m{number:04}{star}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_of_two_thousand_files_is_one_change() {
    let mut watched = Watched::in_folder(async |folder| {
        two_branches(folder, |star| {
            for name in names(star, 2000) {
                let part = folder.join("mesh").join(&name[..3]);
                fs::create_dir_all(&part).unwrap();
                write(&part.join(format!("{}.yaml", &name[..5])), &name);
            }
        })
        .await;
        folder.join("mesh")
    })
    .await;
    let repository = watched.path("");
    let all = |star: &str| names(star, 2000).join(" ");
    let checkout =
        async |branch: &str| run(&repository, "git", &["checkout", "-q", "-f", branch]).await;
    for (branch, star) in [("two", "*"), ("one", "")] {
        let wanted = format!("a {}", all(star));
        tokio::join!(checkout(branch), watched.until(&wanted, &[]));
    }
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_stops_between_files_is_one_change() {
    // A filter that takes its time makes git pause between two files, for longer than a missing one is waited for.
    const FILES: usize = 4;
    let mut watched = Watched::in_folder(async |folder| {
        let main = folder.join("main");
        fs::create_dir(&main).unwrap();
        two_branches(&main, |star| {
            for name in names(star, FILES) {
                write(&main.join(format!("{}.yaml", &name[..5])), &name);
            }
        })
        .await;
        // A working tree of its own: `.git` is a file in it.
        run(
            &main,
            "git",
            &["worktree", "add", "-q", "--detach", "../tree", "one"],
        )
        .await;
        fs::write(main.join(".git/info/attributes"), "*.yaml filter=slow\n").unwrap();
        run(
            &main,
            "git",
            &["config", "filter.slow.smudge", "sh -c 'sleep 1.4; cat'"],
        )
        .await;
        folder.join("tree")
    })
    .await;
    let tree = watched.path("tree");
    let (one, two) = (names("", FILES).join(" "), names("*", FILES).join(" "));
    assert_eq!(watched.now(), one);
    let checkout = run(&tree, "git", &["checkout", "-q", "--detach", "two"]);
    tokio::join!(checkout, watched.until(&two, &[]));
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_git_left_behind_holds_up_one_change_only() {
    let mut watched = Watched::in_folder(async |folder| {
        run(folder, "git", &["init", "-q"]).await;
        folder.join("mesh")
    })
    .await;
    fs::write(watched.path(".git/index.lock"), "").unwrap();
    let begun = std::time::Instant::now();
    write(&watched.path("mesh/a.yaml"), "a*");
    watched.until("a*", &[]).await;
    assert!(
        begun.elapsed() >= super::super::LOCKED,
        "{:?}",
        begun.elapsed()
    );
    write(&watched.path("mesh/a.yaml"), "a");
    watched.until("a", &[]).await;
    assert!(
        begun.elapsed() < super::super::LOCKED * 2,
        "{:?}",
        begun.elapsed()
    );
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_written_over_and_over_by_a_shell_takes_effect_once_whole() {
    let mut watched = Watched::folder().await;
    let all = ["a", "b", "c", "d", "e"];
    let text = |star: &str| {
        all.map(|name| document(&format!("{name}{star}")))
            .join("---\n")
    };
    fs::write(watched.path("mesh/a.yaml"), text("")).unwrap();
    watched.until(&all.join(" "), &[]).await;
    fs::write(watched.path("new"), text("*")).unwrap();
    // Each line is a file opened, written and closed.
    let script = "set -e; : > mesh/a.yaml; while IFS= read -r line; do printf '%s\\n' \"$line\" >> mesh/a.yaml; sleep 0.02; done < new";
    let folder = watched.path("");
    let whole = all.map(|name| format!("{name}*")).join(" ");
    let arguments = ["-c", script];
    tokio::join!(run(&folder, "sh", &arguments), watched.until(&whole, &[]),);
    assert!(
        Duration::from_millis(20 * 19) < super::super::DOUBTED,
        "the pauses are short"
    );
    watched.stop().await;
}
