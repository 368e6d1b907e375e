//! P2: what a handler sends while it works through one read leaves in one vectored write.

use std::future::pending;

use ws_driver::ws_proto::Message;

use super::frames::texted;
use ws_testing::sim::peer::{ACCEPT_76, DRAFT76, KEY3, OK_6455, RFC6455, frames, ping, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

/// What comes from a server that answers everything with everything.
fn record_writes(peer: &Peer) {
    peer.link().to_near.writes = Some(Vec::new());
}

fn recorded_writes(peer: &Peer) -> Vec<usize> {
    peer.link().to_near.writes.clone().unwrap()
}

/// 32 messages in one read make 32 echoes in one write. Breaks if each send is written by itself, or
/// the handler gets one message for each turn of the driver.
#[test]
fn p2_many_answers_to_one_read_leave_in_one_write() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let messages: Vec<_> = (0..32).map(|i| format!("message {i}")).collect();
        let sent: Vec<u8> = messages.iter().flat_map(text).collect();
        record_writes(&peer);
        let answer = peer.ask(&sent).await;
        let expected: Vec<_> = messages.iter().map(texted).collect();
        assert_eq!(frames(&answer), expected);
        assert_eq!(recorded_writes(&peer), [answer.len()]);
    });
}

/// Large payloads that are kept by reference, small ones, pongs and the close leave together, too.
/// Breaks if what is gathered is written slice by slice.
#[test]
fn p2_payloads_that_are_not_copied_leave_in_the_same_write() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, |mut connection| async move {
            let large = Message::from("x".repeat(9000));
            connection.recv().await;
            for _ in 0..3 {
                connection.send(large.clone()).await.unwrap();
                connection.send("small").await.unwrap();
            }
            connection.close().await;
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        record_writes(&peer);
        let answer = peer.ask([text("go"), ping(b"?")].concat()).await;
        let opcodes: Vec<_> = frames(&answer).iter().map(|frame| frame.0).collect();
        assert_eq!(
            opcodes,
            [0x8a, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x88],
            "the pong, three times two messages, the close"
        );
        assert_eq!(recorded_writes(&peer), [answer.len()]);
    });
}

/// The 101 and what the handler sends first leave in one write, in RFC 6455 and in draft-76. Breaks if
/// the handshake is flushed before the connection is driven.
#[test]
fn p2_the_answer_to_the_upgrade_and_a_greeting_leave_in_one_write() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, |connection| async move {
            connection.send("welcome").await.unwrap();
            pending().await
        });
        let greeting = b"\x81\x07welcome".to_vec();
        let expected = [OK_6455.as_bytes(), &greeting].concat();
        let mut peer = Peer::connect(&sim, server.local_addr());
        record_writes(&peer);
        assert_eq!(peer.ask(RFC6455).await, expected);
        assert_eq!(recorded_writes(&peer), [expected.len()]);

        let mut peer = Peer::connect(&sim, server.local_addr());
        record_writes(&peer);
        let answer = peer.ask([DRAFT76.as_bytes(), KEY3].concat()).await;
        let end = [&ACCEPT_76[..], b"\0welcome\xff"].concat();
        assert!(answer.ends_with(&end), "{}", answer.escape_ascii());
        assert_eq!(recorded_writes(&peer), [answer.len()]);
    });
}
