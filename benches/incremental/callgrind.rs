//! Runs this program under callgrind, which counts the instructions of each piece of work.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::meter::COUNTED;

/// What the program is told to count instructions in, before the number of nodes.
pub(crate) const COUNT: &str = "count";

pub(crate) fn is_installed() -> bool {
    let mut version = Command::new("valgrind");
    let status = version.arg("--version").stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The instructions of each piece of work, in order.
pub(crate) fn count(nodes: usize) -> Result<Vec<u64>, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let out = folder.path().join("out");
    let this =
        std::env::current_exe().map_err(|error| format!("no path of this program: {error}"))?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-after={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args([COUNT, &nodes.to_string()])
        .status();
    let status = status.map_err(|error| format!("valgrind does not start: {error}"))?;
    if !status.success() {
        return Err(format!("callgrind ended with {status}"));
    }
    read(&out)
}

/// Each dump's total; the dumps are numbered from 1.
fn read(out: &Path) -> Result<Vec<u64>, String> {
    let file = |number: usize| PathBuf::from(format!("{}.{number}", out.display()));
    let dumps = (1..).map(file).take_while(|dump| dump.exists());
    dumps.map(|dump| total(&dump)).collect()
}

fn total(dump: &Path) -> Result<u64, String> {
    let text =
        std::fs::read_to_string(dump).map_err(|error| format!("{}: {error}", dump.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    total.ok_or_else(|| format!("{} has no total", dump.display()))
}
