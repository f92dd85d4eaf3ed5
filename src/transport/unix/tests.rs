//! What may be at a socket's path, and what becomes of it.

use super::*;

async fn bind(path: &Path) -> Result<UnixSocket, SocketError> {
    UnixSocket::bind(path, SocketMode::default()).await
}

async fn refusal(path: &Path) -> String {
    bind(path).await.unwrap_err().to_string()
}

#[tokio::test]
async fn the_file_has_its_mode_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xds.sock");
    for (text, mode) in [("0660", 0o660), ("666", 0o666), ("0o600", 0o600)] {
        let socket = UnixSocket::bind(&path, text.parse().unwrap())
            .await
            .unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{text}");
        let connected = UnixStream::connect(&path);
        let (connected, accepted) = tokio::join!(connected, socket.accept());
        drop((connected.unwrap(), accepted.unwrap()));
        drop(socket);
        assert!(!path.exists());
    }
}

#[test]
fn a_mode_is_octal_and_lets_somebody_connect() {
    for text in ["", "rw", "0999", "1777", "0440", "-1", "0x1b6"] {
        let error = text.parse::<SocketMode>().unwrap_err().to_string();
        assert!(
            error.contains("0660") && error.contains(&format!("`{text}`")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_dead_server_s_socket_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xds.sock");
    // A listener of the standard library leaves its file behind, as a killed server does.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(bind(&path).await.unwrap());
}

#[tokio::test]
async fn a_live_server_keeps_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xds.sock");
    let live = bind(&path).await.unwrap();
    let error = refusal(&path).await;
    assert!(error.contains("another process listens"), "{error}");
    assert!(
        path.exists(),
        "the attempt must not have removed the live server's file"
    );
    drop(live);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    fs::write(&file, "precious").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link, &folder.path().to_owned()] {
        let error = refusal(path).await;
        assert!(error.contains("is no socket"), "{error}");
    }
    assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
}

#[tokio::test]
async fn another_server_s_socket_is_not_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xds.sock");
    let first = bind(&path).await.unwrap();
    fs::rename(&path, folder.path().join("aside")).unwrap();
    let second = bind(&path).await.unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn paths_that_cannot_be_are_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(&folder.path().join("absent/xds.sock")).await;
    assert!(
        error.contains("there is no folder") && error.contains("/absent`"),
        "{error}"
    );

    let base = folder.path().as_os_str().len() + 1;
    let longest = folder.path().join("s".repeat(MAX_PATH - base));
    drop(bind(&longest).await.unwrap());
    let error = refusal(&folder.path().join("s".repeat(MAX_PATH - base + 1))).await;
    assert!(
        error.contains("108 bytes") && error.contains("107"),
        "{error}"
    );
}
