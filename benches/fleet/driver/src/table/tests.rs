use super::*;
use crate::scenario::Scenario;

fn run(kind: Kind, cpu: f64, failure: Option<&str>) -> Run {
    Run {
        scenario: Scenario::Thousand,
        mode: Mode::Sotw,
        kind,
        has_started: true,
        report: json!({ "storm": { "server_cpu_s_per_1000_streams": cpu } }),
        failure: failure.map(str::to_owned),
        command: String::new(),
    }
}

fn connect(runs: &[Run]) -> String {
    let rows = chosen(&["connect".into()]).unwrap();
    markdown(runs, &rows, Scale { is_quick: false })
}

#[test]
fn medians_are_held_against_the_floor() {
    let floor = [0.1, 0.2, 0.9].map(|cpu| run(Kind::Floor, cpu, None));
    let mut runs = floor.to_vec();
    runs.push(run(Kind::Outrigger, 0.3, None));
    let text = connect(&runs);
    assert!(
        text.contains("| – | 0.20 s | – | 0.30 s | 1.50 | ≤ 1.5 × floor | yes |"),
        "{text}"
    );
    runs.push(run(Kind::Outrigger, 0.5, None));
    let text = connect(&runs);
    assert!(
        text.contains("| 0.40 s | 2.00 | ≤ 1.5 × floor | **no** |"),
        "{text}"
    );
}

#[test]
fn a_quick_run_meets_no_budget() {
    let runs = [run(Kind::Floor, 0.2, None), run(Kind::Outrigger, 0.1, None)];
    let rows = chosen(&["connect".into()]).unwrap();
    let text = markdown(&runs, &rows, Scale { is_quick: true });
    assert!(text.contains("| ≤ 1.5 × floor | – |"), "{text}");
}

#[test]
fn a_failed_run_is_never_hidden() {
    let runs = [
        run(Kind::Floor, 0.2, None),
        run(Kind::Outrigger, 0.1, Some("phases/0/missed 3")),
    ];
    let text = connect(&runs);
    assert!(text.contains("**no: a run failed**"), "{text}");
    assert!(
        text.contains("Outrigger, thousand, SotW: phases/0/missed 3"),
        "{text}"
    );
}

#[test]
fn unknown_rows_are_refused() {
    assert!(chosen(&["conect".into()]).is_err());
    assert_eq!(chosen(&[]).unwrap().len(), ROWS.len());
}

#[test]
fn figures_have_three_digits() {
    assert_eq!(shown(Some(123.4), "ms"), "123 ms");
    assert_eq!(shown(Some(1.234), ""), "1.23");
    assert_eq!(shown(Some(0.0), ""), "0");
    assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    assert_eq!(median(&[]), None);
}
