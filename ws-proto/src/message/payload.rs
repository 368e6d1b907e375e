//! The content of messages: bytes, and bytes that are text. Knows no messages.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str;

use bytes::Bytes;

use super::inline::{INLINE_LIMIT, Inline};
use crate::mask::Mask;

/// The bytes of a message or a control frame: cheap to clone, and stored without an allocation if they are few.
///
/// # The owner of bytes
///
/// A payload made of [`Bytes::from_owner`] keeps the owner until its last clone is dropped. For a message that is sent
/// that can be inside of a call of the connection, and a program that shares the connection behind a lock, as `ws-driver`
/// does, holds the lock then. So the destructor of an owner must not call the connection: it would wait for itself for
/// ever. It may tell another task or thread to do so.
#[derive(Clone)]
pub struct Payload(Repr);

/// The two forms of a payload. The enum needs no tag of its own: [`Bytes`] contains a reference, which is never null,
/// so the compiler uses a null there for the other variant. A test below checks that.
#[derive(Clone)]
enum Repr {
    Inline(Inline),
    Shared(Bytes),
}

impl Payload {
    /// Makes an empty payload.
    pub const fn new() -> Self {
        Self(Repr::Inline(Inline::EMPTY))
    }

    /// Makes a payload of static bytes, without a copy.
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self(Repr::Shared(Bytes::from_static(bytes)))
    }

    /// Converts the payload into [`Bytes`]. A small payload is copied, a large one is not.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Repr::Inline(_) => Bytes::copy_from_slice(&self),
            Repr::Shared(bytes) => bytes,
        }
    }

    /// Copies and unmasks bytes that a peer sent. Tells whether the result is ASCII.
    pub(crate) fn unmasked(bytes: &[u8], mask: Mask) -> (Self, bool) {
        match Inline::unmasked(bytes, bytes.len(), mask) {
            Some((inline, is_ascii)) => (inline.into(), is_ascii),
            None => Self::unmasked_on_heap(bytes, mask),
        }
    }

    /// Does the same as [`unmasked`](Self::unmasked), but always allocates. For a caller that has tried the inline
    /// form already.
    pub(crate) fn unmasked_on_heap(bytes: &[u8], mask: Mask) -> (Self, bool) {
        let mut copy = Vec::with_capacity(bytes.len());
        let is_ascii = mask.append(bytes, &mut copy);
        (Self::from(copy), is_ascii)
    }

    /// Returns the bytes if they are stored inline.
    #[inline]
    pub(crate) fn as_inline(&self) -> Option<&Inline> {
        match &self.0 {
            Repr::Inline(inline) => Some(inline),
            Repr::Shared(_) => None,
        }
    }

    /// Converts the payload into [`Bytes`] if it is not stored inline, and returns it unchanged if it is.
    pub(crate) fn try_into_shared(self) -> Result<Bytes, Self> {
        match self.0 {
            Repr::Inline(_) => Err(self),
            Repr::Shared(bytes) => Ok(bytes),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(inline) => inline.as_slice(),
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Payload {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload {}

impl std::hash::Hash for Payload {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        (**self).hash(hasher);
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl From<Inline> for Payload {
    #[inline]
    fn from(inline: Inline) -> Self {
        Self(Repr::Inline(inline))
    }
}

impl From<&[u8]> for Payload {
    fn from(content: &[u8]) -> Self {
        match content.len() {
            // Not `Bytes`, even of a few bytes, because that would allocate.
            ..=INLINE_LIMIT => Self::unmasked(content, Mask::NONE).0,
            _ => Self(Repr::Shared(Bytes::copy_from_slice(content))),
        }
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    fn from(content: &[u8; N]) -> Self {
        content.as_slice().into()
    }
}

impl<const N: usize> From<[u8; N]> for Payload {
    fn from(content: [u8; N]) -> Self {
        content.as_slice().into()
    }
}

impl From<Bytes> for Payload {
    /// Makes a payload of the same memory, without a copy. The destructor of its owner, if it has one, must not call the
    /// connection: see [the owner of bytes](Payload#the-owner-of-bytes).
    fn from(bytes: Bytes) -> Self {
        // Kept as it is, however short: the memory exists already, and `into_bytes` gets it back without a copy.
        Self(Repr::Shared(bytes))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Repr::Shared(bytes.into()))
    }
}

impl From<Payload> for Bytes {
    fn from(payload: Payload) -> Self {
        payload.into_bytes()
    }
}

/// A [`Payload`] that is known to be valid UTF-8.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Utf8Bytes(pub(super) Payload);

impl Utf8Bytes {
    /// Makes an empty text.
    pub const fn new() -> Self {
        Self(Payload::new())
    }

    /// Makes a text of a static string, without a copy.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Payload::from_static(text.as_bytes()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        // The bytes are valid by the type's invariant, and are checked again on each call, because the conversion
        // without a check is unsafe code, which these crates forbid. simdutf8 makes the check cheap. The default, an
        // empty string, cannot be reached.
        simdutf8::basic::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the bytes. This is free, while [`as_str`](Self::as_str) checks the UTF-8 again.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Converts the text into its bytes.
    pub fn into_payload(self) -> Payload {
        self.0
    }

    /// Wraps bytes that the caller has checked.
    pub(crate) fn from_checked(payload: Payload) -> Self {
        debug_assert!(
            str::from_utf8(&payload).is_ok(),
            "text was not checked before it was made"
        );
        Self(payload)
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Utf8Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Utf8Bytes {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<&String> for Utf8Bytes {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl TryFrom<Payload> for Utf8Bytes {
    type Error = str::Utf8Error;

    fn try_from(payload: Payload) -> Result<Self, str::Utf8Error> {
        // The fast check only says that the text is invalid. The standard library's check then says where.
        if simdutf8::basic::from_utf8(&payload).is_err() {
            str::from_utf8(&payload)?;
        }
        Ok(Self(payload))
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, str::Utf8Error> {
        Payload::from(bytes).try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_its_bytes_on_both_sides_of_the_inline_limit() {
        for len in [
            0,
            1,
            INLINE_LIMIT - 1,
            INLINE_LIMIT,
            INLINE_LIMIT + 1,
            255,
            256,
            70_000,
        ] {
            let bytes: Vec<u8> = (0..=255).cycle().take(len).collect();
            let payload = Payload::from(bytes.as_slice());
            assert_eq!(*payload, *bytes);
            assert_eq!(
                payload,
                Payload::from(bytes.clone()),
                "both forms are equal"
            );
            assert_eq!(payload.into_bytes(), bytes);
        }
    }

    /// An array of any length is binary content, by value and by reference, like a vector.
    #[test]
    fn an_array_converts_like_a_vector() {
        use super::super::Message;

        let long = [7; 1000];
        for (message, bytes) in [
            (Message::from([1, 2, 3]), &[1, 2, 3][..]),
            (Message::from(&[1, 2, 3]), &[1, 2, 3]),
            (Message::from([]), &[]),
            (long.into(), &long),
        ] {
            assert_eq!(message, Message::from(bytes.to_vec()));
            assert!(message.is_binary());
        }
    }

    #[test]
    fn inline_bytes_take_no_more_memory_than_shared_ones() {
        assert_eq!(size_of::<Payload>(), size_of::<Bytes>());
    }

    #[test]
    fn text_that_is_not_utf8_cannot_be_made() {
        assert!(Utf8Bytes::try_from(Bytes::from_static(b"\xed\xa0\x80")).is_err());
        assert_eq!(
            Utf8Bytes::try_from(Bytes::from_static("κ".as_bytes())).unwrap(),
            "κ"
        );
    }
}
