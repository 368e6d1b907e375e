//! The HTTP/1.1 head as it was received. This file knows neither the parser nor WebSockets.

use std::fmt;
use std::str;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode};

use crate::redact::{HeaderNames, redact_url};

/// The head of a request as it was received.
///
/// The target and the values of the headers share one buffer, that of the received bytes. Its `Debug` shows the
/// names of the headers and no query, because only the application knows which values are secrets.
#[derive(Clone)]
pub struct RequestHead {
    pub(super) method: Method,
    /// Invariant: it is UTF-8. It is `Bytes` and not a `String`, because it is a part of the received buffer.
    pub(super) target: Bytes,
    pub(super) headers: HeaderMap,
}

impl RequestHead {
    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the request target as it was received, such as `/chat?room=1`.
    #[expect(clippy::missing_panics_doc, reason = "every constructor takes text")]
    pub fn target(&self) -> &str {
        str::from_utf8(&self.target).expect("a target is text")
    }

    /// Returns the path of the target, without its query; still percent-encoded.
    pub fn path(&self) -> &str {
        let target = self.target();
        let target = &target[path_start(target)..];
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    /// Returns what follows the first `?` of the target, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// Returns all headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the first value of a header, if it is there and is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("target", &redact_url(self.target()))
            .field("headers", &HeaderNames(&self.headers))
            .finish()
    }
}

/// The head of a response as it was received. Its `Debug` shows only the names of the headers.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseHead {
    pub(super) status: StatusCode,
    pub(super) version: http::Version,
    pub(super) headers: HeaderMap,
    pub(super) subprotocol: Option<Box<str>>,
}

impl ResponseHead {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the HTTP version.
    pub fn version(&self) -> http::Version {
        self.version
    }

    /// Returns all headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the first value of a header, if it is there and is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// Returns the subprotocol that the server chose. It is `None` until the head has passed all checks.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("headers", &HeaderNames(&self.headers))
            .finish_non_exhaustive()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

/// Returns where the path of a target begins. In an absolute URI that is behind the authority.
fn path_start(target: &str) -> usize {
    // First, because a `://` in the query of a relative target is no scheme.
    if target.starts_with('/') {
        return 0;
    }
    let Some(scheme_len) = target.find("://") else {
        return 0;
    };
    let authority = scheme_len + "://".len();
    let rest = &target[authority..];
    authority + rest.find(['/', '?']).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_parts_of_the_target() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/a/b?c=d?e", "/a/b", Some("c=d?e")),
            ("/?", "/", Some("")),
            ("/a?u=http://x/y", "/a", Some("u=http://x/y")),
            ("http://example.com/a?b", "/a", Some("b")),
            ("http://example.com", "/", None),
            ("http://example.com?b", "/", Some("b")),
            ("*", "*", None),
        ] {
            let bytes = format!("GET {target} HTTP/1.1\r\n\r\n");
            let head = RequestHead::parse(&bytes.into(), 0).unwrap();
            assert_eq!((head.path(), head.query()), (path, query), "{target}");
        }
    }
}
