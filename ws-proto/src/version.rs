//! The protocol versions and their features.
//!
//! Everything above the frame codec asks [`Version::features`] instead of matching on a version. So each
//! difference between the versions has one name and one place.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// A version of the WebSocket protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// draft-hixie-thewebsocketprotocol-75 (Chrome 4 and 5, Safari 5.0.0).
    Draft75,
    /// draft-hixie-thewebsocketprotocol-76, the same as draft-ietf-hybi-00 (Chrome 6 to 13, Safari 5).
    Draft76,
    /// RFC 6455: `Sec-WebSocket-Version` 13, and 8 and 7 with the rules of 13.
    Rfc6455,
}

/// The features of a version on an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// Messages can be binary.
    pub binary: bool,
    /// Ping and pong exist.
    pub ping: bool,
    /// A closing handshake exists.
    pub close_frame: bool,
    /// The closing handshake carries a code and a reason.
    pub close_code: bool,
    /// A message can be split into fragments.
    pub fragments: bool,
    /// Frames of the client are masked.
    pub masking: bool,
    /// Extensions can be agreed on.
    pub extensions: bool,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 3] = [Self::Draft75, Self::Draft76, Self::Rfc6455];

    /// Returns the features of this version.
    pub const fn features(self) -> &'static Features {
        match self {
            Self::Draft75 => &Features {
                binary: false,
                ping: false,
                close_frame: false,
                close_code: false,
                fragments: false,
                masking: false,
                extensions: false,
            },
            Self::Draft76 => &Features {
                binary: false,
                ping: false,
                close_frame: true,
                close_code: false,
                fragments: false,
                masking: false,
                extensions: false,
            },
            Self::Rfc6455 => &Features {
                binary: true,
                ping: true,
                close_frame: true,
                close_code: true,
                fragments: true,
                masking: true,
                extensions: true,
            },
        }
    }

    /// Returns the name: `draft75`, `draft76` or `rfc6455`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft75 => "draft75",
            Self::Draft76 => "draft76",
            Self::Rfc6455 => "rfc6455",
        }
    }

    /// Returns the bit of this version in [`Versions`].
    const fn bit(self) -> u8 {
        match self {
            Self::Draft75 => 1,
            Self::Draft76 => 2,
            Self::Rfc6455 => 4,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(name: &str) -> Result<Self, ParseVersionError> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == name)
            .ok_or_else(|| ParseVersionError {
                name: name.to_owned(),
            })
    }
}

/// Error from parsing the name of a [`Version`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseVersionError {
    name: String,
}

impl fmt::Display for ParseVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        write!(
            f,
            "unknown version {name:?}; draft75, draft76 and rfc6455 are known"
        )
    }
}

impl Error for ParseVersionError {}

/// A set of versions, such as those that an endpoint accepts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Versions(u8);

impl Versions {
    /// Every version; the default.
    // Spelled out, because a loop over `Version::ALL` would need const traits.
    pub const ALL: Self =
        Self(Version::Draft75.bit() | Version::Draft76.bit() | Version::Rfc6455.bit());

    /// Only RFC 6455.
    pub const RFC6455: Self = Self(Version::Rfc6455.bit());

    /// Tells whether `version` is in the set.
    pub const fn contains(self, version: Version) -> bool {
        self.0 & version.bit() != 0
    }

    /// Tells whether the set is empty; a server with an empty set refuses every upgrade.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Iterates over the versions in the set, oldest first.
    pub fn iter(self) -> impl Iterator<Item = Version> {
        Version::ALL
            .into_iter()
            .filter(move |version| self.contains(*version))
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self::ALL
    }
}

impl From<Version> for Versions {
    fn from(version: Version) -> Self {
        Self(version.bit())
    }
}

impl<const N: usize> From<[Version; N]> for Versions {
    fn from(versions: [Version; N]) -> Self {
        versions.into_iter().collect()
    }
}

impl FromIterator<Version> for Versions {
    fn from_iter<I: IntoIterator<Item = Version>>(versions: I) -> Self {
        Self(
            versions
                .into_iter()
                .fold(0, |bits, version| bits | version.bit()),
        )
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, version) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(version.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromStr for Versions {
    type Err = ParseVersionError;

    /// Parses a list such as `draft76,rfc6455`. `all` and `auto` mean every version.
    ///
    /// # Errors
    ///
    /// Fails if a name is unknown or the list is empty.
    fn from_str(list: &str) -> Result<Self, ParseVersionError> {
        // An empty list is not an empty set but an error: it splits into one empty name.
        if matches!(list, "all" | "auto") {
            return Ok(Self::ALL);
        }
        list.split(',').map(|name| name.trim().parse()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_versions_reads_back_as_it_was_written() {
        for list in [
            "draft75",
            "draft76",
            "rfc6455",
            "draft75,rfc6455",
            "draft75,draft76,rfc6455",
        ] {
            let versions: Versions = list.parse().unwrap();
            assert_eq!(versions.to_string(), list);
        }
        assert_eq!("auto".parse::<Versions>().unwrap(), Versions::ALL);
        assert!("draft77".parse::<Versions>().is_err());
        assert!("".parse::<Versions>().is_err());
    }
}
