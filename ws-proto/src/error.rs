//! Errors, by who is at fault: the peer ([`ProtocolError`], [`HandshakeError`] next to the
//! handshake), the caller ([`SendError`], [`ConfigError`]). A normal close is never an error.
//!
//! Each says what was seen, what was allowed, and which option sets it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::close_code::{CloseCode, REASON_LIMIT};
use crate::redact::Redacted;
use crate::state::Role;
use crate::version::Version;

/// What the peer did on an open connection that made this endpoint fail it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A frame that must be masked is not, or the other way round (RFC 6455 §5.1).
    Masking {
        /// The role of the endpoint that saw it.
        role: Role,
    },
    /// A reserved bit is set that no extension defines (RFC 6455 §5.2).
    ReservedBits {
        /// The first byte of the frame.
        first_byte: u8,
    },
    /// An opcode that is not defined (RFC 6455 §5.2).
    UnknownOpcode {
        /// The opcode, 0 to 15.
        opcode: u8,
    },
    /// A length that is not in its shortest form (RFC 6455 §5.2).
    NonMinimalLength {
        /// The length.
        len: u64,
    },
    /// A length that does not fit its type: the top bit of 64 (RFC 6455 §5.2), or more than 9 bytes
    /// or 63 bits of a draft's length.
    LengthOverflow,
    /// A control frame that is a fragment (RFC 6455 §5.5).
    FragmentedControl {
        /// The opcode, 8 to 10.
        opcode: u8,
    },
    /// A control frame of more than 125 bytes (RFC 6455 §5.5).
    ControlTooLong {
        /// The length, as far as the first two bytes tell: 126 or 127.
        len: u8,
    },
    /// A continuation frame when no message is open (RFC 6455 §5.4).
    StrayContinuation,
    /// A new message when the last one is not complete (RFC 6455 §5.4).
    Interleaved,
    /// A compressed message that is not DEFLATE, refers to bytes that never were, or is cut off
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
        /// Its length in bytes as far as it is known.
        len: u64,
        /// The limit.
        limit: usize,
    },
    /// A frame over the limit.
    FrameTooBig {
        /// Its length in bytes as far as it is known.
        len: u64,
        /// The limit.
        limit: usize,
    },
    /// A message in more fragments than the limit.
    TooManyFragments {
        /// The limit.
        limit: usize,
    },
    /// A compressed message of more compressed bytes than one within the message limit needs.
    CompressedTooBig {
        /// Its compressed length in bytes as far as it is known.
        len: u64,
        /// The limit: twice the message limit, and 128 KiB.
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
        /// How long was waited.
        waited: Duration,
    },
    /// The transport took nothing of what waited to be written: the peer does not read.
    WriteStalled {
        /// How long was waited at least.
        waited: Duration,
        /// How many bytes wait.
        buffered: usize,
    },
    /// A message began and next to nothing more of it arrived.
    MessageStalled {
        /// How long was waited at least.
        waited: Duration,
        /// How many bytes of it arrived, without headers.
        received: u64,
    },
}

impl ProtocolError {
    /// Returns the close code that tells the peer (RFC 6455 §7.4.1).
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
            Self::PongTimeout { .. } | Self::WriteStalled { .. } => CloseCode::SERVER_ERROR,
            Self::MessageStalled { .. } => CloseCode::POLICY,
        }
    }
}

impl ProtocolError {
    /// Returns why, for a close frame: without anything out of a payload of the peer.
    pub(crate) fn close_reason(&self) -> String {
        let mut reason = if let Self::InvalidCloseCode { .. } = self {
            "a close code that must not be sent".to_owned()
        } else {
            self.to_string()
        };
        let is_end = |end: &usize| reason.is_char_boundary(*end);
        let end = (0..=REASON_LIMIT).rev().find(is_end);
        reason.truncate(end.unwrap_or(0));
        reason
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masking { role: Role::Server } => {
                f.write_str("a client's frame is not masked; it must be")
            }
            Self::Masking { role: Role::Client } => {
                f.write_str("a server's frame is masked; it must not be")
            }
            Self::ReservedBits { first_byte } => write!(
                f,
                "reserved bits are set in the first byte {first_byte:#04x} of a frame; \
                 no extension was agreed on that uses them there"
            ),
            Self::UnknownOpcode { opcode } => {
                write!(
                    f,
                    "unknown opcode {opcode:#x}; 0, 1, 2, 8, 9 and 10 are defined"
                )
            }
            Self::NonMinimalLength { len } => {
                write!(f, "length {len} is not in its shortest form")
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
                f.write_str("a new message begins before the last fragment of the one before it")
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
                 (option message_limit, twice that and 128 KiB)"
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
                "{buffered} bytes wait to be written and none was for {waited:?} \
                 (option stall_timeout)"
            ),
            Self::MessageStalled { waited, received } => write!(
                f,
                "a message of which {received} bytes came is not whole, and less than 4096 of them \
                 came in the last {waited:?} (option message_timeout)"
            ),
        }
    }
}

impl Error for ProtocolError {}

/// Why something could not be sent. The connection is not harmed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    Closed,
    /// The version of the connection has no such thing.
    Unsupported {
        /// The version.
        version: Version,
        /// What it does not have.
        what: &'static str,
    },
    /// A message is being sent in fragments; nothing else can be sent before its last one, and all
    /// must be of one type (RFC 6455 §5.4).
    MessageOpen,
    /// The send queue is at its limit.
    QueueFull {
        /// Bytes that wait.
        buffered: usize,
        /// The limit.
        limit: usize,
    },
    /// As many bytes of pings and pongs wait to be written as are allowed, those that were taken to be
    /// written included. No option sets it.
    ControlQueueFull {
        /// Bytes of pings and pongs that wait.
        buffered: usize,
        /// The limit.
        limit: usize,
    },
    /// A reason, or the payload of a ping, that does not fit a control frame.
    ControlTooLong {
        /// Its length in bytes.
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
                "{buffered} bytes wait to be written; no more are taken at {limit} \
                 (option send_queue_limit)"
            ),
            Self::ControlQueueFull { buffered, limit } => write!(
                f,
                "{buffered} bytes of pings and pongs wait to be written; no more are taken at {limit} \
                 (fixed, no option sets it)"
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

/// An option that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a subprotocol: it must be one or more bytes 0x20 to 0x7e in the drafts, a token in
    /// RFC 6455.
    InvalidSubprotocol {
        /// What was given, of which the length is shown: some clients send a token as a subprotocol.
        value: Redacted,
    },
    /// Not an origin, one that could never match, or one that has no subdomains to allow.
    InvalidOrigin {
        /// What was given.
        value: Redacted,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Not a host: `host` or `host:port`.
    InvalidHost {
        /// What was given.
        value: String,
    },
    /// Not a URL that a WebSocket client can open.
    InvalidUrl {
        /// What was given.
        url: Redacted,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header that must not be set, or whose name or value is malformed.
    InvalidHeader {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A status that cannot answer an upgrade.
    InvalidStatus {
        /// The status.
        status: u16,
    },
    /// A number that an option cannot have.
    OutOfRange {
        /// The option.
        option: &'static str,
        /// What was given.
        value: u8,
        /// The least that is allowed.
        least: u8,
        /// The most that is allowed.
        most: u8,
    },
    /// A wait of zero, which nobody can keep.
    ZeroWait {
        /// The option.
        option: &'static str,
    },
    /// No request waits for this answer: none came yet, it is plain HTTP, which cannot be accepted, it was
    /// accepted or rejected before, or it failed.
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
                "{value:?} is not a host; host or host:port is allowed, without a star (option hosts)"
            ),
            Self::InvalidUrl { url, problem } => write!(f, "cannot connect to {url:?}: {problem}"),
            Self::InvalidHeader { name, problem } => write!(f, "header {name:?}: {problem}"),
            Self::InvalidStatus { status } => {
                write!(
                    f,
                    "status {status} cannot reject an upgrade; 200 to 599 can"
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
            Self::ZeroWait { option } => write!(
                f,
                "a wait of zero; more than that, or none at all, is allowed (option {option})"
            ),
            Self::NotPending => f.write_str(
                "no request waits for this answer: it is no upgrade, was answered before, or failed",
            ),
        }
    }
}

impl Error for ConfigError {}
