//! --listen: the client as a server, for all who come or for one.

use std::net::TcpStream;
use std::time::Duration;

use tokio::time::timeout;
use ws_tokio::{CloseCode, Connection, connect};

use super::{Run, run, runtime, start};
use crate::common::{PATIENCE, Program};

/// Starts it on a free port; returns its URL.
fn listen(options: &[&str]) -> (Program, String) {
    let listener = start(&[&["--listen", "127.0.0.1:0"], options].concat());
    let line = listener.error_line();
    let url = line.strip_prefix("listening on ").unwrap();
    let url = url.to_owned();
    (listener, url)
}

async fn recv(connection: &mut Connection) -> Option<String> {
    let received = timeout(PATIENCE, connection.recv()).await.unwrap();
    received.map(|message| message.as_text().unwrap().to_owned())
}

/// What is read goes to all clients, what any of them sends is printed, and the end of the input is 1001.
#[test]
fn all_clients_are_bridged() {
    let (mut listener, url) = listen(&[]);
    runtime().block_on(async {
        let mut first = connect(&url).await.unwrap();
        let mut second = connect(&url).await.unwrap();
        for _ in 0..2 {
            assert_eq!(listener.error_line(), "connected: rfc6455, no subprotocol");
        }
        listener.write_line("to all");
        assert_eq!(recv(&mut first).await.as_deref(), Some("to all"));
        assert_eq!(recv(&mut second).await.as_deref(), Some("to all"));
        first.send("of one").await.unwrap();
        assert_eq!(listener.line(), "of one");
        second.send([1, 255]).await.unwrap();
        assert_eq!(listener.line(), "binary 01ff");
        // Who goes is missed by nobody.
        assert_eq!(first.close().await.code, 1000);
        assert_eq!(listener.error_line(), "ended: 1000, closed by the peer");
        listener.write_line("the last");
        listener.end_input();
        assert_eq!(recv(&mut second).await.as_deref(), Some("the last"));
        assert_eq!(recv(&mut second).await, None);
        assert_eq!(second.close().await.code, 1001);
    });
    assert_eq!(listener.wait().code(), Some(0));
}

/// Nothing of a pipe is read for nobody: the first client gets all, and --count ends the server.
#[test]
fn a_pipe_waits_for_the_first_client() {
    let (mut listener, url) = listen(&["--count", "1"]);
    for number in 0..1000 {
        listener.write_line(&number.to_string());
    }
    runtime().block_on(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut client = connect(&url).await.unwrap();
        for number in 0..1000 {
            assert_eq!(recv(&mut client).await, Some(number.to_string()));
        }
        client.send("thanks").await.unwrap();
        assert_eq!(listener.line(), "thanks");
        assert_eq!(recv(&mut client).await, None);
    });
    assert_eq!(listener.wait().code(), Some(0));
}

/// What is no text ends it, behind all that is before; and so does a reader that has enough, without an error.
#[test]
fn it_ends_as_a_client_does() {
    let (mut listener, url) = listen(&[]);
    listener.write_line("one\ntwo\0");
    runtime().block_on(async {
        let mut client = connect(&url).await.unwrap();
        assert_eq!(recv(&mut client).await.as_deref(), Some("one"));
        assert_eq!(recv(&mut client).await, None);
        assert_eq!(client.close().await.code, 1001);
    });
    assert_eq!(listener.wait().code(), Some(6));

    let (listener, stdout) = Run::start_unread(&["--listen", "0"]);
    drop(stdout);
    let line = listener.error_line();
    let url = line.strip_prefix("listening on ").unwrap();
    run(&[url], b"hello\n").says(0, "");
    listener.end().says(0, "");
}

/// --oneshot takes one client, bridges it as if we had connected, and ends with it, and as it ended.
#[test]
fn one_client_is_bridged() {
    for (code, exit) in [(1000, 0), (4000, 5)] {
        let (mut listener, url) = listen(&["--oneshot", "--slash", "-P"]);
        runtime().block_on(async {
            let mut client = connect(&url).await.unwrap();
            listener.error_line();
            let addr = url.trim_start_matches("ws://").trim_end_matches('/');
            assert!(TcpStream::connect(addr).is_err(), "it takes one client");
            listener.write_line("/ping hello");
            listener.write_line("to you");
            assert_eq!(recv(&mut client).await.as_deref(), Some("to you"));
            assert_eq!(listener.error_line(), "pong \"hello\"");
            client.send("to me").await.unwrap();
            assert_eq!(listener.line(), "to me");
            let code = CloseCode::new(code).unwrap();
            let closed = client.close_with(code, "").await.unwrap();
            assert!(closed.clean, "{closed}");
        });
        // Its standard input is still open.
        assert_eq!(listener.wait().code(), Some(exit));
    }
}

/// Two of them are a pipe through the network, in both directions, for bytes too.
#[test]
fn two_of_them_are_a_pipe() {
    let bytes: Vec<u8> = (0..1 << 20)
        .map(|n: u32| (n.wrapping_mul(n) >> 5).to_le_bytes()[0])
        .collect();
    let mut listener = Run::start(&["--listen", "0", "--oneshot", "--binary", "--wait", "20"]);
    let line = listener.error_line();
    let url = line.strip_prefix("listening on ").unwrap();
    listener.feed(b"short".to_vec());
    let connected = run(&[url, "--binary"], &bytes);
    connected
        .says(0, "ended: 1000, closed by us")
        .printed("short");
    listener
        .end()
        .says(0, "ended: 1000, closed by the peer")
        .printed(&bytes);
}
