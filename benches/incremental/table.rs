//! The figures as a table in Markdown.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::meter::Cost;

/// One piece of work at each size.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) costs: Vec<(u64, Cost)>,
}

pub(crate) fn print(title: &str, sizes: &[usize], rows: &[Row]) {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let mut header = vec![title.to_owned()];
    for figure in ["instructions", "time", "allocations"] {
        header.extend(
            sizes
                .iter()
                .map(|size| format!("{figure}, {}", grouped(*size as u64))),
        );
        if figure == "instructions" {
            header.push("ratio".to_owned());
        }
    }
    let columns = header.len();
    table.set_header(header);
    for row in rows {
        let mut cells = vec![row.name.clone()];
        let instructions: Vec<u64> = row.costs.iter().map(|(count, _)| *count).collect();
        cells.extend(instructions.iter().map(|count| grouped(*count)));
        cells.push(ratio(&instructions));
        cells.extend(row.costs.iter().map(|(_, cost)| time(cost.time)));
        cells.extend(row.costs.iter().map(|(_, cost)| grouped(cost.allocations)));
        table.add_row(cells);
    }
    for index in 1..columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}\n");
}

/// How much more the largest mesh costs than the smallest.
fn ratio(counts: &[u64]) -> String {
    match (counts.first(), counts.last()) {
        (Some(first), Some(last)) if *first > 0 => {
            format!("{:.2}", *last as f64 / *first as f64)
        }
        _ => "–".to_owned(),
    }
}

fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..10.0 => format!("{micros:.1} µs"),
        ..1_000.0 => format!("{micros:.0} µs"),
        ..100_000.0 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// With a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
