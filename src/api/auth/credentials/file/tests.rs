use super::*;

const SECRET: &str = "not-to-be-shown-anywhere";

#[test]
fn a_key_has_what_is_written() {
    let text = format!(
        "# the team's\n- accessKeyId: AKID\n  secretAccessKey: {SECRET}\n  sessionToken: tok/en+=\n  name: ci\n  \
         readOnly: true\n  meshes: [appMesh, team-*]\n- {{accessKeyId: B, secretAccessKey: '0123456789012345'}}\n"
    );
    let keys = parse(&text).unwrap();
    let [first, second] = keys.as_slice() else {
        panic!("{keys:?}");
    };
    assert_eq!(first.access_key_id, "AKID");
    assert_eq!(first.secret, Secret::new(SECRET));
    assert_eq!(first.session_token, Some(Secret::new("tok/en+=")));
    assert_eq!(first.caller.name(), "ci");
    assert!(first.caller.may_read("team-a") && !first.caller.may_write("team-a"));
    assert!(!first.caller.may_read("other"));
    assert_eq!(second.caller.name(), "B");
    assert!(second.caller.may_write("any") && second.session_token.is_none());
    assert!(!format!("{keys:?}").contains(SECRET));
}

#[test]
fn json_is_taken_too() {
    let text =
        format!(r#"[{{"accessKeyId": "A", "secretAccessKey": "{SECRET}", "readOnly": false}}]"#);
    assert_eq!(parse(&text).unwrap().len(), 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list, one mistake after another")]
fn a_mistake_has_its_place_and_shows_no_value() {
    let key = |rest: &str| format!("- accessKeyId: A\n  secretAccessKey: {SECRET}\n  {rest}\n");
    for (text, expected) in [
        (String::new(), "1:1: this is no list of keys"),
        ("[]".to_owned(), "there is no key in this list"),
        (SECRET.to_owned(), "1:1: this is no list of keys"),
        (
            format!("accessKeyId: A\nsecretAccessKey: {SECRET}"),
            "1:1: this is no list of keys",
        ),
        (format!("- {SECRET}"), "1:3: this is no list of keys"),
        (
            format!("- secretAccessKey: {SECRET}"),
            "1:3: `accessKeyId` is missing",
        ),
        (
            "- accessKeyId: A".to_owned(),
            "1:3: `secretAccessKey` is missing",
        ),
        (
            key(&format!("secret: {SECRET}")),
            "3:3: this is no member of a key; use accessKeyId",
        ),
        (
            key(&format!("{SECRET}: 1")),
            "3:3: this is no member of a key",
        ),
        (
            key(&format!("readOnly: {SECRET}")),
            "3:13: `readOnly` is not true or false",
        ),
        (
            key("readOnly: yes"),
            "3:13: `readOnly` is not true or false",
        ),
        (
            key(&format!("meshes: {SECRET}")),
            "3:11: `meshes` is not a list of names",
        ),
        (key("meshes: [1]"), "3:12: `meshes` is not a list of names"),
        (
            key("sessionToken: ''"),
            "3:17: `sessionToken` is not a text of",
        ),
        (
            key("name: 7"),
            "3:9: `name` is not a text; put it in quotes",
        ),
        (
            key(&format!("secretAccessKey: {SECRET}")),
            "3:3: this is no valid YAML",
        ),
        (key(&format!("name: [{SECRET}")), "this is no valid YAML"),
        (key(&format!("name: \"{SECRET}")), "this is no valid YAML"),
        (
            key(&format!("- accessKeyId: {SECRET}")),
            "this is no valid YAML",
        ),
        (
            format!("{}{}", key("name: one"), key("name: two")),
            "4:3: this `accessKeyId` is there twice",
        ),
        (
            format!("- accessKeyId: a/b\n  secretAccessKey: {SECRET}"),
            "1:16: `accessKeyId` is not 1 to 128 letters",
        ),
        (
            "- accessKeyId: a\n  secretAccessKey: short-one".to_owned(),
            "2:20: `secretAccessKey` has fewer than 16 characters",
        ),
        (
            "- accessKeyId: a\n  secretAccessKey: 12345678901234567890".to_owned(),
            "2:20: `secretAccessKey` is not a text; put it in quotes",
        ),
        (
            format!("- accessKeyId: a\n  secretAccessKey: '{SECRET} '"),
            "2:20: `secretAccessKey` is not a text of printable",
        ),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}");
        assert!(
            !error.contains(SECRET) && !error.contains("1234567890"),
            "{error}"
        );
    }
}
