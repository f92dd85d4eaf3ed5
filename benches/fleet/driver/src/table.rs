//! What the runs come to: medians, ratios, and whether the budget is met.

use crate::load::Run;
use crate::rows::{ROWS, Row};
use crate::scenario::{Mode, Scale};
use crate::server::Kind;
use serde_json::{Value, json};
use std::collections::HashSet;

/// One line: a figure in one variant.
struct Line<'a> {
    row: &'a Row,
    mode: Mode,
    /// The figures of all runs, by kind of server, in the order of [`Kind::ALL`].
    samples: [Vec<f64>; Kind::ALL.len()],
    /// Whether a run of Outrigger that this line is from failed.
    has_failed: bool,
}

impl Line<'_> {
    fn median(&self, kind: Kind) -> Option<f64> {
        median(&self.samples[kind as usize])
    }

    /// Outrigger's figure beside the floor's.
    fn ratio(&self) -> Option<f64> {
        let floor = self.median(Kind::Floor).filter(|floor| *floor > 0.0)?;
        Some(self.median(Kind::Outrigger)? / floor)
    }

    /// `None`: there is no budget, or nothing to hold against it.
    fn is_met(&self) -> Option<bool> {
        let limit = self.row.budget.limit(self.mode, self.median(Kind::Floor))?;
        let figure = self.median(Kind::Outrigger)?;
        Some(!self.has_failed && self.row.budget.is_met(limit, figure))
    }
}

fn lines<'a>(runs: &'a [Run], rows: &'a [&'a Row]) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for row in rows {
        for &mode in row.modes {
            let of = |kind| {
                runs.iter().filter(move |run| {
                    (run.scenario, run.mode, run.kind) == (row.scenario, mode, kind)
                })
            };
            let line = Line {
                row,
                mode,
                samples: Kind::ALL
                    .map(|kind| of(kind).filter_map(|run| (row.read)(&run.report)).collect()),
                has_failed: of(Kind::Outrigger).any(|run| run.failure.is_some()),
            };
            if Kind::ALL.iter().any(|&kind| of(kind).next().is_some()) {
                lines.push(line);
            }
        }
    }
    lines
}

/// The rows that are named, or all.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Row>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| ROWS.iter().all(|row| row.key != **name))
    {
        let known: Vec<_> = ROWS.iter().map(|row| row.key).collect();
        anyhow::bail!(
            "there is no row `{unknown}`; there are {}",
            known.join(", ")
        );
    }
    let is_chosen = |row: &&Row| names.is_empty() || names.iter().any(|name| name == row.key);
    Ok(ROWS.iter().filter(is_chosen).collect())
}

/// As Markdown.
pub(crate) fn markdown(runs: &[Run], rows: &[&Row], scale: Scale) -> String {
    let mut text = String::from("| figure | variant |");
    for kind in Kind::ALL {
        text += &format!(" {} |", kind.title());
    }
    text += " Outrigger / floor | budget | met |\n|---|---|--:|--:|--:|--:|--:|---|---|\n";
    for line in lines(runs, rows) {
        text += &format!("| {} | {} |", line.row.title, line.mode.title());
        for kind in Kind::ALL {
            text += &format!(" {} |", shown(line.median(kind), line.row.unit));
        }
        let ratio = line
            .ratio()
            .map_or("–".into(), |ratio| format!("{ratio:.2}"));
        // At another size the budget is another.
        let met = match line.is_met().filter(|_| !scale.is_quick || line.has_failed) {
            Some(true) => "yes",
            Some(false) if line.has_failed => "**no: a run failed**",
            Some(false) => "**no**",
            None => "–",
        };
        text += &format!(
            " {ratio} | {} | {met} |\n",
            line.row.budget.words(line.mode)
        );
    }
    let mut told = HashSet::new();
    for run in runs {
        if let Some(failure) = &run.failure {
            // A server that does not start fails in all its runs alike.
            if !run.has_started && !told.insert(failure) {
                continue;
            }
            let (kind, scenario, mode) = (run.kind.title(), run.scenario.key(), run.mode.title());
            text += &format!("\n**A run failed**: {kind}, {scenario}, {mode}: {failure}\n");
        }
    }
    text
}

/// Every figure of every run, and every report as it came.
pub(crate) fn json(runs: &[Run], rows: &[&Row], about: &Value) -> Value {
    let figures: Vec<_> = lines(runs, rows)
        .iter()
        .map(|line| {
            let samples: serde_json::Map<_, _> = Kind::ALL
                .iter()
                .map(|&kind| (kind.key().to_owned(), json!(line.samples[kind as usize])))
                .collect();
            let medians: serde_json::Map<_, _> = Kind::ALL
                .iter()
                .map(|&kind| (kind.key().to_owned(), json!(line.median(kind))))
                .collect();
            json!({
                "row": line.row.key,
                "title": line.row.title,
                "variant": line.mode.key(),
                "unit": line.row.unit,
                "samples": samples,
                "medians": medians,
                "ratio": line.ratio(),
                "budget": line.row.budget.words(line.mode),
                "met": line.is_met(),
            })
        })
        .collect();
    let reports: Vec<_> = runs
        .iter()
        .map(|run| {
            json!({
                "scenario": run.scenario.key(),
                "variant": run.mode.key(),
                "server": run.kind.key(),
                "failure": run.failure,
                "command": run.command,
                "report": run.report,
            })
        })
        .collect();
    json!({ "about": about, "figures": figures, "runs": reports })
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0),
    }
}

/// Three digits are what such a measurement is worth.
fn shown(figure: Option<f64>, unit: &str) -> String {
    let Some(figure) = figure else {
        return "–".into();
    };
    let digits = match figure.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{figure:.digits$}");
    match unit {
        "" => text,
        unit => format!("{text} {unit}"),
    }
}

#[cfg(test)]
mod tests;
