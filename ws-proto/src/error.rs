//! Errors, by the party at fault: the peer ([`ProtocolError`]; [`HandshakeError`] stands next to the
//! handshake) or the caller ([`SendError`], [`ConfigError`]). A normal close is never an error.
//!
//! Each error says what was seen, what was allowed, and which option sets that.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::close_code::{CloseCode, InvalidCloseReason, REASON_LIMIT};
use crate::redact::Redacted;
use crate::state::Role;
use crate::version::Version;

/// The peer's violation that made this endpoint fail an open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A client's frame is not masked, or a server's frame is masked (RFC 6455 §5.1).
    Masking {
        /// The role of the endpoint that received the frame.
        role: Role,
    },
    /// A reserved bit is set that no extension defines (RFC 6455 §5.2).
    ReservedBits {
        /// The first byte of the frame.
        first_byte: u8,
    },
    /// An undefined opcode (RFC 6455 §5.2).
    UnknownOpcode {
        /// The opcode, 0 to 15.
        opcode: u8,
    },
    /// A length that is not in its shortest form (RFC 6455 §5.2).
    NonMinimalLength {
        /// The length.
        len: u64,
    },
    /// A length that does not fit its type: the top bit of 64 is set (RFC 6455 §5.2), or a draft's length has
    /// more than 9 bytes or 63 bits.
    LengthOverflow,
    /// A control frame that is a fragment (RFC 6455 §5.5).
    FragmentedControl {
        /// The opcode, 8 to 10.
        opcode: u8,
    },
    /// A control frame of more than 125 bytes (RFC 6455 §5.5).
    ControlTooLong {
        /// The length field of the first two bytes: 126 or 127.
        len: u8,
    },
    /// A continuation frame while no message is open (RFC 6455 §5.4).
    StrayContinuation,
    /// A new message before the previous one is complete (RFC 6455 §5.4).
    Interleaved,
    /// A compressed message that is not DEFLATE, refers to bytes before the first one, or is cut off
    /// (RFC 7692 §6.2).
    InvalidDeflate,
    /// Text or a close reason that is not UTF-8 (RFC 6455 §8.1).
    InvalidUtf8,
    /// A close frame with a payload of one byte (RFC 6455 §5.5.1).
    TruncatedCloseCode,
    /// A close code that must not appear on the wire (RFC 6455 §7.4).
    InvalidCloseCode {
        /// The code.
        code: u16,
    },
    /// A message over the limit.
    MessageTooBig {
        /// The length in bytes, as far as it is known.
        len: u64,
        /// The limit.
        limit: usize,
    },
    /// A frame over the limit.
    FrameTooBig {
        /// The length in bytes, as far as it is known.
        len: u64,
        /// The limit.
        limit: usize,
    },
    /// A message in more fragments than the limit.
    TooManyFragments {
        /// The limit.
        limit: usize,
    },
    /// A compressed message with more compressed bytes than any message within the message limit needs.
    CompressedTooBig {
        /// The compressed length in bytes, as far as it is known.
        len: u64,
        /// The limit: twice the message limit, plus 128 KiB.
        limit: usize,
    },
    /// A compressed message with more final blocks (RFC 1951 §3.2.3) than it may have fragments.
    TooManyFinalBlocks {
        /// The limit.
        limit: usize,
    },
    /// A frame type of draft-75 or draft-76 that no peer may send.
    UnknownFrameType {
        /// The type byte.
        frame_type: u8,
    },
    /// Nothing arrived after a ping.
    PongTimeout {
        /// The length of the wait.
        waited: Duration,
    },
    /// The transport took none of the bytes that wait to be written: the peer does not read.
    WriteStalled {
        /// The least length of the wait.
        waited: Duration,
        /// How many bytes wait.
        buffered: usize,
    },
    /// A message began, but almost nothing more of it arrived.
    MessageStalled {
        /// The least length of the wait.
        waited: Duration,
        /// How many bytes of the message arrived, without headers.
        received: u64,
    },
    /// More arrived than the rate limit allows, and its excess is [`Close`](crate::RateExcess::Close).
    RateLimited {
        /// What was counted: messages and control frames, or bytes.
        counted: &'static str,
        /// How many a second are allowed.
        per_second: u32,
        /// How many at once are allowed.
        burst: u32,
    },
}

impl ProtocolError {
    /// Returns the close code to send to the peer (RFC 6455 §7.4.1).
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::Masking { .. }
            | Self::ReservedBits { .. }
            | Self::UnknownOpcode { .. }
            | Self::NonMinimalLength { .. }
            | Self::LengthOverflow
            | Self::FragmentedControl { .. }
            | Self::ControlTooLong { .. }
            | Self::StrayContinuation
            | Self::Interleaved
            | Self::TruncatedCloseCode
            | Self::InvalidCloseCode { .. }
            | Self::UnknownFrameType { .. } => CloseCode::PROTOCOL_ERROR,
            Self::InvalidDeflate | Self::InvalidUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig { .. }
            | Self::FrameTooBig { .. }
            | Self::TooManyFragments { .. }
            | Self::CompressedTooBig { .. }
            | Self::TooManyFinalBlocks { .. } => CloseCode::TOO_BIG,
            // No registered code says that the peer or the path to it is dead. The peer sent nothing wrong, so the code
            // must not blame a frame of it.
            Self::PongTimeout { .. } | Self::WriteStalled { .. } => CloseCode::SERVER_ERROR,
            // The peer is alive and breaks no rule of the RFC: the limit is a policy of this endpoint.
            Self::MessageStalled { .. } | Self::RateLimited { .. } => CloseCode::POLICY,
        }
    }
}

impl ProtocolError {
    /// Returns the reason for a close frame, without any content of the peer's payloads.
    pub(crate) fn close_reason(&self) -> String {
        // The invalid code came in a payload, so the text must not repeat it.
        if let Self::InvalidCloseCode { .. } = self {
            "a close code that must not be sent".to_owned()
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masking { role: Role::Server } => f.write_str(
                "a client's frame is not masked; it must be (option accept_wrong_masking)",
            ),
            Self::Masking { role: Role::Client } => f.write_str(
                "a server's frame is masked; it must not be (option accept_wrong_masking)",
            ),
            Self::ReservedBits { first_byte } => write!(
                f,
                "reserved bits are set in the first byte {first_byte:#04x} of a frame; \
                 no negotiated extension uses them there"
            ),
            Self::UnknownOpcode { opcode } => {
                write!(
                    f,
                    "unknown opcode {opcode:#x}; 0, 1, 2, 8, 9 and 10 are defined"
                )
            }
            Self::NonMinimalLength { len } => {
                write!(
                    f,
                    "length {len} is not in its shortest form (option accept_padded_lengths)"
                )
            }
            Self::LengthOverflow => {
                f.write_str("a frame's length field overflows; 63 bits are allowed")
            }
            Self::FragmentedControl { opcode } => {
                write!(
                    f,
                    "control frame with opcode {opcode:#x} is a fragment; it must be whole"
                )
            }
            Self::ControlTooLong { len } => write!(
                f,
                "control frame with length field {len}; at most 125 bytes are allowed"
            ),
            Self::StrayContinuation => f.write_str("continuation frame, but no message is open"),
            Self::Interleaved => {
                f.write_str("a new message begins before the last fragment of the previous one")
            }
            Self::InvalidDeflate => f.write_str("a compressed message cannot be inflated"),
            Self::InvalidUtf8 => f.write_str("text is not valid UTF-8"),
            Self::TruncatedCloseCode => {
                f.write_str("close frame with a payload of 1 byte; 0 or at least 2 are allowed")
            }
            Self::InvalidCloseCode { code } => write!(f, "close code {code} must not be sent"),
            Self::MessageTooBig { len, limit } => write!(
                f,
                "message of at least {len} bytes; {limit} are allowed (option message_limit)"
            ),
            Self::FrameTooBig { len, limit } => write!(
                f,
                "frame of at least {len} bytes; {limit} are allowed (option frame_limit)"
            ),
            Self::TooManyFragments { limit } => write!(
                f,
                "message in more than {limit} fragments (option fragment_limit)"
            ),
            Self::CompressedTooBig { len, limit } => write!(
                f,
                "message of at least {len} compressed bytes; {limit} are allowed \
                 (twice the option message_limit, plus 128 KiB)"
            ),
            Self::TooManyFinalBlocks { limit } => write!(
                f,
                "compressed message in more than {limit} final blocks (option fragment_limit)"
            ),
            Self::UnknownFrameType { frame_type } => write!(
                f,
                "frame type {frame_type:#04x}; only 0x00, and 0xff with length 0, are allowed \
                 (option skip_unknown_frames)"
            ),
            Self::PongTimeout { waited } => write!(
                f,
                "nothing arrived for {waited:?} after a ping (option pong_timeout)"
            ),
            Self::WriteStalled { waited, buffered } => write!(
                f,
                "{buffered} bytes wait to be written, and the transport took none for {waited:?} \
                 (option stall_timeout)"
            ),
            Self::MessageStalled { waited, received } => write!(
                f,
                "a message is incomplete after {received} bytes, and fewer than 4096 of them arrived \
                 in the last {waited:?} (option message_timeout)"
            ),
            Self::RateLimited {
                counted,
                per_second,
                burst,
            } => write!(
                f,
                "more {counted} arrived than the rate limit allows: {per_second} a second, and {burst} at once \
                 (option receive_rate_limit)"
            ),
        }
    }
}

impl Error for ProtocolError {}

/// Error from sending. It does not change the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    Closed,
    /// The version of the connection does not support this.
    Unsupported {
        /// The version.
        version: Version,
        /// The unsupported item.
        what: &'static str,
    },
    /// A message is being sent in fragments. No other message can be sent before its last fragment, and all
    /// fragments must be of one type (RFC 6455 §5.4).
    MessageOpen,
    /// The send queue is at its limit.
    QueueFull {
        /// Bytes that wait.
        buffered: usize,
        /// The limit.
        limit: usize,
    },
    /// The pings and pongs that wait to be written are at their limit. Bytes that were taken out to be
    /// written count, too. No option sets this limit.
    ControlQueueFull {
        /// Bytes of pings and pongs that wait.
        buffered: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many pings whose pong is waited for have none yet. No option sets this limit.
    TooManyPings {
        /// The limit.
        limit: usize,
    },
    /// The payload of a ping or a pong, or a close reason given as text, does not fit a control frame.
    /// [`Connection::close`](crate::Connection::close) does not fail with it, because a
    /// [`CloseReason`](crate::CloseReason) always fits;
    /// [`CloseReason::truncated`](crate::CloseReason::truncated) makes one of a text of any length.
    ControlTooLong {
        /// The length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closing or closed"),
            Self::Unsupported { version, what } => write!(f, "{version} has no {what}"),
            Self::MessageOpen => {
                f.write_str("a message of another type or sender is being sent in fragments")
            }
            Self::QueueFull { buffered, limit } => write!(
                f,
                "{buffered} bytes wait to be written; the queue is full at {limit} \
                 (option send_queue_limit)"
            ),
            Self::ControlQueueFull { buffered, limit } => write!(
                f,
                "{buffered} bytes of pings and pongs wait to be written; the queue is full at {limit} \
                 (fixed, no option sets it)"
            ),
            Self::TooManyPings { limit } => write!(
                f,
                "{limit} pings wait for their pong, and no more may (fixed, no option sets it)"
            ),
            Self::ControlTooLong { len, limit } => {
                write!(
                    f,
                    "{len} bytes do not fit a control frame; {limit} are allowed here"
                )
            }
        }
    }
}

impl Error for SendError {}

impl From<InvalidCloseReason> for SendError {
    fn from(error: InvalidCloseReason) -> Self {
        Self::ControlTooLong {
            len: error.len,
            limit: REASON_LIMIT,
        }
    }
}

/// Error from an option that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a subprotocol. A subprotocol is one or more bytes 0x20 to 0x7e in the drafts, and a token in
    /// RFC 6455.
    InvalidSubprotocol {
        /// The given value. Only its length is shown, because some clients send an access token as a subprotocol.
        value: Redacted,
    },
    /// Not an origin, an origin that can never match, or an origin that has no subdomains to allow.
    InvalidOrigin {
        /// The given value.
        value: Redacted,
        /// The problem with it.
        problem: &'static str,
    },
    /// Not a host: `host` or `host:port`.
    InvalidHost {
        /// The given value.
        value: String,
    },
    /// Not a URL that a WebSocket client can open.
    InvalidUrl {
        /// The given URL.
        url: Redacted,
        /// The problem with it.
        problem: &'static str,
    },
    /// A header that must not be set, or a header with a malformed name or value.
    InvalidHeader {
        /// The name of the header.
        name: String,
        /// The problem with it.
        problem: &'static str,
    },
    /// A status that cannot answer an upgrade.
    InvalidStatus {
        /// The status.
        status: u16,
    },
    /// A number outside the range of an option.
    OutOfRange {
        /// The option.
        option: &'static str,
        /// The given value.
        value: u8,
        /// The smallest value that is allowed.
        least: u8,
        /// The largest value that is allowed.
        most: u8,
    },
    /// A wait of zero, which no peer can meet.
    ZeroWait {
        /// The option.
        option: &'static str,
    },
    /// A rate or a burst of zero, which no peer can meet.
    ZeroRate {
        /// The option.
        option: &'static str,
    },
    /// An option that would do nothing.
    Unused {
        /// The option.
        option: &'static str,
        /// Why it would do nothing.
        reason: &'static str,
    },
    /// No request waits for this answer. No request has arrived yet, it is plain HTTP, which cannot be accepted,
    /// it was accepted or rejected already, or it failed.
    NotPending,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSubprotocol { value } => {
                write!(f, "{value} is not a subprotocol; it must be a token")
            }
            Self::InvalidOrigin { value, problem } => {
                write!(f, "origin {value:?}: {problem}")
            }
            Self::InvalidHost { value } => write!(
                f,
                "{value:?} is not a host; host or host:port is allowed, without a wildcard (option hosts)"
            ),
            Self::InvalidUrl { url, problem } => write!(f, "cannot connect to {url:?}: {problem}"),
            Self::InvalidHeader { name, problem } => write!(f, "header {name:?}: {problem}"),
            Self::InvalidStatus { status } => {
                write!(
                    f,
                    "status {status} cannot reject an upgrade; 200 to 599 can, in HTTP/2 300 to 599"
                )
            }
            Self::OutOfRange {
                option,
                value,
                least,
                most,
            } => write!(
                f,
                "{value} is out of range; {least} to {most} is allowed (option {option})"
            ),
            Self::Unused { option, reason } => write!(f, "the option {option} does nothing here: {reason}"),
            Self::ZeroRate { option } => write!(
                f,
                "a rate or a burst of zero is not allowed; a larger one, or no limit, is (option {option})"
            ),
            Self::ZeroWait { option } => write!(
                f,
                "a wait of zero is not allowed; a longer wait, or no limit, is (option {option})"
            ),
            Self::NotPending => f.write_str(
                "no request waits for this answer: it is not an upgrade, was answered already, or failed",
            ),
        }
    }
}

impl Error for ConfigError {}
