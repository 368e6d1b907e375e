//! The opening handshake of either role, bytes in to bytes out, until there is a connection. Bytes are
//! those of request and response.

use std::hint::black_box;
use std::time::Instant;

use bytes::Buf;
use core_benches::{Keys, version_name};
use criterion::{BenchmarkId, Criterion, Throughput};
use ws_proto::{
    Accept, ClientConfig, ClientHandshake, ClientUrl, Connection, HandshakeEvent, Origin, Request,
    ServerConfig, ServerHandshake, Version,
};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    for version in Version::ALL {
        let (server, client) = (ServerConfig::new(), Client::new(version));
        let request = bytes_of(client.begin(Instant::now()).outgoing());
        let response = bytes_of(serve(&server, &request).outgoing());
        let len = request.len() + response.len();
        group.throughput(Throughput::Bytes(u64::try_from(len).unwrap_or(u64::MAX)));
        group.bench_function(
            BenchmarkId::new("server", version_name(version)),
            |bencher| {
                bencher.iter(|| bytes_of(serve(&server, black_box(&request)).outgoing()));
            },
        );
        group.bench_function(
            BenchmarkId::new("client", version_name(version)),
            |bencher| {
                bencher.iter(|| client.open(black_box(&response)));
            },
        );
        let (both, mut target) = ([request, response].concat(), vec![0; len]);
        group.bench_function(
            BenchmarkId::new("memcpy", version_name(version)),
            |bencher| {
                bencher.iter(|| {
                    target.copy_from_slice(black_box(&both));
                    black_box(&mut target);
                });
            },
        );
        group.bench_function(
            BenchmarkId::new("memchr", version_name(version)),
            |bencher| {
                bencher.iter(|| memchr::memchr(0xff, black_box(&both)));
            },
        );
    }
    group.finish();
}

/// A server's handshake, accepted as a driver does it without a hook; the answer is outgoing.
fn serve(config: &ServerConfig, request: &[u8]) -> Connection {
    let now = Instant::now();
    let mut handshake = ServerHandshake::new(config, now);
    handshake.handle_read(now, request);
    match handshake.poll_event() {
        Some(HandshakeEvent::Request(Request::Upgrade(_))) => {}
        other => unreachable!("{other:?}"),
    }
    handshake.accept(Accept::new()).expect("it is pending");
    match handshake.poll_event() {
        Some(HandshakeEvent::Open) => handshake.into_connection(now),
        other => unreachable!("{other:?}"),
    }
}

struct Client {
    url: ClientUrl,
    config: ClientConfig,
}

impl Client {
    fn new(version: Version) -> Self {
        let origin: Origin = "http://example.com".parse().expect("an origin");
        Self {
            url: "ws://server.example.com/chat".parse().expect("a URL"),
            config: ClientConfig::new().version(version).origin(origin),
        }
    }

    /// Begins with the same keys each time, so that the same answer is right.
    fn begin(&self, now: Instant) -> ClientHandshake {
        ClientHandshake::new(&self.url, &self.config, Box::new(Keys::default()), now)
            .expect("the options make sense")
    }

    fn open(&self, response: &[u8]) -> Connection {
        let now = Instant::now();
        let mut handshake = self.begin(now);
        black_box(bytes_of(handshake.outgoing()));
        handshake.handle_read(now, response);
        match handshake.poll_event() {
            Some(HandshakeEvent::Open) => handshake.into_connection(now),
            other => unreachable!("{other:?}"),
        }
    }
}

fn bytes_of(mut outgoing: impl Buf) -> bytes::Bytes {
    outgoing.copy_to_bytes(outgoing.remaining())
}
