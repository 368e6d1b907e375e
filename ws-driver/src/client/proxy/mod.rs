//! Reaching a server through a proxy: HTTP CONNECT (RFC 9110 §9.3.6), with or without TLS to the proxy, and SOCKS5
//! (RFC 1928, 1929). The tunnel is used like any stream, also for TLS with the server.
//!
//! Both protocols are implemented here, because the crates for them each belong to one runtime, and each protocol is
//! no more than a question and an answer.
//!
//! Imports: `tls`.

mod connect;
mod env;
mod error;
mod socks5;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::hooks::percent_decoded;
use ws_proto::{ClientUrl, ConfigError};

use self::connect::Connect;
pub use self::error::ProxyError;
use self::socks5::Socks5;

/// A proxy, for [`ConnectConfig::proxy`](crate::ConnectConfig::proxy). Parsed from a URL
/// `http://[user:password@]host:port`, or the same with `https://` or `socks5h://`.
///
/// The proxy gets the name of the server and looks it up, or its address, without the zone. User and password can contain percent-encoded
/// characters. They reach the proxy in the clear, unless its URL begins with `https`.
///
/// With `https` the client speaks TLS with the proxy itself, which needs the feature `rustls`. The
/// certificate of the proxy is verified like that of a server, by the option `tls`. A client certificate in that configuration is sent to
/// the proxy, too, if it asks for one.
#[derive(Clone)]
pub struct Proxy {
    scheme: Scheme,
    /// The host and port of the proxy. The other parts of the URL are unused.
    addr: ClientUrl,
    login: Option<Arc<Login>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    #[cfg(feature = "rustls")]
    Https,
    Socks5h,
}

/// User and password for a proxy, decoded. It has no `Debug`, because it is a secret.
struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Proxy {
    /// Returns the proxy that the environment names for a URL: `https_proxy` for `wss` and `http_proxy` for
    /// `ws`, or else `all_proxy`. Returns `None` if `no_proxy` lists the host, a domain above it, or `*`. All
    /// variables except `http_proxy` can be in upper case, too. Nothing else in this library reads the
    /// environment.
    ///
    /// # Errors
    ///
    /// Fails if the URL, or the URL in the environment, is malformed.
    pub fn from_env(url: &str) -> Result<Option<Self>, ConfigError> {
        env::proxy_for(&url.parse()?, |name| std::env::var(name).ok())
    }

    /// Returns the host of the proxy.
    pub fn host(&self) -> &str {
        self.addr.host()
    }

    /// Returns the port of the proxy.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Returns where the proxy is. The other parts of the URL are unused.
    pub(crate) fn addr(&self) -> &ClientUrl {
        &self.addr
    }

    /// Returns whether the client speaks TLS with the proxy itself.
    #[cfg(feature = "rustls")]
    pub(crate) fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Asks the proxy, over a stream to it, for a tunnel.
    pub(crate) async fn open<S>(
        &self,
        stream: &mut S,
        host: &str,
        port: u16,
    ) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let login = self.login.as_deref();
        let mut negotiation = match self.scheme {
            Scheme::Http => Negotiation::Connect(Connect::new(host, port, login)),
            #[cfg(feature = "rustls")]
            Scheme::Https => Negotiation::Connect(Connect::new(host, port, login)),
            Scheme::Socks5h => Negotiation::Socks5(Socks5::new(host, port, login)?),
        };
        let mut outgoing = BytesMut::from(&*negotiation.take_outgoing());
        poll_fn(|cx| {
            loop {
                let is_asked = poll_write_all(cx, stream, &mut outgoing)?.is_ready();
                // Read even while the request is not written in full. With TLS a proxy can have records to send before
                // it reads on, and it may refuse early.
                let mut buffer = [0; READ_LEN];
                let len = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
                if len == 0 {
                    return Poll::Ready(Err(ProxyError::Disconnected));
                }
                let is_open = negotiation.handle_read(&buffer[..len])?;
                outgoing.extend_from_slice(&negotiation.take_outgoing());
                if is_open {
                    // An open tunnel before the whole request: the rest of the request would go into the tunnel.
                    let problem = "it came before the whole request was sent";
                    let early = ProxyError::Malformed { problem };
                    return Poll::Ready(if is_asked { Ok(()) } else { Err(early) });
                }
            }
        })
        .await
    }
}

/// The protocol of a proxy. Without I/O: bytes in, bytes out.
enum Negotiation {
    Connect(Connect),
    Socks5(Socks5),
}

impl Negotiation {
    fn take_outgoing(&mut self) -> Vec<u8> {
        match self {
            Self::Connect(connect) => connect.take_outgoing(),
            Self::Socks5(socks5) => socks5.take_outgoing(),
        }
    }

    /// Takes bytes that were read. Returns whether the tunnel is open.
    fn handle_read(&mut self, bytes: &[u8]) -> Result<bool, ProxyError> {
        match self {
            Self::Connect(connect) => connect.handle_read(bytes),
            Self::Socks5(socks5) => socks5.handle_read(bytes),
        }
    }
}

/// The maximum length of one read of an answer.
const READ_LEN: usize = 1 << 10;

/// Writes the remaining bytes, and flushes.
fn poll_write_all<S>(
    cx: &mut Context<'_>,
    stream: &mut S,
    bytes: &mut BytesMut,
) -> Poll<io::Result<()>>
where
    S: AsyncWrite + Unpin,
{
    while !bytes.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, bytes))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            len => bytes.advance(len),
        }
    }
    Pin::new(stream).poll_flush(cx)
}

impl FromStr for Proxy {
    type Err = ConfigError;

    /// Parses the URL of a proxy. An error does not repeat user and password.
    fn from_str(url: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        // The last `@`, so that a password with an `@` that is not encoded stays out of errors.
        let (login, authority) = match rest.rsplit_once('@') {
            Some((login, authority)) => (Some(login), authority),
            None => (None, rest),
        };
        let invalid = |problem| ConfigError::InvalidUrl {
            url: format!("{scheme}://{authority}").into(),
            problem,
        };
        let parsed = match &*scheme.to_ascii_lowercase() {
            "http" => Scheme::Http,
            #[cfg(feature = "rustls")]
            "https" => Scheme::Https,
            #[cfg(not(feature = "rustls"))]
            "https" => {
                return Err(invalid(
                    "an https proxy needs TLS, which is not built in (feature rustls)",
                ));
            }
            "socks5h" => Scheme::Socks5h,
            // Not accepted as the same: with socks5 the client would look the name up itself, and a name server would
            // learn what the proxy is to hide.
            "socks5" => {
                return Err(invalid(
                    "the proxy looks names up, so its scheme must be socks5h",
                ));
            }
            _ => {
                return Err(invalid(
                    "the scheme of a proxy must be http, https or socks5h",
                ));
            }
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?']) {
            return Err(invalid("the URL of a proxy must not have a path"));
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.contains(']'));
        // Required, because programs disagree about the default: 80, 1080, 3128 and 8080 are all common.
        if !has_port {
            return Err(invalid("the URL of a proxy must have a port"));
        }
        let addr = format!("ws://{authority}")
            .parse()
            .map_err(|_| invalid("its host or its port is malformed"))?;
        let login = login.map(Login::parse).transpose().map_err(invalid)?;
        Ok(Self {
            scheme: parsed,
            addr,
            login: login.map(Arc::new),
        })
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decoded = |text| {
            percent_decoded(text).ok_or("its user or password has an invalid percent-encoding")
        };
        let (user, password) = (decoded(user)?, decoded(password)?);
        if user.is_empty() || user.len() > LOGIN_LIMIT || password.len() > LOGIN_LIMIT {
            return Err("its user must have 1 to 255 bytes, and its password at most 255");
        }
        // RFC 7617 §2: in the header the first colon ends the user.
        if user.contains(&b':') {
            return Err("its user must not contain a colon");
        }
        Ok(Self { user, password })
    }
}

/// The limit of a user and of a password, in bytes (RFC 1929 §2).
const LOGIN_LIMIT: usize = 255;

impl fmt::Debug for Proxy {
    /// Shows neither user nor password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("scheme", &self.scheme)
            .field("addr", &self.addr.authority())
            .field("has_login", &self.login.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    /// A stream with an answer on it that takes as many bytes as it has room for.
    struct Early {
        answer: &'static [u8],
        room: usize,
    }

    impl AsyncRead for Early {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let len = self.answer.len().min(buffer.len());
            let (read, rest) = self.answer.split_at(len);
            buffer[..len].copy_from_slice(read);
            self.answer = rest;
            Poll::Ready(Ok(len))
        }
    }

    impl AsyncWrite for Early {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let len = bytes.len().min(self.room);
            self.room -= len;
            match len {
                0 => Poll::Pending,
                _ => Poll::Ready(Ok(len)),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// An answer before the end of the request is read, so that a proxy can refuse early. But a tunnel that opens that
    /// early is an error, because the rest of the request would go into it.
    #[test]
    fn an_answer_that_comes_too_early_opens_no_tunnel() {
        let asked = |answer, room| {
            let proxy: Proxy = "http://p:1".parse().unwrap();
            let mut stream = Early { answer, room };
            let mut opening = pin!(proxy.open(&mut stream, "a", 80));
            match opening
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
            {
                Poll::Ready(opened) => opened.map_err(|error| error.to_string()),
                Poll::Pending => panic!("it waits, though there is an answer"),
            }
        };
        let question_len = "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".len();
        for room in 0..=question_len {
            let is_open = asked(b"HTTP/1.1 200 OK\r\n\r\n", room).is_ok();
            assert_eq!(is_open, room == question_len, "{room}");
            let refusal = asked(b"HTTP/1.1 403 Not you\r\n\r\n", room).unwrap_err();
            assert!(refusal.contains("403 Not you"), "{refusal}");
        }
    }

    /// The parts of a proxy's URL.
    #[test]
    fn a_proxy_is_read_from_a_url() {
        for (url, scheme, host, port, login) in [
            ("http://proxy:3128", Scheme::Http, "proxy", 3128, None),
            ("HTTP://Proxy:80/", Scheme::Http, "proxy", 80, None),
            (
                "http://a:b@proxy:1",
                Scheme::Http,
                "proxy",
                1,
                Some(("a", "b")),
            ),
            (
                "socks5h://a@[::1]:1080",
                Scheme::Socks5h,
                "::1",
                1080,
                Some(("a", "")),
            ),
            (
                "socks5h://a%40b:c%3a%25@h:9",
                Scheme::Socks5h,
                "h",
                9,
                Some(("a@b", "c:%")),
            ),
            ("http://a@b:c@h:9", Scheme::Http, "h", 9, Some(("a@b", "c"))),
            #[cfg(feature = "rustls")]
            (
                "https://a:b@proxy:443",
                Scheme::Https,
                "proxy",
                443,
                Some(("a", "b")),
            ),
        ] {
            let proxy: Proxy = url.parse().unwrap();
            assert_eq!(
                (proxy.scheme, proxy.host(), proxy.port()),
                (scheme, host, port)
            );
            let seen = proxy.login.as_deref();
            let seen = seen.map(|login| (&*login.user, &*login.password));
            let login = login.map(|(user, password)| (user.as_bytes(), password.as_bytes()));
            assert_eq!(seen, login, "{url}");
        }
    }

    /// Without TLS, the error for an https proxy names the feature.
    #[cfg(not(feature = "rustls"))]
    #[test]
    fn an_https_proxy_needs_the_feature() {
        let error = "https://u:secret@proxy:1".parse::<Proxy>().unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("feature rustls") && !error.contains("secret"),
            "{error}"
        );
    }

    /// Other URLs are refused, and neither an error nor `Debug` shows a password.
    #[test]
    fn other_urls_are_refused_without_their_password() {
        let long = format!("http://{}:secret@h:1", "u".repeat(256));
        for url in [
            "proxy:3128",
            "ws://u:secret@proxy:1",
            "socks5://u:secret@proxy:1",
            "http://u:secret@proxy",
            "http://u:secret@[::1]",
            "http://u:secret@:1",
            "http://u:secret@proxy:0",
            "http://u:secret@proxy:1/path",
            "http://u:secret@proxy:1?query",
            "http://u:secret@pro xy:1",
            "http://u:secret@proxy:1\r\nX: y",
            "http://:secret@proxy:1",
            "http://u%3a:secret@proxy:1",
            "http://u:secret%@proxy:1",
            "http://u:secret%+1@proxy:1",
            "http://u:secret%éé@proxy:1",
            &long,
        ] {
            let error = url.parse::<Proxy>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let proxy: Proxy = "http://user:secret@proxy:1".parse().unwrap();
        let shown = format!("{proxy:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("user"),
            "{shown}"
        );
    }
}
