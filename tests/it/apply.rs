//! `outrigger apply`, as it is typed, against a real control plane.

mod interrupted;
mod shown;
mod signed;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::world::{OUTRIGGER, World};

/// What the control plane has in a file of its own.
const OWNED: &str = "\
kind: Mesh
meshName: owned
---
kind: VirtualNode
meshName: owned
virtualNodeName: n
spec: { serviceDiscovery: { dns: { hostname: n.local } }, listeners: [{ portMapping: { port: 80, protocol: http } }] }
";

/// A router's worth of mesh; `PORT` and `WEIGHT` are to be replaced.
const SHOP: &str = "\
kind: Mesh
meshName: shop
---
kind: VirtualNode
meshName: shop
virtualNodeName: cart
tags: [{ key: team, value: checkout }]
spec:
  serviceDiscovery: { dns: { hostname: cart.local } }
  listeners:
    - portMapping: { port: 8080, protocol: http }
      healthCheck: { protocol: http, path: /, healthyThreshold: 2, unhealthyThreshold: 2, timeoutMillis: 2000, intervalMillis: 5000 }
---
kind: VirtualRouter
meshName: shop
virtualRouterName: cart
spec: { listeners: [{ portMapping: { port: 8080, protocol: http } }] }
---
kind: Route
meshName: shop
virtualRouterName: cart
routeName: all
spec: { httpRoute: { match: { prefix: / }, action: { weightedTargets: [{ virtualNode: cart, weight: 1 }] } } }
---
kind: VirtualService
meshName: shop
virtualServiceName: cart.local
spec: { provider: { virtualRouter: { virtualRouterName: cart } } }
";

/// A control plane that keeps what it is told, and a folder of mesh files beside it.
struct Shop {
    world: World,
    files: TempDir,
}

impl Shop {
    async fn open() -> Self {
        Self::of(World::new().await).await
    }

    /// The same, with what a world has `serve` told already.
    async fn of(mut world: World) -> Self {
        let data = world.folder.path().join("data");
        let data = ["--data-dir".to_owned(), data.display().to_string()];
        world.serve_args.extend(data);
        world.serve(OWNED).await;
        let files = tempfile::tempdir().unwrap();
        Self { world, files }
    }

    fn write(&self, name: &str, yaml: &str) {
        std::fs::write(self.files.path().join(name), yaml).unwrap();
    }

    fn url(&self) -> String {
        format!("http://{}", self.world.at(1, 9080))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(self.files.path(), &self.url(), arguments)
    }

    /// Types a command in the folder of the files.
    fn run(&self, arguments: &[&str]) -> Printed {
        Printed::of(self.command(arguments).output().unwrap())
    }

    /// The same, with something on its standard input.
    fn pipe(&self, arguments: &[&str], input: &str) -> Printed {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        Printed::of(child.wait_with_output().unwrap())
    }

    /// Kind, name and version of what a mesh has.
    fn there(&self, mesh: &str) -> Vec<String> {
        let printed = self.run(&["get", "all", "--mesh", mesh]);
        let rows = printed.out.lines().skip(1);
        let rows = rows.map(|row| row.split_whitespace().collect::<Vec<_>>());
        rows.map(|row| format!("{} {} {}", row[0], row[1], row[4]))
            .collect()
    }
}

/// A command without the caller's own settings.
pub(crate) fn command(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(OUTRIGGER);
    for (name, _) in std::env::vars() {
        if name.starts_with("OUTRIGGER_") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .env("AWS_ENDPOINT_URL", url)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Printed {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn prints(&self, code: i32, out: &[&str]) {
        assert_eq!(
            (self.code, self.out.lines().collect::<Vec<_>>()),
            (Some(code), out.to_vec()),
            "{}",
            self.err
        );
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in {}", self.err);
        }
    }
}

const CREATED: &[&str] = &[
    "created mesh/shop",
    "created mesh/shop/virtualNode/cart",
    "created mesh/shop/virtualRouter/cart",
    "created mesh/shop/virtualService/cart.local",
    "created mesh/shop/virtualRouter/cart/route/all",
    "5 created",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_created_and_what_differs_is_updated() {
    let shop = Shop::open().await;
    shop.write("shop.yaml", SHOP);
    shop.run(&["apply", "."]).prints(0, CREATED);
    shop.run(&["apply", "."])
        .prints(0, &["nothing differs: 5 resources unchanged"]);
    let before = shop.there("shop");
    assert_eq!(before.len(), 5);
    assert!(before.iter().all(|row| row.ends_with(" 1")), "{before:?}");

    shop.write(
        "shop.yaml",
        &SHOP
            .replace("weight: 1", "weight: 2")
            .replace("checkout", "orders"),
    );
    shop.run(&["apply", "-f", "shop.yaml"]).prints(
        0,
        &[
            "updated mesh/shop/virtualNode/cart",
            "    ~ tags.team: \"checkout\" → \"orders\"",
            "updated mesh/shop/virtualRouter/cart/route/all",
            "    ~ spec.httpRoute.action.weightedTargets[0].weight: 1 → 2",
            "2 updated, 3 unchanged",
        ],
    );
    let after = shop.there("shop");
    assert!(after.contains(&"Route all 2".to_owned()), "{after:?}");
    let described = shop.run(&["describe", "mesh/shop/virtualNode/cart"]);
    assert!(described.out.contains("team=orders"), "{}", described.out);
    assert!(
        described.out.contains("outrigger:applied-by=default"),
        "{}",
        described.out
    );
    shop.run(&["apply", "."])
        .prints(0, &["nothing differs: 5 resources unchanged"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let shop = Shop::open().await;
    shop.write("shop.yaml", SHOP);
    let plan = shop.run(&["apply", ".", "--dry-run"]);
    assert_eq!(plan.code, Some(0), "{plan:?}");
    assert!(plan.out.starts_with("create mesh/shop\n"), "{}", plan.out);
    assert!(
        plan.out
            .ends_with("5 to create; nothing was written, since this is a dry run\n"),
        "{}",
        plan.out
    );
    assert!(shop.there("shop").is_empty());
    let plan = shop.run(&["apply", ".", "--dry-run", "--output", "json"]);
    let plan: Value = serde_json::from_str(&plan.out).unwrap();
    assert_eq!(
        (&plan["dryRun"], &plan["created"]),
        (&true.into(), &5.into())
    );
    assert_eq!(plan["resources"][4]["result"], "planned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_deletes_what_the_files_no_longer_declare() {
    let shop = Shop::open().await;
    let (mesh, rest) = SHOP.split_once("---\n").unwrap();
    shop.write("mesh.yaml", mesh);
    shop.write("rest.yaml", rest);
    shop.run(&["apply", ".", "--set", "shop"])
        .prints(0, CREATED);
    // Applied by itself, which is not this set's.
    let other = "{kind: VirtualNode, meshName: shop, virtualNodeName: other, spec: {}}";
    let printed = shop.pipe(&["apply", "-", "--set", "theirs"], other);
    printed.prints(0, &["created mesh/shop/virtualNode/other", "1 created"]);

    std::fs::remove_file(shop.files.path().join("rest.yaml")).unwrap();
    shop.run(&["apply", ".", "--set", "shop"])
        .prints(0, &["nothing differs: 1 resource unchanged"]);
    shop.run(&["apply", ".", "--prune", "--set", "shop"])
        .prints(
            0,
            &[
                "deleted mesh/shop/virtualService/cart.local",
                "deleted mesh/shop/virtualRouter/cart/route/all",
                "deleted mesh/shop/virtualNode/cart",
                "deleted mesh/shop/virtualRouter/cart",
                "4 deleted, 1 unchanged",
            ],
        );

    // An empty folder is a mistake more often than a wish.
    std::fs::remove_file(shop.files.path().join("mesh.yaml")).unwrap();
    let all = ["apply", ".", "--prune", "--set", "shop", "--prune-all"];
    shop.run(&all[..5])
        .fails(1, &["would delete everything of set `shop`", "--prune-all"]);
    let refused = shop.run(&all);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .out
            .contains("failed to delete mesh/shop\n    ResourceInUseException"),
        "{}",
        refused.out
    );
    shop.run(&["delete", "vn", "other", "--mesh", "shop"])
        .prints(0, &["deleted mesh/shop/virtualNode/other", "1 deleted"]);
    shop.run(&all)
        .prints(0, &["deleted mesh/shop", "1 deleted"]);
    assert!(shop.there("shop").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_is_refused_before_anything_is_written() {
    let shop = Shop::open().await;
    // As the server's own file has it.
    shop.write("owned.yaml", OWNED);
    shop.run(&["apply", "."])
        .prints(0, &["nothing differs: 2 resources unchanged"]);
    shop.write("owned.yaml", &OWNED.replace("port: 80", "port: 81"));
    shop.write("shop.yaml", SHOP);
    let file = [
        "mesh/owned/virtualNode/n belongs to ",
        "mesh.yaml:4, a file of the server",
        "nothing was written",
    ];
    shop.run(&["apply", "."]).fails(1, &file);
    assert!(shop.there("shop").is_empty());
    shop.run(&["apply", "shop.yaml", "--set", "one"])
        .prints(0, CREATED);
    let set = ["mesh/shop was applied as part of set `one`", "--take-over"];
    shop.run(&["apply", "shop.yaml", "--set", "two"])
        .fails(1, &set);
    let taken = shop.run(&["apply", "shop.yaml", "--set", "two", "--take-over"]);
    assert!(taken.out.ends_with("5 updated\n"), "{taken:?}");
    shop.run(&["apply", "shop.yaml", "--set", "one"])
        .fails(1, &["set `two`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn references_may_lead_to_what_the_server_has() {
    let shop = Shop::open().await;
    let (base, service) = SHOP.rsplit_once("---\n").unwrap();
    shop.write("base.yaml", base);
    shop.write(
        "service.yaml",
        &service.replace("Name: cart }", "Name: card }"),
    );
    let dangling = shop.run(&["apply", "service.yaml"]);
    dangling.fails(
        1,
        &[
            "mesh `shop` is not declared",
            "service.yaml:2:11",
            "nothing was written",
        ],
    );
    assert!(
        shop.run(&["apply", "base.yaml"])
            .out
            .ends_with("4 created\n")
    );
    let dangling = shop.run(&["apply", "service.yaml"]);
    dangling.fails(
        1,
        &[
            "provider `card` names no virtual router",
            "did you mean `cart`?",
        ],
    );
    shop.write("service.yaml", service);
    // What a prune takes away is there no longer.
    shop.run(&["apply", "service.yaml", "--prune"])
        .fails(1, &["mesh `shop` is not declared"]);
    shop.run(&["apply", "service.yaml"]).prints(
        0,
        &["created mesh/shop/virtualService/cart.local", "1 created"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_told_of_with_what_to_check() {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("shop.yaml"), SHOP).unwrap();
    let run = |arguments: &[&str]| {
        Printed::of(
            command(files.path(), "http://127.0.0.1:1", arguments)
                .output()
                .unwrap(),
        )
    };
    let away = [
        "cannot reach Outrigger's API at http://127.0.0.1:1",
        "refused",
        "is `outrigger serve` running?",
    ];
    run(&["get", "all"]).fails(2, &away);
    run(&["apply", ".", "--retry-for", "0s"]).fails(2, &away);
    run(&["apply", ".", "--retry-for", "200ms"]).fails(2, &["trying again for 200ms"]);
    run(&["get", "all", "--api-url", "https://127.0.0.1:1"]).fails(2, &["not served over TLS yet"]);
    run(&["get", "thing"]).fails(2, &["known are Mesh, VirtualNode"]);
}
