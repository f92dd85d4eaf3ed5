//! Large applies: how long they take, and what is left when the server is killed or the user interrupts.

use std::fmt::Write;
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{Printed, Shop};
use crate::world::{PATIENCE, eventually};

/// A mesh of so many services: of each a node, a router, a route and a service.
fn large(services: usize) -> String {
    let mut yaml = "kind: Mesh\nmeshName: large\n".to_owned();
    for index in 0..services {
        let head = |kind: &str| format!("---\nkind: {kind}\nmeshName: large\n");
        write!(
            yaml,
            "{}virtualNodeName: n{index}\nspec: {{ serviceDiscovery: {{ dns: {{ hostname: n.local }} }}, listeners: [{{ portMapping: \
             {{ port: 80, protocol: http }} }}] }}\n{}virtualRouterName: r{index}\nspec: {{ listeners: [{{ portMapping: {{ port: 80, \
             protocol: http }} }}] }}\n{}virtualRouterName: r{index}\nrouteName: x\nspec: {{ httpRoute: {{ match: {{ prefix: / }}, \
             action: {{ weightedTargets: [{{ virtualNode: n{index}, weight: 1 }}] }} }} }}\n{}virtualServiceName: s{index}\nspec: {{ \
             provider: {{ virtualRouter: {{ virtualRouterName: r{index} }} }} }}\n",
            head("VirtualNode"),
            head("VirtualRouter"),
            head("Route"),
            head("VirtualService"),
        )
        .unwrap();
    }
    yaml
}

/// Begins an apply of all files.
fn begin(shop: &Shop, arguments: &[&str]) -> Child {
    let arguments = [&["apply", "."], arguments].concat();
    let mut command = shop.command(&arguments);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until so many resources are there.
async fn has(shop: &Shop, count: usize) {
    eventually("the apply is under way", PATIENCE, async || {
        let listed = shop.run(&["get", "all", "--mesh", "large"]);
        (listed.out.lines().count() > count).then_some(())
    })
    .await;
}

fn count(shop: &Shop) -> usize {
    shop.run(&["get", "all", "--mesh", "large", "-o", "yaml"])
        .out
        .matches("kind:")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_resources_are_applied_pruned_and_applied_again() {
    let shop = Shop::open().await;
    shop.write("large.yaml", &large(1250));
    for (arguments, last) in [
        (&["apply", "."][..], "5001 created"),
        (&["apply", "."], "nothing differs: 5001 resources unchanged"),
        (&["delete", "-f", "."], "5001 deleted"),
    ] {
        let begun = Instant::now();
        let printed = shop.run(arguments);
        println!("{}: {last} in {:?}", arguments.join(" "), begun.elapsed());
        assert_eq!(printed.out.lines().last(), Some(last), "{}", printed.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_waited_for_or_told_of() {
    let mut shop = Shop::open().await;
    shop.write("large.yaml", &large(500));
    let begun = begin(&shop, &["--retry-for", "1s"]);
    has(&shop, 100).await;
    shop.world.kill_control_plane().await;
    let printed = Printed::of(begun.wait_with_output().unwrap());
    assert_eq!(printed.code, Some(2), "{printed:?}");
    let tail =
        "the server is not available; run it again when it is, and it goes on where it ended\n";
    assert!(printed.out.ends_with(tail), "{}", printed.out);
    assert!(
        printed.out.contains("failed to create mesh/large/"),
        "{}",
        printed.out
    );
    assert!(
        printed.out.contains("more that were not tried\n"),
        "{}",
        printed.out
    );

    // What it said was created is there, whatever became of the rest.
    shop.world.start_control_plane().await;
    let said = printed.out.matches("created mesh/large").count();
    let there = count(&shop);
    assert!(
        (said..2001).contains(&there),
        "said {said}, there are {there}"
    );

    // This time the server is back while the apply waits for it.
    let begun = begin(&shop, &["--retry-for", "60s"]);
    has(&shop, there + 100).await;
    shop.world.kill_control_plane().await;
    shop.world.start_control_plane().await;
    let printed = Printed::of(begun.wait_with_output().unwrap());
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let sums = format!("{} created, {there} unchanged", 2001 - there);
    assert_eq!(printed.out.lines().last(), Some(sums.as_str()));
    assert_eq!(count(&shop), 2001);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_says_what_was_done_and_what_not() {
    let shop = Shop::open().await;
    shop.write("large.yaml", &large(500));
    let begun = begin(&shop, &[]);
    has(&shop, 100).await;
    let pid = Pid::from_child(&begun);
    kill_process(pid, Signal::INT).unwrap();
    let printed = Printed::of(begun.wait_with_output().unwrap());
    assert_eq!(printed.code, Some(2), "{printed:?}");
    assert!(
        printed
            .out
            .ends_with("interrupted; run it again, and it goes on where it ended\n"),
        "{}",
        printed.out
    );
    let said = printed.out.matches("created mesh/large").count();
    assert_eq!(said, count(&shop), "what was under way was finished");
    let again = shop.run(&["apply", "."]);
    let sums = format!("{} created, {said} unchanged", 2001 - said);
    assert_eq!(
        again.out.lines().last(),
        Some(sums.as_str()),
        "{}",
        again.err
    );
}
