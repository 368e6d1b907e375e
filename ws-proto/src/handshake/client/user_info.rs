//! User and password of a URL, and the header that they become: `Authorization: Basic` (RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::handshake::http::percent::percent_decoded;

/// User and password of a URL. It has no `Debug`, because it is a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct UserInfo {
    /// As the URL spells it, without the `@`.
    text: Box<str>,
    /// The value of `Authorization`.
    authorization: Box<str>,
}

impl UserInfo {
    /// Reads what a URL has in front of the `@`. Returns `None` if both user and password are empty, because such a
    /// URL has no credentials for the URL standard either.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        if user.is_empty() && password.is_empty() {
            return Ok(None);
        }
        let decoded = |text| {
            percent_decoded(text).ok_or("its user or password has an invalid percent-encoding")
        };
        let (user, password) = (decoded(user)?, decoded(password)?);
        // RFC 7617 §2: in the header the first colon ends the user.
        if user.contains(&b':') {
            return Err("its user must not contain a colon");
        }
        // RFC 7617 §2. Base64 would carry them, but no server that follows the rule can have such a user.
        if user.iter().chain(&password).any(u8::is_ascii_control) {
            return Err("its user or password has a control character");
        }
        let credentials = [user, password].join(&b':');
        let authorization = format!("Basic {}", STANDARD.encode(credentials));
        Ok(Some(Self {
            text: text.into(),
            authorization: authorization.into(),
        }))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn authorization(&self) -> &str {
        &self.authorization
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(text: &str) -> Result<Option<String>, &'static str> {
        let parsed = UserInfo::parse(text)?;
        Ok(parsed.map(|parsed| parsed.authorization().to_owned()))
    }

    /// R-C15: what becomes of user and password (RFC 7617 §2, with its own example).
    #[test]
    fn user_and_password_become_basic_credentials() {
        for (text, credentials) in [
            ("Aladdin:open%20sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("test:123%C2%A3", "dGVzdDoxMjPCow=="),
            ("user", "dXNlcjo="),
            ("user:", "dXNlcjo="),
            (":token", "OnRva2Vu"),
            ("u:a:b", "dTphOmI="),
            ("u%40h:%3a%25", "dUBoOjol"),
            ("u@h:p", "dUBoOnA="),
        ] {
            let expected = format!("Basic {credentials}");
            assert_eq!(authorization(text), Ok(Some(expected)), "{text}");
        }
        for text in ["", ":"] {
            assert_eq!(authorization(text), Ok(None), "{text:?}");
        }
        for (text, says) in [
            ("u%3a:p", "a colon"),
            ("u%0d:p", "a control character"),
            ("u:p%00", "a control character"),
            ("u:p%7F", "a control character"),
            ("u%:p", "percent-encoding"),
            ("u:%4", "percent-encoding"),
        ] {
            let problem = authorization(text).unwrap_err();
            assert!(problem.contains(says), "{text}: {problem}");
        }
    }
}
