use super::*;
use crate::xds::testing::Client;

type Delta = Client<DeltaStream>;

#[test]
fn start() {
    let mut client = Delta::new("cds a=1 b=1; eds a=1 b=1; lds l=1; rds r=1");
    assert_eq!(client.ask("cds", ""), "cds a=1 b=1");
    assert_eq!(client.ask("eds", "+a +b"), "eds a=1 b=1");
    assert_eq!(client.ack("cds"), "");
    assert_eq!(client.ack("eds"), "");
    assert_eq!(client.ask("lds", ""), "lds l=1");
    assert_eq!(client.ask("rds", "+r"), "rds r=1");
    assert_eq!(
        client.publish("cds a=2 b=1; eds a=1 b=1; lds l=1; rds r=1"),
        "cds a=2; eds a=1"
    );
}
