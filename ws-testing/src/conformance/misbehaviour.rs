//! Handlers that misbehave: they panic at any place, block their thread, or never return. Only their own
//! connection is harmed.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ws_proto::{ClientConfig, CloseCode, SendError, Version};

use super::support::{
    Host, Log, Peer, RFC6455, Told, client, echo, masked, ms, serve, sleep, spawn, text, until,
};
use ws_driver::internals::duplex;
use ws_driver::{Connection, Runtime, Sender, Server, connect_over};

/// Panics, but without the noise of a panic.
fn fall() -> ! {
    resume_unwind(Box::new("a case wants it"))
}

/// A handler panics before it waits for anything, in the midst, and behind its own close: what was taken
/// before goes out, the observer is told, and the next connection works.
pub async fn a_panic_at_any_place_ends_one_connection<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let server = serve(builder, |mut connection: Connection| async move {
        connection.send("hello").await.unwrap();
        match connection.request().unwrap().path() {
            "/first" => fall(),
            "/received" => {
                connection.recv().await;
                fall()
            }
            "/closed" => {
                let code = CloseCode::new(4000).unwrap();
                connection.sender().begin_close(code, "").unwrap();
                fall()
            }
            _ => echo(connection).await,
        }
    })
    .await;
    let mut other = client(&server, Version::Rfc6455).await;
    assert_eq!(text(&mut other).await, "hello");
    for (path, code) in [("/first", 1011), ("/received", 1011), ("/closed", 4000)] {
        let mut peer = Peer::connect(&server).await;
        let answer = peer.ask(RFC6455.replace("/chat", path)).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{path}: {answer}");
        assert_eq!(peer.frame().await, (0x81, b"hello".to_vec()));
        if path == "/received" {
            peer.write(masked(0x81, b"go")).await;
        }
        assert_eq!(peer.close_frame().await.0, code, "{path}");
        log.until("panicked rfc6455").await;
    }
    other.send("hi").await.unwrap();
    assert_eq!(text(&mut other).await, "hi");
}

/// A handler panics while others wait for room to send: they are told. Over a stream that takes so much and
/// no more, as a kernel makes room whenever it likes.
pub async fn a_panic_is_told_to_those_who_wait_to_send<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let server = Host(builder.send_queue_limit(Some(1000)).build().unwrap());
    let refused = Told::default();
    let told = refused.clone();
    let (ours, theirs) = duplex();
    let falling = |mut connection: Connection| async move {
        connection.recv().await;
        fill::<R>(&connection.sender()).await;
        let sender = connection.sender();
        let waiting = spawn::<R, _>(async move { sender.send("late").await });
        // That one is to wait before this one falls.
        sleep::<R>(ms(20)).await;
        spawn::<R, _>(async move { told.tell(waiting.next().await) });
        fall()
    };
    assert!(server.handle_stream(ours, None, falling).await);
    let config = ClientConfig::new();
    let opened = connect_over::<R, _>(theirs, "ws://localhost/", &config).await;
    let mut connection = opened.unwrap();
    connection.send("go").await.unwrap();
    // To receive makes room.
    assert_eq!(refused.next().await, Err(SendError::Closed));
    while connection.recv().await.is_some() {}
    assert_eq!(connection.closed().unwrap().code, 1011);
    log.until("panicked rfc6455").await;
}

/// Fills the send queue, and what comes before it while nobody receives: until nothing more goes for some
/// time, as the peer's task may be late.
async fn fill<R: Runtime + Default>(sender: &Sender) {
    let mut full = 0;
    while full < 10 {
        full += 1;
        while sender.try_send("x".repeat(60_000)).is_ok() {
            full = 0;
            sleep::<R>(ms(1)).await;
        }
        sleep::<R>(ms(20)).await;
    }
}

/// A thread that holds a connection panics: its peer gets 1011. One that holds a sender only harms
/// nobody.
pub async fn a_panic_elsewhere_closes_what_it_held<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), |connection: Connection| async move {
        let sender = connection.sender();
        let is_held = connection.request().unwrap().path() == "/held";
        let connection = Mutex::new(Some(connection));
        let holder = thread::scope(|scope| {
            let falling = scope.spawn(|| {
                let _held = is_held.then(|| connection.lock().unwrap().take());
                sender.try_send("last words").unwrap();
                fall()
            });
            falling.join()
        });
        assert!(holder.is_err());
        let left = connection.lock().unwrap().take();
        if let Some(connection) = left {
            echo(connection).await;
        }
    });
    let server = server.await;
    for (path, is_held) in [("/held", true), ("/shared", false)] {
        let mut peer = Peer::connect(&server).await;
        let request = RFC6455.replace("/chat", path);
        assert!(peer.ask(request).await.starts_with("HTTP/1.1 101 "));
        assert_eq!(peer.frame().await, (0x81, b"last words".to_vec()));
        if is_held {
            assert_eq!(peer.close_frame().await.0, 1011);
        } else {
            peer.write(masked(0x81, b"hi")).await;
            assert_eq!(peer.frame().await, (0x81, b"hi".to_vec()));
        }
    }
}

/// A handler blocks its thread: when it returns everything goes on where it was, for its own connection
/// and for all others; nothing that came or was sent meanwhile is lost. (A runtime with one thread
/// cannot do more; what one with several does meanwhile is its own affair.)
pub async fn a_handler_that_blocks_its_thread_delays_and_harms_nobody<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), |mut connection| async move {
        while let Some(message) = connection.recv().await {
            if message.as_text() == Some("block") {
                thread::sleep(ms(150));
            }
            connection.send(message).await.unwrap();
        }
    });
    let server = server.await;
    let mut blocking = Peer::open(&server).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(client(&server, Version::Rfc6455).await);
    }
    for round in 0..2 {
        blocking.write(masked(0x81, b"block")).await;
        blocking.write(masked(0x89, b"still there")).await;
        for other in &others {
            other.send(format!("{round}")).await.unwrap();
        }
        assert_eq!(server.broadcast("to all"), 5);
        for other in &mut others {
            let mut texts = [text(other).await, text(other).await];
            texts.sort();
            assert_eq!(texts, [format!("{round}"), "to all".to_owned()]);
        }
        let mut frames = [
            blocking.frame().await,
            blocking.frame().await,
            blocking.frame().await,
        ];
        frames.sort();
        let expected: [(u8, &[u8]); 3] =
            [(0x81, b"block"), (0x81, b"to all"), (0x8a, b"still there")];
        assert_eq!(
            frames.each_ref().map(|frame| (frame.0, &*frame.1)),
            expected
        );
    }
}

/// A handler that never returns and never receives: its peer's pings and close are answered, what
/// others send goes out, the registry forgets the connection; the handler itself goes on.
pub async fn a_handler_that_never_returns_keeps_no_connection<R: Runtime + Default>() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let is_dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_dropped);
    let server = serve::<R, _, _>(Server::builder(), move |connection| {
        let dropped = Dropped(Arc::clone(&flag));
        async move {
            let _held = (connection, dropped);
            pending::<()>().await;
        }
    });
    let server = server.await;
    let mut peer = Peer::open(&server).await;
    peer.write(masked(0x89, b"!")).await;
    assert_eq!(peer.frame().await, (0x8a, b"!".to_vec()));
    until::<R>(|| server.broadcast("to all") == 1).await;
    assert_eq!(peer.frame().await, (0x81, b"to all".to_vec()));
    peer.write(masked(0x88, &[0x03, 0xe8])).await;
    assert_eq!(peer.close_frame().await.0, 1000);
    peer.end().await;
    until::<R>(|| server.clients().is_empty()).await;
    assert!(!is_dropped.load(Ordering::SeqCst), "it is the user's");
}
