//! Where plain HTTP and upgrades part on a server: every byte has one owner, whatever the reads. The
//! handshake gives up exactly what it was given; and a whole server, hyper included, answers pipelined
//! requests, smuggled ones and upgrades in the same way however they are cut.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arbitrary::{Result, Unstructured};
use http_body_util::BodyExt;
use ws_driver::RequestBody;
use ws_proto::{HandshakeEvent, Request, ServerConfig, ServerHandshake, State};

use crate::chop::chop;
use crate::wire;
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// Inputs beyond this show nothing new.
const INPUT_LIMIT: usize = 2048;

/// Requests on one stream, in all.
const PIECE_LIMIT: usize = 12;

/// A request, `#` standing for its number on the stream.
struct Shape {
    head: &'static str,
    /// What the application must be asked if all before it is plain: the method and the body.
    plain: Option<(&'static str, &'static str)>,
}

const fn plain(head: &'static str, method: &'static str, body: &'static str) -> Shape {
    Shape {
        head,
        plain: Some((method, body)),
    }
}

const fn odd(head: &'static str) -> Shape {
    Shape { head, plain: None }
}

const INNER: &str = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";

/// Requests that are plain, then odd ones, then upgrades. Raw bytes come after the last.
const SHAPES: [Shape; 24] = [
    plain("GET /# HTTP/1.1\r\nHost: a\r\n\r\n", "GET", ""),
    plain(
        "POST /# HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST",
        INNER,
    ),
    plain(
        "PUT /# HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        "PUT",
        INNER,
    ),
    plain(
        "POST /# HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nTrailer: t\r\n\r\n",
        "POST",
        "abc",
    ),
    plain("HEAD /# HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD", ""),
    odd("GET /# HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    odd("GET /# HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    odd("POST /# HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"),
    odd("\r\nGET /# HTTP/1.1\r\nHost: a\r\n\r\n"),
    odd("GET /# HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    odd("GET /# HTTP/1.1\nHost: a\n\n"),
    odd("GET /# HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
    odd("GET /# HTTP/1.1\r\nHost : a\r\n\r\n"),
    odd("POST /# HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab"),
    odd("POST /# HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
    odd(
        "POST /# HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    odd(
        "POST /# HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 37\r\n\r\n0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    odd(
        "POST /# HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\nContent-Length: 0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    odd(
        "POST /# HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    odd(
        "POST /# HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    odd(
        "GET /# HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    odd(
        "GET /# HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nOrigin: http://a\r\n\r\n^n:ds[4U",
    ),
    odd(
        "GET /# HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: http://a\r\n\r\n",
    ),
    odd("GET /# HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
];

/// What the pieces of a stream make.
struct Stream {
    bytes: Vec<u8>,
    /// What the application is asked if all pieces are plain.
    plain: Option<Vec<String>>,
    /// Whether there are raw bytes in between, of which whatever follows may be a part.
    is_raw: bool,
}

/// What a server makes of a stream.
#[derive(PartialEq)]
struct Served {
    /// What the application was asked.
    asked: Vec<String>,
    /// What was written, but for the time of day.
    written: Vec<u8>,
}

/// Choices: step, then a byte or more for each request.
pub(crate) fn part(u: &mut Unstructured<'_>) -> Result<()> {
    let step = u.arbitrary()?;
    let stream = stream(u)?;
    for reads in [vec![&*stream.bytes], chop(&stream.bytes, step)] {
        hand_over(&reads);
    }
    let whole = serve_reads(&[&stream.bytes]);
    let chopped = serve_reads(&chop(&stream.bytes, step));
    assert_eq!(
        whole,
        chopped,
        "reads of {step}:\n{}",
        stream.bytes.escape_ascii()
    );
    check(&stream, &whole);
    Ok(())
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#?}\n{}", self.asked, self.written.escape_ascii())
    }
}

fn stream(u: &mut Unstructured<'_>) -> Result<Stream> {
    let mut stream = Stream {
        bytes: Vec::new(),
        plain: Some(Vec::new()),
        is_raw: false,
    };
    for number in 0..PIECE_LIMIT {
        if u.is_empty() || stream.bytes.len() >= INPUT_LIMIT {
            break;
        }
        let place = u.int_in_range(0..=SHAPES.len())?;
        let Some(shape) = SHAPES.get(place) else {
            stream.bytes.extend(wire::raw(u, 64)?);
            (stream.plain, stream.is_raw) = (None, true);
            continue;
        };
        let head = shape.head.replacen('#', &number.to_string(), 1);
        stream.bytes.extend(head.as_bytes());
        match (shape.plain, &mut stream.plain) {
            (Some((method, body)), Some(plain)) => {
                plain.push(asked(method, &format!("/{number}"), body.as_bytes()))
            }
            (_, plain) => *plain = None,
        }
    }
    // hyper judges a head at once if it comes in one read, and when it is whole if it comes in parts:
    // so that the end of the stream does not come in between, no head is left without an end.
    stream.bytes.extend(b"\r\n\r\n");
    Ok(stream)
}

fn asked(method: &str, target: &str, body: &[u8]) -> String {
    format!("{method} {target} {}", body.escape_ascii())
}

/// What a handshake leaves to an HTTP server, and what comes after, is what arrived: no byte is lost
/// and none is there twice.
fn hand_over(reads: &[&[u8]]) {
    let now = Instant::now();
    let mut handshake = ServerHandshake::new(&ServerConfig::new(), now);
    let mut reads_left = reads.iter();
    for read in reads_left.by_ref() {
        assert!(handshake.wants_read());
        handshake.handle_read(now, read);
        match handshake.poll_event() {
            None => continue,
            Some(HandshakeEvent::Request(Request::Http)) => {}
            Some(_) => return,
        }
        assert!(handshake.poll_event().is_none());
        assert_eq!(handshake.state(), State::Handshaking);
        assert!(handshake.outgoing().is_empty() && !handshake.wants_read());
        assert_eq!(handshake.poll_timeout(), None, "the time is hyper's");
        let mut bytes = handshake.into_received().to_vec();
        bytes.extend(reads_left.flat_map(|read| *read));
        assert_eq!(bytes, reads.concat());
        return;
    }
}

/// Runs a server on the simulated network, to the end of the stream.
fn serve_reads(reads: &[&[u8]]) -> Served {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    let written = Sim::run(|sim| async move {
        let server =
            Server::builder().on_request(move |request| answer(Arc::clone(&noted), request));
        let server = server.bind(ANY).await.expect("the network is simulated");
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        let mut written = Vec::new();
        for read in reads {
            if peer.has_ended() {
                break;
            }
            let w = peer.ask(read).await;
            if std::env::var_os("DBG").is_some() {
                eprintln!(
                    "{} -> {} ended {} reset {}",
                    read.escape_ascii(),
                    w.escape_ascii(),
                    peer.has_ended(),
                    peer.link().is_reset
                );
            }
            written.extend(w);
        }
        peer.end().await;
        // Longer than the wait for the end of a closing handshake.
        sim.sleep(seconds(11)).await;
        written.extend(peer.read());
        assert!(
            peer.has_ended(),
            "the server leaves a stream that has ended open"
        );
        assert_eq!(server.clients().len(), 0);
        written
    });
    let asked = std::mem::take(&mut *requests.lock().unwrap_or_else(PoisonError::into_inner));
    Served {
        asked,
        written: without_dates(&written),
    }
}

async fn answer(
    noted: Arc<Mutex<Vec<String>>>,
    request: http::Request<RequestBody>,
) -> http::Response<String> {
    let (head, body) = request.into_parts();
    let body = body.collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = asked(head.method.as_str(), &head.uri.to_string(), &body);
    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
    noted.push(asked);
    http::Response::new(format!("answer {}\n", noted.len()))
}

fn check(stream: &Stream, served: &Served) {
    let bodies: usize = served.asked.iter().map(String::len).sum();
    assert!(
        bodies <= 4 * stream.bytes.len(),
        "escaped, but made of what arrived"
    );
    if let Some(plain) = &stream.plain {
        assert_eq!(served.asked, *plain);
    }
    // Not of a request either that declares two lengths, or one that is no length: it is the last.
    if !stream.is_raw {
        let is_inner = |asked: &&String| asked.split(' ').nth(1) == Some("/inner");
        assert_eq!(
            served.asked.iter().find(is_inner),
            None,
            "a body became a request"
        );
    }
    let answers = answers(&served.written, &served.asked);
    assert!(
        (served.asked.len()..=served.asked.len() + 1).contains(&answers),
        "{answers} answers to {:?}",
        served.asked
    );
}

/// Counts the answers in what was written, up to the first 101, which is the last.
fn answers(mut written: &[u8], asked: &[String]) -> usize {
    let mut count = 0;
    while !written.is_empty() {
        let end = written.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.expect("an answer has a whole head") + 4;
        let head = std::str::from_utf8(&written[..end]).expect("an answer is ASCII");
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .or(head.strip_prefix("HTTP/1.0 "));
        let status = status.unwrap_or_else(|| panic!("not a status line: {head}"));
        written = &written[end..];
        if status.starts_with("100 ") {
            continue;
        }
        count += 1;
        if status.starts_with("101 ") {
            break;
        }
        let len = head.to_ascii_lowercase().split("\r\n").find_map(|line| {
            let len = line.strip_prefix("content-length: ")?.to_owned();
            len.parse::<usize>().ok()
        });
        let is_head = asked
            .get(count - 1)
            .is_some_and(|asked| asked.starts_with("HEAD "));
        let len = if is_head {
            0
        } else {
            len.expect("an answer has a length")
        };
        written = written.get(len..).expect("an answer has its whole body");
    }
    count
}

/// hyper tells the time of day, which no clock of ours rules.
fn without_dates(mut written: &[u8]) -> Vec<u8> {
    const DATE: &[u8] = b"\r\nDate: ";
    let mut kept = Vec::new();
    while let Some(start) = written.windows(DATE.len()).position(|bytes| bytes == DATE) {
        kept.extend(&written[..start]);
        let rest = &written[start + DATE.len()..];
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n");
        written = &rest[end.expect("a line has an end")..];
    }
    kept.extend(written);
    kept
}
