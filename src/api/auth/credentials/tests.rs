use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::api::auth::sigv4::SERVICE;

const SECRET: &str = "not-to-be-shown-anywhere";

fn written(folder: &TempDir, text: &str, mode: u32) -> PathBuf {
    let path = folder.path().join("keys.yaml");
    std::fs::write(&path, text).unwrap();
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&path, permissions).unwrap();
    path
}

fn key(id: &str) -> String {
    format!("- accessKeyId: {id}\n  secretAccessKey: {SECRET}\n")
}

fn open(path: &Path) -> Result<CredentialsFile, CredentialsError> {
    CredentialsFile::open(path, &Registry::new())
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o400, 0o640, 0o440] {
        assert!(open(&written(&folder, &key("A"), mode)).is_ok(), "{mode:o}");
    }
    for mode in [0o644, 0o604, 0o660, 0o602, 0o601] {
        let error = open(&written(&folder, &key("A"), mode)).unwrap_err();
        let words = error.to_string();
        assert!(words.contains(&format!("has mode {mode:04o}")), "{words}");
        assert!(words.contains("run `chmod 0600 "), "{words}");
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("/none`; name one that exists"), "{error}");
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("or is no file"), "{error}");
    let long = " ".repeat(usize::try_from(LARGEST).unwrap() + 1);
    let error = open(&written(&folder, &long, 0o600)).unwrap_err();
    assert!(matches!(error, CredentialsError::TooLong { .. }), "{error}");
    let error = open(&written(&folder, "- x", 0o600))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("keys.yaml:1:3: this is no list of keys"),
        "{error}"
    );
}

#[test]
fn a_bad_change_leaves_the_old_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &key("A"), 0o600);
    let (mut file, ready) = (open(&path).unwrap(), Ready::default());
    let keys = file.watch();
    let has = |id: &str| keys.borrow().key(id).is_some();
    file.look(&ready);
    assert!(!keys.has_changed().unwrap(), "nothing was written");

    written(&folder, &(key("A") + &key("B")), 0o600);
    file.look(&ready);
    assert!(has("A") && has("B"));

    let bad = format!("{}  readOnly: {SECRET}\n", key("C"));
    for (text, mode, words) in [
        (bad.as_str(), 0o600, "keys.yaml:3:13: `readOnly` is not"),
        (key("C").as_str(), 0o644, "has mode 0644"),
    ] {
        written(&folder, text, mode);
        file.look(&ready);
        assert!(has("B") && !has("C"));
        let report = ready.report().to_string();
        assert!(
            report.contains(words) && !report.contains(SECRET),
            "{report}"
        );
        assert!(report.contains("degraded: API credentials: not taken, the old keys stay: "));
    }
    std::fs::remove_file(&path).unwrap();
    file.look(&ready);
    assert!(has("B") && ready.report().to_string().contains("No such file"));

    written(&folder, &key("C"), 0o600);
    file.look(&ready);
    assert!(has("C") && !has("A"));
    assert_eq!(ready.report().to_string(), "ready\n");
}

/// What failed for want of a descriptor succeeds with the same file. Bytes that are no text fail as such a read does.
#[test]
fn a_file_that_cannot_be_read_is_tried_again_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &key("A"), 0o600);
    let registry = Registry::new();
    let mut file = CredentialsFile::open(&path, &registry).unwrap();
    std::fs::write(&path, [0xff]).unwrap();
    for _ in 0..3 {
        file.look(&Ready::default());
        assert_eq!(file.seen, None, "the next look reads it");
    }
    let families = registry.gather();
    let reloads = families
        .iter()
        .find(|family| family.name() == "outrigger_api_credentials_reloads_total");
    let counts = reloads.unwrap().get_metric().iter();
    let told: f64 = counts.map(|count| count.get_counter().get_value()).sum();
    assert!((told - 1.0).abs() < f64::EPSILON, "{told}");
}

#[test]
fn signing_keys_are_kept_up_to_a_limit_and_go_with_their_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &key("A"), 0o600);
    let file = open(&path).unwrap();
    let credentials = Arc::clone(&file.watch().borrow());
    let key = credentials.key("A").unwrap();
    let kept = || credentials.signing.lock().unwrap().len();
    let scope = |day: usize| Scope::new(&day.to_string(), "us-east-1", SERVICE);
    credentials.signing_key(key, &scope(0));
    assert_eq!(kept(), 0, "only what has proved right is kept");
    // One that is kept again takes no room of another.
    for day in (0..KEPT).chain([0]) {
        let signing = credentials.signing_key(key, &scope(day));
        credentials.keep(key, &scope(day), signing);
    }
    assert_eq!(kept(), KEPT);
    let signing = credentials.signing_key(key, &scope(KEPT));
    credentials.keep(key, &scope(KEPT), signing);
    assert_eq!(kept(), 1);
    assert!(!format!("{credentials:?}").contains(SECRET));
}
