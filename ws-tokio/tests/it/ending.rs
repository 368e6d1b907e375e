//! Programs that end, or whose runtime does: what was sent arrives, and nobody waits for ever.

use std::future::Future;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use futures_util::SinkExt;
use tokio::runtime::{Builder, Runtime};
use ws_tokio::{CloseCause, Connection, Message, SendError, Server, State, TopicError, connect};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

const RUNTIMES: [fn() -> Runtime; 2] = [current_thread, multi_thread];

/// A server in a thread of its own; returns its URL, and what it receives.
fn server() -> (String, Receiver<Message>) {
    let (url_told, url) = channel();
    let (told, received) = channel();
    std::thread::spawn(move || {
        current_thread().block_on(async move {
            let server = Server::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}/", server.local_addr());
            url_told.send(url).unwrap();
            let handler = move |mut connection: Connection| {
                let told = told.clone();
                async move {
                    while let Some(message) = connection.recv().await {
                        let _ = told.send(message);
                    }
                }
            };
            server.serve(handler).await.unwrap();
        });
    });
    (url.recv().unwrap(), received)
}

fn next(received: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
    received.recv_timeout(Duration::from_secs(5))
}

/// Runs programs that send and end; each message arrives. Breaks if a message waits for a task that never
/// runs again.
fn assert_arrives<F: Future<Output = ()>>(program: impl Fn(Connection, String) -> F) {
    let (url, received) = server();
    for runtime in RUNTIMES {
        for number in 0..40 {
            let runtime = runtime();
            let message = format!("message {number}");
            runtime.block_on(async {
                let connection = connect(&url).await.unwrap();
                program(connection, message.clone()).await;
            });
            drop(runtime);
            assert_eq!(next(&received), Ok(message.into()));
        }
    }
}

#[test]
fn what_was_sent_arrives_though_the_program_ends() {
    assert_arrives(async |connection: Connection, message| {
        connection.send(message).await.unwrap();
    });
}

#[test]
fn what_a_task_sent_arrives_though_the_program_ends() {
    assert_arrives(async |connection: Connection, message| {
        let sending = tokio::spawn(async move {
            connection.send(message).await.unwrap();
            // Kept for ever, as by a global: nothing but the end of the runtime writes.
            std::mem::forget(connection);
        });
        sending.await.unwrap();
    });
}

#[test]
fn what_was_flushed_arrives_though_the_program_ends() {
    assert_arrives(async |mut connection: Connection, message| {
        SinkExt::send(&mut connection, message.into())
            .await
            .unwrap();
        std::mem::forget(connection);
    });
}

/// A synchronous wrapper calls `block_on` for each message; the runtime is driven at no other time. More
/// messages than tokio lets a task do operations in one go.
#[test]
fn a_synchronous_program_sends_at_once() {
    let (url, received) = server();
    let runtime = current_thread();
    let connection = runtime.block_on(connect(&url)).unwrap();
    for number in 0..3 {
        runtime
            .block_on(connection.send(format!("{number}")))
            .unwrap();
        assert_eq!(next(&received), Ok(format!("{number}").into()));
    }
    runtime.block_on(async {
        for number in 0..500 {
            connection.send(format!("{number}")).await.unwrap();
        }
    });
    for number in 0..500 {
        assert_eq!(next(&received), Ok(format!("{number}").into()));
    }
}

/// What a task sends in a row leaves together. Breaks if each message is written by itself.
#[test]
fn what_a_task_sends_in_a_row_leaves_together() {
    let (url, received) = server();
    let runtime = current_thread();
    runtime.block_on(async {
        let connection = connect(&url).await.unwrap();
        let sending = tokio::spawn(async move {
            for number in 0..32 {
                connection.send(format!("{number}")).await.unwrap();
            }
            // All of it: nothing was written yet.
            assert!(connection.buffered_amount() > 32 * 6);
            connection.flush().await.unwrap();
            assert_eq!(connection.buffered_amount(), 0);
        });
        sending.await.unwrap();
    });
    for number in 0..32 {
        assert_eq!(next(&received), Ok(format!("{number}").into()));
    }
}

/// The handle of a connection outlives the runtime that drove it: each call returns at once, in another
/// runtime and in none.
#[test]
fn a_connection_is_over_when_its_runtime_ends() {
    let (url, _received) = server();
    for runtime in RUNTIMES {
        let old = runtime();
        let mut connection = old.block_on(connect(&url)).unwrap();
        let sender = connection.sender();
        let waiting = {
            let sender = connection.sender();
            std::thread::spawn(move || current_thread().block_on(sender.wait_closed()))
        };
        drop(old);
        assert_eq!(waiting.join().unwrap().cause, CloseCause::Disconnected);
        let all = async {
            assert_eq!(connection.state(), State::Closed);
            assert_eq!(connection.send("x").await, Err(SendError::Closed));
            assert_eq!(connection.ping(b""), Err(SendError::Closed));
            let late = connection.try_send("x").map_err(SendError::from);
            assert_eq!(late, Err(SendError::Closed));
            assert_eq!(connection.join("topic"), Err(TopicError::NoServer));
            assert_eq!(connection.recv().await, None);
            assert_eq!(sender.wait_closed().await.code, 1006);
            let closed = connection.close().await;
            assert_eq!(closed.cause, CloseCause::Disconnected);
        };
        let within = async { tokio::time::timeout(Duration::from_secs(5), all).await };
        current_thread().block_on(within).unwrap();
    }
}

/// What a server handed out is over with the server's runtime, too, and its registry is empty.
#[test]
fn what_a_server_accepted_is_over_when_its_runtime_ends() {
    let old = multi_thread();
    let (server, mut accepted, _client) = old.block_on(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", server.local_addr());
        let (accepted, client) = tokio::join!(server.accept(), connect(&url));
        let accepted = accepted.unwrap().unwrap();
        (server, accepted, client.unwrap())
    });
    assert_eq!(server.clients().len(), 1);
    drop(old);
    assert_eq!(server.clients().len(), 0);
    current_thread().block_on(async {
        assert_eq!(accepted.recv().await, None);
        assert_eq!(accepted.join("topic"), Err(TopicError::Closed));
        assert_eq!(accepted.close().await.cause, CloseCause::Disconnected);
        let next = tokio::time::timeout(Duration::from_secs(5), server.accept());
        assert!(next.await.unwrap().is_err(), "its listener is gone");
    });
}
