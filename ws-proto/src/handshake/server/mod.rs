//! The server's side of an opening handshake: from the first byte of a request to a connection, or
//! to the answer that refuses it.
//!
//! Imports: `config`, `connection`, `deflate`, `error`, `handshake::deflate`, `handshake::error`,
//! `handshake::event`, `handshake::head`, `handshake::hixie`, `handshake::http`, `handshake::origin`,
//! `handshake::request`, `handshake::rfc6455`, `handshake::subprotocol`, `outgoing`, `redact`, `state`, `version`.
//!
//! ```text
//! Head ──┬─> Http                              everything received goes to an HTTP server
//!        ├─> Pending ──┬─> Open                75 and RFC 6455: the 101 is outgoing
//!        │             └─> Key3 ──> Open       76: the 101 goes first, the 16 bytes follow
//!        └─────────────┴───┴─────> Closed      failed or rejected
//! ```

mod config;
mod dialect;
mod hosts;
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
use self::response::EncodedResponse;
use crate::connection::{Connection, Opened};
use crate::deflate::DeflateTerms;
use crate::error::ConfigError;
use crate::handshake::error::HandshakeError;
use crate::handshake::event::HandshakeEvent;
use crate::handshake::head::RequestHead;
use crate::handshake::hixie;
use crate::handshake::http::head_end::HeadReader;
use crate::handshake::request::Request;
use crate::outgoing::Outgoing;
use crate::state::{Role, State};
use crate::version::Version;

pub use self::config::ServerConfig;
pub use self::hosts::{Host, HostPolicy};
pub use self::origins::{OriginPolicy, OriginRule};
pub use self::plain::{PlainBody, PlainRequest};
pub use self::request_check::is_upgrade;
pub use self::response::{Accept, ReasonPhrase, Rejection};

/// Bytes behind a request head beyond which no more are read until the request is answered: early
/// frames of a client that does not wait, and key3 of draft-76.
const EARLY_LIMIT: usize = 4096;

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
    /// What was received and does not belong to a part of the handshake that is done; all of it if
    /// the request is no upgrade.
    received: BytesMut,
    deadline: Option<Instant>,
    /// Whether the deadline passed while the peer had still to send something.
    peer_was_late: bool,
    /// The request; not told yet.
    request: Option<Request>,
    /// How it went; not told yet.
    outcome: Option<Result<(), HandshakeError>>,
    outgoing: Outgoing,
    delivery: Delivery,
    /// What was answered to an offer of compression.
    deflate: Option<DeflateTerms>,
    /// Whether the method is HEAD, whose answers have no body (RFC 9110 §9.3.2).
    is_head: bool,
}

#[derive(Debug)]
enum ServerStage {
    Head,
    Http(PlainRequest),
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

/// Where the head of an answer goes.
#[derive(Debug)]
enum Delivery {
    Outgoing,
    Response(Option<http::Response<Bytes>>),
}

impl ServerHandshake {
    /// Begins with a stream on which nothing was read yet.
    pub fn new(config: &ServerConfig, now: Instant) -> Self {
        Self::shared(Arc::new(config.clone()), now)
    }

    /// As [`new`](Self::new), without a copy of the options.
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
            config,
        }
    }

    /// Begins with a request that an HTTP server read. The checks and the answers are the same as
    /// on a stream; the answer comes out of [`response`](Self::response).
    ///
    /// What follows the head on the stream, key3 of draft-76 included, still goes through
    /// [`handle_read`](Self::handle_read), and the answer to key3 through
    /// [`outgoing`](Self::outgoing), after the response.
    pub fn from_request(config: &ServerConfig, head: &http::request::Parts, now: Instant) -> Self {
        let mut handshake = Self::new(config, now);
        handshake.delivery = Delivery::Response(None);
        handshake.handle_request(RequestHead::from_parts(head), head.version, 0);
        handshake
    }

    /// Takes bytes that were read, all of them. What comes behind the head is kept for the
    /// connection or the HTTP server.
    ///
    /// It may change the answer of every other method.
    pub fn handle_read(&mut self, _now: Instant, data: &[u8]) {
        if let ServerStage::Closed = self.stage {
            return;
        }
        self.received.extend_from_slice(data);
        match self.stage {
            ServerStage::Head => self.handle_head(),
            ServerStage::Key3 { numbers } => self.handle_key3(numbers),
            ServerStage::Http(_)
            | ServerStage::Pending(_)
            | ServerStage::Open { .. }
            | ServerStage::Closed => {}
        }
    }

    /// Takes the end of the stream: the client will send nothing more. After
    /// [`HandshakeEvent::Open`] it is for the connection, and after [`Request::Http`] for the HTTP
    /// server.
    pub fn handle_eof(&mut self) {
        match self.stage {
            ServerStage::Head if self.received.is_empty() => self.fail(HandshakeError::Empty),
            ServerStage::Head | ServerStage::Pending(_) | ServerStage::Key3 { .. } => {
                self.fail(HandshakeError::Disconnected {
                    state: self.state(),
                });
            }
            ServerStage::Http(_) | ServerStage::Open { .. } | ServerStage::Closed => {}
        }
    }

    /// Takes the time, when a deadline has come.
    ///
    /// A handshake that is not done fails; an answer that nobody reads is given up. If it is the peer
    /// that sent too little, [`poll_timeout`](Self::poll_timeout) is `now`: write what the stream takes
    /// of the answer at once, and close it.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        if let ServerStage::Closed = self.stage {
            self.outgoing = Outgoing::new();
            return;
        }
        let waited = self.config.handshake_timeout.unwrap_or_default();
        // A peer that sent too little had all of its time, and holds its place no longer. One whose
        // request waited for our application gets the time to read that it was refused.
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

    /// Returns the next event, if there is one. [`HandshakeEvent::Request`] is the first; `Open`
    /// or `Failed` is the last.
    pub fn poll_event(&mut self) -> Option<HandshakeEvent> {
        if let Some(request) = self.request.take() {
            return Some(HandshakeEvent::Request(request));
        }
        Some(match self.outcome.take()? {
            Ok(()) => HandshakeEvent::Open,
            Err(error) => HandshakeEvent::Failed(error),
        })
    }

    /// Accepts the request: queues the 101 and, unless key3 of draft-76 is still to come, reports
    /// [`HandshakeEvent::Open`].
    ///
    /// A client of a draft fails if the subprotocol it asked for is not confirmed. If neither the
    /// policy nor `accept` chooses it the request is answered with 400 instead, and
    /// [`HandshakeEvent::Failed`] says so.
    ///
    /// # Errors
    ///
    /// Fails if no request is pending, and, leaving it pending, if the chosen subprotocol was not
    /// offered.
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

    /// Rejects the request: queues the answer, after which the stream is to be closed. No event
    /// follows, but for [`HandshakeEvent::Request`] if that was not taken yet.
    ///
    /// It answers [`Request::Http`] as well, where no HTTP server takes the stream: with 426, for instance,
    /// which says what is spoken here. What was received is dropped then.
    ///
    /// # Errors
    ///
    /// Fails if no request waits for an answer, and, leaving it pending, if the status cannot reject.
    pub fn reject(&mut self, rejection: Rejection) -> Result<(), ConfigError> {
        if !matches!(self.stage, ServerStage::Pending(_) | ServerStage::Http(_)) {
            return Err(ConfigError::NotPending);
        }
        let answer = EncodedResponse::for_rejection(rejection, &self.config)?;
        self.deliver(answer);
        self.close();
        Ok(())
    }

    /// Returns the bytes that wait to be written.
    pub fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Takes the answer to a request that came through [`from_request`](Self::from_request), once
    /// there is one: a 101 or a refusal with its body.
    ///
    /// Its extension [`ReasonPhrase`](crate::ReasonPhrase) is the text behind the status.
    pub fn response(&mut self) -> Option<http::Response<Bytes>> {
        match &mut self.delivery {
            Delivery::Outgoing => None,
            Delivery::Response(response) => response.take(),
        }
    }

    /// Takes what was received behind the handshake, after [`HandshakeEvent::Open`]: the beginning of
    /// what the connection reads; nothing before. If it is not taken [`into_connection`](Self::into_connection) has
    /// the connection read it at once, all of it.
    pub fn take_early(&mut self) -> Bytes {
        if !matches!(self.stage, ServerStage::Open { .. }) {
            // It belongs to the handshake still.
            return Bytes::new();
        }
        Bytes::copy_from_slice(&std::mem::take(&mut self.received))
    }

    /// Makes the connection, after [`HandshakeEvent::Open`]. What is still outgoing and what was
    /// received behind the handshake move over.
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
                "a connection is made of a handshake in state {}",
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

    /// Returns how much of the stream belongs to a request that is no upgrade, after [`Request::Http`]: what
    /// follows is the next one.
    pub fn plain_request(&self) -> Option<PlainRequest> {
        match self.stage {
            ServerStage::Http(request) => Some(request),
            ServerStage::Head
            | ServerStage::Pending(_)
            | ServerStage::Key3 { .. }
            | ServerStage::Open { .. }
            | ServerStage::Closed => None,
        }
    }

    /// Gives up everything that was received, untouched: after [`Request::Http`], the beginning of
    /// what an HTTP server reads. Nothing is left after a failure or a rejection.
    pub fn into_received(self) -> Bytes {
        self.received.freeze()
    }

    /// Returns the deadline, if there is one: the end of the handshake, and for a refusal that is
    /// not written yet the end of trying. Every `&mut self` call may change it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            ServerStage::Head | ServerStage::Pending(_) | ServerStage::Key3 { .. } => self.deadline,
            ServerStage::Closed => self.deadline.filter(|_| !self.outgoing.is_empty()),
            ServerStage::Http(_) | ServerStage::Open { .. } => None,
        }
    }

    /// Returns until when to wait for the end of the stream once a refusal is on its way: the
    /// `close_timeout` from `now`. A stream that is closed at once can take the answer with it.
    ///
    /// It is `now` if the refusal is that the peer sent too little for too long, so that a silent
    /// stream is kept for the `handshake_timeout` in all; any refused stream is kept for at most the
    /// two timeouts together.
    pub fn close_deadline(&self, now: Instant) -> Option<Instant> {
        if self.peer_was_late {
            return Some(now);
        }
        self.config
            .get_close_timeout()
            .and_then(|wait| now.checked_add(wait))
    }

    /// Tells whether more bytes are wanted. While a request waits for its answer some are, so that
    /// the end of the stream is noticed.
    pub fn wants_read(&self) -> bool {
        match self.stage {
            ServerStage::Head | ServerStage::Key3 { .. } => true,
            ServerStage::Pending(_) => self.received.len() < EARLY_LIMIT,
            ServerStage::Http(_) | ServerStage::Open { .. } | ServerStage::Closed => false,
        }
    }

    /// Tells whether the handshake failed or was rejected and nothing is left to be written: the
    /// stream is to be closed.
    pub fn is_finished(&self) -> bool {
        let is_taken = match &self.delivery {
            Delivery::Outgoing => true,
            Delivery::Response(response) => response.is_none(),
        };
        matches!(self.stage, ServerStage::Closed) && is_taken && self.outgoing.is_empty()
    }

    /// Returns how far the handshake is.
    pub fn state(&self) -> State {
        match self.stage {
            ServerStage::Head if self.received.is_empty() => State::Unknown,
            ServerStage::Head => State::Opening,
            ServerStage::Http(_) | ServerStage::Pending(_) => State::Handshaking,
            ServerStage::Key3 { .. } => State::Waiting,
            ServerStage::Open { .. } => State::Connected,
            ServerStage::Closed => State::Closed,
        }
    }

    fn handle_head(&mut self) {
        let head_len = match self.reader.find_end(&self.received) {
            Ok(Some(head_len)) => head_len,
            Ok(None) => return,
            Err(error) => return self.fail(error),
        };
        // Without a copy if there is nothing else.
        let is_all = head_len == self.received.len();
        let head = match is_all {
            true => std::mem::take(&mut self.received).freeze(),
            false => Bytes::copy_from_slice(&self.received[..head_len]),
        };
        match RequestHead::parse(&head, self.reader.header_lines()) {
            Ok((head, http_version)) => self.handle_request(head, http_version, head_len),
            Err(error) => self.fail(error),
        }
        match self.stage {
            ServerStage::Pending(_) if !is_all => self.received.advance(head_len),
            // Nobody else holds it any more, so it is not copied.
            ServerStage::Http(_) if is_all => self.received = head.into(),
            ServerStage::Head
            | ServerStage::Http(_)
            | ServerStage::Pending(_)
            | ServerStage::Key3 { .. }
            | ServerStage::Open { .. }
            | ServerStage::Closed => {}
        }
    }

    fn handle_request(&mut self, head: RequestHead, http_version: http::Version, head_len: usize) {
        self.is_head = head.method() == http::Method::HEAD;
        let examined = request_check::check(head, http_version, &self.config);
        let request = match examined {
            Ok(CheckedRequest::Upgrade(request, pending)) => {
                self.stage = ServerStage::Pending(pending);
                Request::Upgrade(request)
            }
            Ok(CheckedRequest::Plain(head)) => {
                let body = match self.delivery {
                    Delivery::Outgoing => plain::check(&head, http_version),
                    // Another HTTP server has read it, and knows where it ends.
                    Delivery::Response(_) => Ok(PlainBody::Length(0)),
                };
                match body {
                    Ok(body) => self.stage = ServerStage::Http(PlainRequest { head_len, body }),
                    Err(error) => return self.fail(error),
                }
                Request::Http
            }
            Err(error) => return self.fail(error),
        };
        self.request = Some(request);
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

    fn fail(&mut self, error: HandshakeError) {
        if let Some(answer) = EncodedResponse::for_error(&error, &self.config) {
            self.deliver(answer);
        }
        self.close();
        self.outcome = Some(Err(error));
    }

    fn close(&mut self) {
        self.stage = ServerStage::Closed;
        self.received = BytesMut::new();
    }

    fn deliver(&mut self, answer: EncodedResponse) {
        match &mut self.delivery {
            Delivery::Outgoing if self.is_head => self.outgoing.push_owned(answer.into_head()),
            Delivery::Outgoing => self.outgoing.push_owned(answer.into_bytes()),
            Delivery::Response(response) => *response = Some(answer.into_response()),
        }
    }
}
