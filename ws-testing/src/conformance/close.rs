//! Connections and servers end as they should, and both sides learn how.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ws_proto::{ClientConfig, CloseCause, CloseCode, Closed, Initiator, SendError, Version};

use super::support::{
    ANY, Host, Log, Peer, RFC6455, Told, client, echo, ms, serve, spawn, text, until, url,
};
use ws_driver::{Connection, Runtime, Server, connect_with};

/// A server whose handlers echo, and tell how their connection ended.
async fn telling<R: Runtime + Default>() -> (Host<R>, Told<Closed>) {
    let told = Told::default();
    let teller = told.clone();
    let server = serve(Server::builder(), move |mut connection: Connection| {
        let teller = teller.clone();
        async move {
            while let Some(message) = connection.recv().await {
                let _ = connection.send(message).await;
            }
            assert_eq!(connection.recv().await, None, "it stays ended");
            teller.tell(
                connection
                    .closed()
                    .expect("a connection that ended says how"),
            );
        }
    });
    (server.await, told)
}

fn code(code: u16) -> CloseCode {
    CloseCode::new(code).unwrap()
}

/// `connection.close`: from either side, in each version, and both sides agree on who began.
pub async fn connection_close<R: Runtime + Default>() {
    let (server, told) = telling::<R>().await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        let local = connection.close().await;
        let remote = told.next().await;
        assert_eq!((local.by, remote.by), (Initiator::Local, Initiator::Peer));
        assert_eq!(local.clean, version.features().close_frame, "{local}");
        assert_eq!(
            connection.close().await,
            local,
            "a second close changes nothing"
        );
        if version == Version::Rfc6455 {
            assert_eq!((local.code, remote.code), (1000, 1000));
        }
    }
    let server = serve::<R, _, _>(Server::builder(), |mut connection| async move {
        connection.close().await;
    });
    let server = server.await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        assert_eq!(connection.recv().await, None);
        assert_eq!(
            connection.closed().unwrap().by,
            Initiator::Peer,
            "{version}"
        );
    }
}

/// Code and reason of a client's close reach the server, and the other way round.
pub async fn code_and_reason_reach_the_peer<R: Runtime + Default>() {
    let (server, told) = telling::<R>().await;
    let mut connection = client(&server, Version::Rfc6455).await;
    let local = connection.close_with(code(4000), "good bye").await.unwrap();
    let remote = told.next().await;
    assert!(local.clean && remote.clean);
    assert_eq!((remote.code, remote.reason.as_str()), (4000, "good bye"));

    let server = serve::<R, _, _>(Server::builder(), |mut connection| async move {
        let closed = connection.close_with(code(4001), "see you").await;
        assert!(closed.unwrap().clean);
    });
    let server = server.await;
    let mut connection = client(&server, Version::Rfc6455).await;
    assert_eq!(connection.recv().await, None);
    let closed = connection.closed().unwrap();
    assert_eq!((closed.code, closed.reason.as_str()), (4001, "see you"));
}

/// Event `close` of a connection: `recv` gives what came before, then `None`, and then `closed` knows.
pub async fn connection_event_close<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), |mut connection| async move {
        connection.send("last words").await.unwrap();
        connection.close_with(code(4000), "done").await.unwrap();
    });
    let server = server.await;
    let mut connection = client(&server, Version::Rfc6455).await;
    let sender = connection.sender();
    assert_eq!(text(&mut connection).await, "last words");
    assert_eq!(connection.recv().await, None);
    let closed = connection.closed().unwrap();
    assert_eq!(closed.to_string(), "4000 \"done\", closed by the peer");
    assert_eq!(
        (closed.clean, &closed.cause),
        (true, &CloseCause::Handshake)
    );
    assert_eq!(sender.wait_closed().await, closed);
    assert_eq!(sender.closed(), Some(closed));
    assert_eq!(sender.send("too late").await, Err(SendError::Closed));
}

/// A sender closes from another task, and waits for the end.
pub async fn a_sender_closes_and_waits<R: Runtime + Default>() {
    let (server, told) = telling::<R>().await;
    let connection = client(&server, Version::Rfc6455).await;
    let sender = connection.sender();
    let closing = spawn::<R, _>(async move {
        sender.begin_close(code(4002), "from a task").unwrap();
        sender.wait_closed().await
    });
    assert_eq!(closing.next().await.by, Initiator::Local);
    assert_eq!(told.next().await.reason, "from a task");
    assert!(connection.closed().is_some());
}

/// A reason that does not fit is refused, and nothing is closed.
pub async fn a_reason_that_is_too_long_closes_nothing<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let mut connection = client(&server, Version::Rfc6455).await;
    let refused = connection
        .close_with(CloseCode::NORMAL, &"x".repeat(124))
        .await;
    let (len, limit) = (124, 123);
    assert_eq!(refused, Err(SendError::ControlTooLong { len, limit }));
    connection.send("still here").await.unwrap();
    assert_eq!(text(&mut connection).await, "still here");
}

/// A reset by the peer ends its connection with 1006, and nobody else's.
pub async fn a_reset_ends_one_connection<R: Runtime + Default>() {
    let told = Told::default();
    let teller = told.clone();
    let server = serve::<R, _, _>(Server::builder(), move |mut connection| {
        let teller = teller.clone();
        async move {
            if connection.request().unwrap().path() == "/demo" {
                return echo(connection).await;
            }
            connection.send("x".repeat(50_000)).await.unwrap();
            while connection.recv().await.is_some() {}
            teller.tell(connection.closed().unwrap());
        }
    });
    let server = server.await;
    let mut other = client(&server, Version::Rfc6455).await;
    let mut peer = Peer::open(&server).await;
    peer.read(2).await;
    // A socket that is closed with unread bytes is reset.
    drop(peer);
    let closed = told.next().await;
    assert_eq!((closed.code, closed.clean), (1006, false), "{closed}");
    assert_eq!(closed.cause, CloseCause::Disconnected);
    other.send("hi").await.unwrap();
    assert_eq!(text(&mut other).await, "hi");
    until::<R>(|| server.clients().len() == 1).await;
}

/// A stream that ends without a close is no clean end.
pub async fn an_end_without_a_close_is_not_clean<R: Runtime + Default>() {
    let (server, told) = telling::<R>().await;
    let mut peer = Peer::open(&server).await;
    peer.end().await;
    let closed = told.next().await;
    assert_eq!((closed.code, closed.clean), (1006, false), "{closed}");
    assert_eq!(closed.cause, CloseCause::Disconnected);
    peer.read_to_end().await;
}

/// A handle that is dropped, on either side, closes the connection with 1000.
pub async fn a_dropped_connection_closes_with_1000<R: Runtime + Default>() {
    let (server, told) = telling::<R>().await;
    drop(client(&server, Version::Rfc6455).await);
    let closed = told.next().await;
    assert_eq!((closed.code, closed.clean), (1000, true), "{closed}");

    let server = serve::<R, _, _>(Server::builder(), |_| async {}).await;
    let mut connection = client(&server, Version::Rfc6455).await;
    assert_eq!(connection.recv().await, None);
    let closed = connection.closed().unwrap();
    assert_eq!((closed.code, closed.clean), (1000, true), "{closed}");
}

/// A panic in a handler ends its connection with 1011 and no other; the observer is told.
pub async fn a_panic_closes_with_1011<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let server = serve(builder, |mut connection| async move {
        while let Some(message) = connection.recv().await {
            if message.as_text() == Some("panic") {
                // As a panic, but without the noise of one.
                resume_unwind(Box::new("a case wants it"));
            }
            connection.send(message).await.unwrap();
        }
    })
    .await;
    let mut other = client(&server, Version::Rfc6455).await;
    let mut connection = client(&server, Version::Rfc6455).await;
    connection.send("panic").await.unwrap();
    assert_eq!(connection.recv().await, None);
    assert_eq!(connection.closed().unwrap().code, 1011);
    log.until("panicked rfc6455").await;
    other.send("hi").await.unwrap();
    assert_eq!(text(&mut other).await, "hi");
}

/// `server.close`: no more streams are accepted and `serve` returns; what is open goes on.
pub async fn server_close<R: Runtime + Default>() {
    let server = Server::<R>::bind(ANY).await.unwrap();
    let serving = server.clone();
    let served = spawn::<R, _>(async move { serving.serve(echo).await.is_ok() });
    let mut connection = client(&server, Version::Rfc6455).await;
    server.close();
    assert!(served.next().await);
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
    let config = ClientConfig::new().handshake_timeout(ms(200));
    assert!(connect_with::<R>(&url(&server), &config).await.is_err());
    assert_eq!(server.clients().len(), 1);
}

/// A `serve` that is dropped stops accepting; another can go on, and what is open does anyway.
pub async fn serve_can_be_dropped_and_called_again<R: Runtime + Default>() {
    let server = Server::<R>::bind(ANY).await.unwrap();
    let mut first = {
        let mut serving = pin!(server.serve(echo));
        let mut opening = pin!(client(&server, Version::Rfc6455));
        poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(result) => unreachable!("nobody has closed the server: {result:?}"),
            Poll::Pending => opening.as_mut().poll(cx),
        })
        .await
    };
    first.send("one").await.unwrap();
    assert_eq!(text(&mut first).await, "one");
    let serving = server.clone();
    let served = spawn::<R, _>(async move { serving.serve(echo).await.is_ok() });
    let mut second = client(&server, Version::Rfc6455).await;
    for connection in [&mut first, &mut second] {
        connection.send("two").await.unwrap();
        assert_eq!(text(connection).await, "two");
    }
    server.close();
    assert!(served.next().await);
}

/// `server.shutdown` tells every peer that it goes away, as its version can, waits, and reports.
pub async fn server_shutdown<R: Runtime + Default>() {
    let server = Server::<R>::bind(ANY).await.unwrap();
    let serving = server.clone();
    let served = spawn::<R, _>(async move { serving.serve(echo).await.is_ok() });
    let mut connections = Vec::new();
    for version in Version::ALL {
        connections.push(client(&server, version).await);
    }
    until::<R>(|| server.clients().len() == 3).await;
    let report = server.shutdown(Duration::from_secs(10)).await;
    assert_eq!((report.closed, report.aborted), (3, 0));
    assert!(served.next().await && server.clients().is_empty());
    for mut connection in connections {
        assert_eq!(connection.recv().await, None);
        let closed = connection.closed().unwrap();
        assert_eq!(closed.by, Initiator::Peer, "{closed}");
        if connection.version() == Version::Rfc6455 {
            assert_eq!(closed.code, 1001);
        }
    }
}

/// A shutdown drops those who have not closed when its grace is over: open connections, with handlers
/// that never end, and opening ones; and says how many.
pub async fn a_shutdown_aborts_at_the_end_of_its_grace<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), |connection| async move {
        std::future::pending::<()>().await;
        drop(connection);
    });
    let server = server.await;
    let mut half = Peer::connect(&server).await;
    half.write(&RFC6455[..50]).await;
    let mut peer = Peer::open(&server).await;
    until::<R>(|| server.clients().len() == 1).await;
    let report = server.shutdown(ms(100)).await;
    assert_eq!((report.closed, report.aborted), (0, 1));
    assert_eq!(peer.close_frame().await.0, 1001);
    assert_eq!(peer.read_to_end().await, b"");
    half.read_to_end().await;
    until::<R>(|| server.clients().is_empty()).await;
}
