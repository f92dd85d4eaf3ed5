use serde_json::json;

use super::super::pages::Pages;
use super::*;
use crate::model::MeshName;

fn about() -> About<'static> {
    About {
        endpoint: "http://target",
        call: "describe `mesh/m`",
        has_credentials: true,
        secrets: Secrets::default().and(None, Some(TOKEN)),
    }
}

const TOKEN: &str = "session/token+of=many-characters";

fn raw(status: u16, header: Option<&str>, body: &str) -> Raw {
    Raw {
        status,
        exception: exception(status, header, body.as_bytes()),
        body: body.to_owned().into(),
    }
}

fn error(status: u16, header: Option<&str>, body: &str) -> TargetError {
    raw(status, header, body).read(&about()).unwrap_err()
}

fn answer(json: &Value) -> Answer {
    raw(200, None, &json.to_string()).read(&about()).unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list, one answer after another")]
fn an_error_is_what_its_exception_or_else_its_status_says() {
    let message = r#"{"message": "told"}"#;
    for (status, header, body, expected) in [
        (404, Some("NotFoundException:http://x"), message, "refused"),
        (
            400,
            None,
            r#"{"__type": "com.x#BadRequestException", "Message": "told"}"#,
            "refused",
        ),
        (403, Some("ForbiddenException"), message, "refused"),
        (409, Some("ResourceInUseException"), message, "refused"),
        (400, Some("LimitExceededException"), message, "refused"),
        (
            403,
            Some("UnrecognizedClientException"),
            message,
            "credentials",
        ),
        (
            403,
            Some("InvalidSignatureException"),
            message,
            "credentials",
        ),
        (403, None, "<html>told", "credentials"),
        (401, None, "told", "credentials"),
        (429, Some("TooManyRequestsException"), message, "throttled"),
        (400, Some("ThrottlingException"), message, "throttled"),
        (429, None, "told", "throttled"),
        (
            500,
            Some("InternalServerErrorException"),
            message,
            "failing",
        ),
        (503, Some("ServiceUnavailableException"), message, "failing"),
        (502, None, "<html>told", "failing"),
        (404, None, "<html>told", "lacking"),
        (405, None, "", "lacking"),
        (501, Some("NotImplementedException"), message, "lacking"),
        (400, None, "<html>told", "nonsense"),
        (301, None, "told", "nonsense"),
        (200, None, "<html>told", "nonsense"),
    ] {
        let error = error(status, header, body);
        let found = match &error {
            TargetError::Refused { .. } => "refused",
            TargetError::Credentials { .. } => "credentials",
            TargetError::Throttled { .. } => "throttled",
            TargetError::Failing { .. } => "failing",
            TargetError::Lacking { .. } => "lacking",
            TargetError::Nonsense { .. } => "nonsense",
            TargetError::Options { .. }
            | TargetError::Unreachable { .. }
            | TargetError::Account { .. }
            | TargetError::Another { .. }
            | TargetError::Taken { .. } => "else",
        };
        assert_eq!(found, expected, "{status} {header:?} {body}: {error}");
        let text = error.to_string();
        assert!(
            text.contains("describe `mesh/m`") && text.contains("http://target"),
            "{text}"
        );
        assert!(found == "lacking" || text.contains("told"), "{text}");
        let is_refused = matches!(found, "refused" | "lacking");
        assert_eq!(error.is_of_target(), !is_refused, "{text}");
    }
    assert!(error(404, Some("NotFoundException"), "{}").is_absence());
    assert!(error(400, Some("MeshNotFound"), "{}").is_absence());
    assert!(!error(404, None, "").is_absence());
    assert!(!error(409, Some("ConflictException"), "{}").is_absence());
}

#[test]
fn a_targets_text_is_cut_and_made_harmless() {
    let text = error(500, None, &"\u{1b}[31mx".repeat(500)).to_string();
    assert!(
        text.chars().count() < 500 && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[test]
fn what_was_sent_is_in_no_error_whatever_comes_back() {
    let json = json!({ "message": format!("no {TOKEN}"), "headers": { "x": TOKEN } }).to_string();
    let page = format!("<pre>{TOKEN}</pre>");
    for (status, header, body) in [
        (400, Some("BadRequestException"), json.as_str()),
        (400, Some(TOKEN), "{}"),
        (403, None, &page),
        (429, None, &page),
        (404, None, &page),
        (503, None, &page),
        (400, None, &page),
        (200, None, &page),
    ] {
        let text = error(status, header, body).to_string();
        assert!(!text.contains("session/token"), "{text}");
        assert!(text.contains("(hidden)"), "{text}");
    }
    let answered: Value = serde_json::from_str(&json).unwrap();
    let text = answer(&answered).array("meshes").unwrap_err().to_string();
    assert!(!text.contains("session/token"), "{text}");
}

#[test]
fn who_has_no_credentials_is_told_so() {
    let about = About {
        has_credentials: false,
        ..about()
    };
    let refused = raw(403, Some("MissingAuthenticationTokenException"), "{}");
    let text = refused.read(&about).unwrap_err().to_string();
    assert!(text.contains("AWS_ACCESS_KEY_ID"), "{text}");
}

#[test]
fn a_resource_comes_out_as_it_is() {
    let spec = json!({ "newer": { "than": ["the", "sdk"] }, "empty": [], "number": 1.0 });
    let body = json!({
        "meshName": "m", "virtualNodeName": "n", "spec": spec,
        "metadata": {
            "arn": "arn", "uid": "u", "version": 7, "createdAt": 1.5, "lastUpdatedAt": "28/11/2026, 10:00:00",
            "meshOwner": "1", "resourceOwner": "2", "newer": true,
        },
        "status": { "status": "ACTIVE" },
    });
    let written = answer(&body).resource().unwrap();
    assert_eq!(written.spec, spec);
    let expected = Metadata {
        arn: "arn".into(),
        created_at: 1.5,
        last_updated_at: 0.0,
        mesh_owner: "1".into(),
        resource_owner: "2".into(),
        uid: "u".into(),
        version: 7,
    };
    assert_eq!(written.metadata, expected);
    // As a test double has it.
    let vague =
        json!({ "metadata": { "arn": "arn", "uid": null, "version": null, "meshOwner": null } });
    let expected = Metadata {
        arn: "arn".into(),
        ..Metadata::default()
    };
    let written = answer(&vague).resource().unwrap();
    assert_eq!(written.metadata, expected);
    for body in [
        json!({}),
        json!([]),
        json!({ "metadata": {} }),
        json!({ "metadata": 1 }),
        json!(null),
    ] {
        let error = answer(&body).resource().unwrap_err();
        assert!(
            matches!(error, TargetError::Nonsense { .. }),
            "{body}: {error}"
        );
    }
}

#[test]
fn a_list_without_end_is_nonsense() {
    let page = |token: &str| answer(&json!({ "nextToken": token }));
    let mut circle = Pages::default();
    assert_eq!(circle.next(&page("1")).unwrap().as_deref(), Some("1"));
    assert_eq!(circle.next(&page("2")).unwrap().as_deref(), Some("2"));
    assert_eq!(circle.next(&page("")).unwrap(), None);
    assert!(circle.next(&page("1")).is_err());
    let mut endless = Pages::default();
    let end = (0..20_000).find(|number| endless.next(&page(&number.to_string())).is_err());
    assert_eq!(end, Some(10_000));
}

#[test]
fn a_list_is_read_by_names_alone() {
    let within = Within::VirtualNodes(MeshName::new("m"));
    let page = answer(&json!({ "virtualNodes": [{ "virtualNodeName": "n" }], "nextToken": "t" }));
    let items = page.array(within.collection()).unwrap();
    assert_eq!(
        page.item(&within, &items[0]).unwrap().to_string(),
        "mesh/m/virtualNode/n"
    );
    assert_eq!(page.next_token(), Some("t"));
    let last =
        answer(&json!({ "virtualNodes": [{}, { "virtualNodeName": "" }], "nextToken": null }));
    assert_eq!(last.next_token(), None);
    for item in last.array("virtualNodes").unwrap() {
        assert!(last.item(&within, item).is_err(), "{item}");
    }
    assert!(last.array("meshes").is_err());
}
