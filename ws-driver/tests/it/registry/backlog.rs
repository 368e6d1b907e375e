//! The backlog of a slow peer: what goes before it, and how it ends.

use ws_driver::SlowPeer;
use ws_driver::ws_proto::SendError;

use super::slow_server::{
    LEN, TAKEN, broadcast_all, numbered, open_slow, read_all, server_with, spawned,
};
use ws_testing::sim::peer::frames;
use ws_testing::sim::{Peer, Sim};

/// What is sent otherwise goes behind the backlog, pings go ahead, and a draft gets whole frames, too.
#[test]
fn a_backlog_goes_out_before_anything_that_is_sent_later() {
    Sim::run(async |sim| {
        let server = server_with(&sim, SlowPeer::DropOldest).await;
        let (slow, sender) = open_slow(&sim, &server).await;
        for number in 0..TAKEN + 5 {
            assert_eq!(server.broadcast(numbered(number)), 1);
        }
        let full = sender.try_send("too early").map_err(SendError::from);
        assert!(matches!(full, Err(SendError::QueueFull { .. })), "{full:?}");
        let later = sender.clone();
        let later = spawned(&sim, async move { later.send(numbered(1000)).await });
        sim.settle().await;
        assert_eq!(*later.lock().unwrap(), None);
        sender.ping(b"").unwrap();
        let bytes = read_all(&sim, &slow).await;
        assert_eq!(*later.lock().unwrap(), Some(Ok(())));
        let mut read = frames(&bytes);
        let ping = read.iter().position(|frame| frame.0 == 0x89).unwrap();
        assert_eq!(ping, TAKEN, "ahead of the backlog");
        read.remove(ping);
        let payloads: Vec<_> = read.into_iter().map(|frame| frame.1).collect();
        let expected = (0..TAKEN + 5).chain([1000]).map(numbered);
        let expected: Vec<_> = expected.map(String::into_bytes).collect();
        assert_eq!(payloads, expected);
        drop(slow);

        for draft in [75, 76] {
            let peer = match draft {
                75 => Peer::open_75(&sim, server.local_addr()).await,
                _ => Peer::open_76(&sim, server.local_addr()).await,
            };
            peer.link().to_near.capacity = 0;
            broadcast_all(&server, 0..100);
            assert_eq!(server.broadcast(b"binary"), 0, "the drafts have none");
            let bytes = read_all(&sim, &peer).await;
            let parts = bytes.split_inclusive(|byte| *byte == 0xff);
            let texts: Vec<_> = parts.map(String::from_utf8_lossy).collect();
            let text = |number| format!("\0{}\u{fffd}", numbered(number));
            assert_eq!(texts.first(), Some(&text(0).into()));
            assert_eq!(texts.last(), Some(&text(99).into()));
            assert!(texts.iter().all(|text| text.len() == LEN + 4));
        }
    });
}

/// What is in the backlog when the connection closes is dropped and counted, and its memory is free.
#[test]
fn a_backlog_ends_with_its_connection() {
    for by_reset in [true, false] {
        Sim::run(async |sim| {
            let server = server_with(&sim, SlowPeer::DropOldest).await;
            let (slow, sender) = open_slow(&sim, &server).await;
            broadcast_all(&server, 0..TAKEN + 3);
            assert_eq!(sender.counters().messages_dropped, 0);
            match by_reset {
                true => slow.link().reset(),
                false => sender.begin_close(1001.try_into().unwrap(), "").unwrap(),
            }
            sim.settle().await;
            assert_eq!(sender.counters().messages_dropped, 3);
            assert_eq!(server.counters().messages_dropped, 3);
            if !by_reset {
                let read = frames(&read_all(&sim, &slow).await);
                assert_eq!(read.len(), TAKEN + 1);
                assert_eq!(read[TAKEN], (0x88, 1001u16.to_be_bytes().to_vec()));
            }
            assert_eq!(sender.buffered_amount(), 0);
        });
    }
}
