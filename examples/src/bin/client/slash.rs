//! The commands of `--slash`: a line that begins with `/` is one, and not a message.
//! The names are those of wscat.

use std::fmt;

use ws_tokio::CloseCode;

/// What a line of the standard input asks for.
pub enum Line<'a> {
    /// A message to send.
    Text(&'a str),
    /// A ping, with this payload.
    Ping(&'a str),
    /// A pong that answers no ping, with this payload.
    Pong(&'a str),
    /// The closing handshake.
    Close { code: CloseCode, reason: &'a str },
}

/// Reads a line.
pub fn parse(line: &str) -> Result<Line<'_>, Problem> {
    let Some(command) = line.strip_prefix('/') else {
        return Ok(Line::Text(line));
    };
    if command.starts_with('/') {
        return Ok(Line::Text(command));
    }
    let (name, rest) = split(command);
    match name {
        "ping" => Ok(Line::Ping(rest)),
        "pong" => Ok(Line::Pong(rest)),
        "close" => {
            let (code, reason) = split(rest);
            let code = match code {
                "" => CloseCode::NORMAL,
                number => number
                    .parse()
                    .ok()
                    .and_then(|code| CloseCode::new(code).ok())
                    .ok_or_else(|| Problem::Code(number.to_owned()))?,
            };
            Ok(Line::Close { code, reason })
        }
        _ => Err(Problem::Unknown(name.to_owned())),
    }
}

/// Splits at the first blank.
fn split(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    (first, rest.trim())
}

/// Why a line is no command. Nothing is done then.
pub enum Problem {
    Unknown(String),
    Code(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "unknown command {name:?}; there are /ping [DATA], /pong [DATA] and /close [CODE [REASON]], \
                 and // sends a line that begins with /"
            ),
            Self::Code(number) => write!(
                f,
                "{number:?} is not a close code; 1000 to 1003, 1007 to 1014 and 3000 to 4999 are"
            ),
        }
    }
}
