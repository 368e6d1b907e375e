//! Messages that are compressed and inflated, one at a time, as they come on a connection, with the lent streams of a
//! driver; and what zlib takes for the same bytes in streams that are made once (`zlib`).

use std::time::Instant;

use core_benches::{connection, drain, peer_of, throughput};
use criterion::{BenchmarkId, Criterion};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use http::HeaderMap;
use ws_proto::{Connection, Deflate, Message, Role, Version, Workspace};

/// The lengths of messages, about, in bytes.
const SIZES: [usize; 3] = [256, 4096, 64 << 10];

pub(crate) fn bench(criterion: &mut Criterion) {
    for size in SIZES {
        let message = Message::from(records(size));
        for keeps in [false, true] {
            let context = if keeps { "context" } else { "alone" };
            compress(criterion, context, keeps, &message);
            inflate(criterion, context, keeps, &message);
        }
        zlib(criterion, &message);
    }
}

fn compress(criterion: &mut Criterion, context: &str, keeps: bool, message: &Message) {
    let mut group = criterion.benchmark_group("compress");
    group.throughput(throughput(1, message.len()));
    group.bench_function(BenchmarkId::new(context, message.len()), |bencher| {
        let (mut sender, mut workspace) = (open(Role::Server, keeps), Workspace::new());
        let mut streams = Workspace::new();
        let mut send = || {
            sender.attach_streams(&mut streams);
            let len = send(&mut sender, message, &mut workspace);
            sender.detach_streams(&mut streams);
            len
        };
        assert!(send() < message.len());
        bencher.iter(&mut send);
    });
    group.finish();
}

fn inflate(criterion: &mut Criterion, context: &str, keeps: bool, message: &Message) {
    let mut group = criterion.benchmark_group("inflate");
    group.throughput(throughput(1, message.len()));
    group.bench_function(BenchmarkId::new(context, message.len()), |bencher| {
        let now = Instant::now();
        let mut receiver = open(Role::Server, keeps);
        let mut peer = open(peer_of(Role::Server), keeps);
        let mut wire = || {
            peer.send(message.clone()).expect("nothing is full");
            let len = peer.outgoing().len();
            bytes::Buf::copy_to_bytes(&mut peer.outgoing(), len)
        };
        // With a context the second one refers to the first one, and so do all others.
        let (first, second) = (wire(), wire());
        let mut streams = Workspace::new();
        let mut receive = |bytes: &[u8]| {
            receiver.attach_streams(&mut streams);
            receiver.handle_read(now, bytes);
            receiver.detach_streams(&mut streams);
            receiver.take_event().expect("a message is there")
        };
        receive(&first);
        assert_eq!(receive(&second), ws_proto::Event::Message(message.clone()));
        bencher.iter(|| receive(&second));
    });
    group.finish();
}

/// The ceiling: nothing is made or given back for a message, there are no frames.
fn zlib(criterion: &mut Criterion, message: &Message) {
    let payload = message.as_bytes();
    let mut compressed = Vec::with_capacity(payload.len() * 2 + 100);
    let mut compressor = Compress::new(Compression::new(6), false);
    let mut compress = |compressed: &mut Vec<u8>| {
        compressor.reset();
        compressed.clear();
        let status = compressor.compress_vec(payload, compressed, FlushCompress::Sync);
        status.expect("any bytes can be compressed")
    };
    let mut group = criterion.benchmark_group("compress");
    group.throughput(throughput(1, payload.len()));
    group.bench_function(BenchmarkId::new("zlib", payload.len()), |bencher| {
        bencher.iter(|| compress(&mut compressed));
    });
    group.finish();

    compress(&mut compressed);
    let (mut decompressor, mut output) = (Decompress::new(false), vec![0; payload.len() + 1]);
    let mut inflate = || {
        decompressor.reset(false);
        let status = decompressor.decompress(&compressed, &mut output, FlushDecompress::Sync);
        (
            status.expect("it is what zlib wrote"),
            decompressor.total_out(),
        )
    };
    assert_eq!(
        inflate().1,
        u64::try_from(payload.len()).expect("it is short")
    );
    let mut group = criterion.benchmark_group("inflate");
    group.throughput(throughput(1, payload.len()));
    group.bench_function(BenchmarkId::new("zlib", payload.len()), |bencher| {
        bencher.iter(&mut inflate);
    });
    group.finish();
}

/// Sends a message; returns how many bytes left.
fn send(sender: &mut Connection, message: &Message, workspace: &mut Workspace) -> usize {
    sender.attach(workspace);
    sender.send(message.clone()).expect("nothing is full");
    let len = drain(sender.outgoing());
    sender.detach(workspace);
    len
}

/// A connection that compresses everything, with or without contexts.
fn open(role: Role, keeps: bool) -> Connection {
    let options = Deflate::new()
        .threshold(0)
        .server_no_context_takeover(!keeps)
        .client_no_context_takeover(!keeps);
    let headers = |line: String| {
        let mut headers = HeaderMap::new();
        headers.insert(
            "sec-websocket-extensions",
            line.parse().expect("it is ASCII"),
        );
        headers
    };
    let server = options
        .accept(&headers(options.offer()))
        .expect("all is offered");
    let terms = match role {
        Role::Server => server,
        Role::Client => {
            let answer = headers(server.to_string());
            options
                .confirm(&answer)
                .expect("it is right")
                .expect("it is there")
        }
    };
    connection(Version::Rfc6455, role, Instant::now()).with_deflate(&terms)
}

/// What is often compressed: JSON, records that are alike and not the same.
fn records(len: usize) -> String {
    let names = ["temperature", "pressure", "humidity", "wind", "rain"];
    let mut text = String::from("[");
    let mut state = 1_u32;
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let name = names[usize::try_from(state >> 8).unwrap_or(0) % names.len()];
        let (id, value) = (state >> 12, state >> 20);
        text += &format!("{{\"id\":{id},\"sensor\":\"{name}\",\"value\":{value}.5}},");
    }
    text
}
