//! Compression, if both sides agree on it.

use ::http::Request;
use hyper::body::Incoming;
use ws_proto::{ClientConfig, Deflate, Message, PreparedMessage, Version};

use super::foreign_server::{Foreign, Style};
use super::support::{Host, Peer, RFC6455, client, echo, masked, serve, text, until, url};
use ws_driver::{Connection, Runtime, Server, ServerBuilder, Upgrade, connect_with};

/// A text that compresses well.
fn prose(len: usize) -> String {
    "the quick brown fox jumps over the lazy dog; ".repeat(len / 45 + 1)[..len].to_owned()
}

async fn compressing<R: Runtime + Default>(server: &Server<R>, deflate: Deflate) -> Connection {
    let config = ClientConfig::new().deflate(deflate);
    connect_with::<R>(&url(server), &config).await.unwrap()
}

/// What was agreed on, as the answer says.
fn agreed(connection: &Connection) -> Option<&str> {
    connection.response()?.header("Sec-WebSocket-Extensions")
}

/// Option `deflate`: messages of all sizes come back on a compressed connection, with and without context,
/// and with small windows; who offers nothing, or speaks a draft, is served as ever.
pub async fn option_deflate<R: Runtime + Default>() {
    let small = Deflate::new().server_max_window_bits(9).unwrap();
    let kept = Deflate::new()
        .server_no_context_takeover(false)
        .threshold(0);
    for options in [Deflate::new(), small, kept] {
        let builder = Server::<R>::builder().deflate(options.clone());
        let server = serve(builder, echo).await;
        let mut connection = compressing(&server, options).await;
        assert!(agreed(&connection).is_some_and(|terms| terms.starts_with("permessage-deflate")));
        for len in [0, 1, 125, 1024, 65_536, 1 << 20] {
            let message = Message::from(prose(len));
            connection.send(message.clone()).await.unwrap();
            assert!(connection.recv().await == Some(message), "{len} bytes");
            let message = Message::from(prose(len).into_bytes());
            connection.send(message.clone()).await.unwrap();
            assert!(connection.recv().await == Some(message), "{len} bytes");
        }
        for version in Version::ALL {
            let mut connection = client(&server, version).await;
            assert_eq!(agreed(&connection), None);
            connection.send(prose(5000)).await.unwrap();
            assert_eq!(text(&mut connection).await, prose(5000));
        }
    }
}

/// A broadcast reaches everybody, compressed or not; one that is to be plain is. The server's own messages
/// to a connection that keeps a context go on behind it.
pub async fn a_broadcast_is_compressed_for_those_who_agreed<R: Runtime + Default>() {
    let kept = Deflate::new().server_no_context_takeover(false);
    let server = serve::<R, _, _>(Server::builder().deflate(kept.clone()), echo).await;
    let small = kept.clone().server_max_window_bits(9).unwrap();
    let mut connections = vec![
        client(&server, Version::Draft76).await,
        client(&server, Version::Rfc6455).await,
        compressing(&server, kept).await,
        compressing(&server, small).await,
    ];
    let clients = server.clients();
    until::<R>(|| clients.len() == connections.len()).await;
    for round in 0..3 {
        let own = format!("{round} {}", prose(3000));
        for connection in &mut connections {
            connection.send(&own).await.unwrap();
            assert_eq!(text(connection).await, own);
        }
        let broadcast = format!("broadcast {round} {}", prose(5000));
        assert_eq!(clients.broadcast(&broadcast), 4);
        let waited = clients.broadcast_wait(&broadcast).await;
        let plain = clients.broadcast(PreparedMessage::plain(&broadcast));
        assert_eq!((waited, plain), (4, 4));
        for connection in &mut connections {
            for _ in 0..3 {
                assert_eq!(text(connection).await, broadcast);
            }
        }
    }
    for connection in &connections {
        let plain = PreparedMessage::plain(prose(2000));
        connection.send_prepared(&plain).await.unwrap();
        connection.sender().send_prepared(&plain).await.unwrap();
    }
    for connection in &mut connections {
        assert_eq!(text(connection).await, prose(2000));
        assert_eq!(text(connection).await, prose(2000));
    }
}

/// The message limit counts what comes out: a bomb closes its connection with 1009.
pub async fn a_bomb_closes_with_1009<R: Runtime + Default>() {
    let builder = Server::<R>::builder()
        .deflate(Deflate::new())
        .message_limit(Some(1000));
    let server = serve(builder, echo).await;
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let mut peer = Peer::connect(&server).await;
    let answer = peer.ask(&RFC6455.replace("\r\n\r\n", offer)).await;
    assert!(answer.contains("permessage-deflate"), "{answer}");
    // A fixed block: a zero, then 42 times 258 of it, by reference to the byte before.
    let mut bits = vec![false, true, false];
    let code = |value: u16, len: u16| (0..len).rev().map(move |bit| value >> bit & 1 == 1);
    bits.extend(code(0x30, 8));
    for _ in 0..42 {
        bits.extend(code(0xc5, 8).chain(code(0, 5)));
    }
    bits.extend(code(0, 7));
    let byte = |bits: &[bool]| {
        bits.iter()
            .rev()
            .fold(0, |byte, bit| byte << 1 | u8::from(*bit))
    };
    let payload: Vec<u8> = bits.chunks(8).map(byte).collect();
    assert!(payload.len() < 80);
    peer.write(masked(0xc2, &payload)).await;
    assert_eq!(peer.close_frame().await.0, 1009);
}

/// What an upgrade asks for by its path: `Err` leaves it to the server's options.
fn wanted(path: &str) -> Result<Option<Deflate>, ()> {
    match path {
        "/plain" => Ok(None),
        "/compressed" => Ok(Some(Deflate::new().threshold(0))),
        _ => Err(()),
    }
}

/// One upgrade is compressed or not as the application says, by `on_upgrade` and behind another server,
/// whatever the option is; others are as the option says. A broadcast reaches all of them.
pub async fn deflate_is_chosen_for_one_upgrade<R: Runtime + Default>() {
    for option in [None, Some(Deflate::new())] {
        let builder = || Server::<R>::builder().deflate(option.clone());
        let chosen = |upgrade: Upgrade| async move {
            let answer = upgrade.accept();
            match wanted(upgrade.path()) {
                Ok(deflate) => answer.deflate(deflate),
                Err(()) => answer,
            }
        };
        let ours = serve(builder().on_upgrade(chosen), echo).await;
        choose(&ours, ours.local_addr().port(), option.is_some()).await;

        // What `on_upgrade` wants, the caller can still change.
        let builder: ServerBuilder<R> = builder().on_upgrade(|upgrade| async move {
            match wanted(upgrade.path()) {
                Ok(None) => upgrade.accept().deflate(Deflate::new()),
                Ok(Some(_)) => upgrade.accept().deflate(None),
                Err(()) => upgrade.accept(),
            }
        });
        let answer = |server: Server<R>, mut request: Request<Incoming>| async move {
            let upgrade = match server.examine_request(&mut request, None).await {
                Ok(upgrade) => upgrade,
                Err(response) => return response,
            };
            match wanted(request.uri().path()) {
                Ok(deflate) => upgrade.deflate(deflate).accept(echo),
                Err(()) => upgrade.accept(echo),
            }
        };
        let server = Host(builder.build().unwrap());
        let foreign = Foreign::start(server, Style::Usual, answer).await;
        choose(&foreign.server, foreign.addr.port(), option.is_some()).await;
    }
}

/// Opens a connection for each choice, twice, and asks it what it is.
async fn choose<R: Runtime + Default>(server: &Server<R>, port: u16, option: bool) {
    let config = ClientConfig::new().deflate(Deflate::new());
    let mut connections = Vec::new();
    for _ in 0..2 {
        for path in ["/plain", "/other", "/compressed"] {
            let url = format!("ws://127.0.0.1:{port}{path}");
            let mut connection = connect_with::<R>(&url, &config).await.unwrap();
            let is_compressed = wanted(path).map_or(option, |deflate| deflate.is_some());
            assert_eq!(agreed(&connection).is_some(), is_compressed, "{path}");
            connection.send(prose(5000)).await.unwrap();
            assert_eq!(text(&mut connection).await, prose(5000));
            connections.push(connection);
        }
    }
    assert_eq!(server.clients().broadcast(prose(6000)), connections.len());
    for connection in &mut connections {
        assert_eq!(text(connection).await, prose(6000));
    }
}
