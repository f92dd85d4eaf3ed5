//! With a control plane that takes signed calls only.

use super::{CREATED, Printed, SHOP, Shop};
use crate::auth::write_keys;
use crate::world::World;

const KEYS: &str = "- accessKeyId: AKIDWRITER\n  secretAccessKey: 0123456789abcdef0123\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_signed_with_the_key_of_the_environment() {
    let mut world = World::new().await;
    let keys = write_keys(&world, KEYS).display().to_string();
    world.serve_args = ["--api-auth", "sigv4", "--api-credentials", &keys]
        .map(str::to_owned)
        .to_vec();
    let shop = Shop::of(world).await;
    shop.write("shop.yaml", SHOP);
    let help = "set AWS_ACCESS_KEY_ID";
    let unsigned = [
        "MissingAuthenticationTokenException: ",
        "the request is not signed",
        help,
    ];
    shop.run(&["apply", "."]).fails(2, &unsigned);
    shop.run(&["get", "all"]).fails(2, &unsigned);
    shop.run(&["status"])
        .fails(2, &["the request is not signed"]);
    let signed = |secret: &str, arguments: &[&str]| {
        let mut command = shop.command(arguments);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIDWRITER")
            .env("AWS_SECRET_ACCESS_KEY", secret);
        Printed::of(command.env("AWS_REGION", "eu-west-1").output().unwrap())
    };
    let wrong = ["InvalidSignatureException: ", "signature", help];
    signed("another-secret-than-the-server", &["apply", "."]).fails(2, &wrong);
    let secret = "0123456789abcdef0123";
    signed(secret, &["apply", "."]).prints(0, CREATED);
    // Tags are called with an ARN in the query, which is signed as it is sent.
    let taken = signed(secret, &["apply", ".", "--set", "a b/c", "--take-over"]);
    assert!(taken.out.ends_with("5 updated\n"), "{taken:?}");
    let deleted = signed(secret, &["delete", "-f", "."]);
    assert!(deleted.out.ends_with("5 deleted\n"), "{deleted:?}");
}
