//! `outrigger get`, `describe` and `delete`.

use super::{CREATED, SHOP, Shop};

async fn applied() -> Shop {
    let shop = Shop::open().await;
    shop.write("shop.yaml", SHOP);
    shop.run(&["apply", "."]).prints(0, CREATED);
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn what_get_prints_can_be_applied_again() {
    let shop = applied().await;
    for example in ["config/mesh", "config/minimal"] {
        let path = format!("{}/{example}", env!("CARGO_MANIFEST_DIR"));
        let printed = shop.run(&["apply", &path]);
        assert_eq!(printed.code, Some(0), "{printed:?}");
    }
    let yaml = shop.run(&["get", "all", "-o", "yaml"]).out;
    let again = shop.pipe(&["apply", "-"], &yaml);
    assert!(again.out.starts_with("nothing differs: "), "{again:?}");
    // All of it gone, and back.
    let deleted = shop.pipe(&["delete", "-f", "-"], &yaml);
    assert_eq!(deleted.code, Some(1), "{deleted:?}");
    assert!(
        deleted.out.contains("2 failed"),
        "what a file owns stays: {}",
        deleted.out
    );
    let left = shop.run(&["get", "all"]).out;
    assert_eq!(left.lines().count(), 3, "{left}");
    let again = shop.pipe(&["apply", "-"], &yaml);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(shop.run(&["get", "all", "-o", "yaml"]).out, yaml);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_lists_by_kind_name_and_mesh() {
    let shop = applied().await;
    let words = |arguments: &[&str]| -> Vec<String> {
        let printed = shop.run(arguments);
        assert_eq!(printed.code, Some(0), "{printed:?}");
        let firsts = printed.out.lines().map(|line| {
            line.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        });
        firsts.collect()
    };
    assert_eq!(words(&["get", "vn"]), ["NAME MESH", "n owned", "cart shop"]);
    assert_eq!(
        words(&["get", "VirtualNodes", "--mesh", "shop"]),
        ["NAME MESH", "cart shop"]
    );
    assert_eq!(
        words(&["get", "routes", "cart/all"]),
        ["NAME ROUTER", "all cart"]
    );
    assert_eq!(words(&["get", "vg"]), ["there are"]);
    shop.run(&["get", "vn", "kart"])
        .fails(1, &["there is no VirtualNode `kart`", "n, cart"]);
    let owner = shop.run(&["get", "mesh", "owned"]).out;
    assert!(owner.contains("mesh.yaml:1"), "{owner}");
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_shows_records_spec_and_users() {
    let shop = applied().await;
    let node = shop.run(&["describe", "vn", "cart", "--mesh", "shop"]).out;
    for words in [
        "mesh/shop/virtualNode/cart\n",
        "  ARN       arn:aws:appmesh:us-east-1:000000000000:mesh/shop/virtualNode/cart\n",
        "  Version   1\n",
        "  Owner     API\n",
        "  Status    ACTIVE\n",
        "  Tags      outrigger:applied-by=default\n            team=checkout\n",
        "  Used by   mesh/shop/virtualRouter/cart/route/all\n",
        "        port: 8080\n",
    ] {
        assert!(node.contains(words), "no {words:?} in {node}");
    }
    let arn = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualService/cart.local";
    assert!(
        shop.run(&["describe", arn])
            .out
            .contains("virtualRouterName: cart")
    );
    shop.run(&["describe", "mesh/shop/virtualNode/kart"])
        .fails(1, &["there is no mesh/shop/virtualNode/kart"]);
    shop.run(&["describe", "cart"])
        .fails(2, &["neither a kind nor an id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_goes_in_order_and_says_what_is_in_the_way() {
    let shop = applied().await;
    let router = "mesh/shop/virtualRouter/cart";
    let refused = shop.run(&["delete", router]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let users = format!("is in use by `mesh/shop/virtualService/cart.local`, `{router}/route/all`");
    assert!(
        refused.out.contains("ResourceInUseException: "),
        "{}",
        refused.out
    );
    assert!(refused.out.contains(&users), "{}", refused.out);
    let owned = shop.run(&["delete", "mesh/owned/virtualNode/n"]);
    assert!(owned.out.contains("mesh.yaml"), "{}", owned.out);
    shop.run(&["delete", "mesh/nowhere"]).prints(
        1,
        &[
            "failed to delete mesh/nowhere",
            "    NotFoundException: Mesh with name nowhere is not present for account 000000000000",
            "1 failed",
            "mend what failed and run it again: what is done stays done",
        ],
    );
    shop.run(&["delete", "vn", "nobody"])
        .fails(1, &["there is no VirtualNode nobody"]);
    shop.write("broken.yaml", "{kind: VirtualNode, meshName: shop}");
    let refused = shop.run(&["delete", "-f", "."]);
    refused.fails(1, &["broken.yaml", "nothing was deleted"]);
    assert_eq!(shop.there("shop").len(), 5);
    std::fs::remove_file(shop.files.path().join("broken.yaml")).unwrap();
    std::os::unix::fs::symlink("nowhere", shop.files.path().join("nodes")).unwrap();
    shop.run(&["apply", ".", "--prune"])
        .fails(1, &["/nodes", "nothing was written"]);
    shop.run(&["delete", "-f", "."])
        .fails(1, &["nothing was deleted"]);
    std::fs::remove_file(shop.files.path().join("nodes")).unwrap();
    let ignored = ["delete", "mesh/nowhere", "--ignore-not-found"];
    shop.run(&ignored).prints(0, &["nothing to delete"]);
    let dry = shop.run(&["delete", "-f", ".", "--dry-run"]);
    assert!(
        dry.out
            .ends_with("5 to delete; nothing was written, since this is a dry run\n"),
        "{}",
        dry.out
    );
    shop.run(&["delete", "-f", "."]).prints(
        0,
        &[
            "deleted mesh/shop/virtualService/cart.local",
            "deleted mesh/shop/virtualRouter/cart/route/all",
            "deleted mesh/shop/virtualNode/cart",
            "deleted mesh/shop/virtualRouter/cart",
            "deleted mesh/shop",
            "5 deleted",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_delete_knows_what_is_in_the_way() {
    let shop = applied().await;
    let (router, owned) = ("mesh/shop/virtualRouter/cart", "mesh/owned/virtualNode/n");
    let dry = shop.run(&["delete", router, owned, "--dry-run"]);
    assert_eq!(dry.code, Some(1), "{dry:?}");
    for words in [
        format!(
            "could not delete {router}\n    `{router}` is in use by `mesh/shop/virtualService/cart.local`, \
             `{router}/route/all`"
        ),
        format!("could not delete {owned}\n    it belongs to "),
        "2 to be refused; nothing was written, since this is a dry run\n".to_owned(),
    ] {
        assert!(dry.out.contains(&words), "no {words:?} in {}", dry.out);
    }
    assert_eq!(shop.there("shop").len(), 5);
}
