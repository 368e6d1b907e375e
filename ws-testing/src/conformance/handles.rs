//! The promises of a connection's handles to a program that ends, or that splits a connection in two halves.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use futures_core::Stream;
use futures_sink::Sink;
use ws_proto::{Message, SendError, Version};

use super::support::{Peer, Told, client, ms, serve, sleep, spawn};
use ws_driver::{Connection, Runtime, Server};

/// A flush is ready when the stream has taken all, and not before that: in the handler's first poll nothing
/// is written yet.
pub async fn a_flush_waits_until_all_is_written<R: Runtime + Default>() {
    let told = Told::default();
    let teller = told.clone();
    let server = serve::<R, _, _>(Server::builder(), move |connection: Connection| {
        let teller = teller.clone();
        async move {
            connection.flush().await.unwrap();
            connection.send(vec![7; 100_000]).await.unwrap();
            let mut flushing = pin!(connection.flush());
            let is_ready = flushing
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready();
            assert!(!is_ready);
            flushing.await.unwrap();
            teller.tell(connection.buffered_amount());
        }
    })
    .await;
    let mut peer = Peer::open(&server).await;
    assert_eq!(peer.read(10 + 100_000).await.len(), 10 + 100_000);
    assert_eq!(told.next().await, 0);
}

/// More than the system keeps for a peer.
const LARGE: usize = 24 << 20;

/// A flush fails if the peer goes before it has read what was sent.
pub async fn a_flush_that_cannot_be_done_fails<R: Runtime + Default>() {
    let told = Told::default();
    let teller = told.clone();
    let builder = Server::<R>::builder().send_queue_limit(None);
    let server = serve(builder, move |connection: Connection| {
        let teller = teller.clone();
        async move {
            connection.send(vec![7; LARGE]).await.unwrap();
            teller.tell(connection.flush().await);
        }
    })
    .await;
    let peer = Peer::open(&server).await;
    sleep::<R>(ms(20)).await;
    drop(peer);
    assert_eq!(told.next().await, Err(SendError::Closed));
}

/// A connection in two halves, each in a task: requests go in, the sink half closes at once, and all answers
/// reach the stream half, as after `StreamExt::split` and `forward`.
pub async fn a_sink_half_that_closes_takes_no_answer<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), |mut connection: Connection| async move {
        while let Some(message) = connection.recv().await {
            sleep::<R>(ms(5)).await;
            let _ = connection.send(message).await;
        }
    })
    .await;
    let connection = client(&server, Version::Rfc6455).await;
    let connection = Arc::new(Mutex::new(connection));
    let half = Arc::clone(&connection);
    let closed = spawn::<R, _>(async move {
        for number in 0..5 {
            let message = Message::from(format!("{number}"));
            poll_fn(|cx| Pin::new(&mut *half.lock().unwrap()).poll_ready(cx))
                .await
                .unwrap();
            Pin::new(&mut *half.lock().unwrap())
                .start_send(message)
                .unwrap();
        }
        poll_fn(|cx| Pin::new(&mut *half.lock().unwrap()).poll_flush(cx))
            .await
            .unwrap();
        poll_fn(|cx| Sink::poll_close(Pin::new(&mut *half.lock().unwrap()), cx)).await
    });
    for number in 0..5 {
        let next = poll_fn(|cx| Pin::new(&mut *connection.lock().unwrap()).poll_next(cx)).await;
        assert_eq!(next, Some(Message::from(format!("{number}"))));
    }
    let next = poll_fn(|cx| Pin::new(&mut *connection.lock().unwrap()).poll_next(cx)).await;
    assert_eq!(next, None);
    assert_eq!(closed.next().await, Ok(()));
}
