//! Every wait ends after a time, and an option sets that time.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ws_proto::{
    ClientConfig, CloseCause, CloseCode, HandshakeError, Initiator, ProtocolError, Version,
};

use super::support::{
    ANY, DRAFT76, Log, Peer, RFC6455, Told, client, echo, masked, ms, serve, sleep, text, until,
};
use ws_driver::BindConfig;
use ws_driver::{ConnectError, Connection, Runtime, Server, Upgrade, connect_with};

/// Half a handshake is gone after the `handshake_timeout`, whatever is missing; nobody was connected.
pub async fn half_a_handshake_is_gone_in_time<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let server = serve(builder.handshake_timeout(ms(500)), echo).await;
    let silent = Peer::connect(&server).await;
    let mut half = Peer::connect(&server).await;
    half.write(&RFC6455[..50]).await;
    let mut without_key3 = Peer::connect(&server).await;
    without_key3.ask(DRAFT76).await;
    for mut peer in [silent, half] {
        let answer = String::from_utf8(peer.read_to_end().await).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{answer}"
        );
    }
    assert_eq!(without_key3.read_to_end().await, b"");
    assert!(server.clients().is_empty());
    log.until("rejected").await;
}

/// The answer of `on_upgrade` is part of the opening handshake: one that does not come is a 503.
pub async fn an_on_upgrade_that_waits_too_long_is_a_503<R: Runtime + Default>() {
    let builder = Server::<R>::builder().handshake_timeout(ms(100));
    let builder = builder.on_upgrade(|upgrade: Upgrade| async move {
        std::future::pending::<()>().await;
        upgrade.accept()
    });
    let server = serve(builder, echo).await;
    let head = Peer::connect(&server).await.ask(RFC6455).await;
    assert!(
        head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{head}"
    );
}

/// A client gives up on a server that does not answer.
pub async fn a_client_gives_up_in_time<R: Runtime + Default>() {
    let runtime = R::default();
    let options = BindConfig::default();
    let listener = runtime.bind(ANY.parse().unwrap(), &options).await.unwrap();
    let url = format!("ws://{}/", runtime.local_addr(&listener).unwrap());
    let config = ClientConfig::new().handshake_timeout(ms(100));
    let error = connect_with::<R>(&url, &config).await.unwrap_err();
    let ConnectError::Handshake(HandshakeError::Timeout { waited, .. }) = error else {
        unreachable!("{error:?}");
    };
    assert_eq!(waited, ms(100));
}

/// A silent peer is pinged, and stays as long as it answers.
pub async fn a_silent_peer_is_pinged<R: Runtime + Default>() {
    let builder = Server::<R>::builder().keepalive_interval(ms(50));
    let server = serve(builder, echo).await;
    let mut peer = Peer::open(&server).await;
    for _ in 0..4 {
        let (first_byte, payload) = peer.frame().await;
        assert_eq!(first_byte, 0x89, "a ping");
        peer.write(masked(0x8a, &payload)).await;
    }
    peer.write(masked(0x81, b"still here")).await;
    while peer.frame().await != (0x81, b"still here".to_vec()) {}
    assert_eq!(server.clients().len(), 1);
}

/// A peer that does not answer a ping is dead: it is closed with 1011, and the handler knows why.
pub async fn a_dead_peer_is_closed<R: Runtime + Default>() {
    let told = Told::default();
    let teller = told.clone();
    let builder = Server::<R>::builder().keepalive_interval(ms(50));
    let builder = builder.pong_timeout(ms(100)).close_timeout(ms(100));
    let server = serve(builder, move |mut connection: Connection| {
        let teller = teller.clone();
        async move {
            while connection.recv().await.is_some() {}
            teller.tell(connection.closed().unwrap());
        }
    })
    .await;
    let mut peer = Peer::open(&server).await;
    let closed = told.next().await;
    let waited = ms(100);
    let error = ProtocolError::PongTimeout { waited };
    assert_eq!(
        (closed.code, closed.cause),
        (1006, CloseCause::Failed(error))
    );
    assert_eq!(peer.frame().await.0, 0x89);
    assert_eq!(peer.close_frame().await.0, 1011);
    assert_eq!(peer.read_to_end().await, b"");
    until::<R>(|| server.clients().is_empty()).await;
}

/// A peer that takes nothing is given up after the `stall_timeout`, in each version, and the send that
/// waits for it fails; one that reads gets all there is.
pub async fn a_peer_that_never_reads_is_given_up<R: Runtime + Default>() {
    for version in Version::ALL {
        let told = Told::default();
        let teller = told.clone();
        let builder = Server::<R>::builder().stall_timeout(ms(500));
        let server = serve(builder, move |connection: Connection| {
            let teller = teller.clone();
            async move {
                while connection.send("x".repeat(64 << 10)).await.is_ok() {}
                connection.sender().wait_closed().await;
                teller.tell(connection.closed().unwrap());
            }
        })
        .await;
        let mut peer = client(&server, version).await;
        for _ in 0..100 {
            assert_eq!(text(&mut peer).await.len(), 64 << 10);
        }
        // The rest stays where it is: the client's queue fills, and the systems' do.
        let closed = told.next().await;
        let CloseCause::Failed(ProtocolError::WriteStalled { waited, buffered }) = closed.cause
        else {
            unreachable!("{closed:?}");
        };
        assert_eq!(waited, ms(500));
        assert!(buffered > 0);
        until::<R>(|| server.clients().is_empty()).await;
    }
}

/// A message that is begun and does not go on is closed with 1008 after the `message_timeout`, though the peer answers
/// pings; one that ends in time arrives.
pub async fn a_message_that_does_not_go_on_is_closed<R: Runtime + Default>() {
    let builder = Server::<R>::builder().keepalive_interval(ms(50));
    let server = serve(builder.message_timeout(ms(300)), echo).await;
    let mut peer = Peer::open(&server).await;
    peer.write(masked(0x01, b"in ")).await;
    peer.write(masked(0x80, b"time")).await;
    while peer.frame().await != (0x81, b"in time".to_vec()) {}
    peer.write(masked(0x01, b"never whole")).await;
    let code = loop {
        let (first_byte, payload) = peer.frame().await;
        if first_byte == 0x88 {
            break u16::from_be_bytes([payload[0], payload[1]]);
        }
        peer.write(masked(0x8a, &payload)).await;
    };
    assert_eq!(code, 1008);
    until::<R>(|| server.clients().is_empty()).await;
}

/// A connection that has nothing to say stays open, in each version, with keepalive on both sides and
/// much shorter than the silence.
pub async fn silence_does_not_close_a_live_connection<R: Runtime + Default>() {
    let builder = Server::<R>::builder().keepalive_interval(ms(20));
    let server = serve(builder, echo).await;
    let mut connections = Vec::new();
    for version in Version::ALL {
        connections.push(client(&server, version).await);
    }
    sleep::<R>(ms(300)).await;
    for mut connection in connections {
        connection.send("still here").await.unwrap();
        assert_eq!(text(&mut connection).await, "still here");
    }
}

/// Both sides can ping; a payload that is too long is refused, and so is a ping in the drafts.
pub async fn a_ping_is_answered<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), |mut connection| async move {
        connection.ping(b"from the server").unwrap();
        connection.pong(b"unasked").unwrap();
        while connection.recv().await.is_some() {}
    });
    let server = server.await;
    let mut peer = Peer::open(&server).await;
    assert_eq!(peer.frame().await, (0x89, b"from the server".to_vec()));
    assert_eq!(peer.frame().await, (0x8a, b"unasked".to_vec()));
    peer.write(masked(0x89, b"from the client")).await;
    assert_eq!(peer.frame().await, (0x8a, b"from the client".to_vec()));
    let connection = client(&server, Version::Rfc6455).await;
    assert_eq!(connection.ping(b"hello"), Ok(()));
    assert!(connection.ping(&[0; 126]).is_err());
    let took = connection.round_trip().await.unwrap();
    assert!(took < ms(10_000) && connection.latency() == Some(took));
    assert!(connection.sender().round_trip().await.is_ok());
    // A pong that answers no ping is sent, needs no answer, and is refused where a ping is.
    peer.write(masked(0x8a, b"unasked")).await;
    assert_eq!(connection.pong(b"hello"), Ok(()));
    assert!(connection.sender().pong(&[0; 126]).is_err());
    assert!(connection.round_trip().await.is_ok());
    let connection = client(&server, Version::Draft76).await;
    assert!(connection.sender().ping(b"hello").is_err());
    assert!(connection.sender().pong(b"hello").is_err());
    assert!(connection.round_trip().await.is_err());
}

/// A close that the peer does not answer is over after the `close_timeout`.
pub async fn an_unanswered_close_is_over_in_time<R: Runtime + Default>() {
    let told = Told::default();
    let teller = told.clone();
    let builder = Server::<R>::builder().close_timeout(ms(100));
    let server = serve(builder, move |mut connection: Connection| {
        let teller = teller.clone();
        async move {
            let closed = connection.close_with(CloseCode::GOING_AWAY, "bye").await;
            teller.tell(closed.unwrap());
        }
    })
    .await;
    let mut peer = Peer::open(&server).await;
    let closed = told.next().await;
    assert_eq!((closed.code, closed.clean), (1006, false), "{closed}");
    assert_eq!(
        (closed.by, closed.cause),
        (Initiator::Local, CloseCause::CloseTimeout)
    );
    assert_eq!(peer.close_frame().await, (1001, "bye".to_owned()));
    assert_eq!(peer.read_to_end().await, b"");
}

/// A good peer is heard beside peers that send what needs no answer as fast as they can, one for each thread of the
/// usual test runtime: the runtime looks at its sockets although tasks are always ready. Breaks if a task that has
/// more to do only wakes itself.
pub async fn a_good_peer_is_heard_beside_a_flood<R: Runtime + Default>() {
    let server = serve(Server::<R>::builder(), echo).await;
    let mut good = client(&server, Version::Rfc6455).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let addr = server.local_addr();
    let flood = move |is_over: Arc<AtomicBool>| {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_write_timeout(Some(ms(1000))).unwrap();
        stream.write_all(RFC6455.as_bytes()).unwrap();
        let pongs = masked(0x8a, b"").repeat(20_000);
        // The server ends it when the case is over, at the latest.
        while !is_over.load(Ordering::Relaxed) && stream.write_all(&pongs).is_ok() {}
    };
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || flood(is_over))
        })
        .collect();
    let runtime = R::default();
    // The floods are open and in full swing.
    sleep::<R>(ms(300)).await;
    let mut worst = ms(0);
    for _ in 0..20 {
        let begun = runtime.now();
        good.send("hi").await.unwrap();
        assert_eq!(text(&mut good).await, "hi");
        worst = worst.max(runtime.now() - begun);
        sleep::<R>(ms(5)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    // Without it the case does not end within its 30 s. Wide, because other cases keep the machine busy.
    assert!(worst < ms(1000), "{worst:?}");
    drop(good);
    server.shutdown(ms(1000)).await;
    for flood in floods {
        flood.join().unwrap();
    }
}
