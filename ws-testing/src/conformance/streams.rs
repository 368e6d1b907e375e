//! Streams that only one runtime or one library has. The tests of its adapter make them, and call these cases.

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::ClientConfig;

use super::foreign_server::{Style, answer_on, hand_over};
use super::support::{Host, echo, ms, text};
use ws_driver::{Runtime, Server, connect_over};

/// A stream of the runtime's own that is no TCP, such as a Unix socket's: both of its ends.
pub async fn a_pair_of_streams<R, S>(ours: S, theirs: S)
where
    R: Runtime + Default,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let server = Host(Server::<R>::builder().build().unwrap());
    assert!(server.handle_stream(ours, None, echo).await);
    echoes_and_closes(&server, theirs).await;
}

/// A library's own way to give hyper a stream: `io` is one end of it, and `stream` the other.
pub async fn a_stream_of_another_library<R, I, S>(io: I, stream: S)
where
    R: Runtime + Default,
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let server = Host(Server::<R>::builder().build().unwrap());
    answer_on::<R, _, _>(server.clone(), io, Style::Usual, hand_over(echo));
    echoes_and_closes(&server, stream).await;
}

/// Opens a connection over a stream to a server whose handler is the echo: it is in the registry, and its
/// end does not wait for a timeout.
async fn echoes_and_closes<R, S>(server: &Server<R>, stream: S)
where
    R: Runtime + Default,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let opened = connect_over::<R, _>(stream, "ws://localhost/", &ClientConfig::new()).await;
    let mut connection = opened.unwrap();
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
    assert_eq!(server.broadcast("all"), 1);
    assert_eq!(text(&mut connection).await, "all");
    let begin = R::default().now();
    assert!(connection.close().await.clean);
    assert!(
        R::default().now() - begin < ms(5000),
        "it waited for a timeout"
    );
}
