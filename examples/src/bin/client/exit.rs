//! How the program ends: an exit code for each kind of failure. `docs/client.md` and `--help` list them.

use std::fmt;

use ws_tokio::ws_proto::redact_url;
use ws_tokio::{CloseCause, CloseCode, Closed, ConnectError, Initiator, NO_STATUS};

/// What `--help` says of the exit codes.
pub const HELP: &str = "\
Exit codes:
  0  closed normally: by us, or by the other side with 1000, 1001 or no code
  1  cannot connect, directly or through the proxy; or cannot listen
  2  the options make no sense, or the version cannot carry the message
  3  the server refused the opening handshake; the error has its status
  4  TLS with the server failed
  5  closed in another way: with another code, or without a closing handshake
  6  the standard input is not what it should be, or the output cannot be written";

/// Why the program did not do what was asked.
pub enum Failure {
    /// The options make no sense together, or with the version of the connection.
    Usage(String),
    /// There is no connection.
    Connect { url: String, error: ConnectError },
    /// No connection can arrive.
    Listen(String),
    /// The connection did not end as it should.
    Closed(Closed),
    /// The standard input or output.
    Stdio(String),
}

impl Failure {
    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Listen(_) => UNREACHABLE,
            Self::Usage(_) => USAGE,
            Self::Closed(_) => CLOSED,
            Self::Stdio(_) => STDIO,
            Self::Connect { error, .. } => match error {
                ConnectError::Config(_) | ConnectError::TlsUnsupported => USAGE,
                ConnectError::Tls(_) => TLS,
                ConnectError::Handshake(_) => REFUSED,
                // The rest is about the way there: the name, the addresses, the proxy, the timeout.
                _ => UNREACHABLE,
            },
        }
    }
}

const UNREACHABLE: u8 = 1;
// The one that clap ends with.
const USAGE: u8 = 2;
const REFUSED: u8 = 3;
const TLS: u8 = 4;
const CLOSED: u8 = 5;
const STDIO: u8 = 6;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) | Self::Listen(problem) | Self::Stdio(problem) => {
                f.write_str(problem)
            }
            Self::Connect { url, error } => write!(f, "{}: {error}", redact_url(url)),
            Self::Closed(closed) => write!(f, "the connection was not closed normally: {closed}"),
        }
    }
}

/// Returns whether a connection was closed normally.
pub fn is_normal(closed: &Closed) -> bool {
    // The drafts have no codes.
    let normal = [
        CloseCode::NORMAL.get(),
        CloseCode::GOING_AWAY.get(),
        NO_STATUS,
    ];
    closed.cause == CloseCause::Handshake
        && (closed.by == Initiator::Local || normal.contains(&closed.code))
}
