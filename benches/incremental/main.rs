//! What a change costs in meshes of 100, 1,000 and 10,000 nodes, beside what everything costs from scratch.
//!
//! Instructions are counted by callgrind in a process of its own for each size, in which each piece of work is done
//! once; time and allocations are measured without it. A harness that starts callgrind for each benchmark would build
//! the mesh under it each time, which takes longer than all the rest.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures, and one that cannot measure must not go on"
)]

mod callgrind;
mod mesh;
mod meter;
mod path;
mod stream;
mod table;
mod translation;

use std::process::ExitCode;

use mesh::{Mesh, Shape};
use meter::{Measured, Meter};
use table::Row;

/// How many nodes the meshes have, unless the command line names other numbers: even ones from 100.
const SIZES: [usize; 3] = [100, 1_000, 10_000];

/// The titles of the tables.
const TABLES: [&str; 4] = [
    "translation, 20 backends a node",
    "around translation, 20 backends a node",
    "translation, full mesh",
    "one stream, full mesh",
];

/// Does all work for a number of nodes, table by table.
fn work(nodes: usize, is_counting: bool) -> [Vec<Measured>; TABLES.len()] {
    let mut meters = TABLES.map(|_| Meter::new(is_counting));
    let [named, around, full, stream] = &mut meters;
    let shape = Shape::Named;
    let mesh = Mesh { shape, nodes };
    let state = translation::run(mesh, named);
    path::run(mesh, state, around);
    let shape = Shape::Full;
    let mesh = Mesh { shape, nodes };
    let state = translation::run(mesh, full);
    stream::run(mesh, state, stream);
    meters.map(|meter| meter.rows)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, nodes] = arguments.as_slice()
        && what == callgrind::COUNT
    {
        let nodes = nodes.parse().expect("a number of nodes");
        work(nodes, true);
        return ExitCode::SUCCESS;
    }
    if !callgrind::is_installed() {
        eprintln!(
            "the benchmark counts instructions with valgrind, which is not installed; `apt-get install valgrind`"
        );
        return ExitCode::FAILURE;
    }
    let named: Vec<usize> = arguments
        .iter()
        .filter_map(|one| one.parse().ok())
        .collect();
    let sizes = if named.is_empty() {
        SIZES.to_vec()
    } else {
        named
    };
    match measure(&sizes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(sizes: &[usize]) -> Result<(), String> {
    let mut tables: [Vec<Row>; TABLES.len()] = TABLES.map(|_| Vec::new());
    for &nodes in sizes {
        eprintln!("{nodes} nodes: time and allocations");
        let measured = work(nodes, false);
        eprintln!("{nodes} nodes: instructions");
        join(&mut tables, measured, &callgrind::count(nodes)?)?;
    }
    println!();
    for (title, rows) in TABLES.into_iter().zip(&tables) {
        table::print(title, sizes, rows);
    }
    Ok(())
}

/// Adds what was measured at one size, table by table, with the counts of the same work in the same order.
fn join(
    tables: &mut [Vec<Row>],
    measured: [Vec<Measured>; TABLES.len()],
    counts: &[u64],
) -> Result<(), String> {
    let rows: usize = measured.iter().map(Vec::len).sum();
    if rows != counts.len() {
        return Err(format!(
            "callgrind counted {} pieces of work, not {rows}",
            counts.len()
        ));
    }
    let mut counts = counts.iter();
    for (rows, measured) in tables.iter_mut().zip(measured) {
        for (place, ((name, cost), count)) in measured.into_iter().zip(&mut counts).enumerate() {
            if rows.len() == place {
                let costs = Vec::new();
                rows.push(Row { name, costs });
            }
            let cost = cost.expect("time is measured in this process");
            rows[place].costs.push((*count, cost));
        }
    }
    Ok(())
}
