//! What a server's decoding costs in the cores of others, and in ours, all from the same stream in memory,
//! which is always ready: `cargo bench -p core-benches --features peers --bench peers`.
//!
//! A read is a copy, as from a socket; ours reads as its driver does, into a buffer of the thread. All
//! check the UTF-8 of texts.

use std::future::Future;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use core_benches::{Content, READ_LEN, SIZES, batch_len, connection, throughput, wire};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::{Event, EventBatch, Role, Version};

criterion_group! {
    name = peers;
    config = core_benches::criterion();
    targets = bench
}
criterion_main!(peers);

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode-from-stream");
    for content in Content::ALL {
        for size in SIZES {
            group.throughput(throughput(batch_len(size), size));
            let mut case = Case {
                group: &mut group,
                content,
                size,
            };
            ours(&mut case);
            tungstenite(&mut case);
            fastwebsockets(&mut case);
            tokio_websockets(&mut case);
        }
    }
    group.finish();
}

struct Case<'a, 'b> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    content: Content,
    size: usize,
}

impl Case<'_, '_> {
    fn stream(&self) -> Endless {
        Endless {
            batch: wire(Version::Rfc6455, Role::Client, self.content, self.size),
            at: 0,
        }
    }

    /// Measures what takes one message, or all of a batch at once. Each is verified, which costs all the
    /// same: the length alone, but the first batch as a whole.
    fn measure(&mut self, name: &str, mut take: impl FnMut(&mut dyn FnMut(&[u8]))) {
        let expected = self.content.payload(self.size);
        let batch = batch_len(self.size);
        let mut seen = 0;
        while seen < batch {
            take(&mut |payload| {
                assert_eq!(payload, expected, "{name}");
                seen += 1;
            });
        }
        assert_eq!(seen, batch, "{name}");
        let id = BenchmarkId::new(format!("{name}-{}", self.content.name()), self.size);
        self.group.bench_function(id, |bencher| {
            bencher.iter(|| {
                let mut seen = 0;
                while seen < batch {
                    take(&mut |payload| {
                        assert_eq!(black_box(payload).len(), expected.len());
                        seen += 1;
                    });
                }
            });
        });
    }
}

fn ours(case: &mut Case<'_, '_>) {
    let (mut stream, now) = (case.stream(), Instant::now());
    let mut receiver = connection(Version::Rfc6455, Role::Server, now);
    let (mut scratch, mut events) = (vec![0; READ_LEN], EventBatch::new());
    case.measure("ours", |seen| {
        let len = stream.read(&mut scratch).unwrap_or_default();
        receiver.handle_read(now, scratch.get(..len).unwrap_or_default());
        receiver.take_events(&mut events);
        while let Some(event) = events.pop() {
            match event {
                Event::Message(message) => seen(message.as_bytes()),
                other => unreachable!("{other:?}"),
            }
        }
    });
}

fn tungstenite(case: &mut Case<'_, '_>) {
    use tungstenite::protocol::{Role, WebSocket};
    let mut socket = WebSocket::from_raw_socket(case.stream(), Role::Server, None);
    case.measure("tungstenite", |seen| {
        let message = socket.read().expect("a message");
        seen(&message.into_data());
    });
}

fn fastwebsockets(case: &mut Case<'_, '_>) {
    use fastwebsockets::{FragmentCollector, Role, WebSocket};
    let socket = WebSocket::after_handshake(case.stream(), Role::Server);
    let mut socket = FragmentCollector::new(socket);
    case.measure("fastwebsockets", |seen| {
        let frame = at_once(socket.read_frame()).expect("a frame");
        seen(&frame.payload);
    });
}

fn tokio_websockets(case: &mut Case<'_, '_>) {
    let mut socket = tokio_websockets::ServerBuilder::new().serve(case.stream());
    case.measure("tokio-websockets", |seen| {
        let message = at_once(socket.next()).and_then(Result::ok);
        seen(message.expect("a message").as_payload());
    });
}

/// Runs what never waits, as the stream is always ready.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the stream is always ready"),
    }
}

/// A batch again and again. No read goes beyond its end, so each batch is read for itself.
struct Endless {
    batch: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self
            .batch
            .as_slice()
            .get(self.at..)
            .unwrap_or_default()
            .read(buffer)?;
        self.at = (self.at + len) % self.batch.len();
        Ok(len)
    }
}

impl Write for Endless {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Not by `read`, for which the buffer would have to be filled with zeros first.
        let left = self.batch.get(self.at..).unwrap_or_default();
        let len = left.len().min(buffer.remaining());
        buffer.put_slice(left.get(..len).unwrap_or_default());
        self.at = (self.at + len) % self.batch.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
