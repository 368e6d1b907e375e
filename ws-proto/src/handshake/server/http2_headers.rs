//! The header lines of a request in HTTP/2, which has rules of its own for cookies. This file knows nothing of WebSockets.

use http::header::{COOKIE, HeaderMap, HeaderValue};

use super::config::ServerConfig;
use crate::handshake::error::HandshakeError;

impl ServerConfig {
    /// Brings the headers of a request that came in HTTP/2 into the form that they have in HTTP/1.1, and bounds their number.
    ///
    /// A client of HTTP/2 can send a cookie as several lines. They become one, with `"; "` between them (RFC 9113 §8.2.3).
    /// [`ServerHandshake::from_connect`](crate::ServerHandshake::from_connect) does this for a WebSocket. This is for the other
    /// requests of an HTTP server on the same port.
    ///
    /// # Errors
    ///
    /// Fails if there are more lines than the [`header_limit`](Self::header_limit) allows then.
    pub fn check_http2_headers(&self, headers: &mut HeaderMap) -> Result<(), HandshakeError> {
        // Before they are counted, because browsers send each pair of a cookie as a line of its own.
        join_cookies(headers);
        if headers.len() > self.header_limit {
            return Err(HandshakeError::TooManyHeaders {
                limit: self.header_limit,
            });
        }
        Ok(())
    }
}

fn join_cookies(headers: &mut HeaderMap) {
    let values = headers.get_all(COOKIE);
    if values.iter().nth(1).is_none() {
        return;
    }
    let is_sensitive = values.iter().any(HeaderValue::is_sensitive);
    let lines: Vec<&[u8]> = values.iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&lines.join(&b"; "[..]));
    let mut joined = joined.expect("values that are allowed are allowed together");
    joined.set_sensitive(is_sensitive);
    headers.insert(COOKIE, joined);
}
