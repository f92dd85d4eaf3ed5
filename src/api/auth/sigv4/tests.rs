//! The published test suite of AWS Signature Version 4 (`aws-c-auth`, `tests/aws-signing-test-suite/v4`, whose requests and
//! signatures are quoted as facts), and the laws that hold for any request.

use proptest::prelude::*;

use super::*;

const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SUITE_DATE: &str = "20150830T123600Z";
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn suite_key() -> SigningKey {
    let scope = Scope::new("20150830", "us-east-1", "service");
    SigningKey::derive(&Secret::new(SUITE_SECRET), &scope)
}

fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in of {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn request<'a>(method: &'a str, target: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request {
        method,
        path,
        query,
        headers,
        authority: None,
    }
}

/// One of the suite's header-signed requests, verified.
#[track_caller]
fn check_suite(
    method: &str,
    target: &str,
    more: &[(&'static str, &str)],
    body: &str,
    signature: &str,
) {
    let mut headers = headers(&[
        ("host", "example.amazonaws.com"),
        ("x-amz-date", SUITE_DATE),
    ]);
    headers.extend(self::headers(more));
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let names = names.join(";");
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders={names}, Signature={signature}"
    );
    headers.insert("authorization", authorization.parse().unwrap());
    let request = request(method, target, &headers);
    let claim = Claim::read(&request).unwrap().unwrap();
    assert_eq!(claim.access_key_id, "AKIDEXAMPLE");
    let verified = claim.verify(&request, &payload_hash(body.as_bytes()), &suite_key());
    assert_eq!(verified, Ok(()), "{method} {target}");
}

#[test]
fn the_suites_signatures_are_right() {
    let get = |target: &str, signature| check_suite("GET", target, &[], "", signature);
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    // get-vanilla, and those of normalize-path that come to the same.
    for path in ["/", "//", "/./", "/example/..", "/example1/example2/../.."] {
        get(path, vanilla);
    }
    let slashes = "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84";
    get("//example//", slashes);
    let dot = "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5";
    get("/./example", dot);
    let space = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741";
    get("/example space/", space);
    let utf8 = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85";
    get("/\u{1234}", utf8);
    let unreserved = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f";
    get(&format!("/{UNRESERVED}"), unreserved);
}

#[test]
fn the_suites_queries_are_right() {
    let get = |target: &str, signature| check_suite("GET", target, &[], "", signature);
    // get-vanilla-query-order-key-case, -value, -encoded; get-vanilla-empty-query-key, -unreserved, -utf8.
    let key_case = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
    get("/?Param2=value2&Param1=value1", key_case);
    let value = "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694";
    get("/?Param1=value2&Param1=value1", value);
    let encoded = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac";
    get("/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", encoded);
    let empty = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb";
    get("/?Param1=value1", empty);
    let unreserved = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197";
    get(&format!("/?{UNRESERVED}={UNRESERVED}"), unreserved);
    let utf8 = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04";
    get("/?\u{1234}=bar", utf8);
    get("/?%e1%88%b4=bar", utf8);
}

#[test]
fn the_suites_headers_and_bodies_are_right() {
    check_suite(
        "GET",
        "/",
        &[
            ("my-header1", "value2"),
            ("my-header1", "value2"),
            ("my-header1", "value1"),
        ],
        "",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    );
    check_suite(
        "GET",
        "/",
        &[
            ("my-header1", "value4"),
            ("my-header1", "value1"),
            ("my-header1", "value3"),
            ("my-header1", "value2"),
        ],
        "",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    );
    check_suite(
        "GET",
        "/",
        &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
        "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    );
    check_suite(
        "POST",
        "/?Param1=value1",
        &[],
        "",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    );
    check_suite(
        "POST",
        "/",
        &[("content-type", "application/x-www-form-urlencoded")],
        "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    );
    let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    check_suite(
        "POST",
        "/",
        &[("x-amz-security-token", token)],
        "",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    );
}

#[test]
fn the_suites_presigned_urls_are_right() {
    let signed = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
                  &X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request\
                  &X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600";
    let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
    for (target, signature) in [
        (
            format!("/?Param2=value2&Param1=value1&{signed}"),
            "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5",
        ),
        (
            format!("/example space/?{signed}"),
            "7a1f416954786484c9824d93c1f26ef64acb9b1b6c9154d08c9f07d0e394abf6",
        ),
        (
            format!("/?{signed}&X-Amz-Security-Token={token}"),
            "7ff2b50b376cb4d151970630573d6291dc128cc5c2a12ffb237f73cc53f67b6c",
        ),
    ] {
        let target = format!("{target}&X-Amz-Signature={signature}");
        let headers = headers(&[("host", "example.amazonaws.com")]);
        let request = request("GET", &target, &headers);
        let claim = Claim::read(&request).unwrap().unwrap();
        assert_eq!(
            claim.verify(&request, EMPTY_HASH, &suite_key()),
            Ok(()),
            "{target}"
        );
    }
}

/// 12:36 on the suite's day.
fn noon() -> SystemTime {
    parse_timestamp(SUITE_DATE).unwrap()
}

fn signer(token: Option<&str>) -> Signer {
    Signer {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new(SUITE_SECRET),
        session_token: token.map(Secret::new),
        region: "eu-central-1".to_owned(),
    }
}

/// As a server does it: read, check, verify.
fn accept(request: &Request<'_>, body: &[u8], now: SystemTime) -> Result<Claim, SignatureError> {
    let claim = Claim::read(request)?.ok_or(SignatureError::Incomplete {
        what: "none".to_owned(),
    })?;
    claim.check(request, now)?;
    let key = SigningKey::derive(&Secret::new(SUITE_SECRET), &claim.scope);
    claim.verify(request, &payload_hash(body), &key)?;
    Ok(claim)
}

/// The headers of a signed `GET /`, with these replaced.
fn signed_with(more: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = headers(&[("host", "localhost:9080")]);
    let signer = signer(None);
    let payload = Payload::Bytes(b"");
    let signed = signer.sign(&request("GET", "/", &headers), payload, noon());
    headers.extend(signed.unwrap());
    for (name, value) in more {
        headers.insert(*name, value.parse().unwrap());
    }
    headers
}

#[test]
fn the_clock_may_be_off_by_five_minutes() {
    let headers = signed_with(&[]);
    let request = request("GET", "/", &headers);
    let second = Duration::from_secs(1);
    for now in [noon(), noon() + MAX_SKEW, noon() - MAX_SKEW] {
        assert!(accept(&request, b"", now).is_ok(), "{now:?}");
    }
    let late = accept(&request, b"", noon() + MAX_SKEW + second).unwrap_err();
    assert_eq!(
        late.to_string(),
        "signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.); \
         set the clock of the calling machine, and send the request as soon as it is signed"
    );
    let early = accept(&request, b"", noon() - MAX_SKEW - second).unwrap_err();
    assert!(matches!(early, SignatureError::NotYet { .. }), "{early}");
}

/// A presigned `GET /`, with changes to its query before it is signed.
fn presigned(expires: &str, change: impl Fn(String) -> String) -> String {
    let scope = Scope::new("20150830", "us-east-1", SERVICE);
    let query = format!(
        "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential=AKIDEXAMPLE/{scope}&X-Amz-Date={SUITE_DATE}\
         &X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
    );
    let query = change(query);
    let headers = headers(&[("host", "localhost:9080")]);
    let target = format!("/?{query}");
    let request = request("GET", &target, &headers);
    let canonical = canonical::request(&request, &["host".to_owned()], EMPTY_HASH);
    let key = SigningKey::derive(&Secret::new(SUITE_SECRET), &scope);
    let signature = key.sign(&string_to_sign(SUITE_DATE, &scope, &canonical));
    format!("/?X-Amz-Signature={signature}&{query}")
}

#[test]
fn a_presigned_url_is_good_until_it_expires() {
    let headers = headers(&[("host", "localhost:9080")]);
    let accept = |target: &str, now| accept(&request("GET", target, &headers), b"", now);
    let second = Duration::from_secs(1);
    let day = presigned("86400", |query| query);
    let ends = noon() + Duration::from_hours(24);
    for now in [noon() - MAX_SKEW, noon() + MAX_SKEW + second, ends] {
        assert!(accept(&day, now).is_ok(), "{now:?}");
    }
    let late = accept(&day, ends + second).unwrap_err();
    assert!(matches!(late, SignatureError::Expired { .. }), "{late}");
    assert!(accept(&presigned("604800", |query| query), noon()).is_ok());
    for expires in ["0", "604801", "-1", "+1", "", "1h", "99999999999999999999"] {
        let error = accept(&presigned(expires, |query| query), noon()).unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("`X-Amz-Expires` is no number of"),
            "{expires}: {words}"
        );
    }
    let twice = presigned("60", |query| format!("{query}&X-Amz-Expires=61"));
    let error = accept(&twice, noon()).unwrap_err().to_string();
    assert!(error.contains("`X-Amz-Expires` is twice"), "{error}");
}

#[test]
fn what_a_signature_must_cover() {
    // A header of AWS's own that somebody added on the way.
    let headers = signed_with(&[("x-amz-target", "elsewhere")]);
    let error = accept(&request("GET", "/", &headers), b"", noon()).unwrap_err();
    assert!(
        error.to_string().contains("`x-amz-target` is not signed"),
        "{error}"
    );
    // One of a proxy is not AWS's.
    let headers = signed_with(&[("x-amzn-trace-id", "Root=1"), ("via", "proxy")]);
    assert!(accept(&request("GET", "/", &headers), b"", noon()).is_ok());
    // Another body, whether or not its hash is said.
    let headers = signed_with(&[]);
    let error = accept(&request("GET", "/", &headers), b"more", noon()).unwrap_err();
    assert!(matches!(error, SignatureError::Mismatch { .. }), "{error}");
}

#[test]
fn a_streamed_body_is_not_signed_and_says_so() {
    let mut headers = headers(&[("host", "localhost:9080")]);
    let payload = Payload::Unsigned;
    let signed = signer(None).sign(&request("POST", "/s/M", &headers), payload, noon());
    headers.extend(signed.unwrap());
    let request = request("POST", "/s/M", &headers);
    let claim = Claim::read(&request).unwrap().unwrap();
    let key = SigningKey::derive(&Secret::new(SUITE_SECRET), &claim.scope);
    assert_eq!(claim.verify(&request, UNSIGNED_PAYLOAD, &key), Ok(()));
    // Where bodies are read, the same request is refused, whatever its body.
    let error = accept(&request, b"", noon()).unwrap_err();
    assert_eq!(error, SignatureError::Payload);
}

#[test]
fn a_token_is_the_keys_or_there_is_none() {
    let mut headers = headers(&[("host", "localhost:9080")]);
    let payload = Payload::Bytes(b"");
    let signed = signer(Some("token")).sign(&request("GET", "/", &headers), payload, noon());
    headers.extend(signed.unwrap());
    let claim = accept(&request("GET", "/", &headers), b"", noon()).unwrap();
    let key = SigningKey::derive(&Secret::new(SUITE_SECRET), &claim.scope);
    assert!(claim.has_token(Some(&Secret::new("token")), &key));
    assert!(!claim.has_token(Some(&Secret::new("tokem")), &key));
    assert!(!claim.has_token(None, &key));
    let headers = signed_with(&[]);
    let claim = accept(&request("GET", "/", &headers), b"", noon()).unwrap();
    assert!(claim.has_token(None, &key) && !claim.has_token(Some(&Secret::new("token")), &key));
}

#[test]
fn a_mismatch_shows_what_should_have_been_signed_and_no_token() {
    let mut headers = headers(&[("host", "localhost:9080")]);
    let payload = Payload::Bytes(b"");
    let signed = signer(Some("t/oken")).sign(&request("GET", "/", &headers), payload, noon());
    headers.extend(signed.unwrap());
    let error = accept(&request("GET", "/other?b&a=1", &headers), b"", noon()).unwrap_err();
    let SignatureError::Mismatch {
        canonical,
        string_to_sign,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        canonical,
        format!(
            "GET\n/other\na=1&b=\nhost:localhost:9080\nx-amz-date:20150830T123600Z\nx-amz-security-token:…\n\n\
             host;x-amz-date;x-amz-security-token\n{EMPTY_HASH}"
        )
    );
    assert!(string_to_sign.starts_with(
        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/eu-central-1/appmesh/aws4_request\n"
    ));
    let token = "&X-Amz-Security-Token=t%2Foken";
    let target = presigned("60", |query| query + token) + "&more=1";
    let host = self::headers(&[("host", "localhost:9080")]);
    let error = accept(&request("GET", &target, &host), b"", noon()).unwrap_err();
    let shown = format!("{error:?}");
    assert!(
        shown.contains("X-Amz-Security-Token=…") && !shown.contains("oken="),
        "{shown}"
    );
    assert!(!shown.contains("t%2Foken"), "{shown}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list, one mistake after another")]
fn what_cannot_be_checked_is_named() {
    let good = "Credential=AKID/20150830/us-east-1/appmesh/aws4_request";
    let hex = "0".repeat(64);
    for (authorization, words) in [
        (
            "Bearer abc".to_owned(),
            "does not begin with `AWS4-HMAC-SHA256 `",
        ),
        ("AWS4-HMAC-SHA256".to_owned(), "does not begin with"),
        (
            format!("AWS4-HMAC-SHA256 {good}, SignedHeaders=host"),
            "has no `Signature`",
        ),
        (
            format!("AWS4-HMAC-SHA256 {good}, Signature={hex}"),
            "has no `SignedHeaders`",
        ),
        (
            format!("AWS4-HMAC-SHA256 SignedHeaders=host,Signature={hex}"),
            "has no `Credential`",
        ),
        (
            format!("AWS4-HMAC-SHA256 {good}, {good}"),
            "two parts `Credential`",
        ),
        (format!("AWS4-HMAC-SHA256 {good}, X=1"), "unknown part"),
        (
            format!("AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature={hex}"),
            "the credential is not",
        ),
        (
            format!("AWS4-HMAC-SHA256 {good}, SignedHeaders=x;host, Signature={hex}"),
            "sorted",
        ),
        (
            format!("AWS4-HMAC-SHA256 {good}, SignedHeaders=Host, Signature={hex}"),
            "lower case",
        ),
        (
            format!("AWS4-HMAC-SHA256 {good}, SignedHeaders=host, Signature=00"),
            "64 hexadecimal",
        ),
    ] {
        let headers = signed_with(&[("authorization", &authorization)]);
        let error = Claim::read(&request("GET", "/", &headers)).unwrap_err();
        assert!(
            matches!(error, SignatureError::Incomplete { .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains(words),
            "{authorization}: {error}"
        );
    }
    for date in [
        "20150830",
        "2015-08-30T12:36:00Z",
        "20151330T123600Z",
        "20150830T123600+",
    ] {
        let headers = signed_with(&[("x-amz-date", date)]);
        let error = Claim::read(&request("GET", "/", &headers)).unwrap_err();
        assert!(
            error.to_string().contains("the date is not of the form"),
            "{date}: {error}"
        );
    }
    let mut undated = signed_with(&[]);
    undated.remove("x-amz-date");
    assert!(Claim::read(&request("GET", "/", &undated)).is_err());
    let both = signed_with(&[]);
    let both = Claim::read(&request("GET", "/?X-Amz-Signature=1", &both));
    assert!(both.unwrap_err().to_string().contains("sign it once"));
    assert_eq!(
        Claim::read(&request("GET", "/?a=b", &HeaderMap::new())),
        Ok(None)
    );
}

#[test]
fn a_scope_is_of_its_day_and_of_this_service() {
    for (scope, words) in [
        (
            "20150829/us-east-1/appmesh/aws4_request",
            "the day of the request, 20150830",
        ),
        (
            "20150830/us-east-1/s3/aws4_request",
            "service `appmesh`, not `s3`",
        ),
    ] {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders=host;x-amz-date, Signature={}",
            "0".repeat(64)
        );
        let headers = signed_with(&[("authorization", &authorization)]);
        let error = accept(&request("GET", "/", &headers), b"", noon()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let signer = signer(Some("token"));
    let shown = format!("{signer:?} {:?}", suite_key());
    assert!(
        !shown.contains(SUITE_SECRET) && !shown.contains("token\""),
        "{shown}"
    );
}

/// A request whose every character means something: no blanks, no escapes, no dots.
#[derive(Clone, Debug)]
struct Sample {
    method: String,
    path: String,
    query: String,
    host: String,
    header: String,
    body: Vec<u8>,
}

fn sample() -> impl Strategy<Value = Sample> {
    (
        "GET|PUT|POST|DELETE",
        "(/[a-z0-9]{1,6}){1,4}",
        "([a-z]{1,3}=[a-z0-9]{1,4}(&[a-z]{1,3}=[a-z0-9]{1,4}){0,3})?",
        "[a-z]{1,8}(:[0-9]{2,4})?",
        "[a-zA-Z0-9]{1,10}",
        proptest::collection::vec(any::<u8>(), 0..20),
    )
        .prop_map(|(method, path, query, host, header, body)| Sample {
            method,
            path,
            query,
            host,
            header,
            body,
        })
}

impl Sample {
    fn headers(&self) -> HeaderMap {
        headers(&[("host", &self.host), ("my-header", &self.header)])
    }

    fn request<'a>(&'a self, headers: &'a HeaderMap) -> Request<'a> {
        Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers,
            authority: None,
        }
    }

    /// The same with one byte of one part changed, or nothing if that part is empty.
    fn flipped(&self, part: usize, at: usize) -> Option<Self> {
        let flip = |text: &str| {
            let at = at % text.len().max(1);
            let mut bytes = text.as_bytes().to_vec();
            let byte = bytes.get_mut(at)?;
            *byte = if *byte == b'q' { b'Q' } else { b'q' };
            String::from_utf8(bytes).ok()
        };
        let mut other = self.clone();
        match part % 6 {
            0 => other.method = flip(&self.method)?,
            // The slash in front stays.
            1 => other.path = format!("/{}", flip(&self.path[1..])?),
            2 => other.query = flip(&self.query)?,
            3 => other.host = flip(&self.host)?,
            4 => other.header = flip(&self.header)?,
            _ => {
                let at = at % self.body.len().max(1);
                *other.body.get_mut(at)? ^= 1;
            }
        }
        Some(other)
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_nothing_else_does(
        sample in sample(),
        token in proptest::option::of("[a-z]{1,8}"),
        part in 0_usize..6,
        at in 0_usize..1000,
    ) {
        let mut headers = sample.headers();
        let signer = signer(token.as_deref());
        let payload = Payload::Bytes(&sample.body);
        let signed = signer.sign(&sample.request(&headers), payload, noon()).unwrap();
        headers.extend(signed.clone());
        prop_assert!(accept(&sample.request(&headers), &sample.body, noon()).is_ok());

        if let Some(other) = sample.flipped(part, at) {
            let mut headers = other.headers();
            headers.extend(signed.clone());
            let accepted = accept(&other.request(&headers), &other.body, noon());
            let is_mismatch = matches!(accepted, Err(SignatureError::Mismatch { .. }));
            prop_assert!(is_mismatch, "{sample:?} {other:?} {accepted:?}");
        }
        // Any other byte of what the signer added: the date, the token, the scope, the names, the signature.
        for name in signed.keys() {
            let mut headers = headers.clone();
            let mut value = headers[name].as_bytes().to_vec();
            let at = at % value.len();
            // The key's id, which says whose signature it is, is held against the key by whoever looks it up.
            let id = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE".len();
            if name == header::AUTHORIZATION && at < id {
                continue;
            }
            value[at] = if value[at] == b'0' { b'1' } else { b'0' };
            headers.insert(name, HeaderValue::from_bytes(&value).unwrap());
            let accepted = accept(&sample.request(&headers), &sample.body, noon());
            prop_assert!(accepted.is_err(), "{name} at {at}: {accepted:?}");
        }
    }

    #[test]
    fn any_authorization_is_read_or_refused(
        authorization in "(AWS4-HMAC-SHA256 )?[ -~]{0,120}",
        target in "/[ -~]{0,120}",
    ) {
        let headers = signed_with(&[("authorization", &authorization)]);
        let request = request("GET", &target, &headers);
        prop_assert!(accept(&request, b"", noon()).is_err());
    }
}
