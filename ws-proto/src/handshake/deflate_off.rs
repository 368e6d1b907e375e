//! Stands in for what is agreed on about compression where the feature is off: nothing is offered or accepted.

use http::HeaderMap;

use super::error::HandshakeError;
use super::http::extensions::EXTENSIONS;
use super::http::fields::list;
use crate::deflate::DeflateTerms;

/// An offer of a client that is not looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct AcceptableOffer;

impl AcceptableOffer {
    pub(super) fn first_in(_: &HeaderMap) -> Option<Self> {
        None
    }
}

/// What a client offers: nothing.
#[derive(Debug)]
pub(super) struct Offer;

impl Offer {
    pub(super) fn header(&self) -> Option<String> {
        None
    }

    /// R-C11: what was not offered must not be used.
    pub(super) fn confirm(
        &self,
        response: &HeaderMap,
    ) -> Result<Option<DeflateTerms>, HandshakeError> {
        // A list of nothing names none.
        match list(response, EXTENSIONS).next() {
            None => Ok(None),
            Some(seen) => Err(HandshakeError::ExtensionNotOffered {
                seen: seen.to_owned(),
            }),
        }
    }
}
