//! The URL of an engine.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// An engine, and who connects to it.
pub(crate) struct Target {
    /// An IPv6 address is without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
}

const DEFAULT_PORT: u16 = 6379;

/// What is wrong with the URL of an engine. It does not repeat the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisUrlError {
    /// It is no URL.
    NotAUrl,
    /// Its scheme is none of `redis`, `rediss`, `valkey`, `valkeys`.
    Scheme,
    /// It has no host.
    NoHost,
    /// What follows the host is not the number of a database.
    Database,
    /// User or password are not UTF-8, once they are percent-decoded.
    NotUtf8,
    /// It has a query or a fragment, which mean nothing here.
    Extra,
    /// It asks for TLS, and the feature `rustls` is off.
    NoTls,
}

impl fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAUrl => "the URL of the engine is malformed; expected redis://[user[:password]@]host[:port][/database]",
            Self::Scheme => "the URL of the engine begins with none of redis://, rediss://, valkey://, valkeys://",
            Self::NoHost => "the URL of the engine has no host",
            Self::Database => "the URL of the engine has a path that is not the number of a database, such as /2",
            Self::NotUtf8 => "user and password in the URL of the engine are not UTF-8 once they are percent-decoded",
            Self::Extra => "the URL of the engine has a query or a fragment, which mean nothing here",
            Self::NoTls => "the URL of the engine asks for TLS, which needs the feature rustls",
        })
    }
}

impl std::error::Error for RedisUrlError {}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let url = Url::parse(text).map_err(|_| RedisUrlError::NotAUrl)?;
        let is_tls = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(RedisUrlError::Scheme),
        };
        if is_tls && !cfg!(feature = "rustls") {
            return Err(RedisUrlError::NoTls);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RedisUrlError::Extra);
        }
        let host = match url.host() {
            Some(Host::Domain("")) | None => return Err(RedisUrlError::NoHost),
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
        };
        let database = match url.path() {
            "" | "/" => 0,
            path => number(&path[1..]).ok_or(RedisUrlError::Database)?,
        };
        let decode = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(Into::into).map_err(|_| RedisUrlError::NotUtf8)
        };
        let user = Some(url.username()).filter(|user| !user.is_empty());
        Ok(Self {
            host,
            port: url.port().unwrap_or(DEFAULT_PORT),
            is_tls,
            user: user.map(decode).transpose()?,
            password: url.password().map(decode).transpose()?,
            database,
        })
    }
}

/// Parses a number without a sign.
fn number(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        write!(
            f,
            "{scheme}://{}:{}/{}",
            self.host, self.port, self.database
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_host_port_user_password_and_database() {
        let target = Target::parse("redis://me:p%40ss%2F@[::1]:7000/12").unwrap();
        assert_eq!(
            (&*target.host, target.port, target.database),
            ("::1", 7000, 12)
        );
        assert_eq!(
            (target.user.as_deref(), target.password.as_deref()),
            (Some("me"), Some("p@ss/"))
        );
        let target = Target::parse("valkey://:secret@example.com").unwrap();
        assert_eq!(
            (&*target.host, target.port, target.database),
            ("example.com", 6379, 0)
        );
        assert_eq!(
            (target.user.as_deref(), target.password.as_deref()),
            (None, Some("secret"))
        );
    }

    /// Each mistake has its own error, and none repeats a secret.
    #[test]
    fn a_mistake_is_named_without_a_secret() {
        let cases = [
            ("", RedisUrlError::NotAUrl),
            ("hunter2@host", RedisUrlError::NotAUrl),
            ("redis://u:hunter2@host:port", RedisUrlError::NotAUrl),
            ("http://u:hunter2@host", RedisUrlError::Scheme),
            ("redis:hunter2", RedisUrlError::NoHost),
            ("redis://u:hunter2@host/shop", RedisUrlError::Database),
            ("redis://u:hunter2@host/1/2", RedisUrlError::Database),
            ("redis://u:hunter2@host/-1", RedisUrlError::Database),
            (
                "redis://u:hunter2@host/99999999999999999999",
                RedisUrlError::Database,
            ),
            ("redis://u:%ff@host", RedisUrlError::NotUtf8),
            ("redis://host?password=hunter2", RedisUrlError::Extra),
            ("redis://host/#hunter2", RedisUrlError::Extra),
        ];
        for (url, expected) in cases {
            let error = Target::parse(url).unwrap_err();
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
