//! A request that passed all checks and is not answered yet. This file completes the 101 with the choices of the
//! application.

use super::config::ServerConfig;
use super::response::{Accept, ChosenBy, EncodedResponse};
use crate::deflate::DeflateTerms;
use crate::error::ConfigError;
use crate::handshake::deflate::AcceptableOffer;
use crate::handshake::error::HandshakeError;
use crate::handshake::http::extensions::EXTENSIONS;
use crate::redact::Redacted;
use crate::version::Version;

/// The parts of a request that are kept until it is answered.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) version: Version,
    /// The numbers of a draft-76 challenge.
    pub(super) numbers: Option<[u32; 2]>,
    /// Whether the peer may use the close codes of version 7 and 8.
    pub(super) legacy_close_codes: bool,
    /// The offer of compression that can be met.
    pub(super) offered_deflate: Option<AcceptableOffer>,
    /// The accepted terms of compression, after [`accept`](Self::accept).
    pub(super) deflate: Option<DeflateTerms>,
    /// The 101 up to the subprotocol. It is empty after [`accept`](Self::accept).
    ///
    /// It is written during the checks, because the application may take the head of the request with it.
    pub(super) answer: EncodedResponse,
    /// The subprotocols that the client offers, and the one of them that the options select.
    pub(super) offered: Vec<Box<str>>,
    pub(super) selected: Option<Box<str>>,
}

impl PendingRequest {
    /// Completes the 101.
    ///
    /// The outer error is a mistake of the application and leaves the request pending. The inner error fails the
    /// request: a client of a draft would fail on such a response.
    pub(super) fn accept(
        &mut self,
        accept: Accept,
        config: &ServerConfig,
    ) -> Result<Result<EncodedResponse, HandshakeError>, ConfigError> {
        let deflate = accept_deflate(config, &accept, self.offered_deflate);
        let chosen = match accept.subprotocol {
            ChosenBy::Options => self.selected.as_deref(),
            ChosenBy::Application(None) => None,
            ChosenBy::Application(Some(name)) => {
                let offered = self
                    .offered
                    .iter()
                    .find(|offered| ***offered == *name.as_str());
                let offered = offered.ok_or_else(|| ConfigError::InvalidHeader {
                    name: PROTOCOL.to_owned(),
                    problem: "the client did not offer this subprotocol",
                });
                // RFC 6455 §4.1: a client fails if the server chooses a subprotocol that it did not offer.
                Some(&**offered?)
            }
        };
        // Draft-75 has no prefix `Sec-`, which was introduced so that scripts in a page cannot set these headers.
        let header_name = match self.version {
            Version::Rfc6455 | Version::Draft76 => PROTOCOL,
            Version::Draft75 => PROTOCOL_75,
        };
        match (chosen, self.version, self.offered.first()) {
            (Some(name), ..) => self.answer.push(header_name, name),
            (None, Version::Draft75 | Version::Draft76, Some(offered)) => {
                return Ok(Err(subprotocol_refused(offered)));
            }
            (None, ..) => {}
        }
        if let Some(terms) = &deflate {
            self.answer.push(EXTENSIONS, &terms.to_string());
        }
        self.deflate = deflate;
        // Last, because draft-75 fixes the first lines of the response.
        self.answer.extend(accept.headers);
        Ok(Ok(std::mem::take(&mut self.answer)))
    }
}

/// Answers an offer, with the options that the application set for this upgrade or else with those of the server.
#[cfg(feature = "deflate")]
fn accept_deflate(
    config: &ServerConfig,
    accept: &Accept,
    offered: Option<AcceptableOffer>,
) -> Option<DeflateTerms> {
    let options = accept.deflate.or(config.deflate.as_ref())?;
    Some(options.answer(offered?))
}

/// Declines every offer.
#[cfg(not(feature = "deflate"))]
fn accept_deflate(
    _: &ServerConfig,
    _: &Accept,
    _: Option<AcceptableOffer>,
) -> Option<DeflateTerms> {
    None
}

pub(super) const PROTOCOL: &str = "Sec-WebSocket-Protocol";
pub(super) const PROTOCOL_75: &str = "WebSocket-Protocol";

pub(super) fn subprotocol_refused(offered: &str) -> HandshakeError {
    HandshakeError::SubprotocolRefused {
        offered: Redacted::secret(offered),
    }
}
