//! Reaching a server through a proxy: HTTP CONNECT (RFC 9110 §9.3.6), inside of TLS or not, and SOCKS5
//! (RFC 1928, 1929). What follows, TLS included, goes through the tunnel as through a stream.
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
use ws_proto::{ClientUrl, ConfigError};

use self::connect::Connect;
pub use self::error::ProxyError;
use self::socks5::Socks5;

/// A proxy, for [`ConnectConfig::proxy`](crate::ConnectConfig::proxy): read from
/// `http://[user:password@]host:port`, `https://` or `socks5h://` with the same.
///
/// The proxy is told the name of the server and looks it up. User and password can have percent-encoded
/// characters, and reach the proxy in the clear, but for `https`: then TLS is spoken with the proxy itself,
/// which needs the feature `rustls`. The proxy has to be trusted as a server is, by
/// [`ConnectConfig::tls`](crate::ConnectConfig::tls); a client certificate in there is shown to it, too, if
/// it asks for one.
#[derive(Clone)]
pub struct Proxy {
    scheme: Scheme,
    /// Its host and port; the rest of it means nothing.
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

/// Who we are to a proxy.
struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Proxy {
    /// Returns what the environment says for a URL: `https_proxy` for `wss` and `http_proxy` for `ws`, or
    /// else `all_proxy`, unless `no_proxy` has the host, a domain that it is in, or `*`. All of them but
    /// `http_proxy` can be in upper case, too. Nothing else here ever looks at the environment.
    ///
    /// # Errors
    ///
    /// Fails if the URL or what the environment says is malformed.
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

    /// Tells whether TLS is spoken with the proxy itself.
    #[cfg(feature = "rustls")]
    pub(crate) fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Has the proxy open a tunnel through a stream to it.
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
                // Also while it is being asked: inside of TLS a proxy can have something to say that has
                // to be read before it reads on.
                let mut buffer = [0; READ_LEN];
                let len = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
                if len == 0 {
                    return Poll::Ready(Err(ProxyError::Disconnected));
                }
                let is_open = negotiation.handle_read(&buffer[..len])?;
                outgoing.extend_from_slice(&negotiation.take_outgoing());
                if is_open {
                    let problem = "it came before all of the question was sent";
                    let early = ProxyError::Malformed { problem };
                    return Poll::Ready(if is_asked { Ok(()) } else { Err(early) });
                }
            }
        })
        .await
    }
}

/// Asks for a tunnel. Without I/O: bytes in, bytes out.
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

    /// Takes what was read; tells whether the tunnel is open.
    fn handle_read(&mut self, bytes: &[u8]) -> Result<bool, ProxyError> {
        match self {
            Self::Connect(connect) => connect.handle_read(bytes),
            Self::Socks5(socks5) => socks5.handle_read(bytes),
        }
    }
}

/// Bytes of an answer that are read at once.
const READ_LEN: usize = 1 << 10;

/// Writes and flushes what is left of some bytes.
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

    /// An error does not repeat user and password.
    fn from_str(url: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
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
            "socks5" => {
                return Err(invalid(
                    "the proxy looks names up, so its scheme is socks5h",
                ));
            }
            _ => return Err(invalid("the scheme of a proxy is http, https or socks5h")),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?']) {
            return Err(invalid("the URL of a proxy has no path"));
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.contains(']'));
        if !has_port {
            return Err(invalid("the URL of a proxy has a port"));
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
        let (user, password) = (percent_decoded(user)?, percent_decoded(password)?);
        if user.is_empty() || user.len() > LOGIN_LIMIT || password.len() > LOGIN_LIMIT {
            return Err("its user has 1 to 255 bytes, its password 255 at most");
        }
        if user.contains(&b':') {
            return Err("its user has no colon in it");
        }
        Ok(Self { user, password })
    }
}

/// Bytes of a user and of a password (RFC 1929 §2).
const LOGIN_LIMIT: usize = 255;

/// RFC 3986 §2.1.
fn percent_decoded(text: &str) -> Result<Vec<u8>, &'static str> {
    let problem = "its user or password is not percent-encoded";
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).filter(|code| !code.starts_with('+'));
        let code = code.ok_or(problem)?;
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| problem)?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Ok(bytes)
}

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

    /// Who answers before it was asked is heard, so that it can refuse; but a tunnel that nobody has asked
    /// for is none: what is left of the question would go into it.
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

    /// Without TLS, who wants it is told what to build in.
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

    /// What is no proxy is refused, and neither an error nor `Debug` shows a password.
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
