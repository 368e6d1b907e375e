//! tungstenite and we read the same bytes of RFC 6455: the same messages in the same order, and the
//! same verdict. Where we disagree on purpose is [`Disagreement`], each with its rule and a predicate
//! that lets nothing else through.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Instant;

use arbitrary::{Result, Unstructured};
use tungstenite::WebSocket;
use tungstenite::protocol::WebSocketConfig;
use ws_proto::{
    CloseCause, CloseCode, ConnectionConfig, Event, Message, ProtocolError, Role, Version,
};

use crate::chop::chop;
use crate::wire;
use ws_testing::connections::connect;

/// Inputs beyond this show nothing new.
const INPUT_LIMIT: usize = 4096;

/// The limit of a frame for both, over all that fits the input: messages have none, as the two check
/// that at different times.
const FRAME_LIMIT: usize = 64 << 10;

/// What an endpoint made of some bytes.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    /// Messages, pings and pongs.
    told: Vec<String>,
    verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    /// It waits for more.
    Open,
    /// The peer closed, with a code and a reason or without.
    Closed(Option<(u16, String)>),
    Failed,
}

/// Where the two disagree, and we mean it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disagreement {
    /// R-F6: a length that is not in its shortest form fails, in a control frame by R-F8; tungstenite
    /// takes it.
    NonMinimalLength,
    /// R-F3, R-F8, R-X9, R-U3: what a part of a frame tells fails at once; tungstenite looks at whole
    /// frames.
    FailFast,
    /// PROTOCOL.md §5.6, R-X8: a code that must not be on the wire fails. Both answer it with 1002,
    /// but tungstenite tells its user that the peer closed, with 1002.
    CloseCode,
    /// PROTOCOL.md §5.6: 1014 is registered with IANA; tungstenite takes it for a bad code.
    BadGateway,
}

/// Choices: role, whether the rest is raw, step.
pub(crate) fn compare(u: &mut Unstructured<'_>) -> Result<()> {
    let role = *u.choose(&[Role::Server, Role::Client])?;
    let is_raw = u.arbitrary()?;
    let step = u.arbitrary()?;
    let bytes = if is_raw {
        u.bytes(u.len().min(INPUT_LIMIT))?.to_vec()
    } else {
        wire::stream(u, role, Version::Rfc6455, INPUT_LIMIT)?
    };
    agree(role, &bytes, step);
    Ok(())
}

/// Panics unless the two agree or disagree on purpose.
fn agree(role: Role, bytes: &[u8], step: u8) {
    let (ours, error) = ours(role, bytes, step);
    let theirs = theirs(role, bytes, step);
    let is_minimal = frames(bytes).all(|frame| frame.is_minimal);
    assert!(
        ours.verdict != Verdict::Open || is_minimal,
        "R-F6 is not kept"
    );
    if ours == theirs {
        return;
    }
    let Some((disagreement, start)) = explain(&ours, error.as_ref(), &theirs, bytes) else {
        panic!(
            "we see {ours:?} ({error:?}), tungstenite sees {theirs:?} in {}",
            bytes.escape_ascii()
        );
    };
    // What came before the frame in question is no reason to disagree.
    if let Some(start) = start {
        let before = &bytes[..start];
        let (seen, _) = self::ours(role, before, step);
        assert_eq!(
            seen.told, ours.told,
            "{disagreement:?}: nothing is told of it"
        );
        assert_eq!(seen.verdict, Verdict::Open, "{disagreement:?}: until then");
        assert_eq!(seen, self::theirs(role, before, step), "{disagreement:?}");
    }
}

/// Returns the reason for which the two may disagree about these bytes, and where the frame begins
/// before which they must not.
fn explain(
    ours: &Seen,
    error: Option<&ProtocolError>,
    theirs: &Seen,
    bytes: &[u8],
) -> Option<(Disagreement, Option<usize>)> {
    let violation = Verdict::Closed(Some((1002, "Protocol violation".to_owned())));
    let bad_gateway = CloseCode::BAD_GATEWAY.get();
    match (error, &ours.verdict, &theirs.verdict) {
        (
            Some(ProtocolError::NonMinimalLength { .. } | ProtocolError::ControlTooLong { .. }),
            Verdict::Failed,
            _,
        ) if frames(bytes).any(|frame| !frame.is_minimal) => {
            let mut frames = frames(bytes);
            let start = frames.find(|frame| !frame.is_minimal)?.start;
            Some((Disagreement::NonMinimalLength, Some(start)))
        }
        (Some(ProtocolError::InvalidCloseCode { .. }), Verdict::Failed, closed) => {
            let is_told = ours.told == theirs.told && *closed == violation;
            is_told.then_some((Disagreement::CloseCode, None))
        }
        (Some(_), Verdict::Failed, Verdict::Open) => {
            let last = frames(bytes).last()?;
            let is_part = !last.is_whole && ours.told == theirs.told;
            is_part.then_some((Disagreement::FailFast, Some(last.start)))
        }
        (None, Verdict::Closed(Some((code, _))), closed) if *code == bad_gateway => {
            let is_told = ours.told == theirs.told && *closed == violation;
            is_told.then_some((Disagreement::BadGateway, None))
        }
        _ => None,
    }
}

/// A frame, as far as its header tells.
struct FrameAt {
    start: usize,
    is_minimal: bool,
    is_whole: bool,
}

/// Splits bytes into frames; the last one may be a part.
fn frames(bytes: &[u8]) -> impl Iterator<Item = FrameAt> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let len_of = |range: std::ops::Range<usize>| {
            let bytes = rest.get(range)?.iter();
            Some(bytes.fold(0, |len: u64, byte| len << 8 | u64::from(*byte)))
        };
        let short = rest.get(1).copied();
        let (len, header_len, least) = match short.map(|byte| byte & 0x7f) {
            Some(126) => (len_of(2..4), 4, 126),
            Some(127) => (len_of(2..10), 10, 65_536),
            Some(len) => (Some(u64::from(len)), 2, 0),
            None => (None, 2, 0),
        };
        let key_len = if short.is_some_and(|byte| byte & 0x80 != 0) {
            4
        } else {
            0
        };
        let end = len
            .and_then(|len| {
                usize::try_from(len)
                    .ok()?
                    .checked_add(start + header_len + key_len)
            })
            .filter(|end| *end <= bytes.len());
        let frame = FrameAt {
            start,
            is_minimal: len.is_none_or(|len| len >= least),
            is_whole: end.is_some(),
        };
        start = end.unwrap_or(bytes.len());
        Some(frame)
    })
}

fn ours(role: Role, bytes: &[u8], step: u8) -> (Seen, Option<ProtocolError>) {
    let config = ConnectionConfig::new()
        .control_events(true)
        .message_limit(None)
        .fragment_limit(None)
        .frame_limit(FRAME_LIMIT);
    let now = Instant::now();
    let mut connection = connect(role, Version::Rfc6455, config, now);
    let mut seen = Seen {
        told: Vec::new(),
        verdict: Verdict::Open,
    };
    let mut failure = None;
    for read in chop(bytes, step) {
        connection.handle_read(now, read);
        while let Some(event) = connection.poll_event(now) {
            let told = match event {
                Event::Message(Message::Text(text)) => format!("text:{text}"),
                Event::Message(Message::Binary(payload)) => binary("binary", &payload),
                Event::Ping(payload) => binary("ping", &payload),
                Event::Pong(payload) => binary("pong", &payload),
                Event::Closed(closed) => {
                    seen.verdict = match &closed.cause {
                        CloseCause::Handshake if closed.code == 1005 => Verdict::Closed(None),
                        CloseCause::Handshake => {
                            Verdict::Closed(Some((closed.code, closed.reason.to_string())))
                        }
                        CloseCause::Failed(error) => {
                            failure = Some(error.clone());
                            Verdict::Failed
                        }
                        cause => panic!("the stream has not ended: {cause:?}"),
                    };
                    continue;
                }
                event => panic!("not asked for: {event:?}"),
            };
            seen.told.push(told);
        }
    }
    (seen, failure)
}

fn theirs(role: Role, bytes: &[u8], step: u8) -> Seen {
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(None)
        .max_frame_size(Some(FRAME_LIMIT));
    let stream = Reads(chop(bytes, step).into());
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(config));
    let mut told = Vec::new();
    // Each message takes two bytes at least.
    for _ in 0..=bytes.len() {
        let message = match socket.read() {
            Ok(tungstenite::Message::Text(text)) => format!("text:{}", text.as_str()),
            Ok(tungstenite::Message::Binary(payload)) => binary("binary", &payload),
            Ok(tungstenite::Message::Ping(payload)) => binary("ping", &payload),
            Ok(tungstenite::Message::Pong(payload)) => binary("pong", &payload),
            Ok(tungstenite::Message::Close(frame)) => {
                let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                let verdict = Verdict::Closed(frame);
                return Seen { told, verdict };
            }
            Ok(message @ tungstenite::Message::Frame(_)) => panic!("not read: {message:?}"),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                let verdict = Verdict::Open;
                return Seen { told, verdict };
            }
            Err(_) => {
                let verdict = Verdict::Failed;
                return Seen { told, verdict };
            }
        };
        told.push(message);
    }
    panic!("more messages than bytes: {told:?}");
}

fn binary(kind: &str, payload: &[u8]) -> String {
    format!("{kind}:{}", payload.escape_ascii())
}

/// A stream that gives these reads and then waits, and takes whatever is written.
struct Reads<'a>(VecDeque<&'a [u8]>);

impl Read for Reads<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.front_mut().ok_or(io::ErrorKind::WouldBlock)?;
        let len = read.len().min(buffer.len());
        let (now, later) = read.split_at(len);
        buffer[..len].copy_from_slice(now);
        *read = later;
        if later.is_empty() {
            self.0.pop_front();
        }
        Ok(len)
    }
}

impl Write for Reads<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
