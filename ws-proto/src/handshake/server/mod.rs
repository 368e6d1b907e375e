//! The server's side of an opening handshake, from the first byte of a request to a connection or to the response
//! that rejects it.
//!
//! Imports: `config`, `connection`, `deflate`, `error`, `handshake::deflate`, `handshake::error`,
//! `handshake::event`, `handshake::hixie`, `handshake::host`, `handshake::http`, `handshake::origin`,
//! `handshake::request`, `handshake::rfc6455`, `handshake::subprotocol`, `outgoing`, `redact`, `state`, `version`.
//!
//! ```text
//! Head ──┬─> Http, Http2                       all received bytes go to an HTTP server
//!        ├─> Pending ──┬─> Open                draft-75 and RFC 6455: the 101 is outgoing
//!        │             └─> Key3 ──> Open       draft-76: first the 101, then the 16 bytes
//!        └─────────────┴───┴─────> Closed      failed or rejected
//! ```

mod config;
mod connect_check;
mod dialect;
mod hosts;
mod http2_headers;
mod origins;
mod pending;
mod plain;
mod request_check;
mod response;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use self::pending::PendingRequest;
use self::request_check::CheckedRequest;
use self::response::{Bootstrap, EncodedResponse};
use crate::connection::{Connection, Opened};
use crate::deflate::DeflateTerms;
use crate::error::ConfigError;
use crate::handshake::error::HandshakeError;
use crate::handshake::event::{HandshakeEvent, PackedEvent};
use crate::handshake::hixie;
use crate::handshake::http::PackedRequest;
use crate::handshake::http::head_end::HeadReader;
use crate::handshake::http::head_parser::{HeaderSlots, RequestView};
use crate::handshake::request::{PackedUpgrade, UpgradeFacts};
use crate::outgoing::Outgoing;
use crate::state::{Role, State};
use crate::version::Version;

pub use self::config::ServerConfig;
pub use self::hosts::HostPolicy;
pub use self::origins::{OriginPolicy, OriginRule};
pub use self::plain::{PlainBody, PlainRequest};
pub use self::request_check::is_upgrade;
pub use self::response::{Accept, ReasonPhrase, Rejection};

/// The bytes behind a request head after which reading stops until the request is answered. They are key3 of draft-76,
/// and early frames of a client that does not wait. While a slow application decides, a client must not fill the
/// memory.
const EARLY_LIMIT: usize = 4096;

/// The first bytes of a client that speaks HTTP/2 (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The server's side of an opening handshake.
///
/// After any call that takes `&mut self`: take events until there are none, write what is
/// [`outgoing`](Self::outgoing), close the stream if it [is finished](Self::is_finished), and arm
/// a timer for [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct ServerHandshake {
    config: Arc<ServerConfig>,
    stage: ServerStage,
    reader: HeadReader,
    /// The received bytes that no finished part of the handshake has used. If the request is not an upgrade, these are
    /// all received bytes.
    received: BytesMut,
    deadline: Option<Instant>,
    /// Whether the deadline passed while bytes of the peer were missing.
    peer_was_late: bool,
    /// The request, until `poll_event` returns it.
    request: Option<PackedEvent>,
    /// The result, until `poll_event` returns it.
    outcome: Option<Outcome>,
    outgoing: Outgoing,
    delivery: Delivery,
    /// The terms of compression, if an offer was accepted.
    deflate: Option<DeflateTerms>,
    /// Whether the method is HEAD, whose responses have no body (RFC 9110 §9.3.2).
    is_head: bool,
    /// Whether the stream may begin with the preface of HTTP/2.
    allows_http2: bool,
}

/// The result of a handshake. The error is boxed, because a handshake that succeeds would have a place for it.
type Outcome = Result<(), Box<HandshakeError>>;

#[derive(Debug)]
enum ServerStage {
    Head,
    Http(PlainRequest),
    Http2,
    Pending(PendingRequest),
    Key3 {
        numbers: [u32; 2],
    },
    Open {
        version: Version,
        legacy_close_codes: bool,
    },
    Closed,
}

/// Where a response goes.
#[derive(Debug)]
enum Delivery {
    /// To the stream.
    Outgoing,
    /// To the HTTP server that read the request. It writes the response itself. Boxed, because a stream of our own has
    /// none.
    Response(Bootstrap, Option<Box<http::Response<Bytes>>>),
}

impl ServerHandshake {
    /// Begins a handshake on a stream from which nothing was read yet.
    pub fn new(config: &ServerConfig, now: Instant) -> Self {
        Self::shared(Arc::new(config.clone()), now)
    }

    /// Does the same as [`new`](Self::new), but shares the options instead of copying them.
    pub fn shared(config: Arc<ServerConfig>, now: Instant) -> Self {
        Self {
            stage: ServerStage::Head,
            reader: HeadReader::request(config.head_limit, config.header_limit),
            received: BytesMut::new(),
            deadline: config
                .handshake_timeout
                .and_then(|wait| now.checked_add(wait)),
            peer_was_late: false,
            request: None,
            outcome: None,
            outgoing: Outgoing::new(),
            delivery: Delivery::Outgoing,
            deflate: None,
            is_head: false,
            allows_http2: false,
            config,
        }
    }

    /// Takes the beginning of an HTTP/2 session (RFC 9113 §3.4) for [`Request::Http2`] instead of a malformed head. Call it
    /// before bytes are read, if there is a server for such a session. Its requests for a WebSocket go to
    /// [`from_connect`](Self::from_connect).
    ///
    /// [`Request::Http2`]: crate::Request::Http2
    pub fn allow_http2(&mut self) {
        self.allows_http2 = true;
    }

    /// Begins a handshake with a request that an HTTP server read. The checks and the responses are the same as
    /// on a stream. [`response`](Self::response) returns the response.
    ///
    /// Pass the bytes behind the head, including key3 of draft-76, to [`handle_read`](Self::handle_read). Write
    /// the response first; the answer to key3 is in [`outgoing`](Self::outgoing).
    pub fn from_request(config: &ServerConfig, head: &http::request::Parts, now: Instant) -> Self {
        let mut handshake = Self::new(config, now);
        handshake.delivery = Delivery::Response(Bootstrap::Upgrade, None);
        handshake.is_head = head.method == http::Method::HEAD;
        let view = RequestView {
            method: head.method.clone(),
            target: &head.uri.to_string(),
            http_version: head.version,
            headers: &head.headers,
        };
        match request_check::check(&view, &handshake.config) {
            Ok(CheckedRequest::Upgrade(facts, pending)) => {
                handshake.pend(PackedRequest::of_parts(head), facts, pending);
            }
            // The HTTP server that read the head knows where the body ends, and no byte of either is in our buffer.
            Ok(CheckedRequest::Plain) => handshake.pass(PlainRequest {
                head_len: 0,
                body: PlainBody::Length(0),
            }),
            Err(error) => handshake.fail(error),
        }
        handshake
    }

    /// Begins a handshake with a request for a WebSocket in HTTP/2: a CONNECT whose pseudo-header `:protocol` is
    /// `websocket` (RFC 8441 §4), which the caller has looked at. [`response`](Self::response) returns a 200 without a
    /// body if the request is accepted. From then on the frames are those of HTTP/1.1, in the stream of this request.
    ///
    /// The version is 13. There is no `Upgrade`, no `Connection` and no key. The authority of the request becomes the
    /// `Host` of the head, and its target begins with the path, as in HTTP/1.1.
    pub fn from_connect(config: &ServerConfig, head: &http::request::Parts, now: Instant) -> Self {
        let mut handshake = Self::new(config, now);
        handshake.delivery = Delivery::Response(Bootstrap::Connect, None);
        let checked = connect_check::in_origin_form(head, config).and_then(|head| {
            let checked = connect_check::check(&head, &handshake.config)?;
            Ok((PackedRequest::of_parts(&head), checked))
        });
        match checked {
            Ok((head, (facts, pending))) => handshake.pend(head, facts, pending),
            Err(error) => handshake.fail(error),
        }
        handshake
    }

    /// Takes the bytes that were read, all of them. Bytes behind the head are kept for the connection or the HTTP
    /// server.
    ///
    /// This call can change the result of every other method.
    pub fn handle_read(&mut self, _now: Instant, data: &[u8]) {
        if let ServerStage::Closed = self.stage {
            return;
        }
        self.received.extend_from_slice(data);
        match self.stage {
            ServerStage::Head => self.handle_head(),
            ServerStage::Key3 { numbers } => self.handle_key3(numbers),
            // Kept only: nothing behind the head is read before the request is answered.
            ServerStage::Http(_)
            | ServerStage::Http2
            | ServerStage::Pending(_)
            | ServerStage::Open { .. }
            | ServerStage::Closed => {}
        }
    }

    /// Takes the end of the stream: the client will send nothing more. After
    /// [`HandshakeEvent::Open`], report the end to the connection instead, and after [`Request::Http`] to the
    /// HTTP server.
    ///
    /// [`Request::Http`]: crate::Request::Http
    pub fn handle_eof(&mut self) {
        match self.stage {
            ServerStage::Head if self.received.is_empty() => self.fail(HandshakeError::Empty),
            // A pending request fails, too: a client that ends its side cannot use a connection.
            ServerStage::Head | ServerStage::Pending(_) | ServerStage::Key3 { .. } => {
                self.fail(HandshakeError::Disconnected {
                    state: self.state(),
                });
            }
            ServerStage::Http(_)
            | ServerStage::Http2
            | ServerStage::Open { .. }
            | ServerStage::Closed => {}
        }
    }

    /// Takes the time when a deadline has passed.
    ///
    /// An unfinished handshake fails. A response that the peer does not read is dropped. If the peer sent too
    /// little, [`poll_timeout`](Self::poll_timeout) returns `now`: write as much of the response as the stream
    /// takes at once, then close the stream.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        if let ServerStage::Closed = self.stage {
            // The peer did not read its rejection in time. Without outgoing bytes `is_finished` is true.
            self.outgoing = Outgoing::new();
            return;
        }
        let waited = self.config.handshake_timeout.unwrap_or_default();
        // A peer that sent too little has used its time, and its stream must not hold a place any longer. A peer whose
        // request waited for our application did nothing wrong, so it gets time to read the rejection.
        self.peer_was_late = matches!(self.stage, ServerStage::Head | ServerStage::Key3 { .. });
        self.fail(HandshakeError::Timeout {
            state: self.state(),
            waited,
        });
        let patience = if self.peer_was_late {
            Duration::ZERO
        } else {
            waited
        };
        self.deadline = now.checked_add(patience);
    }

    /// Returns the next event, if there is one. [`HandshakeEvent::Request`] is the first, `Open`
    /// or `Failed` is the last.
    pub fn poll_event(&mut self) -> Option<HandshakeEvent> {
        self.poll_packed_event().map(HandshakeEvent::from)
    }

    /// Does the same as [`poll_event`](Self::poll_event), but makes no map of the headers.
    pub(crate) fn poll_packed_event(&mut self) -> Option<PackedEvent> {
        // Two fields instead of a queue: a handshake has at most one request and one result.
        self.request.take().or_else(|| {
            Some(match self.outcome.take()? {
                Ok(()) => PackedEvent::Open,
                Err(error) => PackedEvent::Failed(*error),
            })
        })
    }

    /// Accepts the request: queues the 101 and reports [`HandshakeEvent::Open`]. If key3 of draft-76 is still
    /// missing, the event follows when it arrives.
    ///
    /// A client of a draft fails if the server does not confirm its subprotocol. If neither the options nor
    /// `accept` choose that subprotocol, the request is answered with 400 instead, and
    /// [`HandshakeEvent::Failed`] follows.
    ///
    /// # Errors
    ///
    /// Fails if no request is pending. Fails, and leaves the request pending, if the client did not offer the
    /// chosen subprotocol.
    pub fn accept(&mut self, accept: Accept) -> Result<(), ConfigError> {
        let ServerStage::Pending(pending) = &mut self.stage else {
            return Err(ConfigError::NotPending);
        };
        let (version, numbers) = (pending.version, pending.numbers);
        let legacy_close_codes = pending.legacy_close_codes;
        let answer = match pending.accept(accept, &self.config)? {
            Ok(answer) => answer,
            Err(error) => {
                self.fail(error);
                return Ok(());
            }
        };
        self.deflate = pending.deflate.take();
        // The 101 goes out even if key3 is still missing, because proxies such as HAProxy hold key3 back until then.
        self.deliver(answer);
        match numbers {
            Some(numbers) => {
                self.stage = ServerStage::Key3 { numbers };
                self.handle_key3(numbers);
            }
            None => self.open(version, legacy_close_codes),
        }
        Ok(())
    }

    /// Rejects the request: queues the response. Write it, then close the stream. No event follows, except for a
    /// [`HandshakeEvent::Request`] that was not taken yet.
    ///
    /// This also answers [`Request::Http`] if no HTTP server takes the stream, for example with 426, which lists
    /// the supported versions. The received bytes are dropped.
    ///
    /// # Errors
    ///
    /// Fails if no request is pending. Fails, and leaves the request pending, if the status cannot reject.
    ///
    /// [`Request::Http`]: crate::Request::Http
    pub fn reject(&mut self, rejection: Rejection) -> Result<(), ConfigError> {
        if !matches!(self.stage, ServerStage::Pending(_) | ServerStage::Http(_)) {
            return Err(ConfigError::NotPending);
        }
        let answer = EncodedResponse::for_rejection(rejection, &self.config, self.bootstrap())?;
        self.deliver(answer);
        self.close();
        Ok(())
    }

    /// Returns the bytes that wait to be written.
    pub fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Takes the response to a request that came through [`from_request`](Self::from_request) or
    /// [`from_connect`](Self::from_connect), once there is one: a 101, in HTTP/2 a 200, or a rejection with its body.
    ///
    /// Its extension [`ReasonPhrase`](crate::ReasonPhrase) holds the text behind the status.
    pub fn response(&mut self) -> Option<http::Response<Bytes>> {
        match &mut self.delivery {
            Delivery::Outgoing => None,
            Delivery::Response(_, response) => response.take().map(|response| *response),
        }
    }

    /// Takes the bytes that arrived behind the handshake, after [`HandshakeEvent::Open`]: the first bytes that the
    /// connection must read. Before that event it returns no bytes. If you do not take them,
    /// [`into_connection`](Self::into_connection) makes the connection read all of them at once.
    pub fn take_early(&mut self) -> Bytes {
        if !matches!(self.stage, ServerStage::Open { .. }) {
            // Until then the bytes belong to the handshake.
            return Bytes::new();
        }
        // A copy: a slice would keep the whole read buffer alive for these few bytes.
        Bytes::copy_from_slice(&std::mem::take(&mut self.received))
    }

    /// Makes the connection, after [`HandshakeEvent::Open`]. Outgoing bytes, and bytes that arrived behind the
    /// handshake, move into it.
    ///
    /// # Panics
    ///
    /// Panics if the handshake is not [`State::Connected`].
    pub fn into_connection(self, now: Instant) -> Connection {
        let ServerStage::Open {
            version,
            legacy_close_codes,
        } = self.stage
        else {
            panic!(
                "cannot make a connection from a handshake in state {}; it must be connected",
                self.state()
            );
        };
        let opened = Opened {
            role: Role::Server,
            version,
            config: Arc::clone(&self.config.connection),
            outgoing: self.outgoing,
            masks: None,
            deflate: self.deflate.as_ref(),
            early: &self.received,
            legacy_close_codes,
        };
        Connection::after_handshake(opened, now)
    }

    /// Returns how many bytes of the stream belong to a request that is not an upgrade, after [`Request::Http`]. The
    /// next request follows them.
    ///
    /// [`Request::Http`]: crate::Request::Http
    pub fn plain_request(&self) -> Option<PlainRequest> {
        match self.stage {
            ServerStage::Http(request) => Some(request),
            ServerStage::Head
            | ServerStage::Http2
            | ServerStage::Pending(_)
            | ServerStage::Key3 { .. }
            | ServerStage::Open { .. }
            | ServerStage::Closed => None,
        }
    }

    /// Returns all received bytes, unchanged. After [`Request::Http`] or [`Request::Http2`] these are the first bytes that an HTTP server
    /// must read. After a failure or a rejection there are no bytes.
    ///
    /// [`Request::Http`]: crate::Request::Http
    /// [`Request::Http2`]: crate::Request::Http2
    pub fn into_received(self) -> Bytes {
        self.received.freeze()
    }

    /// Returns the deadline, if there is one: that of the handshake, or that of writing a rejection. Every
    /// `&mut self` call can change it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            ServerStage::Head | ServerStage::Pending(_) | ServerStage::Key3 { .. } => self.deadline,
            ServerStage::Closed => self.deadline.filter(|_| !self.outgoing.is_empty()),
            ServerStage::Http(_) | ServerStage::Http2 | ServerStage::Open { .. } => None,
        }
    }

    /// Returns the time until which to wait for the peer's end of the stream after a rejection: the `close_timeout`
    /// from `now`. If a stream is closed at once, the peer can lose the response. Until then, shut down the sending
    /// side and discard the bytes that arrive.
    ///
    /// It is `now` if the peer sent too little for too long. So a silent stream is kept for the
    /// `handshake_timeout`, and any rejected stream for at most the sum of the two timeouts.
    pub fn close_deadline(&self, now: Instant) -> Option<Instant> {
        // Closing a stream with unread bytes resets it, and a reset can overtake the response. But a rejected stream
        // holds a place among the connections, so the wait has an end, and a late peer has used its time already.
        if self.peer_was_late {
            return Some(now);
        }
        self.config
            .get_close_timeout()
            .and_then(|wait| now.checked_add(wait))
    }

    /// Tells whether the handshake needs more bytes. While a request is pending it takes a limited number, so that
    /// the end of the stream is noticed.
    pub fn wants_read(&self) -> bool {
        match self.stage {
            ServerStage::Head | ServerStage::Key3 { .. } => true,
            ServerStage::Pending(_) => self.received.len() < EARLY_LIMIT,
            ServerStage::Http(_)
            | ServerStage::Http2
            | ServerStage::Open { .. }
            | ServerStage::Closed => false,
        }
    }

    /// Tells whether the handshake failed or was rejected, and all bytes are written. Then close the stream.
    pub fn is_finished(&self) -> bool {
        let is_taken = match &self.delivery {
            Delivery::Outgoing => true,
            Delivery::Response(_, response) => response.is_none(),
        };
        matches!(self.stage, ServerStage::Closed) && is_taken && self.outgoing.is_empty()
    }

    /// Returns the state of the handshake.
    pub fn state(&self) -> State {
        match self.stage {
            ServerStage::Head if self.received.is_empty() => State::Unknown,
            ServerStage::Head => State::Opening,
            ServerStage::Http(_) | ServerStage::Http2 | ServerStage::Pending(_) => {
                State::Handshaking
            }
            ServerStage::Key3 { .. } => State::Waiting,
            ServerStage::Open { .. } => State::Connected,
            ServerStage::Closed => State::Closed,
        }
    }

    fn handle_head(&mut self) {
        if self.allows_http2 {
            let len = self.received.len().min(HTTP2_PREFACE.len());
            // No method of HTTP/1.1 begins so: RFC 9113 §11.6 reserves PRI.
            if self.received[..len] == HTTP2_PREFACE[..len] {
                if len == HTTP2_PREFACE.len() {
                    self.stage = ServerStage::Http2;
                    self.request = Some(PackedEvent::Http2);
                }
                return;
            }
        }
        let head_len = match self.reader.find_end(&self.received) {
            Ok(Some(head_len)) => head_len,
            Ok(None) => return,
            Err(error) => return self.fail(error),
        };
        let mut slots = HeaderSlots::new(self.reader.header_lines());
        let head = match RequestView::parse(&self.received[..head_len], &mut slots) {
            Ok(head) => head,
            Err(error) => return self.fail(error),
        };
        self.is_head = head.method == http::Method::HEAD;
        match request_check::check(&head, &self.config) {
            Ok(CheckedRequest::Upgrade(facts, pending)) => {
                let head = self.take_head(head_len);
                self.pend(head, facts, pending);
            }
            // The HTTP server parses the request again, so all bytes stay in `received`.
            Ok(CheckedRequest::Plain) => match plain::check(&head) {
                Ok(body) => self.pass(PlainRequest { head_len, body }),
                Err(error) => self.fail(error),
            },
            Err(error) => self.fail(error),
        }
    }

    fn take_head(&mut self, head_len: usize) -> PackedRequest {
        // Usually only the head has arrived, and its buffer becomes the head without a copy.
        let head = if head_len == self.received.len() {
            std::mem::take(&mut self.received)
        } else {
            let head = BytesMut::from(&self.received[..head_len]);
            self.received.advance(head_len);
            head
        };
        PackedRequest::of_received(head)
    }

    fn pend(&mut self, head: PackedRequest, facts: UpgradeFacts, pending: PendingRequest) {
        self.stage = ServerStage::Pending(pending);
        self.request = Some(PackedEvent::Upgrade(PackedUpgrade::new(head, facts)));
    }

    fn pass(&mut self, request: PlainRequest) {
        self.stage = ServerStage::Http(request);
        self.request = Some(PackedEvent::Http);
    }

    fn handle_key3(&mut self, numbers: [u32; 2]) {
        let Some(key3) = self.received.get(..hixie::KEY3_LEN) else {
            return;
        };
        self.outgoing
            .push(&hixie::challenge_response(numbers, key3));
        self.received.advance(hixie::KEY3_LEN);
        self.open(Version::Draft76, false);
    }

    fn open(&mut self, version: Version, legacy_close_codes: bool) {
        self.stage = ServerStage::Open {
            version,
            legacy_close_codes,
        };
        self.outcome = Some(Ok(()));
    }

    fn bootstrap(&self) -> Bootstrap {
        match self.delivery {
            Delivery::Outgoing => Bootstrap::Upgrade,
            Delivery::Response(bootstrap, _) => bootstrap,
        }
    }

    fn fail(&mut self, error: HandshakeError) {
        // Not every failure has a response: see `HandshakeError::status`.
        if let Some(answer) = EncodedResponse::for_error(&error, &self.config, self.bootstrap()) {
            self.deliver(answer);
        }
        self.close();
        self.outcome = Some(Err(Box::new(error)));
    }

    fn close(&mut self) {
        self.stage = ServerStage::Closed;
        // The owner keeps this machine while the response is written, so the received bytes are freed here.
        self.received = BytesMut::new();
    }

    fn deliver(&mut self, answer: EncodedResponse) {
        match &mut self.delivery {
            // An HTTP server drops the body of a response to HEAD itself.
            Delivery::Outgoing if self.is_head => self.outgoing.push_owned(answer.into_head()),
            Delivery::Outgoing => self.outgoing.push_owned(answer.into_bytes()),
            Delivery::Response(_, response) => *response = Some(Box::new(answer.into_response())),
        }
    }
}
