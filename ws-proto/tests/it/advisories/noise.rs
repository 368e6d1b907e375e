//! Bytes that mean nothing.

use std::time::Instant;

use proptest::prelude::*;
use ws_proto::{Accept, ClientConfig};

use ws_testing::connections::events;
use ws_testing::handshake::{DRAFT75, DRAFT76, Outcome, RFC6455, client, run, sample_config};

proptest! {
    /// CVE-2020-36049, CVE-2023-32695 (socket.io-parser): bytes from the network ended the process.
    /// Proves that none do, in a handshake and behind one, of either side.
    #[test]
    fn no_bytes_make_a_machine_panic(noise in prop::collection::vec(any::<u8>(), 0..300), step in 1..50_usize) {
        let now = Instant::now();
        for head in ["", RFC6455, DRAFT75, DRAFT76, "HTTP/1.1 101 x\r\n", "GET / HTTP/1.1\r\n"] {
            let wire = [head.as_bytes(), &noise].concat();
            let reads: Vec<_> = wire.chunks(step).collect();
            let (mut handshake, outcome, _) = run(&sample_config(), &reads, &Accept::new());
            if outcome == Outcome::Open {
                let early = handshake.take_early();
                let mut connection = handshake.into_connection(now);
                connection.handle_read(now, &early);
                events(&mut connection, now);
            }
            let mut handshake = client(&ClientConfig::new());
            wire.chunks(step).for_each(|part| handshake.handle_read(now, part));
        }
    }
}
