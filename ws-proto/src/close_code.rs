//! What a close frame carries: a close code (RFC 6455 §7.4) and a reason (RFC 6455 §5.5.1).

use std::error::Error;
use std::fmt;

/// The longest reason, in bytes, that fits a close frame beside the code: 125 bytes of payload minus 2 (RFC 6455 §5.5).
pub const REASON_LIMIT: usize = 123;

/// A close code that may appear on the wire (RFC 6455 §7.4).
///
/// The codes 1005, 1006 and 1015 cannot be made: they only report an end locally, and no frame carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the connection has fulfilled its purpose.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint goes away, because a server shuts down or a user leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the peer sent a type of message that this endpoint does not accept.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: a payload does not fit its type, for instance text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a policy was violated.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: the server did not accept an extension that the client needs. For clients only.
    pub const EXTENSION_MISSING: Self = Self(1010);
    /// 1011: an unexpected condition stopped the endpoint.
    pub const SERVER_ERROR: Self = Self(1011);
    /// 1012: the service restarts (IANA registry).
    pub const RESTART: Self = Self(1012);
    /// 1013: try again later (IANA registry).
    pub const TRY_AGAIN: Self = Self(1013);
    /// 1014: a gateway got a bad answer (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Makes a close code.
    ///
    /// # Errors
    ///
    /// Fails unless the code is 1000 to 1003, 1007 to 1014 or 3000 to 4999.
    pub const fn new(code: u16) -> Result<Self, InvalidCloseCode> {
        // 1004 is reserved, and 1012 to 1014 are in the IANA registry. 1016 to 2999 are reserved for later versions of
        // the protocol (RFC 6455 §7.4.2), so an application cannot send them.
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            0..=999 | 1004..=1006 | 1015..=2999 | 5000..=u16::MAX => Err(InvalidCloseCode { code }),
        }
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq<u16> for CloseCode {
    fn eq(&self, other: &u16) -> bool {
        self.0 == *other
    }
}

impl PartialEq<CloseCode> for u16 {
    fn eq(&self, other: &CloseCode) -> bool {
        *self == other.0
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = InvalidCloseCode;

    fn try_from(code: u16) -> Result<Self, InvalidCloseCode> {
        Self::new(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

/// Error from a number that is not a [`CloseCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCloseCode {
    /// The number.
    pub code: u16,
}

impl fmt::Display for InvalidCloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "close code {} must not be sent; 1000 to 1003, 1007 to 1014 and 3000 to 4999 may",
            self.code
        )
    }
}

impl Error for InvalidCloseCode {}

/// The reason in a close frame: text of at most [`REASON_LIMIT`] (123) bytes (RFC 6455 §5.5.1).
///
/// ```
/// use ws_proto::CloseReason;
///
/// const MAINTENANCE: CloseReason<'_> = CloseReason::from_static("maintenance");
/// assert_eq!(MAINTENANCE.as_str(), "maintenance");
/// assert!(CloseReason::try_from(&*"x".repeat(124)).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CloseReason<'a>(&'a str);

impl CloseReason<'_> {
    /// The empty reason.
    pub const EMPTY: Self = Self("");

    /// Makes a reason from a literal. In a constant the compiler checks the length.
    ///
    /// # Panics
    ///
    /// Panics if the text is longer than 123 bytes.
    pub const fn from_static(reason: &'static str) -> Self {
        assert!(
            reason.len() <= REASON_LIMIT,
            "a close reason has at most 123 bytes"
        );
        Self(reason)
    }
}

impl<'a> CloseReason<'a> {
    /// Makes a reason.
    ///
    /// # Errors
    ///
    /// Fails if the text is longer than 123 bytes.
    pub const fn new(reason: &'a str) -> Result<Self, InvalidCloseReason> {
        if reason.len() > REASON_LIMIT {
            return Err(InvalidCloseReason { len: reason.len() });
        }
        Ok(Self(reason))
    }

    /// Makes a reason of the longest part of a text that fits, in whole characters: for texts whose length is not
    /// known, such as that of an error.
    pub fn truncated(text: &'a str) -> Self {
        // Cut at a character, because a close reason must be UTF-8 (RFC 6455 §5.5.1).
        let is_end = |end: &usize| text.is_char_boundary(*end);
        let end = (0..=text.len().min(REASON_LIMIT)).rev().find(is_end);
        Self(&text[..end.unwrap_or(0)])
    }

    /// Returns the text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for CloseReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl<'a> TryFrom<&'a str> for CloseReason<'a> {
    type Error = InvalidCloseReason;

    fn try_from(reason: &'a str) -> Result<Self, InvalidCloseReason> {
        Self::new(reason)
    }
}

/// Error from a text that is too long for a [`CloseReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCloseReason {
    /// The length of the text in bytes.
    pub len: usize,
}

impl fmt::Display for InvalidCloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "close reason of {} bytes; at most {REASON_LIMIT} fit a close frame \
             (fixed, no option sets it)",
            self.len
        )
    }
}

impl Error for InvalidCloseReason {}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROTOCOL.md R-X1: a control frame carries 125 bytes, and the code takes two of them.
    #[test]
    fn a_reason_has_at_most_123_bytes() {
        let longest = "r".repeat(REASON_LIMIT);
        assert_eq!(CloseReason::new(&longest).unwrap().as_str(), longest);
        let too_long = "r".repeat(REASON_LIMIT + 1);
        let refused = CloseReason::try_from(&*too_long);
        assert_eq!(refused, Err(InvalidCloseReason { len: 124 }));
        assert_eq!(CloseReason::truncated(&too_long).as_str(), longest);
        assert_eq!(CloseReason::default(), CloseReason::EMPTY);
    }

    /// A reason that is cut has whole characters only: the close frame must be valid UTF-8 (R-X1).
    #[test]
    fn a_reason_is_cut_between_characters() {
        for (text, len) in [("κ".repeat(62), 122), ("r".repeat(122) + "κ", 122)] {
            let reason = CloseReason::truncated(&text);
            assert_eq!(reason.as_str(), &text[..len]);
        }
        assert_eq!(CloseReason::truncated("short").as_str(), "short");
    }

    /// PROTOCOL.md §5.6: which codes an application may send.
    #[test]
    fn only_codes_that_may_appear_on_the_wire_can_be_made() {
        for code in [
            1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert_eq!(CloseCode::new(code).unwrap().get(), code);
        }
        for code in [
            0,
            999,
            1004,
            1005,
            1006,
            1015,
            1016,
            1100,
            2000,
            2999,
            5000,
            u16::MAX,
        ] {
            assert_eq!(CloseCode::new(code), Err(InvalidCloseCode { code }));
        }
    }
}
