use serde_json::json;

use super::*;

fn read(list: Value, listeners: &[u16]) -> Result<RegisteredSet, Vec<EntryProblem>> {
    let Value::Array(entries) = list else {
        panic!("no list: {list}")
    };
    read_list(entries, listeners)
}

#[test]
fn what_is_left_out_has_defaults_and_the_order_is_no_matter() {
    let one = json!({"address": "10.0.0.2", "port": 81, "weight": 3, "zone": "a"});
    let two = json!({"address": "::ffff:10.0.0.1"});
    let set = read(json!([one, two]), &[80]).unwrap();
    assert_eq!(set, read(json!([two, one]), &[80]).unwrap());
    let entries: Vec<Entry> = set.iter().map(Entry::from).collect();
    assert_eq!(
        serde_json::to_value(entries).unwrap(),
        json!([
            {"address": "10.0.0.1", "weight": 1},
            {"address": "10.0.0.2", "port": 81, "weight": 3, "zone": "a"},
        ])
    );
    assert_eq!(read(json!([]), &[80]).unwrap().len(), 0);
}

#[test]
fn every_wrong_entry_is_named_with_its_place_and_what_to_do() {
    let list = json!([
        {"address": "10.0.0.1"},
        {"address": "db.local"},
        {"address": "0.0.0.0"},
        {"address": "10.0.0.2", "port": 0},
        {"address": "10.0.0.3", "port": 70000},
        {"address": "10.0.0.4", "weight": 0},
        {"address": "10.0.0.5", "zone": ""},
        {"adress": "10.0.0.6"},
        {"address": "10.0.0.1", "weight": 2},
        7,
        {"address": null},
        {"address": "10.0.0.7", "zone": 3},
    ]);
    let problems = read(list, &[80]).unwrap_err();
    let expected = [
        (
            1,
            "`db.local`, which is no IP address; host names are not looked up here",
        ),
        (2, "0.0.0.0 is not the address of one host"),
        (3, "`port` is `0`; give 1 to 65535"),
        (4, "`port` is `70000`"),
        (5, "`weight` is `0`; give 1"),
        (6, "`zone` is empty"),
        (7, "`adress` is no member of an endpoint; write it like"),
        (8, "10.0.0.1 is at index 0 already"),
        (9, "it is `7`, which is no endpoint"),
        (10, "`address` is missing"),
        (11, "`zone` is `3`, which is no text"),
    ];
    let found: Vec<usize> = problems.iter().map(|one| one.index).collect();
    assert_eq!(found, expected.map(|(index, _)| index));
    for (problem, (_, text)) in problems.iter().zip(expected) {
        assert!(problem.problem.contains(text), "{problem:?}");
    }
}

#[test]
fn of_several_listeners_a_port_must_be_one() {
    let listeners = [8080, 9090];
    let good = json!([
        {"address": "10.0.0.1"},
        {"address": "10.0.0.2", "port": 8080},
        {"address": "10.0.0.2", "port": 9090},
    ]);
    assert!(read(good, &listeners).is_ok());
    let wrong = json!([
        {"address": "10.0.0.1", "port": 7777},
        {"address": "10.0.0.2", "port": 9090},
        {"address": "10.0.0.2"},
    ]);
    let problems = read(wrong, &listeners).unwrap_err();
    assert!(
        problems[0].problem.contains("listeners (8080, 9090)"),
        "{problems:?}"
    );
    assert!(
        problems[1].problem.contains("at index 1 already"),
        "{problems:?}"
    );
    assert_eq!(problems.len(), 2);
}

#[test]
fn of_one_listener_two_processes_of_a_host_have_a_port_each() {
    let two = json!([{"address": "10.0.0.1", "port": 1}, {"address": "10.0.0.1", "port": 2}]);
    assert_eq!(read(two, &[80]).unwrap().len(), 2);
    let same = json!([{"address": "10.0.0.1"}, {"address": "10.0.0.1", "port": 80}]);
    assert_eq!(read(same, &[80]).unwrap_err().len(), 1);
}
