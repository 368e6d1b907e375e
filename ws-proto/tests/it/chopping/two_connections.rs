//! Two connections that talk to each other through a pipe that chops.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Buf;
use proptest::collection::vec;
use proptest::prelude::*;
use ws_proto::{CloseCause, CloseCode, CloseReason, Connection, Event, Message, Role, Version};

use super::endpoint::config;
use super::streams::text;
use ws_testing::connections::{connect, written};

#[derive(Clone, Debug)]
enum Deed {
    Send(Message),
    Ping(Vec<u8>),
    /// Writes in place, or takes bytes out and says later that they were written.
    Write {
        takes: Option<usize>,
    },
    /// Lets so many bytes through to this end.
    Read(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let long = prop_oneof![20 => 0_usize..300, 2 => 4000_usize..5000, 1 => Just(70_000)];
    prop_oneof![
        6 => text().prop_map(|text| Deed::Send(text.into())),
        3 => (any::<u8>(), long).prop_map(|(byte, len)| Deed::Send(vec![byte; len].into())),
        1 => vec(any::<u8>(), 0..126).prop_map(Deed::Ping),
        3 => proptest::option::of(0_usize..10_000).prop_map(|takes| Deed::Write { takes }),
        6 => (1_usize..6000).prop_map(Deed::Read),
    ]
}

/// One of two connections that talk to each other.
struct End {
    connection: Connection,
    /// Bytes on their way to this end, and whether the other end has shut down behind them.
    pipe: VecDeque<u8>,
    pipe_ends: bool,
    eof: bool,
    sent: Vec<Message>,
    received: Vec<Message>,
    closed: Option<ws_proto::Closed>,
}

impl End {
    fn new(role: Role, version: Version, now: Instant) -> Self {
        Self {
            connection: connect(role, version, config(None), now),
            pipe: VecDeque::new(),
            pipe_ends: false,
            eof: false,
            sent: Vec::new(),
            received: Vec::new(),
            closed: None,
        }
    }

    fn write(&mut self, other: &mut Self, takes: Option<usize>) {
        match takes {
            None => other.pipe.extend(written(&mut self.connection)),
            Some(limit) => {
                let mut taken = self.connection.take_outgoing(limit);
                let count = taken.len();
                while taken.has_remaining() {
                    let chunk = taken.chunk();
                    other.pipe.extend(chunk);
                    let count = chunk.len();
                    taken.advance(count);
                }
                self.connection.handle_written(count);
            }
        }
        other.pipe_ends |= self.connection.wants_shutdown();
    }

    fn read(&mut self, limit: usize, now: Instant) {
        let part: Vec<u8> = self.pipe.drain(..limit.min(self.pipe.len())).collect();
        self.connection.handle_read(now, &part);
        if self.pipe_ends && self.pipe.is_empty() && !self.eof {
            self.eof = true;
            self.connection.handle_eof(now);
        }
        while let Some(event) = self.connection.poll_event(now) {
            match event {
                Event::Message(message) => self.received.push(message),
                Event::Closed(closed) => self.closed = Some((*closed).clone()),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves that two connections of any version deliver everything, in order, through a pipe that
    /// chops as it likes, and close cleanly, whoever closes: one of them or both at once.
    #[test]
    fn two_connections_deliver_everything_and_close(
        deeds in vec((any::<bool>(), deed()), 0..60),
        closers in 1_u8..4,
    ) {
        let now = Instant::now();
        for version in Version::ALL {
            let mut ends = [End::new(Role::Server, version, now), End::new(Role::Client, version, now)];
            for (by_client, deed) in &deeds {
                let [server, client] = &mut ends;
                let (end, other) = if *by_client { (client, server) } else { (server, client) };
                match deed {
                    Deed::Send(message) => {
                        if message.is_text() || version.features().binary {
                            end.connection.send(message.clone()).unwrap();
                            end.sent.push(message.clone());
                        }
                    }
                    Deed::Ping(payload) => {
                        prop_assert_eq!(
                            end.connection.ping(payload).is_ok(),
                            version.features().ping
                        );
                    }
                    Deed::Write { takes } => end.write(other, *takes),
                    Deed::Read(limit) => end.read(*limit, now),
                }
            }
            for (index, end) in ends.iter_mut().enumerate() {
                if closers & (1 << index) != 0 {
                    end.connection.close(now, Some(CloseCode::NORMAL), CloseReason::from_static("done"));
                }
            }
            for _ in 0..20 {
                let [server, client] = &mut ends;
                server.write(client, None);
                client.write(server, None);
                client.read(usize::MAX, now);
                server.read(usize::MAX, now);
            }
            let [server, client] = &ends;
            prop_assert!(server.received == client.sent, "{version}: to the server");
            prop_assert!(client.received == server.sent, "{version}: to the client");
            for end in &ends {
                prop_assert!(end.connection.is_finished(), "{version}");
                let closed = end.closed.as_ref().expect("the end is told");
                prop_assert_eq!(&closed.cause, &CloseCause::Handshake, "{}", version);
                prop_assert_eq!(closed.clean, version.features().close_frame);
            }
        }
    }
}
