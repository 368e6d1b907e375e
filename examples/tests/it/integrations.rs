//! The examples whose WebSocket comes through an integration instead of a port of our server.

use tokio::time::timeout;
use ws_tokio::{ClientConfig, Connection, Origin, Version, connect, connect_with};

use super::common::{PATIENCE, UPGRADE, request, serve};

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it takes that long")
}

async fn text(connection: &mut Connection) -> String {
    let message = soon(connection.recv()).await.expect("a message comes");
    message.as_text().unwrap().to_owned()
}

/// Behind hyper the echo speaks every version, and pages are beside it.
#[tokio::test]
async fn hyper_has_an_echo_in_every_version() {
    let (_program, addr) = serve(env!("CARGO_BIN_EXE_hyper"), "http", &[]);
    for version in Version::ALL {
        let config = ClientConfig::new().version(version);
        let url = format!("ws://{addr}/echo");
        let mut connection = soon(connect_with(&url, &config)).await.unwrap();
        connection.send("hi").await.unwrap();
        assert_eq!(text(&mut connection).await, "hi");
        soon(connection.close()).await;
    }
    for (path, status, words) in [
        ("/", "200 ok", "the websocket is at /echo"),
        ("/none", "404 not found", "the websocket is at /echo"),
        ("/echo", "426 upgrade required", "websocket client"),
    ] {
        let (head, body) = request(addr, &format!("GET {path}"), "Connection: close\r\n");
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
        assert!(body.to_ascii_lowercase().contains(words), "{body}");
    }
}

/// The board on axum tells what it has to whoever comes, and each change to all; draft-76 as well.
#[tokio::test]
async fn the_board_is_live() {
    let (_program, addr) = serve(env!("CARGO_BIN_EXE_axum"), "http", &[]);
    let url = format!("ws://{addr}/live");
    let mut modern = soon(connect(&url)).await.unwrap();
    assert_eq!(text(&mut modern).await, r#"{"event":"board","notes":[]}"#);
    assert_eq!(text(&mut modern).await, r#"{"event":"watching","count":1}"#);
    let origin: Origin = format!("http://{addr}").parse().unwrap();
    let old = ClientConfig::new().version(Version::Draft76).origin(origin);
    let mut old = soon(connect_with(&url, &old)).await.unwrap();
    assert_eq!(text(&mut old).await, r#"{"event":"board","notes":[]}"#);
    for connection in [&mut modern, &mut old] {
        assert_eq!(text(connection).await, r#"{"event":"watching","count":2}"#);
    }
    old.send(r#"{"text":" from 2010 "}"#).await.unwrap();
    for connection in [&mut modern, &mut old] {
        let note = r#"{"event":"pinned","note":{"id":1,"text":"from 2010"}}"#;
        assert_eq!(text(connection).await, note);
    }
    let plain = "Connection: close\r\n";
    let (_, notes) = request(addr, "GET /api/notes", plain);
    assert_eq!(notes, r#"[{"id":1,"text":"from 2010"}]"#);
    let (head, _) = request(addr, "DELETE /api/notes/1", plain);
    assert!(head.starts_with("http/1.1 204 "), "{head}");
    assert_eq!(text(&mut old).await, r#"{"event":"unpinned","id":1}"#);
    soon(old.close()).await;
    assert_eq!(text(&mut modern).await, r#"{"event":"unpinned","id":1}"#);
    assert_eq!(text(&mut modern).await, r#"{"event":"watching","count":1}"#);
}

/// The pages of others are kept out of the board.
#[tokio::test]
async fn the_board_refuses_pages_of_others() {
    let (_program, addr) = serve(env!("CARGO_BIN_EXE_axum"), "http", &[]);
    let headers = format!("{UPGRADE}Sec-WebSocket-Version: 13\r\nOrigin: http://evil.example\r\n");
    let (head, _) = request(
        addr,
        "GET /live",
        &headers.replace("Upgrade\r\n", "Upgrade, close\r\n"),
    );
    assert!(head.starts_with("http/1.1 403 "), "{head}");
}

/// A server on a Unix socket, and what is left of it when it stops.
#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_served() {
    use tokio::net::UnixStream;
    use ws_tokio::{Stream, connect_over};

    let path = std::env::temp_dir().join(format!("ws-examples-{}.socket", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let path = path.to_str().unwrap();
    let binary = env!("CARGO_BIN_EXE_behind-proxy");
    let program = super::common::Program::start(binary, &["--unix", path]);
    assert_eq!(program.line(), format!("listening on {path}"));
    for version in Version::ALL {
        let stream = Stream::new(UnixStream::connect(path).await.unwrap());
        let config = ClientConfig::new().version(version);
        let opened = soon(connect_over(stream, "ws://localhost/", &config)).await;
        let mut connection = opened.unwrap();
        assert_eq!(text(&mut connection).await, "you have no address");
        connection.send("over a file").await.unwrap();
        assert_eq!(text(&mut connection).await, "over a file");
        soon(connection.close()).await;
    }
    drop(program);
    std::fs::remove_file(path).unwrap();
}

/// Sockets that the parent of a program has bound, as systemd does it: LISTEN_PID is the program itself.
#[cfg(unix)]
#[tokio::test]
async fn sockets_of_the_parent_are_served() {
    use std::process::{Command, Stdio};

    struct Killed(std::process::Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let script = r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" 3<&0 0</dev/null"#;
    let program = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_behind-proxy")])
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .spawn();
    let _program = Killed(program.unwrap());
    // The socket listens already, so who comes before the program waits.
    let opened = soon(connect(&format!("ws://{addr}/"))).await;
    let mut connection = opened.unwrap();
    assert!(
        text(&mut connection)
            .await
            .starts_with("you are 127.0.0.1:")
    );
    soon(connection.close()).await;
}
