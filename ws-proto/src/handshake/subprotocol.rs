//! The name of a subprotocol, which a client offers and a server chooses. A `Subprotocol` is always a token.

use std::fmt;
use std::str::FromStr;

use super::http::fields::is_token;
use crate::error::ConfigError;
use crate::redact::Redacted;

/// The name of a subprotocol: a token (RFC 6455 §4.1, RFC 9110 §5.6.2). A token is valid in the drafts, too.
/// Names are compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subprotocol(Box<str>);

impl Subprotocol {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subprotocol {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        if is_token(name) {
            Ok(Self(name.into()))
        } else {
            // Redacted: some applications pass a token of a user as a subprotocol.
            Err(ConfigError::InvalidSubprotocol {
                value: Redacted::secret(name),
            })
        }
    }
}

impl TryFrom<&str> for Subprotocol {
    type Error = ConfigError;

    fn try_from(name: &str) -> Result<Self, ConfigError> {
        name.parse()
    }
}

impl TryFrom<String> for Subprotocol {
    type Error = ConfigError;

    fn try_from(name: String) -> Result<Self, ConfigError> {
        name.parse()
    }
}

impl AsRef<str> for Subprotocol {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subprotocol_is_a_token() {
        for name in ["chat", "v10.stomp", "a!#$%&'*+-.^_`|~1"] {
            assert_eq!(name.parse::<Subprotocol>().unwrap().as_str(), name);
        }
        for name in [
            "", "a b", "a,b", "a\tb", "a\r\nb", "a/b", "\"a\"", "é", "a\0", "\x7f",
        ] {
            assert!(name.parse::<Subprotocol>().is_err(), "{name:?}");
        }
    }
}
