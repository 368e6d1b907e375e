//! WebSockets over Unix sockets of async-std.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

use std::time::Duration;

use async_std::os::unix::net::{UnixListener, UnixStream};
use ws_async_std::{ClientConfig, Connection, Server, Stream, connect_over};

/// A stream of a Unix socket is served and connected over; its connection is in the registry.
#[test]
fn a_unix_socket_is_served() {
    let path = std::env::temp_dir().join(format!("ws-async-std-{}.socket", std::process::id()));
    let _ = std::fs::remove_file(&path);
    async_std::task::block_on(async {
        let listener = UnixListener::bind(&path).await.unwrap();
        let server = Server::builder().build().unwrap();
        let serving = {
            let server = server.clone();
            async_std::task::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                server.handle_stream(Stream::from(stream), None, echo).await
            })
        };
        let stream = Stream::from(UnixStream::connect(&path).await.unwrap());
        let opened = connect_over(stream, "ws://localhost/", &ClientConfig::new()).await;
        let mut connection = opened.unwrap();
        assert!(serving.await);
        connection.send("over a file").await.unwrap();
        let echo = connection.recv().await.unwrap();
        assert_eq!(echo.as_text(), Some("over a file"));
        assert_eq!(server.broadcast("all"), 1);
        assert_eq!(connection.recv().await.unwrap().as_text(), Some("all"));
        // Not only when the server gives up to wait for the end of our side of the stream.
        let closing = async_std::future::timeout(Duration::from_secs(5), connection.close());
        assert!(closing.await.unwrap().clean);
    });
    std::fs::remove_file(&path).unwrap();
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}
