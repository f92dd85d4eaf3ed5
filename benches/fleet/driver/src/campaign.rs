//! All runs in their order, and what is told about them.

use crate::load::{self, Run};
use crate::rows::Row;
use crate::scenario::{Mode, Scale, Scenario};
use crate::server::{Kind, Programs};
use crate::table;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::process::Command;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Runs of each scenario, of which the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// One run of everything at a tenth of the size, to see that it works: its figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Rows of the table, by key; all unless named
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Servers to measure; all unless named
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Kind>,
    /// Variants of the protocol; both unless named
    #[arg(long, value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Where the programs are that this one starts [default: beside this one]
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Outrigger's program [default: among the others]
    #[arg(long)]
    outrigger: Option<PathBuf>,
    /// An option more for `outrigger serve`; may be repeated
    #[arg(long, allow_hyphen_values = true)]
    outrigger_arg: Vec<String>,
    /// An option more for the load client; may be repeated
    #[arg(long, allow_hyphen_values = true)]
    load_arg: Vec<String>,
    /// File for the table, in Markdown
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// File for every figure of every run, in JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A run to come.
type Step = (Scenario, Mode, Kind);

impl Args {
    fn programs(&self) -> Result<Programs> {
        let own = std::env::current_exe().context("finding this program")?;
        let beside = own.parent().unwrap_or(Path::new(".")).to_owned();
        let folder = self.programs.clone().unwrap_or(beside);
        let outrigger = self.outrigger.clone();
        Ok(Programs {
            peer: folder.join("fleet-peer"),
            floor: folder.join("xds-floor"),
            load: folder.join("xds-load"),
            outrigger: outrigger.unwrap_or_else(|| folder.join("outrigger")),
            outrigger_args: self.outrigger_arg.clone(),
        })
    }

    fn scale(&self) -> Scale {
        Scale {
            is_quick: self.quick,
        }
    }

    /// All runs: what drifts with time hits each server alike.
    fn steps(&self, rows: &[&Row]) -> Vec<Step> {
        let runs = if self.quick {
            1
        } else {
            usize::from(self.runs)
        };
        let is_named = |kind: &Kind| self.servers.is_empty() || self.servers.contains(kind);
        let mut steps = Vec::new();
        for number in 0..runs {
            for scenario in Scenario::ALL
                .into_iter()
                .filter(|one| number < one.runs(runs))
            {
                for mode in Mode::ALL {
                    let is_asked = self.modes.is_empty() || self.modes.contains(&mode);
                    let mut rows = rows.iter().filter(|row| row.scenario == scenario);
                    if !is_asked || !rows.any(|row| row.modes.contains(&mode)) {
                        continue;
                    }
                    let kinds = Kind::ALL.into_iter().filter(is_named);
                    let kinds = kinds.filter(|&kind| scenario.is_for(kind));
                    steps.extend(kinds.map(|kind| (scenario, mode, kind)));
                }
            }
        }
        steps
    }
}

/// Whether everything went well; a budget that is not met counts as well.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let rows = table::chosen(&args.rows)?;
    let programs = args.programs()?;
    let (scale, steps) = (args.scale(), args.steps(&rows));
    check(&programs, &steps)?;
    let about = about(&programs, &steps).await;
    let seconds = steps
        .iter()
        .map(|(scenario, ..)| scenario.seconds(scale))
        .sum();
    let length = Duration::from_secs(seconds);
    eprintln!(
        "{} runs, about {} minutes",
        steps.len(),
        length.as_secs().div_ceil(60)
    );
    let mut runs = Vec::new();
    for (number, &(scenario, mode, kind)) in steps.iter().enumerate() {
        // Who did not start once will not start again, and each attempt takes as long as the limit.
        if let Some(broken) = runs
            .iter()
            .find(|run: &&Run| run.kind == kind && !run.has_started)
        {
            let failure = broken.failure.clone();
            runs.push(Run {
                scenario,
                mode,
                failure,
                ..broken.clone()
            });
            continue;
        }
        eprint!(
            "{:>3} {} {} {}: ",
            number + 1,
            scenario.key(),
            mode.title(),
            kind.title()
        );
        let done = load::run(&programs, scenario, mode, kind, scale, &args.load_arg).await;
        match &done.failure {
            None => eprintln!("ok"),
            Some(failure) => eprintln!("FAILED: {failure}"),
        }
        runs.push(done);
    }
    let text = format!("{}\n{}", told(&about), table::markdown(&runs, &rows, scale));
    println!("{text}");
    if args.quick {
        println!("At a tenth of the size and run once: these figures mean nothing.");
    }
    if let Some(path) = &args.markdown {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.json {
        let json = table::json(&runs, &rows, &about);
        std::fs::write(path, format!("{json:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(runs.iter().all(|run: &Run| run.failure.is_none()))
}

fn check(programs: &Programs, steps: &[Step]) -> Result<()> {
    if steps.is_empty() {
        bail!("these rows, servers and variants have nothing in common");
    }
    let servers = Kind::ALL
        .into_iter()
        .filter(|kind| steps.iter().any(|step| step.2 == *kind));
    let mut needed = servers
        .map(|kind| programs.of(kind))
        .chain([programs.load.as_path()]);
    match needed.find(|path| !path.is_file()) {
        Some(path) => bail!(
            "there is no {}; `make bench-fleet` builds it",
            path.display()
        ),
        None => Ok(()),
    }
}

/// Machine, date and versions.
async fn about(programs: &Programs, steps: &[Step]) -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1));
    let gib = memory
        .and_then(|kib| kib.parse::<f64>().ok())
        .map(|kib| (kib / 1_048_576.0).round());
    let is_measured = |kind| steps.iter().any(|step| step.2 == kind);
    let peer = match is_measured(Kind::Peer) {
        true => peer_version(&programs.peer).await,
        false => None,
    };
    let outrigger = match is_measured(Kind::Outrigger) {
        true => said(Command::new(&programs.outrigger).arg("--version")).await,
        false => None,
    };
    json!({
        "date": said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])).await,
        "unix_time": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        "cpu": cpu.map(|(_, model)| model),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_gib": gib,
        "kernel": kernel.trim(),
        "go-control-plane": peer,
        "outrigger": outrigger,
        "command": std::env::args().collect::<Vec<_>>().join(" "),
    })
}

/// Of go-control-plane and of Go, out of the program; needs Go.
async fn peer_version(peer: &Path) -> Option<String> {
    let modules = said(Command::new("go").args(["version", "-m"]).arg(peer)).await?;
    let go = modules.lines().next()?.rsplit(": ").next()?.to_owned();
    let mut words = modules
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let module = "github.com/envoyproxy/go-control-plane";
    let version = words.find_map(|words| match words[..] {
        ["dep", name, version, ..] if name == module => Some(version.to_owned()),
        _ => None,
    })?;
    Some(format!("{version}, {go}"))
}

async fn said(command: &mut Command) -> Option<String> {
    let output = command.output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn told(about: &Value) -> String {
    let mut lines: Vec<_> = [
        "date",
        "cpu",
        "cores",
        "memory_gib",
        "kernel",
        "go-control-plane",
        "outrigger",
    ]
    .iter()
    .filter_map(|&name| match &about[name] {
        Value::Null => None,
        Value::String(text) => Some(format!("- {name}: {text}")),
        other => Some(format!("- {name}: {other}")),
    })
    .collect();
    lines.push(format!(
        "- command: `{}`\n",
        about["command"].as_str().unwrap_or_default()
    ));
    lines.join("\n")
}
