//! The negotiation of permessage-deflate (RFC 7692 §7.1): offers, answers, and the checks of both. This file
//! knows nothing of how messages are compressed, and needs no compressor.

use std::str;

use http::HeaderMap;

use super::error::HandshakeError;
use super::http::extensions::{self, EXTENSIONS, Item, Value};
use super::http::fields::{Fields, list};
use crate::deflate::{
    CLIENT_MAX_WINDOW_BITS, CLIENT_NO_CONTEXT_TAKEOVER, Deflate, DeflateTerms, Direction,
    FULL_WINDOW_BITS, LEAST_COMPRESSOR_BITS, Parameters, SERVER_MAX_WINDOW_BITS,
    SERVER_NO_CONTEXT_TAKEOVER,
};
use crate::state::Role;

/// The name of the extension.
const NAME: &[u8] = b"permessage-deflate";

/// The smallest window that the standard has (RFC 7692 §7.1.2.1).
const LEAST_WINDOW_BITS: u8 = 8;

impl Deflate {
    /// Accepts the first offer of a client's request that can be met, in the client's order. Returns `None` if
    /// there is no such offer; then the connection stays uncompressed (RFC 7692 §5).
    ///
    /// [`ServerHandshake`](crate::ServerHandshake) calls this itself. Call it for a handshake that other code
    /// does: write the result, as text, into a header `Sec-WebSocket-Extensions` of the response, and pass it
    /// to [`Connection::with_deflate`](crate::Connection::with_deflate).
    pub fn accept(&self, request: &HeaderMap) -> Option<DeflateTerms> {
        AcceptableOffer::first_in(request).map(|offered| self.answer(offered))
    }

    /// Returns the offer of a client: the value of the header `Sec-WebSocket-Extensions` in its request.
    pub fn offer(&self) -> String {
        let bits = |bits: u8| Some(bits).filter(|bits| *bits < FULL_WINDOW_BITS);
        let offer = Parameters {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: bits(self.server_max_window_bits).map(Some),
            // Without a value the parameter lets the server choose one. It is always offered, because a server must
            // not limit our window otherwise (RFC 7692 §7.1.2.2).
            client_max_window_bits: Some(bits(self.client_max_window_bits)),
        };
        offer.to_string()
    }

    /// Checks a server's answer to [`offer`](Self::offer). Returns the agreed terms, or `None` if the server
    /// declined.
    ///
    /// # Errors
    ///
    /// Fails if the answer is malformed, names another extension, or does not fit the offer (RFC 7692
    /// §7.1). Then the connection must not be used.
    pub fn confirm(&self, response: &HeaderMap) -> Result<Option<DeflateTerms>, HandshakeError> {
        let invalid = |problem| HandshakeError::InvalidHeader {
            name: EXTENSIONS,
            value: lines(response).collect::<Vec<_>>().join(", ").into(),
            problem,
        };
        let mut elements = Vec::new();
        read(response, |element| elements.push(element)).map_err(invalid)?;
        if let Some(other) = elements.iter().find(|element| element.name != NAME) {
            let seen = String::from_utf8_lossy(other.name).into_owned();
            return Err(HandshakeError::ExtensionNotOffered { seen });
        }
        match &*elements {
            [] => Ok(None),
            [answer] => {
                let parameters = answer
                    .parameters
                    .as_ref()
                    .map_err(|error| invalid(*error))?;
                self.confirm_one(parameters).map(Some).map_err(invalid)
            }
            // A server chooses one of the offers; with two answers the terms would be ambiguous.
            [..] => Err(invalid("permessage-deflate appears more than once")),
        }
    }

    /// Answers an offer with these options (P-S2, P-S4).
    pub(super) fn answer(&self, AcceptableOffer(offer): AcceptableOffer) -> DeflateTerms {
        let demanded = offer.server_max_window_bits.flatten();
        let least = |theirs: Option<u8>, ours: u8| theirs.map_or(ours, |theirs| theirs.min(ours));
        let server_bits = least(demanded, self.server_max_window_bits);
        // A client that does not name the parameter may not understand it, so the answer must not have it. Such a
        // client uses the full window (RFC 7692 §7.1.2.2).
        let client_bits = offer
            .client_max_window_bits
            .map(|hint| least(hint, self.client_max_window_bits))
            .filter(|bits| *bits < FULL_WINDOW_BITS);
        let answer = Parameters {
            // Only for a client that asked: Netty's clients up to 4.1.65 reject a parameter that they did not send.
            // A client need not know that our compressor drops its context, so leaving it out costs nothing.
            server_no_context_takeover: offer.server_no_context_takeover,
            // This is a demand on the client's compressor, so the answer must state it.
            client_no_context_takeover: offer.client_no_context_takeover
                || self.client_no_context_takeover,
            // The full window is the default. It is stated only to a client that demanded a window.
            server_max_window_bits: Some(server_bits)
                .filter(|bits| demanded.is_some() || *bits < FULL_WINDOW_BITS)
                .map(Some),
            client_max_window_bits: client_bits.map(Some),
        };
        DeflateTerms {
            role: Role::Server,
            level: self.level,
            threshold: self.threshold,
            sending: Direction {
                window_bits: server_bits,
                takeover: !(offer.server_no_context_takeover || self.server_no_context_takeover),
            },
            receiving: Direction {
                window_bits: client_bits.unwrap_or(FULL_WINDOW_BITS),
                takeover: !answer.client_no_context_takeover,
            },
            answer,
        }
    }

    fn confirm_one(&self, answer: &Parameters) -> Result<DeflateTerms, &'static str> {
        // An answer may lack a `server_no_context_takeover` that was offered. A client must fail only if it cannot
        // support the answer (RFC 7692 §7.1), and our inflater can keep a context. The servers of Tornado and
        // libwebsockets drop the parameter.
        let server_bits = match answer.server_max_window_bits {
            Some(None) => return Err("server_max_window_bits has no value"),
            Some(Some(bits)) => bits,
            None => FULL_WINDOW_BITS,
        };
        if server_bits > self.server_max_window_bits {
            return Err("server_max_window_bits is larger than the offer demanded");
        }
        let client_bits = match answer.client_max_window_bits {
            Some(None) => return Err("client_max_window_bits has no value"),
            Some(Some(bits)) => bits,
            None => FULL_WINDOW_BITS,
        };
        let no_context_takeover =
            self.client_no_context_takeover || answer.client_no_context_takeover;
        Ok(DeflateTerms {
            role: Role::Client,
            level: self.level,
            threshold: self.threshold,
            sending: Direction {
                window_bits: client_bits.min(self.client_max_window_bits),
                takeover: !no_context_takeover,
            },
            receiving: Direction {
                window_bits: server_bits,
                takeover: !answer.server_no_context_takeover,
            },
            answer: *answer,
        })
    }
}

/// The offer of a client, if its options have one.
#[derive(Debug)]
pub(super) struct Offer(Option<Deflate>);

impl Offer {
    pub(super) fn new(options: Option<&Deflate>) -> Self {
        Self(options.cloned())
    }

    /// Returns the value of the header.
    pub(super) fn header(&self) -> Option<String> {
        self.0.as_ref().map(Deflate::offer)
    }

    /// Checks the answer. Without an offer the server must use no extension (R-C11).
    pub(super) fn confirm(
        &self,
        response: &HeaderMap,
    ) -> Result<Option<DeflateTerms>, HandshakeError> {
        // `list` skips empty elements, so a header without a name uses no extension (RFC 9110 §5.6.1.2).
        match (&self.0, list(response, EXTENSIONS).next()) {
            (Some(deflate), _) => deflate.confirm(response),
            (None, None) => Ok(None),
            (None, Some(seen)) => Err(HandshakeError::ExtensionNotOffered {
                seen: seen.to_owned(),
            }),
        }
    }
}

/// An offer of a client that can be met. It is chosen before the options are known, because the application may
/// set them when it accepts the upgrade.
#[derive(Clone, Copy, Debug)]
pub(super) struct AcceptableOffer(Parameters);

impl AcceptableOffer {
    /// Returns the first such offer in the client's order, if there is one (RFC 7692 §5).
    pub(super) fn first_in(request: &(impl Fields + ?Sized)) -> Option<Self> {
        let mut offered = None;
        let read = read(request, |element| {
            if offered.is_none() && element.name == NAME {
                let offer = element.parameters.ok();
                offered = offer.filter(Parameters::can_be_met).map(Self);
            }
        });
        // A header that breaks the grammar offers nothing, even if an earlier element was well-formed.
        read.ok().and(offered)
    }
}

impl Parameters {
    /// Tells whether our compressor can meet this offer. A demand without a value is invalid.
    fn can_be_met(&self) -> bool {
        match self.server_max_window_bits {
            Some(bits) => bits.is_some_and(|bits| bits >= LEAST_COMPRESSOR_BITS),
            None => true,
        }
    }

    /// Adds a parameter (P-S1 to P-S3). Offers and answers share this, so the caller checks whether a missing
    /// value is allowed.
    fn add(&mut self, name: &[u8], value: Option<Value<'_>>) -> Result<(), &'static str> {
        const TWICE: &str = "a parameter of permessage-deflate appears twice";
        let flag = |flag: &mut bool| match (std::mem::replace(flag, true), value) {
            (true, _) => Err(TWICE),
            (false, Some(_)) => Err("a parameter has a value and must not have one"),
            (false, None) => Ok(()),
        };
        let bits = |bits: &mut Option<Option<u8>>| {
            let parsed = value.map(parse_window_bits).transpose()?;
            match bits.replace(parsed) {
                Some(_) => Err(TWICE),
                None => Ok(()),
            }
        };
        match str::from_utf8(name) {
            Ok(SERVER_NO_CONTEXT_TAKEOVER) => flag(&mut self.server_no_context_takeover),
            Ok(CLIENT_NO_CONTEXT_TAKEOVER) => flag(&mut self.client_no_context_takeover),
            Ok(SERVER_MAX_WINDOW_BITS) => bits(&mut self.server_max_window_bits),
            Ok(CLIENT_MAX_WINDOW_BITS) => bits(&mut self.client_max_window_bits),
            Ok(_) | Err(_) => Err("a parameter of permessage-deflate is unknown"),
        }
    }
}

/// Reads 8 to 15, in decimal without a leading zero (RFC 7692 §7.1.2).
fn parse_window_bits(value: Value<'_>) -> Result<u8, &'static str> {
    let mut digits = value.bytes();
    let bits = match (digits.next(), digits.next(), digits.next()) {
        (Some(digit @ b'8'..=b'9'), None, None) => digit - b'0',
        (Some(b'1'), Some(digit @ b'0'..=b'5'), None) => 10 + (digit - b'0'),
        (_, _, _) => return Err("window bits must be a number from 8 to 15"),
    };
    // The patterns above spell the bounds of the standard out; this line fails if the constants change.
    debug_assert!((LEAST_WINDOW_BITS..=FULL_WINDOW_BITS).contains(&bits));
    Ok(bits)
}

/// An extension in the list of the header.
struct Element<'a> {
    name: &'a [u8],
    /// An invalid parameter spoils only its own element: a client lists several offers, and a later one may be
    /// valid.
    parameters: Result<Parameters, &'static str>,
}

impl Element<'_> {
    fn add(&mut self, name: &[u8], value: Option<Value<'_>>) {
        if let Ok(parameters) = &mut self.parameters {
            if let Err(problem) = parameters.add(name, value) {
                self.parameters = Err(problem);
            }
        }
    }
}

/// Reads all lines of the header in one pass and calls `take` for each element. Other extensions than
/// `permessage-deflate` keep only their name.
fn read<'a>(
    headers: &'a (impl Fields + ?Sized),
    mut take: impl FnMut(Element<'a>),
) -> Result<(), &'static str> {
    // A callback and not a list, so that a server needs no memory for the number of offers that a peer chose.
    for line in headers.values(EXTENSIONS) {
        let mut last: Option<Element<'_>> = None;
        extensions::read(line, |item| match item {
            Item::Extension(name) => {
                let parameters = Ok(Parameters::default());
                if let Some(element) = last.replace(Element { name, parameters }) {
                    take(element);
                }
            }
            Item::Parameter(name, value) => {
                let element = last.as_mut().filter(|element| element.name == NAME);
                if let Some(element) = element {
                    element.add(name, value);
                }
            }
        })?;
        if let Some(element) = last {
            take(element);
        }
    }
    Ok(())
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let lines = headers.get_all(EXTENSIONS).into_iter();
    lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
}
