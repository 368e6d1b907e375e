//! The client's side of an opening handshake, from the request to a connection.
//!
//! Imports: `config`, `connection`, `deflate`, `error`, `handshake::deflate`, `handshake::error`,
//! `handshake::event`, `handshake::head`, `handshake::hixie`, `handshake::host`, `handshake::http`, `handshake::origin`,
//! `handshake::rfc6455`, `handshake::subprotocol`, `handshake::unexpected_response`, `outgoing`, `randomness`, `redact`,
//! `state`, `version`.

mod body_reader;
mod config;
mod headers;
mod host_name;
mod request;
mod response_check;
mod url;
mod user_info;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;

use self::body_reader::BodyReader;
use self::request::{
    check_offered_subprotocols, draft75_request, draft76_request, rfc6455_request,
};
use self::response_check::ResponseCheck;
use crate::config::ConnectionConfig;
use crate::connection::{Connection, Opened};
use crate::deflate::DeflateTerms;
use crate::error::ConfigError;
use crate::handshake::error::HandshakeError;
use crate::handshake::event::HandshakeEvent;
use crate::handshake::head::ResponseHead;
use crate::handshake::hixie;
use crate::handshake::http::head_end::{HeadReader, unfold};
use crate::outgoing::Outgoing;
use crate::randomness::Randomness;
use crate::state::{Role, State};
use crate::version::Version;

pub use self::config::ClientConfig;
pub use self::url::ClientUrl;

/// The interim responses, whose status is 1xx, that are skipped before the final one (RFC 9110 §15.2). Servers and
/// gateways send few of them. Each may be as long as the [`head_limit`](ClientConfig::head_limit), so without a limit
/// a server could send heads for ever.
const INTERIM_LIMIT: usize = 8;

/// The client's side of an opening handshake.
///
/// After any call that takes `&mut self`: take events until there are none, write what is
/// [`outgoing`](Self::outgoing), close the stream if the handshake failed, and arm a timer for
/// [`poll_timeout`](Self::poll_timeout).
pub struct ClientHandshake {
    version: Version,
    connection: Arc<ConnectionConfig>,
    handshake_timeout: Option<Duration>,
    stage: ClientStage,
    check: ResponseCheck,
    response_body_limit: usize,
    /// Reads a response that is not a 101; set in stage `Body`.
    body: Option<BodyReader>,
    /// The digest that must follow the head of a draft-76 response.
    challenge_response: Option<[u8; hixie::RESPONSE_LEN]>,
    reader: HeadReader,
    /// How many responses of status 1xx were skipped.
    interim: usize,
    /// The received bytes that no finished part of the handshake has used.
    received: BytesMut,
    response: Option<ResponseHead>,
    /// The terms of compression, if the server accepted an offer.
    deflate: Option<DeflateTerms>,
    deadline: Option<Instant>,
    /// The result, until `poll_event` returns it.
    outcome: Option<Result<(), HandshakeError>>,
    outgoing: Outgoing,
    randomness: Box<dyn Randomness>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientStage {
    Head,
    Challenge,
    Body,
    Open,
    Closed,
}

impl ClientHandshake {
    /// Begins a handshake. The request is outgoing at once.
    ///
    /// # Errors
    ///
    /// Fails if a subprotocol is offered twice, if a draft offers more than one, or if an option of the
    /// connection is [invalid](crate::ConnectionConfig::check).
    pub fn new(
        url: &ClientUrl,
        config: &ClientConfig,
        mut randomness: Box<dyn Randomness>,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        check_offered_subprotocols(config)?;
        config.connection.check()?;
        let request = match config.version {
            Version::Rfc6455 => rfc6455_request(url, config, &mut *randomness),
            Version::Draft76 => draft76_request(url, config, &mut *randomness),
            Version::Draft75 => draft75_request(url, config),
        };
        let mut outgoing = Outgoing::new();
        outgoing.push(&request.bytes);
        Ok(Self {
            version: config.version,
            connection: Arc::new(config.connection.clone()),
            handshake_timeout: config.handshake_timeout,
            stage: ClientStage::Head,
            check: ResponseCheck {
                expected: request.expected,
                offered: config.subprotocols.clone(),
                require_subprotocol: config.require_subprotocol,
                deflate: config.offer(),
            },
            response_body_limit: config.response_body_limit,
            body: None,
            challenge_response: request.challenge_response,
            reader: response_reader(config),
            interim: 0,
            received: BytesMut::new(),
            response: None,
            deflate: None,
            deadline: config
                .handshake_timeout
                .and_then(|wait| now.checked_add(wait)),
            outcome: None,
            outgoing,
            randomness,
        })
    }

    /// Takes the bytes that were read, all of them. Bytes behind the response are kept for the connection.
    ///
    /// This call can change the result of every other method.
    pub fn handle_read(&mut self, _now: Instant, data: &[u8]) {
        if self.stage == ClientStage::Closed {
            return;
        }
        self.received.extend_from_slice(data);
        if self.stage == ClientStage::Head {
            if let Err(error) = self.read_head() {
                return self.fail(error);
            }
        }
        // Not `else`: the same read can hold the head and what follows it.
        match self.stage {
            ClientStage::Challenge => self.read_challenge_response(),
            ClientStage::Body => self.read_body(),
            ClientStage::Head | ClientStage::Open | ClientStage::Closed => {}
        }
    }

    /// Takes the end of the stream: the server will send nothing more. After
    /// [`HandshakeEvent::Open`], report the end to the connection instead.
    pub fn handle_eof(&mut self) {
        match self.stage {
            // After an interim response the stream was not empty, even if no byte is left of it.
            ClientStage::Head if self.received.is_empty() && self.interim == 0 => {
                self.fail(HandshakeError::Empty);
            }
            ClientStage::Head | ClientStage::Challenge => {
                self.fail(HandshakeError::Disconnected {
                    state: self.state(),
                });
            }
            // The status is known, and says more than that the stream ended too early.
            ClientStage::Body => self.end_body(),
            ClientStage::Open | ClientStage::Closed => {}
        }
    }

    /// Takes the time when a deadline has passed. An unfinished handshake fails.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            // The body is only a help. Without all of it the status is still a better error than a timeout.
            if self.stage == ClientStage::Body {
                return self.end_body();
            }
            let waited = self.handshake_timeout.unwrap_or_default();
            self.fail(HandshakeError::Timeout {
                state: self.state(),
                waited,
            });
        }
    }

    /// Returns the next event, if there is one: `Open` or `Failed`, once.
    pub fn poll_event(&mut self) -> Option<HandshakeEvent> {
        Some(match self.outcome.take()? {
            Ok(()) => HandshakeEvent::Open,
            Err(error) => HandshakeEvent::Failed(error),
        })
    }

    /// Returns the bytes that wait to be written.
    pub fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Takes the bytes that arrived behind the handshake, after [`HandshakeEvent::Open`]: the first bytes that the
    /// connection must read. Before that event it returns no bytes. If you do not take them,
    /// [`into_connection`](Self::into_connection) makes the connection read all of them at once.
    pub fn take_early(&mut self) -> Bytes {
        if !matches!(self.stage, ClientStage::Open) {
            // Until then the bytes belong to the handshake.
            return Bytes::new();
        }
        // A copy: a slice would keep the whole read buffer alive for these few bytes.
        Bytes::copy_from_slice(&std::mem::take(&mut self.received))
    }

    /// Makes the connection, after [`HandshakeEvent::Open`]. Outgoing bytes, and bytes that arrived behind the
    /// response, move into it.
    ///
    /// # Panics
    ///
    /// Panics if the handshake is not [`State::Connected`].
    pub fn into_connection(self, now: Instant) -> Connection {
        let state = self.state();
        assert!(
            state == State::Connected,
            "cannot make a connection from a handshake in state {state}; it must be connected"
        );
        let opened = Opened {
            role: Role::Client,
            version: self.version,
            config: self.connection,
            outgoing: self.outgoing,
            // RFC 6455 §5.1: a client masks. The drafts have no masking, so the source of keys is dropped.
            masks: Some(self.randomness).filter(|_| self.version.features().masking),
            deflate: self.deflate.as_ref(),
            early: &self.received,
            legacy_close_codes: false,
        };
        Connection::after_handshake(opened, now)
    }

    /// Returns the head of the final response once it is complete, whether it accepts or rejects.
    pub fn response_head(&self) -> Option<&ResponseHead> {
        self.response.as_ref()
    }

    /// Returns the deadline of the handshake, if there is one. Every `&mut self` call can change it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            ClientStage::Head | ClientStage::Challenge | ClientStage::Body => self.deadline,
            ClientStage::Open | ClientStage::Closed => None,
        }
    }

    /// Tells whether the handshake needs more bytes.
    pub fn wants_read(&self) -> bool {
        match self.stage {
            ClientStage::Head | ClientStage::Challenge | ClientStage::Body => true,
            ClientStage::Open | ClientStage::Closed => false,
        }
    }

    /// Tells whether the handshake failed. Then close the stream.
    pub fn is_finished(&self) -> bool {
        self.stage == ClientStage::Closed
    }

    /// Returns the state of the handshake: handshaking, connected or closed.
    pub fn state(&self) -> State {
        match self.stage {
            ClientStage::Head | ClientStage::Challenge | ClientStage::Body => State::Handshaking,
            ClientStage::Open => State::Connected,
            ClientStage::Closed => State::Closed,
        }
    }

    fn read_head(&mut self) -> Result<(), HandshakeError> {
        let Some((bytes, head)) = self.read_final_head()? else {
            return Ok(());
        };
        let head = self.response.insert(head);
        if head.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.body = Some(BodyReader::new(head, self.response_body_limit));
            self.stage = ClientStage::Body;
            return Ok(());
        }
        (head.subprotocol, self.deflate) = self.check.check(&bytes, head)?;
        match self.challenge_response {
            Some(_) => self.stage = ClientStage::Challenge,
            None => self.open(),
        }
        Ok(())
    }

    /// Reads heads up to the final one.
    fn read_final_head(&mut self) -> Result<Option<(Bytes, ResponseHead)>, HandshakeError> {
        while let Some(head_len) = self.reader.find_end(&self.received)? {
            let mut bytes = self.received.split_to(head_len);
            unfold(&mut bytes);
            let bytes = bytes.freeze();
            let head = ResponseHead::parse(&bytes, self.reader.header_lines())?;
            let status = head.status();
            // Not in the drafts: they compare the first bytes of the stream with a fixed text.
            let is_interim = self.version == Version::Rfc6455
                && status.is_informational()
                && status != StatusCode::SWITCHING_PROTOCOLS;
            if !is_interim {
                return Ok(Some((bytes, head)));
            }
            if self.interim == INTERIM_LIMIT {
                return Err(HandshakeError::TooManyInterim {
                    limit: INTERIM_LIMIT,
                });
            }
            self.interim += 1;
            self.reader.restart();
        }
        Ok(None)
    }

    /// Fails the handshake once enough of the body was received.
    fn read_body(&mut self) {
        let reader = self.body.as_ref();
        if let Some(error) = reader.and_then(|reader| reader.read(&self.received)) {
            self.fail(error);
        }
    }

    /// Fails the handshake with the part of the body that was received.
    fn end_body(&mut self) {
        if let Some(reader) = &self.body {
            self.fail(reader.give_up(&self.received));
        }
    }

    /// Compares the digest once all of its bytes are there.
    fn read_challenge_response(&mut self) {
        // Not byte by byte: the result would depend on how the reads divide it.
        let seen = self.received.get(..hixie::RESPONSE_LEN);
        match (seen, &self.challenge_response) {
            (None, _) | (_, None) => {}
            (Some(seen), Some(expected)) if seen == expected => {
                self.received.advance(hixie::RESPONSE_LEN);
                self.open();
            }
            (Some(_), Some(_)) => self.fail(HandshakeError::WrongChallengeResponse),
        }
    }

    fn open(&mut self) {
        self.stage = ClientStage::Open;
        self.outcome = Some(Ok(()));
    }

    fn fail(&mut self, error: HandshakeError) {
        self.stage = ClientStage::Closed;
        // The owner may keep a failed handshake, so its memory is freed here. A client writes nothing after a failure.
        self.received = BytesMut::new();
        self.outgoing = Outgoing::new();
        self.outcome = Some(Err(error));
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("version", &self.version)
            .field("stage", &self.stage)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Returns the reader for the response. Only RFC 6455 allows continued lines, because a client of a draft compares
/// the response byte for byte.
fn response_reader(config: &ClientConfig) -> HeadReader {
    let reader = HeadReader::response(config.head_limit, config.header_limit);
    match config.version {
        Version::Draft75 | Version::Draft76 => reader,
        Version::Rfc6455 => reader.with_folds(),
    }
}
