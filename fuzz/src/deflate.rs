//! Compression: an offer is answered as RFC 7692 §7.1 allows, or declined; and any bytes that claim to be
//! compressed are inflated within the limit, to the same whatever the reads.

use std::time::Instant;

use arbitrary::{Result, Unstructured};
use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderValue};
use ws_proto::{
    CloseCause, Connection, ConnectionConfig, Deflate, DeflateTerms, Event, ProtocolError, Role,
    Version,
};

use crate::chop::chop;
use crate::memory::bounded;
use crate::merge::Merge;
use ws_testing::connections::{Frame, connect, describe, events, written};
use ws_testing::plain::{self, Item, Rules, Way};

/// Inputs beyond this show nothing new.
const INPUT_LIMIT: usize = 4096;

/// What the longest message may have; short of what an input could become, so that bombs meet it.
const MESSAGE_LIMITS: [usize; 4] = [0, 100, 5000, 200_000];

const NAME: &str = "sec-websocket-extensions";

/// Choices: the server's options; the rest is lines of an offer, or of an answer.
pub(crate) fn negotiate(u: &mut Unstructured<'_>) -> Result<()> {
    let options = options(u)?;
    let text = u.bytes(u.len().min(INPUT_LIMIT))?;
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else {
            return Ok(());
        };
        headers.append(NAME, value);
    }
    let terms = bounded(text.len(), || options.accept(&headers));
    if let Some(terms) = terms {
        check_answer(&String::from_utf8_lossy(text), &terms);
        assert_works(Role::Server, &terms);
    }
    // The same bytes as an answer: what a client confirms it can do, and it is what it says.
    if let Ok(Some(terms)) = bounded(text.len(), || options.confirm(&headers)) {
        let again = options.confirm(&one_line(&terms.to_string()));
        assert_eq!(again.as_ref(), Ok(&Some(terms.clone())));
        assert_works(Role::Client, &terms);
    }
    Ok(())
}

/// Choices: role, who keeps a context, the windows, the limit, parts, type, step, how many messages.
pub(crate) fn inflate(u: &mut Unstructured<'_>) -> Result<()> {
    let role = *u.choose(&[Role::Server, Role::Client])?;
    let options = options(u)?.threshold(0);
    let limit = *u.choose(&MESSAGE_LIMITS)?;
    let in_parts: bool = u.arbitrary()?;
    let is_text: bool = u.arbitrary()?;
    let step = u.arbitrary()?;
    let count: u8 = u.int_in_range(1..=4)?;
    let mut payloads = Vec::new();
    for _ in 1..count {
        let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
        payloads.push(u.bytes(len)?);
    }
    payloads.push(u.bytes(u.len().min(INPUT_LIMIT))?);
    let mut bytes = Vec::new();
    for payload in &payloads {
        // In two frames, as compressed bytes may be cut anywhere.
        let (head, rest) = payload.split_at(payload.len() / 3);
        bytes.extend(Frame::new(if is_text { 0x41 } else { 0x42 }, head).to(role));
        bytes.extend(Frame::new(0x80, rest).to(role));
    }
    let server = options.accept(&one_line(&options.offer()));
    let server = server.expect("we understand ourselves");
    let client = options.confirm(&one_line(&server.to_string()));
    let client = client.expect("we understand ourselves").expect("we agree");
    let terms = match role {
        Role::Server => &server,
        Role::Client => &client,
    };
    let config = ConnectionConfig::new()
        .message_limit(limit)
        .receive_queue_limit(None)
        .receive_fragments(in_parts);
    let whole = observe(role, terms, config.clone(), &[&bytes]);
    let chopped = observe(role, terms, config, &chop(&bytes, step));
    assert_eq!(whole.told(), chopped.told(), "reads of {step}");

    let rules = Rules {
        message_limit: Some(limit),
        // The default of the endpoints, which counts final blocks as well.
        fragment_limit: Some(4096),
        fragments: in_parts,
        inflates: Some(agreed(role, &server.to_string())),
        ..Rules::new(Version::Rfc6455, role)
    };
    let decoded = plain::decode(&rules, &[bytes]);
    assert_eq!(
        (whole.messages, whole.failed),
        join(decoded.items),
        "a plain decoder says something else"
    );
    Ok(())
}

/// What the peer keeps to.
fn agreed(role: Role, answer: &str) -> Way {
    let peer = match role {
        Role::Server => "client",
        Role::Client => "server",
    };
    let bits = format!("{peer}_max_window_bits=");
    let bits = answer.split("; ").find_map(|part| part.strip_prefix(&bits));
    Way {
        window_bits: bits.map_or(15, |bits| bits.parse().expect("it is a number")),
        takeover: !answer.contains(&format!("{peer}_no_context_takeover")),
    }
}

/// Whole messages, and the code that tells the peer of the failure.
fn join(items: Vec<Item>) -> (Vec<Vec<u8>>, Option<u16>) {
    let (mut messages, mut open, mut failed) = (Vec::new(), Vec::new(), None);
    for item in items {
        match item {
            Item::Message(_, message) => messages.push(message),
            Item::Part(_, part, _, last) => {
                open.extend(part);
                if last {
                    messages.push(std::mem::take(&mut open));
                }
            }
            Item::Fail(code) => failed = Some(code),
            Item::Begin | Item::Arrived(_) => unreachable!("it is not told"),
            Item::Ping(_) | Item::Pong(_) | Item::Close(..) => unreachable!("nobody sent it"),
        }
    }
    (messages, failed)
}

/// What either side may want.
pub(crate) fn options(u: &mut Unstructured<'_>) -> Result<Deflate> {
    let bits = [u.int_in_range(9..=15)?, u.int_in_range(9..=15)?];
    let options = Deflate::new()
        .server_no_context_takeover(u.arbitrary()?)
        .client_no_context_takeover(u.arbitrary()?)
        .server_max_window_bits(bits[0])
        .and_then(|options| options.client_max_window_bits(bits[1]));
    Ok(options.expect("they are in range"))
}

pub(crate) fn one_line(line: &str) -> HeaderMap {
    let value = HeaderValue::from_str(line).expect("it is printable");
    HeaderMap::from_iter([(NAME.parse().expect("it is a name"), value)])
}

/// RFC 7692 §7.1.2: nothing is told that was not asked for, what was demanded is met, and a client that
/// made this offer takes the answer.
fn check_answer(offer: &str, terms: &DeflateTerms) {
    let answer = terms.to_string();
    let (name, parameters) = answer.split_once("; ").unwrap_or((&answer, ""));
    assert_eq!(name, "permessage-deflate");
    for parameter in parameters.split("; ").filter(|text| !text.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let is_right = match name {
            "server_no_context_takeover" => value.is_empty() && offer.contains(name),
            "client_no_context_takeover" => value.is_empty(),
            "server_max_window_bits" => (9..=15).any(|bits: u8| value == bits.to_string()),
            "client_max_window_bits" => {
                offer.contains(name) && (8..=14).any(|bits: u8| value == bits.to_string())
            }
            _ => false,
        };
        assert!(is_right, "{parameter} to {offer}");
    }
    let all = Deflate::new().server_no_context_takeover(false);
    let confirmed = all.confirm(&one_line(&answer));
    assert!(confirmed.is_ok_and(|terms| terms.is_some()), "{answer}");
}

/// What was agreed on can be done: a message is sent, and inflated by zlib.
fn assert_works(role: Role, terms: &DeflateTerms) {
    let now = Instant::now();
    let connection = connect(role, Version::Rfc6455, ConnectionConfig::new(), now);
    let mut connection = connection.with_deflate(terms);
    let text = "what was agreed on can be done; ".repeat(40);
    connection.send(&text).expect("it is open");
    let sent = written(&mut connection);
    assert!(sent.len() < 200 || sent[0] == 0x81, "{} bytes", sent.len());
    if role == Role::Server && sent[0] == 0xc1 {
        let inflated = Reference::new(false).inflate(&sent[2..], text.len());
        assert_eq!(inflated, Some(text.into_bytes()));
    }
}

/// What came of some reads.
struct Account {
    messages: Vec<Vec<u8>>,
    end: Option<String>,
    answer: Vec<u8>,
    /// The code that tells the peer of the failure.
    failed: Option<u16>,
}

impl Account {
    fn told(&self) -> (&[Vec<u8>], Option<&str>, &[u8]) {
        (&self.messages, self.end.as_deref(), &self.answer)
    }
}

fn observe(role: Role, terms: &DeflateTerms, config: ConnectionConfig, reads: &[&[u8]]) -> Account {
    let now = Instant::now();
    let mut connection: Connection =
        connect(role, Version::Rfc6455, config, now).with_deflate(terms);
    let (mut merge, mut account) = (
        Merge::default(),
        Account {
            messages: Vec::new(),
            end: None,
            answer: Vec::new(),
            failed: None,
        },
    );
    for read in reads {
        connection.handle_read(now, read);
        for event in events(&mut connection, now) {
            match merge.whole(event) {
                Some(Event::Message(message)) => account.messages.push(message.as_bytes().to_vec()),
                Some(other) => account.end = Some(describe(&other)),
                None => {}
            }
        }
        account.answer.extend(written(&mut connection));
    }
    if let Some(closed) = connection.closed() {
        let CloseCause::Failed(error) = &closed.cause else {
            panic!("{closed:?}");
        };
        let is_known = matches!(
            error,
            ProtocolError::InvalidDeflate
                | ProtocolError::InvalidUtf8
                | ProtocolError::MessageTooBig { .. }
        );
        assert!(is_known, "{closed:?}");
        account.failed = Some(error.close_code().get());
    }
    account
}

/// zlib as most peers use it: one stream for all messages.
struct Reference {
    stream: Decompress,
    keeps: bool,
}

impl Reference {
    fn new(keeps: bool) -> Self {
        Self {
            stream: Decompress::new(false),
            keeps,
        }
    }

    /// Inflates a message that is not longer than `limit`; `None` if this is more than it can do.
    fn inflate(&mut self, payload: &[u8], limit: usize) -> Option<Vec<u8>> {
        // An empty payload is not DEFLATE; it leaves zlib in the midst of a block.
        if payload.is_empty() {
            return None;
        }
        let input = [payload, &[0, 0, 0xff, 0xff]].concat();
        let mut output = Vec::with_capacity(limit + 1);
        let before = self.stream.total_in();
        let status = self
            .stream
            .decompress_vec(&input, &mut output, FlushDecompress::Sync);
        let taken = usize::try_from(self.stream.total_in() - before);
        let is_all = taken == Ok(input.len()) && status.is_ok_and(|status| status == Status::Ok);
        if !self.keeps {
            self.stream.reset(false);
        }
        is_all.then_some(output)
    }
}
