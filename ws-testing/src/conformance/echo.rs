//! Messages go both ways, whole and in order, whichever task sends them.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use futures_sink::Sink;
use ws_proto::{
    ClientConfig, CloseCode, ConnectionConfig, Event, Message, Payload, SendError, Version,
};

use super::support::{Peer, Told, client, echo, masked, ms, serve, sleep, spawn, text, until, url};
use ws_driver::{Connection, Runtime, Server, connect_with};

/// `examples/echo-server.js`: text of all sizes up to 64 KiB comes back in each version, also the empty
/// one.
pub async fn echo_server_in_every_version<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let message = Message::from("x".repeat(len));
            connection.send(message.clone()).await.unwrap();
            assert_eq!(connection.recv().await, Some(message), "{len} bytes");
        }
    }
}

/// A message of the largest size that is allowed comes back in each version.
pub async fn one_mebibyte_in_every_version<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        let message = Message::from("0123456789abcdef".repeat(1 << 16));
        connection.send(message.clone()).await.unwrap();
        assert!(connection.recv().await == Some(message), "{version}");
    }
}

/// RFC 6455 carries any bytes. A draft refuses them with an error that says so, and goes on.
pub async fn binary_where_it_exists<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        let sent = connection.send(bytes.clone()).await;
        if version == Version::Rfc6455 {
            assert_eq!(sent, Ok(()));
            assert_eq!(connection.recv().await, Some(bytes.clone().into()));
        } else {
            let error = sent.unwrap_err();
            assert!(matches!(error, SendError::Unsupported { .. }), "{error}");
            connection.send("still here").await.unwrap();
            assert_eq!(text(&mut connection).await, "still here");
        }
    }
}

/// Event `message`: `recv` gives text and binary messages, in the order in which they were sent.
pub async fn event_message<R: Runtime + Default>() {
    let told = Told::default();
    let teller = told.clone();
    let server = serve::<R, _, _>(Server::builder(), move |mut connection| {
        let teller = teller.clone();
        async move {
            while let Some(message) = connection.recv().await {
                teller.tell(message);
            }
        }
    });
    let server = server.await;
    let connection = client(&server, Version::Rfc6455).await;
    let messages = (0..200).map(|i| match i % 2 {
        0 => Message::from(format!("text {i}")),
        _ => Message::from(format!("binary {i}").into_bytes()),
    });
    for message in messages.clone() {
        connection.send(message).await.unwrap();
    }
    for message in messages {
        assert_eq!(told.next().await, message);
    }
}

/// `connection.write`: `send` waits for room, `try_send` tells, and both are seen by the peer.
pub async fn connection_write<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), |mut connection| async move {
        connection.send("sent").await.unwrap();
        connection.try_send("tried").unwrap();
        connection.sender().send("by a sender").await.unwrap();
        connection.sender().try_send("and tried").unwrap();
        connection.recv().await;
    });
    let server = server.await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        for expected in ["sent", "tried", "by a sender", "and tried"] {
            assert_eq!(text(&mut connection).await, expected, "{version}");
        }
    }
}

/// `connection.getVersion`: both sides know the version, and its name.
pub async fn connection_get_version<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), |connection| async move {
        let version = connection.version().to_string();
        connection.send(version).await.unwrap();
    });
    let server = server.await;
    for (version, name) in Version::ALL
        .into_iter()
        .zip(["draft75", "draft76", "rfc6455"])
    {
        let mut connection = client(&server, version).await;
        assert_eq!(connection.version(), version);
        assert_eq!(text(&mut connection).await, name);
    }
}

/// A connection is a stream and a sink of messages; closing the sink closes it.
pub async fn a_connection_is_a_stream_and_a_sink<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder().send_queue_limit(Some(100)), echo).await;
    let mut connection = client(&server, Version::Rfc6455).await;
    for i in 0..100 {
        let message = Message::from(format!("{i} {}", "x".repeat(i)));
        poll_fn(|cx| Pin::new(&mut connection).poll_ready(cx))
            .await
            .unwrap();
        Pin::new(&mut connection)
            .start_send(message.clone())
            .unwrap();
        poll_fn(|cx| Pin::new(&mut connection).poll_flush(cx))
            .await
            .unwrap();
        let next = poll_fn(|cx| Pin::new(&mut connection).poll_next(cx)).await;
        assert_eq!(next, Some(message));
    }
    poll_fn(|cx| Sink::poll_close(Pin::new(&mut connection), cx))
        .await
        .unwrap();
    let next = poll_fn(|cx| Pin::new(&mut connection).poll_next(cx)).await;
    assert_eq!(next, None);
    assert!(connection.closed().unwrap().clean);
}

/// Eight tasks send on one connection whose queue is often full: every message arrives once, and
/// those of each task in order.
pub async fn several_tasks_send_on_one_connection<R: Runtime + Default>() {
    const COUNT: usize = 200;
    let builder = Server::<R>::builder().send_queue_limit(Some(1000));
    let server = serve(builder, |mut connection| async move {
        let tasks = (0..8).map(|task| {
            let sender = connection.sender();
            spawn::<R, _>(async move {
                for i in 0..COUNT {
                    let message = format!("{task} {i} {}", "x".repeat(i));
                    sender.send(message).await.unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.next().await;
        }
        connection.close().await;
    });
    let server = server.await;
    let mut connection = client(&server, Version::Rfc6455).await;
    let mut next = [0; 8];
    while let Some(message) = connection.recv().await {
        let mut words = message.as_text().unwrap().split(' ');
        let task: usize = words.next().unwrap().parse().unwrap();
        let i: usize = words.next().unwrap().parse().unwrap();
        assert_eq!((i, words.next().unwrap().len()), (next[task], i));
        next[task] += 1;
    }
    assert_eq!(next, [COUNT; 8]);
    assert!(connection.closed().unwrap().clean);
}

/// Messages that came before the handler looked wait for it; what it sends while it never receives
/// goes out, and so do the answers to pings.
pub async fn a_busy_handler_still_sends_and_answers_pings<R: Runtime + Default>() {
    let told = Told::default();
    let go = told.clone();
    let server = serve::<R, _, _>(Server::builder(), move |mut connection| {
        let go = go.clone();
        async move {
            connection.send("at once").await.unwrap();
            let () = go.next().await;
            echo_one(&mut connection).await;
        }
    });
    let server = server.await;
    let mut peer = Peer::open(&server).await;
    assert_eq!(peer.frame().await, (0x81, b"at once".to_vec()));
    peer.write(masked(0x81, b"waits")).await;
    peer.write(masked(0x89, b"are you there")).await;
    assert_eq!(peer.frame().await, (0x8a, b"are you there".to_vec()));
    told.tell(());
    assert_eq!(peer.frame().await, (0x81, b"waits".to_vec()));
    assert_eq!(peer.close_frame().await.0, 1000);
}

async fn echo_one(connection: &mut Connection) {
    let message = connection.recv().await.unwrap();
    connection.send(message).await.unwrap();
}

/// Fragments are put together, with a ping in between, and come back as one message.
pub async fn fragments_are_put_together<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let mut peer = Peer::open(&server).await;
    for frame in [
        masked(0x01, b"one "),
        masked(0x89, b"ping"),
        masked(0x00, b""),
        masked(0x00, b"two "),
        masked(0x80, b"three"),
    ] {
        // Byte by byte, as the network may.
        for byte in frame {
            peer.write([byte]).await;
        }
    }
    assert_eq!(peer.frame().await, (0x8a, b"ping".to_vec()));
    assert_eq!(peer.frame().await, (0x81, b"one two three".to_vec()));
}

/// A message is sent part by part: the peer gets one message, in each version, or its parts if it wants
/// them; what others send comes behind it.
pub async fn a_message_is_sent_part_by_part<R: Runtime + Default>() {
    let (opened, go_on) = (Told::default(), Told::default());
    let (tell, wait) = (opened.clone(), go_on.clone());
    let server = serve::<R, _, _>(Server::builder(), move |mut connection| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            connection.send_fragment("one ", false).await.unwrap();
            tell.tell(connection.id());
            let () = wait.next().await;
            connection.send_fragment("two ", false).await.unwrap();
            connection.send_fragment("three", true).await.unwrap();
            while connection.recv().await.is_some() {}
        }
    });
    let server = server.await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        let sender = server.clients().get(opened.next().await).unwrap();
        let behind = spawn::<R, _>(async move { sender.send("behind").await });
        sleep::<R>(ms(5)).await;
        assert_eq!(behind.try_next(), None, "it waits for the last part");
        go_on.tell(());
        assert_eq!(behind.next().await, Ok(()));
        assert_eq!(text(&mut connection).await, "one two three", "{version}");
        assert_eq!(text(&mut connection).await, "behind", "{version}");
    }
    go_on.tell(());
    let config = ConnectionConfig::new().receive_fragments(true);
    let config = ClientConfig::new().connection(config);
    let mut connection = connect_with::<R>(&url(&server), &config).await.unwrap();
    let mut received = String::new();
    loop {
        let fragment = connection.recv_fragment().await.unwrap();
        assert_eq!(fragment.first, received.is_empty());
        received.push_str(fragment.content.as_text().unwrap());
        if fragment.last {
            break;
        }
    }
    assert_eq!(received, "one two three");
}

/// With `control_events` either end hears of pings and pongs, in their place among the messages; without it,
/// and by `recv`, of messages only.
pub async fn pings_and_pongs_are_events<R: Runtime + Default>() {
    let told = Told::default();
    let teller = told.clone();
    let builder = Server::builder().control_events(true);
    let server = serve::<R, _, _>(builder, move |mut connection: Connection| {
        let teller = teller.clone();
        async move {
            connection.ping(b"from the server").unwrap();
            while let Some(event) = connection.recv_event().await {
                teller.tell(event);
            }
            assert!(connection.closed().is_some());
        }
    })
    .await;
    let ping = |payload: &[u8]| Event::Ping(Payload::from(payload));
    let pong = |payload: &[u8]| Event::Pong(Payload::from(payload));
    for is_told in [true, false] {
        let config = ConnectionConfig::new().control_events(is_told);
        let config = ClientConfig::new().connection(config);
        let mut connection = connect_with::<R>(&url(&server), &config).await.unwrap();
        connection.ping(b"one").unwrap();
        connection.send("two").await.unwrap();
        connection.ping(b"three").unwrap();
        if is_told {
            for expected in [ping(b"from the server"), pong(b"one"), pong(b"three")] {
                assert_eq!(connection.recv_event().await, Some(expected));
            }
        }
        let mut seen = Vec::new();
        while seen.len() < 4 {
            seen.push(told.next().await);
        }
        seen.retain(|event| *event != pong(b"from the server"));
        let message = Event::Message(Message::from("two"));
        assert_eq!(seen, [ping(b"one"), message, ping(b"three")]);
        connection.close().await;
        assert_eq!(connection.recv_event().await, None);
    }
}

/// Both ends count what goes through a connection, and the server counts it for all.
pub async fn messages_are_counted<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let mut connection = client(&server, Version::Rfc6455).await;
    for message in ["one", "three", ""] {
        connection.send(message).await.unwrap();
        assert_eq!(text(&mut connection).await, message);
    }
    let counters = connection.counters();
    assert_eq!((counters.messages_sent, counters.bytes_sent), (3, 8));
    assert_eq!(
        (counters.messages_received, counters.bytes_received),
        (3, 8)
    );
    let code = CloseCode::new(4000).unwrap();
    connection.close_with(code, "").await.unwrap();
    until::<R>(|| server.counters().closes.total() == 1).await;
    let counters = server.counters();
    assert_eq!((counters.messages_sent, counters.bytes_received), (3, 8));
    assert_eq!(counters.opened.of(Version::Rfc6455), 1);
    assert_eq!(counters.closes.application, 1);
}
