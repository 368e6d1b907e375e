//! Text that may contain a secret, and the form in which it is shown: URLs, request targets, header values.
//! This module knows no grammar of them, so it hides a secret in malformed text, too.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// A URL, a request target, or another text from a peer or a caller, that may contain a secret.
///
/// `{}` and `{:?}` show it without password, query and fragment: `wss://…@host/path?…`. Of a text that is a
/// secret as a whole they show only the length. [`reveal`](Self::reveal) returns the original.
#[derive(Clone)]
pub struct Redacted {
    text: Box<str>,
    /// Whether only the length is shown.
    is_secret: bool,
}

impl Redacted {
    /// Wraps a text that may be shown except for its password, query and fragment.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self {
            text: text.into(),
            is_secret: false,
        }
    }

    /// Wraps a text of which only the length may be shown.
    pub fn secret(text: impl Into<Box<str>>) -> Self {
        Self {
            text: text.into(),
            is_secret: true,
        }
    }

    /// Returns the whole text, secrets included. It does not belong in a log.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    fn shown(&self) -> String {
        if self.is_secret {
            format!("… ({} bytes)", self.text.len())
        } else {
            redact_url(&self.text)
        }
    }
}

/// Compares the texts only.
impl PartialEq for Redacted {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Redacted {}

impl From<&str> for Redacted {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Redacted {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.shown())
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().fmt(f)
    }
}

/// Returns a URL or a request target in a form that is safe in a log or an error. User information, query
/// and fragment each become `…`. The text need not be well-formed.
///
/// ```
/// use ws_proto::redact_url;
///
/// assert_eq!(redact_url("wss://me:secret@host/chat?token=secret"), "wss://…@host/chat?…");
/// ```
pub fn redact_url(url: &str) -> String {
    // Whichever of the two comes first: all text behind it belongs to it.
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (before, hidden) = url.split_at(end);
    // The scheme is not a secret. It is the name in front of `://` (RFC 3986 §3.1). Any other text there can be user
    // information.
    let is_named = |scheme: &str| {
        let mut bytes = scheme.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let scheme = before.split_once("://").map(|(scheme, _)| scheme);
    let scheme = scheme.filter(|scheme| is_named(scheme));
    let start = scheme.map_or(0, |scheme| scheme.len() + "://".len());
    let (scheme, rest) = before.split_at(start);
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let (user, rest) = match (authority.rfind('@'), rest.rfind('@')) {
        (Some(at), _) => ("…", &rest[at..]),
        // A password with a slash or a `?` is malformed, but still a secret.
        (None, Some(at)) if !is_host_and_port(authority) => ("…", &rest[at..]),
        (None, None) if !is_host_and_port(authority) && hidden.contains('@') => ("…", ""),
        (None, _) => ("", rest),
    };
    // The `?` or `#` stays, so that a reader sees that something is hidden.
    let mark = hidden.get(..1).unwrap_or_default();
    let hidden = if hidden.len() > mark.len() { "…" } else { "" };
    [scheme, user, rest, mark, hidden].concat()
}

/// Tells whether the text behind the first colon can be a port and not a password.
fn is_host_and_port(authority: &str) -> bool {
    authority.starts_with('[')
        || authority
            .split_once(':')
            .is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Tells whether the values of a header, in any case, are secrets.
pub(crate) fn is_secret(name: &str) -> bool {
    // The list contains subprotocols, because a page can set no other header. So some clients send an access token as
    // a subprotocol.
    const SECRET: &[&str] = &[
        "authorization",
        "cookie",
        "proxy-authorization",
        "sec-websocket-protocol",
        "set-cookie",
        "websocket-protocol",
    ];
    SECRET
        .iter()
        .any(|secret| secret.eq_ignore_ascii_case(name))
}

/// Marks the values of headers that hold secrets, so that their `Debug` does not show them.
pub(crate) fn mark_secret(name: &HeaderName, value: &mut HeaderValue) {
    if is_secret(name.as_str()) {
        value.set_sensitive(true);
    }
}

/// Shows the names of headers without their values, because only an application knows which values are secrets.
pub(crate) struct HeaderNames<'a>(pub(crate) &'a HeaderMap);

impl fmt::Debug for HeaderNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Shows only the number of items, because each can be a secret: clients that can set no header send an access
/// token as a subprotocol.
pub(crate) struct Hidden<'a, T>(pub(crate) &'a [T]);

impl<T> fmt::Debug for Hidden<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.0.iter().map(|_| "…");
        f.debug_list().entries(each).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SECURITY.md: no text of ours shows a password, a query or a fragment, even if it is not a URL.
    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("", ""),
            ("/", "/"),
            ("/chat", "/chat"),
            ("/chat?", "/chat?"),
            ("/chat?token=SECRET", "/chat?…"),
            ("/chat#SECRET", "/chat#…"),
            ("/chat?a#SECRET?b", "/chat?…"),
            ("ws://example.com", "ws://example.com"),
            ("ws://u:SECRET@example.com/a", "ws://…@example.com/a"),
            ("ws://SECRET@example.com", "ws://…@example.com"),
            ("u:SECRET@example.com/a", "…@example.com/a"),
            ("http://u:SE/CRET@example.com", "http://…@example.com"),
            ("http://u:SECRET?x@example.com/a", "http://…?…"),
            (
                "http://u:SECRET@CRET@example.com/a",
                "http://…@example.com/a",
            ),
            ("u:SECRET@example.com://a", "…@example.com://a"),
            ("ws://é?SECRET", "ws://é?…"),
            ("ws://a:8080/@me?SECRET@b", "ws://a:8080/@me?…"),
            ("ws://[::1]:80/?SECRET@b", "ws://[::1]:80/?…"),
            ("/@me?SECRET@b", "/@me?…"),
            ("ws://a:b", "ws://a:b"),
        ] {
            assert_eq!(redact_url(url), shown, "{url}");
            let redacted = Redacted::new(url);
            assert_eq!(redacted.to_string(), shown);
            assert!(!format!("{redacted:?}").contains("SECRET"));
            assert_eq!(redacted.reveal(), url);
        }
    }
}
