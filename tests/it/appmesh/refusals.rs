//! Requests that no SDK would send: each is answered with one of App Mesh's exceptions, its status and a reason.

use serde_json::json;

use super::served::Served;
use super::{MESHES, NODES, node, with_mesh};

const JSON: (&str, &str) = ("content-type", "application/json");
const BAD: &str = "BadRequestException";

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn whatever_is_wrong_has_a_name_and_a_reason() {
    let served = with_mesh(&[]).await;
    served.put(NODES, &node("n")).await.ok();
    let long = format!("{MESHES}/{}", "x".repeat(256));
    let deep = "[".repeat(10_000);
    let item = format!("{NODES}/n");
    let arn = "/v20190125/tag?resourceArn=arn:aws:appmesh:us-east-1:000000000000:mesh/m";
    for (method, path, body, name, reason) in [
        ("GET", "/", "", BAD, "/v20190125/"),
        ("GET", "/v20190125/mesh", "", BAD, "nothing answers GET"),
        ("GET", "/v20181001/meshes", "", BAD, "nothing answers GET"),
        (
            "POST",
            MESHES,
            "{}",
            BAD,
            "it takes GET, HEAD, OPTIONS, PUT",
        ),
        ("PATCH", &item, "{}", BAD, "it takes DELETE, GET"),
        ("X-ODD", &item, "{}", BAD, "X-ODD is no method"),
        ("GET", &long, "", BAD, "1 to 255 characters"),
        ("GET", "/v20190125/meshes/%zz", "", BAD, "percent-encoded"),
        ("GET", "/v20190125/meshes/%00", "", BAD, "letters, digits"),
        ("GET", "/v20190125/meshes/a%2Fb", "", BAD, "letters, digits"),
        (
            "GET",
            "/v20190125/meshes?limit=1&limit=2",
            "",
            BAD,
            "`limit` is in the query twice",
        ),
        (
            "GET",
            "/v20190125/meshes?limit=ten",
            "",
            BAD,
            "from 1 to 100",
        ),
        (
            "GET",
            "/v20190125/meshes?nextToken=%00",
            "",
            BAD,
            "nextToken",
        ),
        (
            "GET",
            "/v20190125/tags",
            "",
            BAD,
            "`resourceArn` is missing",
        ),
        (
            "GET",
            "/v20190125/tags?resourceArn=mesh/m",
            "",
            BAD,
            "is no ARN",
        ),
        ("PUT", arn, "{}", BAD, "lacks `tags`"),
        ("PUT", NODES, "", BAD, "lacks `virtualNodeName`"),
        ("PUT", NODES, "{", BAD, "line 1 column 1"),
        ("PUT", NODES, "\u{feff}{}", BAD, "not valid JSON"),
        ("PUT", NODES, "null", BAD, "must be a map of fields"),
        ("PUT", NODES, "7", BAD, "must be a map of fields"),
        ("PUT", NODES, &deep, BAD, "recursion limit"),
        (
            "PUT",
            NODES,
            "{\"spec\":{},\"spec\":{}}",
            BAD,
            "`spec` is given twice",
        ),
        ("PUT", &item, "{\"spec\":[]}", BAD, "spec: `spec` must be"),
        (
            "PUT",
            &item,
            "{\"spec\":{},\"tags\":[]}",
            BAD,
            "unknown field `tags`",
        ),
    ] {
        let answer = served.send(method, path, &[JSON], body.to_owned()).await;
        let (got, message) = answer.error();
        assert_eq!(got, name, "{method} {path} {body}: {message}");
        assert!(
            message.contains(reason),
            "{method} {path} {body}: {message}"
        );
    }
    let bytes = vec![0xff, 0xfe, b'{'];
    let (name, _) = served.send("PUT", NODES, &[JSON], bytes).await.error();
    assert_eq!(name, BAD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_of_somebody_else_changes_nothing() {
    let served = Served::start(&[]).await;
    let body = json!({"meshName": "m"}).to_string();
    for header in [
        ("content-type", "text/plain"),
        ("content-type", "TEXT/plain;charset=UTF-8"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("origin", "http://evil.example"),
    ] {
        let answer = served.send("PUT", MESHES, &[header], body.clone()).await;
        assert_eq!(answer.error().0, "ForbiddenException", "{header:?}");
        let answer = served
            .send("DELETE", &format!("{MESHES}/m"), &[header], "")
            .await;
        assert_eq!(answer.error().0, "ForbiddenException", "{header:?}");
    }
    // No client has to say of which type its body is.
    served.send("PUT", MESHES, &[], body).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_up_to_its_limit() {
    let served = with_mesh(&[]).await;
    let padded = |length: usize| {
        let body = node("n").to_string();
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    let limit = 2 << 20;
    served.send("PUT", NODES, &[JSON], padded(limit)).await.ok();
    let (name, message) = served
        .send("PUT", NODES, &[JSON], padded(limit + 1))
        .await
        .error();
    assert_eq!(name, BAD);
    assert!(message.contains("2097152 bytes"), "{message}");
    // Ten thousand backends are within it, and quick.
    let backends: Vec<_> = (0..10_000)
        .map(|number| json!({"virtualService": {"virtualServiceName": format!("service-{number}.local")}}))
        .collect();
    let spec = json!({"spec": {"backends": backends}});
    let updated = served.put(&format!("{NODES}/n"), &spec).await.ok();
    assert_eq!(updated["spec"], spec["spec"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_only_if_they_are_set() {
    let gateway = |name: &str| json!({"virtualGatewayName": name, "spec": {"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]}});
    let path = format!("{MESHES}/m/virtualGateways");
    for (args, allowed) in [
        (&[][..], 5),
        (&["--quotas", "aws"], 3),
        (
            &["--quotas", "aws", "--quota", "virtual-gateways-per-mesh=4"],
            4,
        ),
    ] {
        let served = with_mesh(args).await;
        for number in 0..allowed {
            served
                .put(&path, &gateway(&format!("g{number}")))
                .await
                .ok();
        }
        if !args.is_empty() {
            let (name, message) = served.put(&path, &gateway("more")).await.error();
            assert_eq!(name, "LimitExceededException");
            assert!(message.contains("virtual-gateways-per-mesh"), "{message}");
        }
    }
}
