//! Tells how a request that another HTTP server has read asks for a WebSocket: by an upgrade, or in HTTP/2 by a CONNECT
//! of its own kind (RFC 8441). Does not check it.

use http::header::SEC_WEBSOCKET_VERSION;
use http::{Extensions, HeaderMap, Method, Request};
use ws_proto::is_upgrade;

/// How a request asks for a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It asks for something else.
    No,
    /// It asks for an upgrade of its stream.
    Upgrade,
    /// It asks for a stream of an HTTP/2 session.
    #[cfg(feature = "http2")]
    Connect,
    /// It asks in a way that is not supported here.
    Unsupported,
}

impl Asked {
    pub(crate) fn of(
        version: http::Version,
        method: &Method,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Self {
        if is_websocket_connect(version, method, extensions) {
            #[cfg(feature = "http2")]
            return Self::Connect;
        }
        // hyper shows `:protocol` only with its feature `http2`, and a layer can have dropped it. The header is left then,
        // which no other use of CONNECT has.
        let is_connect = version >= http::Version::HTTP_2 && *method == Method::CONNECT;
        if is_connect && headers.contains_key(SEC_WEBSOCKET_VERSION) {
            return Self::Unsupported;
        }
        // HTTP/1.0 has no upgrades (RFC 9110 §7.8).
        if version >= http::Version::HTTP_11 && is_upgrade(headers) {
            return Self::Upgrade;
        }
        Self::No
    }
}

/// Tells whether a request is an extended CONNECT for a WebSocket in HTTP/2 (H2-S2).
#[cfg(feature = "http2")]
fn is_websocket_connect(version: http::Version, method: &Method, extensions: &Extensions) -> bool {
    // In HTTP/3 hyper has no stream that could be taken over, so it is not told apart here (RFC 9220).
    version == http::Version::HTTP_2
        && *method == Method::CONNECT
        && extensions
            .get::<hyper::ext::Protocol>()
            // RFC 8441 §4: it is a name of the registry of upgrade tokens, which are compared in any case (RFC 9110 §7.8).
            .is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"))
}

#[cfg(not(feature = "http2"))]
fn is_websocket_connect(_: http::Version, _: &Method, _: &Extensions) -> bool {
    false
}

/// Tells whether a request asks for a WebSocket, so that [`Server::handle_request`](crate::Server::handle_request) is to
/// answer it: `Upgrade` lists `websocket`, or it is a CONNECT for one in HTTP/2 (RFC 8441). For the latter the request needs the
/// extensions that hyper gave it. It is not a check of the request.
///
/// Without the feature `http2` the answer to such a CONNECT is a 501.
pub fn is_websocket<B>(request: &Request<B>) -> bool {
    asks_for_websocket(
        request.version(),
        request.method(),
        request.headers(),
        request.extensions(),
    )
}

/// Does the same as [`is_websocket`] for a request in parts.
#[doc(hidden)]
pub fn asks_for_websocket(
    version: http::Version,
    method: &Method,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> bool {
    Asked::of(version, method, headers, extensions) != Asked::No
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    fn request(version: Version, method: &Method, header: (&'static str, &str)) -> Request<()> {
        let builder = Request::builder().method(method).version(version);
        builder.header(header.0, header.1).body(()).unwrap()
    }

    /// H2-S2, H2-S3, R-H2, R-H5: what asks for a WebSocket, where `:protocol` is not seen.
    #[test]
    fn a_request_that_asks_for_a_websocket_is_known() {
        let version = ("sec-websocket-version", "13");
        let upgrade = ("upgrade", "websocket");
        for (http_version, method, header, expected) in [
            (Version::HTTP_11, Method::GET, upgrade, true),
            (Version::HTTP_10, Method::GET, upgrade, false),
            (Version::HTTP_11, Method::GET, version, false),
            (Version::HTTP_11, Method::CONNECT, version, false),
            (Version::HTTP_2, Method::CONNECT, version, true),
            (Version::HTTP_3, Method::CONNECT, version, true),
            (Version::HTTP_2, Method::GET, version, false),
            (Version::HTTP_2, Method::CONNECT, ("a", "b"), false),
        ] {
            let request = request(http_version, &method, header);
            assert_eq!(is_websocket(&request), expected, "{request:?}");
        }
    }

    /// H2-S2: `:protocol` alone decides, and only together with the method.
    #[cfg(feature = "http2")]
    #[test]
    fn the_protocol_of_a_connect_decides() {
        for (version, method, protocol, expected) in [
            (
                Version::HTTP_2,
                Method::CONNECT,
                "websocket",
                Asked::Connect,
            ),
            (
                Version::HTTP_2,
                Method::CONNECT,
                "WebSocket",
                Asked::Connect,
            ),
            (Version::HTTP_2, Method::CONNECT, "connect-udp", Asked::No),
            (Version::HTTP_2, Method::GET, "websocket", Asked::No),
            (Version::HTTP_11, Method::CONNECT, "websocket", Asked::No),
        ] {
            let mut request = request(version, &method, ("a", "b"));
            let protocol: &'static str = protocol;
            let extension = hyper::ext::Protocol::from_static(protocol);
            request.extensions_mut().insert(extension);
            let seen = Asked::of(version, &method, request.headers(), request.extensions());
            assert_eq!(seen, expected, "{version:?} {method} {protocol}");
        }
    }
}
