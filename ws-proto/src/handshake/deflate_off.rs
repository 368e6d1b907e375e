//! Replaces `deflate.rs` when the feature `deflate` is off: nothing is offered and no offer is accepted.

use http::HeaderMap;

use super::error::HandshakeError;
use super::http::extensions::EXTENSIONS;
use super::http::fields::{Fields, list};
use crate::deflate::DeflateTerms;

/// An offer of a client. It is never constructed, because no offer can be accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct AcceptableOffer;

impl AcceptableOffer {
    pub(super) fn first_in(_: &(impl Fields + ?Sized)) -> Option<Self> {
        None
    }
}

/// The offer of a client: no extension.
#[derive(Debug)]
pub(super) struct Offer;

impl Offer {
    pub(super) fn header(&self) -> Option<String> {
        None
    }

    /// Fails if the server uses an extension, because none was offered (R-C11).
    pub(super) fn confirm(
        &self,
        response: &HeaderMap,
    ) -> Result<Option<DeflateTerms>, HandshakeError> {
        // `list` skips empty elements, so a header without a name uses no extension (RFC 9110 §5.6.1.2).
        match list(response, EXTENSIONS).next() {
            None => Ok(None),
            Some(seen) => Err(HandshakeError::ExtensionNotOffered {
                seen: seen.to_owned(),
            }),
        }
    }
}
