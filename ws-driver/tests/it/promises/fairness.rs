//! One peer's work never delays another's by more than a bound: what one poll of a driver does is limited, in
//! bytes, in frames and in what is written.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use http_body_util::{BodyExt as _, Full};
use ws_driver::ws_proto::{Message, READ_FRAME_LIMIT};
use ws_driver::{Connection, RequestBody};

use ws_testing::sim::peer::{RFC6455, masked, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

/// Rounds of all ready tasks in which a good peer has its echo beside a peer that always has something.
const TURNS: usize = 12;

/// Polls of a driver in so many rounds, and one at either end.
const POLLS: usize = TURNS + 2;

/// A stream that is never empty and never full, as one is whose peer is faster than we are.
struct Flood {
    /// The handshake, then what is sent over and over.
    first: &'static [u8],
    again: Vec<u8>,
    at: usize,
    read: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            buffer[..first.len()].copy_from_slice(first);
            return Poll::Ready(Ok(first.len()));
        }
        if self.again.is_empty() {
            return Poll::Pending;
        }
        for byte in &mut *buffer {
            *byte = self.again[self.at];
            self.at = (self.at + 1) % self.again.len();
        }
        self.read.fetch_add(buffer.len(), Ordering::Relaxed);
        Poll::Ready(Ok(buffer.len()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.fetch_add(bytes.len(), Ordering::Relaxed);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What the flood did until a good peer had its answer.
struct Done {
    read: usize,
    written: usize,
    handled: usize,
}

/// Lets a good peer connect and send one message beside a peer that sends `again` without end. `greeting` is
/// sent to that peer when it connects.
fn beside_a_flood(again: Vec<u8>, greeting: Option<Message>) -> Done {
    let (read, written, handled) = <(Arc<_>, Arc<_>, Arc<AtomicUsize>)>::default();
    let flood = Flood {
        first: RFC6455.as_bytes(),
        again,
        at: 0,
        read: Arc::clone(&read),
        written: Arc::clone(&written),
    };
    let counted = Arc::clone(&handled);
    let handler = async move |mut connection: Connection| {
        if let Some(greeting) = greeting {
            connection.send(greeting).await.unwrap();
        }
        while connection.recv().await.is_some() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    };
    let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        assert!(server.handle_stream(flood, None, handler).await);
        // The flood is open and in full swing.
        for _ in 0..TURNS {
            step().await;
        }
        let before = (load(&read), load(&written), load(&handled));
        peer.write(&text("fine")).await;
        let mut answer = Vec::new();
        for _ in 0..TURNS {
            step().await;
            answer.extend(peer.read());
        }
        assert_eq!(answer, b"\x81\x04fine");
        Done {
            read: load(&read) - before.0,
            written: load(&written) - before.1,
            handled: load(&handled) - before.2,
        }
    })
}

/// Lets every task that is ready run once.
async fn step() {
    let mut is_woken = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_woken, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Messages of no bytes are six bytes each, so a read of 128 KiB has 21,845 of them. A handler that works on
/// each for a microsecond would keep all others waiting for 22 ms. Breaks if a poll takes all that one
/// read brought.
#[test]
fn one_poll_hands_out_a_bounded_number_of_messages() {
    let done = beside_a_flood(masked(0x82, b""), None);
    assert!(done.handled > 0, "the flood was served as well");
    assert!(done.handled <= POLLS * READ_FRAME_LIMIT, "{}", done.handled);
}

/// Pongs need no answer and pings get one, and neither reaches the handler. Breaks if only messages are
/// counted.
#[test]
fn one_poll_looks_at_a_bounded_number_of_control_frames() {
    for first_byte in [0x8a, 0x89] {
        let frame = masked(first_byte, b"");
        let done = beside_a_flood(frame.clone(), None);
        // What was read and waits for its turn is one read at most.
        let looked_at = done.read.saturating_sub(READ_LEN) / frame.len();
        assert!(looked_at <= POLLS * READ_FRAME_LIMIT, "{looked_at}");
    }
}

/// A long message is few frames. Breaks if a poll goes on reading as long as there is something.
#[test]
fn one_poll_reads_a_bounded_number_of_bytes() {
    let done = beside_a_flood(masked(0x82, &[7; 100_000]), None);
    assert!(done.read > 0, "the flood was served as well");
    assert!(
        done.read <= POLLS * (MESSAGE_BYTES + READ_LEN),
        "{}",
        done.read
    );
}

/// A message of 64 MiB for a peer that takes all at once. Breaks if a poll writes as long as the stream
/// takes something.
#[test]
fn one_poll_writes_a_bounded_number_of_bytes() {
    let greeting = Message::from(vec![7; 64 << 20]);
    let done = beside_a_flood(Vec::new(), Some(greeting));
    assert!(done.written > 0, "the flood was served as well");
    assert!(done.written <= POLLS * WRITE_LEN, "{}", done.written);
}

/// What the flood did beside a good peer, if it is plain HTTP: `first` once, then `again` without end, where the page
/// is `page`.
fn beside_plain_http(first: &'static [u8], again: &[u8], page: Bytes) -> Done {
    let (read, written, handled) = <(Arc<_>, Arc<_>, Arc<AtomicUsize>)>::default();
    let flood = Flood {
        first,
        again: again.to_vec(),
        at: 0,
        read: Arc::clone(&read),
        written: Arc::clone(&written),
    };
    let counted = Arc::clone(&handled);
    let answer = move |request: http::Request<RequestBody>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let page = page.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            http::Response::new(Full::new(page))
        }
    };
    let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    Sim::run(async |sim| {
        let server = Server::builder()
            .on_request(answer)
            .bind(ANY)
            .await
            .unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let before = (load(&read), load(&written), load(&handled));
        assert!(server.handle_stream(flood, None, echo).await);
        peer.write(&text("fine")).await;
        let mut answer = Vec::new();
        for _ in 0..TURNS {
            step().await;
            answer.extend(peer.read());
        }
        assert_eq!(answer, b"\x81\x04fine");
        Done {
            read: load(&read) - before.0,
            written: load(&written) - before.1,
            handled: load(&handled) - before.2,
        }
    })
}

/// Requests that wait behind one another. Breaks if hyper answers as many as it likes in one poll, and has itself
/// polled again without a look at the sockets.
#[test]
fn one_poll_answers_a_bounded_number_of_plain_requests() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let done = beside_plain_http(request, request, Bytes::from_static(b"fine"));
    assert!(done.handled >= TURNS / 2, "{} are served", done.handled);
    assert!(done.handled <= POLLS, "{}", done.handled);
}

/// A page of 64 MiB for a peer that takes all at once. Breaks if hyper writes as long as the stream takes something.
#[test]
fn one_poll_writes_a_bounded_part_of_an_answer() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let done = beside_plain_http(request, b"", vec![7; 64 << 20].into());
    assert!(done.written > 0, "the flood was served as well");
    assert!(done.written <= POLLS * WRITE_LEN, "{}", done.written);
}

/// Breaks if hyper reads a body as long as there is something.
#[test]
fn one_poll_reads_a_bounded_part_of_an_upload() {
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n";
    let done = beside_plain_http(request, b"x", Bytes::new());
    assert!(done.read > 0, "the flood was served as well");
    assert!(done.read <= POLLS * READ_LEN, "{}", done.read);
}

/// What comes behind a refusal is discarded. Breaks if that is read as long as there is something.
#[test]
fn one_poll_discards_a_bounded_number_of_bytes() {
    let done = beside_plain_http(b"GET / HTTP/1.1\nHost: a\n\n", b"x", Bytes::new());
    assert!(done.read > 0, "it is discarded at all");
    assert!(done.read <= POLLS * READ_LEN, "{}", done.read);
}

/// What an open connection moves before it begins no other read.
const MESSAGE_BYTES: usize = 2 << 20;

/// The most that one read takes.
const READ_LEN: usize = 128 << 10;

/// The most that one poll writes: three writes of 512 KiB.
const WRITE_LEN: usize = 3 * (512 << 10);
