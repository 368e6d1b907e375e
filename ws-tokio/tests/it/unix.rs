//! WebSockets over Unix sockets of tokio.

use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use ws_tokio::{ClientConfig, Server, Stream, Version, connect_over};

/// A server that listens on nothing serves the streams of a Unix socket, in every version, plain HTTP
/// beside it; its shutdown closes them.
#[tokio::test]
async fn a_unix_socket_is_served_in_every_version() {
    let path = std::env::temp_dir().join(format!("ws-tokio-{}.socket", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = Server::builder().build().unwrap();
    let serving = {
        let server = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let handler = |mut connection: ws_tokio::Connection| async move {
                    while let Some(message) = connection.recv().await {
                        let _ = connection.send(message).await;
                    }
                };
                if !server
                    .handle_stream(Stream::new(stream), None, handler)
                    .await
                {
                    break;
                }
            }
        })
    };
    let mut connections = Vec::new();
    for version in Version::ALL {
        let stream = Stream::new(UnixStream::connect(&path).await.unwrap());
        let config = ClientConfig::new().version(version);
        let opened = connect_over(stream, "ws://localhost/", &config).await;
        let mut connection = opened.unwrap();
        connection.send("over a file").await.unwrap();
        let echo = connection.recv().await.unwrap();
        assert_eq!(echo.as_text(), Some("over a file"));
        connections.push(connection);
    }
    assert_eq!(server.broadcast("all"), 3);
    let closing = connections.into_iter().map(|mut connection| async move {
        assert_eq!(connection.recv().await.unwrap().as_text(), Some("all"));
        assert!(connection.recv().await.is_none());
    });
    let closing: Vec<_> = closing.map(tokio::spawn).collect();
    let report = server.shutdown(Duration::from_secs(10)).await;
    assert_eq!(report.aborted, 0);
    for closed in closing {
        closed.await.unwrap();
    }
    let last = UnixStream::connect(&path).await.unwrap();
    serving.await.unwrap();
    drop(last);
    std::fs::remove_file(&path).unwrap();
}
