//! Two ends of TLS over a transport that takes and gives what a seed says, polled by hand.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConnection, RootCertStore, ServerConnection};

use super::*;
use crate::tls::provider;

/// One direction of a transport.
#[derive(Default)]
struct Wire {
    bytes: VecDeque<u8>,
    /// Bytes that it has room for.
    room: usize,
    has_ended: bool,
    /// All that it ever took.
    taken: usize,
}

struct Transport {
    incoming: Rc<RefCell<Wire>>,
    outgoing: Rc<RefCell<Wire>>,
    random: Rc<RefCell<u64>>,
}

impl Transport {
    /// A number below a limit; xorshift is good enough.
    fn below(&self, limit: usize) -> usize {
        let mut state = self.random.borrow_mut();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state % u64::try_from(limit).unwrap()).unwrap()
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let most = [1, 5, 100, 1 << 14, 1 << 17][self.below(5)];
        let waits = self.below(3) == 0;
        let mut wire = self.incoming.borrow_mut();
        if wire.bytes.is_empty() && wire.has_ended {
            return Poll::Ready(Ok(0));
        }
        let len = buffer.len().min(most).min(wire.bytes.len());
        if len == 0 || waits {
            return Poll::Pending;
        }
        for (place, byte) in buffer.iter_mut().zip(wire.bytes.drain(..len)) {
            *place = byte;
        }
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = [1, 5, 100, 1 << 14, 1 << 17][self.below(5)];
        let mut wire = self.outgoing.borrow_mut();
        let len = bytes.len().min(most).min(wire.room - wire.bytes.len());
        if len == 0 {
            return Poll::Pending;
        }
        wire.bytes.extend(&bytes[..len]);
        wire.taken += len;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.borrow_mut().has_ended = true;
        Poll::Ready(Ok(()))
    }
}

type End = TlsStream<Transport>;

/// A client and a server whose handshake is done, and the wire from the first to the second.
fn pair(seed: u64, room: usize) -> (End, End, Rc<RefCell<Wire>>) {
    let (mut client, mut server, to_server) = over_wires(seed);
    open(&mut client, &mut server);
    for wire in [&to_server, &server.transport.outgoing] {
        let mut wire = wire.borrow_mut();
        wire.room = room.max(wire.bytes.len());
    }
    (client, server, to_server)
}

/// The same before the handshake.
fn over_wires(seed: u64) -> (End, End, Rc<RefCell<Wire>>) {
    let wire = || {
        Rc::new(RefCell::new(Wire {
            // The server's last words wait for nobody to read them.
            room: 1 << 14,
            ..Wire::default()
        }))
    };
    let (to_server, to_client) = (wire(), wire());
    let random = Rc::new(RefCell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    let transport = |incoming: &Rc<RefCell<Wire>>, outgoing: &Rc<RefCell<Wire>>| Transport {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        random: Rc::clone(&random),
    };
    let (client, server) = ends(
        transport(&to_client, &to_server),
        transport(&to_server, &to_client),
    );
    (client, server, to_server)
}

/// A client and a server before their handshake, over their ends of a transport.
fn ends<S>(client: S, server: S) -> (TlsStream<S>, TlsStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(config.into(), name).unwrap();
    let client = TlsStream::new(client, session.into());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let session = ServerConnection::new(config.into()).unwrap();
    (client, TlsStream::new(server, session.into()))
}

/// Does the handshake, to the last byte.
fn open<S: AsyncRead + AsyncWrite + Unpin>(client: &mut TlsStream<S>, server: &mut TlsStream<S>) {
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut is_client_done, mut is_server_done) = (false, false);
    for _ in 0..1_000_000 {
        is_client_done |= done(client.poll_handshake(cx, &mut &[][..]));
        is_server_done |= done(server.poll_handshake(cx, &mut &[][..]));
        // The tickets are left to the first write.
        if is_client_done && is_server_done && is_flushed(server, cx) {
            return;
        }
    }
    panic!("the handshake takes too long");
}

fn done(polled: Poll<Result<(), TlsError>>) -> bool {
    polled.map(Result::unwrap).is_ready()
}

fn is_flushed<S: AsyncRead + AsyncWrite + Unpin>(
    end: &mut TlsStream<S>,
    cx: &mut Context<'_>,
) -> bool {
    Pin::new(end).poll_flush(cx).map(Result::unwrap).is_ready()
}

/// A buffer of `len` bytes that repeats with a period that is no power of two.
fn content(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// However a transport takes and gives bytes, what is written at one end is read at the other, both ways
/// at once, and then the end.
#[test]
fn what_is_written_is_read_however_it_is_chopped() {
    for seed in 1..=24 {
        let (client, server, _) = pair(seed, room(seed));
        assert_both_ways_work(seed, client, server);
    }
}

/// The same of a stream inside of TLS that goes through another, as it does through a proxy.
#[test]
fn tls_inside_of_tls_is_read_however_it_is_chopped() {
    for seed in 1..=24 {
        let (client, server, wire) = pair(seed, 1 << 14);
        let to_client = Rc::clone(&server.transport.outgoing);
        let (mut client, mut server) = ends(client, server);
        open(&mut client, &mut server);
        for wire in [wire, to_client] {
            let mut wire = wire.borrow_mut();
            wire.room = room(seed).max(wire.bytes.len());
        }
        assert_both_ways_work(seed, client, server);
    }
}

/// What a transport has room for.
fn room(seed: u64) -> usize {
    [1, 700, 1 << 16][usize::try_from(seed % 3).unwrap()]
}

fn assert_both_ways_work<S>(seed: u64, mut client: TlsStream<S>, mut server: TlsStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let len = [3_000, 70_000, 300_000][usize::try_from(seed % 3).unwrap()];
    let sent = content(len);
    let mut ends = [
        (&mut client, 0, Vec::new(), false),
        (&mut server, 0, Vec::new(), false),
    ];
    let cx = &mut Context::from_waker(Waker::noop());
    let mut buffer = vec![0; [7, 5_000, 1 << 17][usize::try_from(seed / 3 % 3).unwrap()]];
    for _ in 0..4_000_000 {
        for (end, written, received, has_ended) in &mut ends {
            let mut end = Pin::new(&mut **end);
            let rest = &sent[*written..];
            if rest.is_empty() {
                let _ = end.as_mut().poll_close(cx).map(Result::unwrap);
            } else {
                let (first, second) = rest.split_at(rest.len() / 2);
                let slices = [first, second].map(IoSlice::new);
                if let Poll::Ready(len) = end.as_mut().poll_write_vectored(cx, &slices) {
                    *written += len.unwrap();
                }
            }
            if let Poll::Ready(len) = end.as_mut().poll_read(cx, &mut buffer) {
                let len = len.unwrap();
                *has_ended |= len == 0;
                received.extend_from_slice(&buffer[..len]);
            }
        }
        if ends.iter().all(|(.., has_ended)| *has_ended) {
            break;
        }
    }
    for (_, _, received, has_ended) in ends {
        assert!(has_ended, "seed {seed} takes too long");
        assert!(received == sent, "seed {seed}: {} bytes", received.len());
    }
}

/// The tickets of a server of TLS 1.3 leave with the first bytes that are written, or with the end of a stream that writes
/// none. The Finished of a client waits for nothing.
#[test]
fn tickets_cost_no_write_of_their_own() {
    for writes in [true, false] {
        let (mut client, mut server, _) = over_wires(1);
        let cx = &mut Context::from_waker(Waker::noop());
        let is_done = (0..100_000).any(|_| {
            assert!(
                !done(server.poll_handshake(cx, &mut &[][..])),
                "without a Finished"
            );
            done(client.poll_handshake(cx, &mut &[][..]))
        });
        assert!(is_done && !client.session.wants_write());
        assert!((0..1_000).any(|_| done(server.poll_handshake(cx, &mut &[][..]))));
        assert!(server.session.wants_write(), "tickets");
        let is_sent = (0..1_000).any(|_| {
            let server = Pin::new(&mut server);
            match writes {
                true => server.poll_write(cx, b"one").is_ready(),
                false => server.poll_close(cx).is_ready(),
            }
        });
        assert!(is_sent && !server.session.wants_write());
    }
}

/// A client with Nagle's algorithm sends its request only once something has come behind its Finished: so a server that
/// finds no request sends its tickets before it waits.
#[test]
fn tickets_leave_before_the_server_waits() {
    let (mut client, mut server, _) = over_wires(2);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(
        (0..100_000).any(|_| !done(server.poll_handshake(cx, &mut &[][..]))
            && done(client.poll_handshake(cx, &mut &[][..])))
    );
    assert!((0..1_000).any(|_| done(server.poll_handshake(cx, &mut &[][..]))));
    let begin = server.transport.outgoing.borrow().taken;
    let mut buffer = [0; 1024];
    assert!(
        Pin::new(&mut server)
            .poll_read(cx, &mut buffer)
            .is_pending()
    );
    assert!(
        server.transport.outgoing.borrow().taken > begin,
        "the client would wait"
    );
    // What the transport did not take goes with the next write, and only once.
    assert!((0..1_000).any(|_| Pin::new(&mut server).poll_write(cx, b"one").is_ready()));
    assert!(!server.session.wants_write());
}

/// Bytes count as written no sooner than the transport has them, and the last only with the whole
/// record: a peer that takes nothing is seen to take nothing.
#[test]
fn what_the_transport_does_not_take_is_not_written() {
    for seed in 1..=24 {
        let (mut client, _server, wire) = pair(seed, 1 << 20);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut client).poll_flush(cx).is_ready());
        let begin = {
            let mut wire = wire.borrow_mut();
            wire.room = wire.bytes.len();
            wire.taken
        };
        let sent = content(50_000);
        let mut written = 0;
        let mut polls = 0;
        while written < sent.len() {
            let polled = Pin::new(&mut client).poll_write(cx, &sent[written..]);
            let mut wire = wire.borrow_mut();
            match polled {
                Poll::Ready(len) => written += len.unwrap(),
                Poll::Pending => wire.room += 997,
            }
            assert!(written <= wire.taken - begin, "seed {seed}");
            let all_taken = !client.session.wants_write();
            assert_eq!(
                written == sent.len(),
                all_taken && written > 0,
                "seed {seed}"
            );
            polls += 1;
            assert!(polls < 1_000_000);
        }
    }
}

/// P5: a stream that has carried large messages both ways, in one piece or in many, holds no more than one
/// that has carried none, but for the list in which rustls had its records.
#[test]
fn an_idle_stream_gives_back_what_large_messages_took() {
    for seed in 1..=24 {
        let (mut client, mut server, wire) = pair(seed, 1 << 20);
        for wire in [&wire, &server.transport.outgoing] {
            wire.borrow_mut().bytes.reserve(1 << 20);
        }
        let cx = &mut Context::from_waker(Waker::noop());
        let (sent, mut buffer) = (content(70_000), vec![0; 1 << 17]);
        let mut kept = 0;
        // The client's part is not counted.
        let count = |kept: &mut i64, work: &mut dyn FnMut()| {
            *kept += allocation_counter::measure(work).bytes_current;
        };
        for len in [0, 70_000, 20_000] {
            let (mut written, mut read) = (0, 0);
            while written < len {
                let polled = Pin::new(&mut client).poll_write(cx, &sent[written..len]);
                written += done_len(polled);
            }
            for _ in 0..100_000 {
                count(&mut kept, &mut || {
                    read += done_len(Pin::new(&mut server).poll_read(cx, &mut buffer));
                });
            }
            assert_eq!(read, len, "seed {seed}");
            (written, read) = (0, 0);
            while written < len {
                count(&mut kept, &mut || {
                    let polled = Pin::new(&mut server).poll_write(cx, &sent[written..len]);
                    written += done_len(polled);
                });
            }
            while read < len {
                read += done_len(Pin::new(&mut client).poll_read(cx, &mut buffer));
            }
            assert!(kept < 256, "seed {seed}: {kept} bytes after {len}");
            if seed == 1 {
                println!("live bytes more than before, after {len} bytes each way: {kept}");
            }
        }
    }
}

fn done_len(polled: Poll<io::Result<usize>>) -> usize {
    match polled {
        Poll::Ready(len) => len.unwrap(),
        Poll::Pending => 0,
    }
}

/// The end that TLS has, close_notify, is sent once before that of the transport; one who reads is told
/// of either as of an end.
#[test]
fn an_end_is_said_inside_of_tls_too() {
    let (mut client, mut server, _) = pair(1, 1 << 16);
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..2 {
        assert!(Pin::new(&mut client).poll_close(cx).is_ready());
    }
    let mut buffer = [0; 100];
    let mut read = |server: &mut End| {
        for _ in 0..1000 {
            if let Poll::Ready(len) = Pin::new(&mut *server).poll_read(cx, &mut buffer) {
                return len.unwrap();
            }
        }
        panic!("it takes too long");
    };
    assert_eq!((read(&mut server), read(&mut server)), (0, 0));
    let state = server.session.process_new_packets().unwrap();
    assert!(state.peer_has_closed());

    let (client, mut server, _) = pair(2, 1 << 16);
    client.transport.outgoing.borrow_mut().has_ended = true;
    assert_eq!((read(&mut server), read(&mut server)), (0, 0));
    let state = server.session.process_new_packets().unwrap();
    assert!(!state.peer_has_closed());
}
