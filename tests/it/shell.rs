//! A shell in which a document is followed, command by command, and what it leaves running.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::world::{OUTRIGGER, PATIENCE};

pub(crate) struct Shell {
    bash: Child,
    said: std::sync::mpsc::Receiver<String>,
}

impl Shell {
    pub(crate) fn start(folder: &Path) -> Self {
        let tools = folder.join("tools");
        std::fs::create_dir(&tools).unwrap();
        std::os::unix::fs::symlink(OUTRIGGER, tools.join("outrigger")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut bash = Command::new("bash")
            .args(["-euo", "pipefail"])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", tools.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(bash.stdout.take().unwrap());
        let (send, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                drop(send.send(line));
            }
        });
        Self { bash, said }
    }

    /// Runs a block, and returns what it prints.
    pub(crate) fn run(&mut self, block: &str) -> String {
        let input = self.bash.stdin.as_mut().unwrap();
        writeln!(input, "{block}\necho the block has ended").unwrap();
        let mut printed = String::new();
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error} in\n{block}\n{printed}"));
            if line == "the block has ended" {
                return printed;
            }
            printed += &line;
            printed.push('\n');
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.bash);
        kill_process_group(group, Signal::KILL).unwrap();
        drop(self.bash.wait());
    }
}

/// The shell's blocks under each heading, in order.
pub(crate) fn sections(document: &str) -> Vec<(String, Vec<String>)> {
    let mut sections = Vec::new();
    for section in document.split("\n## ").skip(1) {
        let (heading, text) = section.split_once('\n').unwrap();
        let blocks = text.split("```sh\n").skip(1);
        let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
        sections.push((heading.to_owned(), blocks.collect()));
    }
    sections
}

/// Mounts, for a test that is alone with its mounts: files and folders of the whole machine are its own then.
pub(crate) fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status().unwrap();
    assert!(status.success(), "mount {arguments:?}");
}
