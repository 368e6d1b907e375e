//! What a client can be told to connect to: a URL, or a request of the crate `http`. Does not know how it is reached.

use std::fmt;

use http::{HeaderMap, Method, Request, Uri};
use ws_proto::ClientUrl;

use super::error::ConnectError;

/// The request of a client: a URL, and headers in addition to those of the options.
///
/// [`IntoClientRequest`] makes it. Its `Debug` shows the names of the headers only.
#[derive(Clone)]
pub struct ClientRequest {
    pub(super) url: ClientUrl,
    pub(super) headers: HeaderMap,
}

impl ClientRequest {
    /// Makes a request without headers.
    pub fn new(url: ClientUrl) -> Self {
        Self {
            url,
            headers: HeaderMap::new(),
        }
    }

    /// Sets the headers. [`ClientConfig::headers`](crate::ClientConfig::headers) says what each of them means.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().collect();
        f.debug_struct("ClientRequest")
            .field("url", &self.url)
            .field("headers", &names)
            .finish()
    }
}

/// What [`connect`](crate::connect), [`connect_with`](crate::connect_with) and [`connect_over`](crate::connect_over) can
/// be given.
///
/// | Type | Meaning |
/// |---|---|
/// | `&str`, `String`, `&String` | a URL, see [`ClientUrl`] |
/// | [`ClientUrl`], `&ClientUrl` | a URL that was parsed before |
/// | [`Uri`], `&Uri` | a URL; it must have a scheme. The crate `http` takes no zone of an IPv6 address and no host that is not ASCII |
/// | [`Request<()>`](Request) | a URL and headers. Its method must be `GET`, its version HTTP/1.1, which are the defaults. Its extensions are ignored |
/// | [`ClientRequest`] | what the others become |
///
/// The headers of a request are sent in addition to those of the options; `Host` and `Origin` replace the option of that
/// name, and `Sec-WebSocket-Protocol` adds to the option `subprotocols`. A request as other libraries demand it, with
/// `Upgrade`, `Connection`, `Sec-WebSocket-Version` and `Sec-WebSocket-Key`, can be passed as it is:
/// [`ClientConfig::headers`](crate::ClientConfig::headers) has the table.
///
/// Implement it for a type of your own to connect to that directly.
pub trait IntoClientRequest {
    /// Makes the request.
    ///
    /// # Errors
    ///
    /// Fails if the URL is invalid, or if the request cannot open a WebSocket.
    fn into_client_request(self) -> Result<ClientRequest, ConnectError>;
}

impl IntoClientRequest for ClientRequest {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        Ok(self)
    }
}

impl IntoClientRequest for ClientUrl {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        Ok(ClientRequest::new(self))
    }
}

impl IntoClientRequest for &ClientUrl {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        self.clone().into_client_request()
    }
}

impl IntoClientRequest for &str {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        Ok(ClientRequest::new(self.parse()?))
    }
}

impl IntoClientRequest for String {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        self.as_str().into_client_request()
    }
}

impl IntoClientRequest for &String {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        self.as_str().into_client_request()
    }
}

impl IntoClientRequest for &Uri {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        self.to_string().into_client_request()
    }
}

impl IntoClientRequest for Uri {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        (&self).into_client_request()
    }
}

impl IntoClientRequest for Request<()> {
    fn into_client_request(self) -> Result<ClientRequest, ConnectError> {
        let (parts, ()) = self.into_parts();
        if parts.method != Method::GET {
            return Err(ConnectError::InvalidRequest {
                problem: format!("its method is {}; only GET is allowed", parts.method),
            });
        }
        if parts.version != http::Version::HTTP_11 {
            return Err(ConnectError::InvalidRequest {
                problem: format!(
                    "its version is {:?}; only HTTP/1.1 is allowed",
                    parts.version
                ),
            });
        }
        Ok(parts.uri.into_client_request()?.headers(parts.headers))
    }
}
