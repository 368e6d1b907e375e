//! WebSockets over Unix sockets of smol, whose streams have the traits of futures-io already.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

use smol::net::unix::{UnixListener, UnixStream};
use ws_smol::{ClientConfig, Connection, Server, connect_over};

/// A stream of a Unix socket is served and connected over; its connection is in the registry.
#[test]
fn a_unix_socket_is_served() {
    let path = std::env::temp_dir().join(format!("ws-smol-{}.socket", std::process::id()));
    let _ = std::fs::remove_file(&path);
    smol::block_on(async {
        let listener = UnixListener::bind(&path).unwrap();
        let server = Server::builder().build().unwrap();
        let serving = {
            let server = server.clone();
            smol::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                server.handle_stream(stream, None, echo).await
            })
        };
        let stream = UnixStream::connect(&path).await.unwrap();
        let opened = connect_over(stream, "ws://localhost/", &ClientConfig::new()).await;
        let mut connection = opened.unwrap();
        assert!(serving.await);
        connection.send("over a file").await.unwrap();
        let echo = connection.recv().await.unwrap();
        assert_eq!(echo.as_text(), Some("over a file"));
        assert_eq!(server.broadcast("all"), 1);
        assert_eq!(connection.recv().await.unwrap().as_text(), Some("all"));
        assert!(connection.close().await.clean);
    });
    std::fs::remove_file(&path).unwrap();
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}
