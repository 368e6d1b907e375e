//! The options of a client beyond those of the protocol: how it reaches a server.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderMap;
#[cfg(feature = "deflate")]
use ws_proto::Deflate;
use ws_proto::{
    ClientConfig, ConfigError, Host, InvalidText, Origin, RateLimit, Subprotocol, Version,
};

#[cfg(feature = "proxy")]
use super::proxy::Proxy;
use super::resolver::Resolver;
use crate::observe::debug_lines::DebugLines;
use crate::observe::histograms::Histograms;
use crate::observe::{Observer, Observers};
#[cfg(feature = "rustls")]
use crate::tls::ClientTls;

/// The options of a client: those of the protocol, and how it reaches the server.
///
/// Each option has a setter here. `None` means unlimited for a limit and never for a wait. Zero means zero. A
/// [`ClientConfig`] converts into it, if the other options keep their defaults.
#[derive(Clone, Debug)]
pub struct ConnectConfig {
    pub(crate) client: ClientConfig,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) resolver: Option<Resolver>,
    pub(crate) peer_addr: Option<SocketAddr>,
    pub(crate) observers: Option<Observers>,
    pub(crate) histograms: Option<Histograms>,
    #[cfg(feature = "proxy")]
    pub(crate) proxy: Option<Proxy>,
    #[cfg(feature = "rustls")]
    pub(crate) tls: Option<ClientTls>,
}

impl Default for ConnectConfig {
    fn default() -> Self {
        Self {
            client: ClientConfig::default(),
            connect_timeout: Some(Duration::from_secs(20)),
            resolver: None,
            peer_addr: None,
            observers: None,
            histograms: None,
            #[cfg(feature = "proxy")]
            proxy: None,
            #[cfg(feature = "rustls")]
            tls: None,
        }
    }
}

// Most options belong to a type of `ws-proto`, which has a setter of the same name.
macro_rules! setters {
    (client: $($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.client = self.client.$name($name);
            self
        })+
    };
    (connection: $($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            let connection = self.client.get_connection().clone();
            self.client = self.client.connection(connection.$name($name));
            self
        })+
    };
}

impl ConnectConfig {
    /// Makes the default options.
    pub fn new() -> Self {
        Self::default()
    }

    setters! { client:
        /// Sets the version: RFC 6455. A client cannot detect which version a server speaks.
        version: Version,
        /// Sets the origin: none in RFC 6455, because this client is not a browser; that of the URL in the drafts,
        /// which require one.
        origin: impl Into<Option<Origin>>,
        /// Sets the subprotocols to offer, best first: none. A draft can offer one.
        subprotocols: impl Into<Vec<Subprotocol>>,
        /// Fails the handshake if subprotocols are offered and the server chooses none of them: off. The drafts always
        /// require the choice.
        require_subprotocol: bool,
        /// Limits the head of the response, in bytes: 16 KiB.
        head_limit: usize,
        /// Limits the header lines of the response: 100.
        header_limit: usize,
        /// Limits the kept part of the body of a response that is not a 101, in bytes: 4 KiB.
        response_body_limit: usize,
        /// Bounds the opening handshake, from the request to the open connection: 10 s. The
        /// [`connect_timeout`](Self::connect_timeout) bounds it together with what comes before.
        handshake_timeout: impl Into<Option<Duration>>,
    }

    /// Offers permessage-deflate (RFC 7692), and compresses messages if the server accepts: off.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.client = self.client.deflate(deflate);
        self
    }

    /// Adds a header to the request, such as `Cookie` or `Authorization`. The name keeps its case.
    ///
    /// # Errors
    ///
    /// Fails if the name is not a token, the value is not printable ASCII, or the header belongs to the handshake or to
    /// the transport.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        self.client = self.client.header(name, value)?;
        Ok(self)
    }

    setters! { connection:
        /// Limits a received message, in bytes: 1 MiB. A larger message closes the connection with 1009.
        message_limit: Option<usize>,
        /// Limits one received frame, in bytes: unlimited, because the message limit holds anyway.
        frame_limit: Option<usize>,
        /// Limits the fragments of a received message: 4096.
        fragment_limit: Option<usize>,
        /// Limits the bytes that wait to be written: 256 KiB. At the limit a [`send`](crate::Connection::send) waits.
        send_queue_limit: Option<usize>,
        /// Limits the bytes of received messages that wait for the application: 256 KiB. At the limit the client stops
        /// reading, so that the server has to wait.
        receive_queue_limit: Option<usize>,
        /// Limits the messages, control frames and bytes that the server sends in a second: unlimited. Beyond the limit the
        /// client stops reading from it, or closes with 1008; see [`RateLimit`](crate::RateLimit).
        receive_rate_limit: Option<RateLimit>,
        /// Pings a server that has been silent for this long: 20 s. RFC 6455 only. Each connection subtracts a random
        /// part of up to a quarter.
        keepalive_interval: Option<Duration>,
        /// Closes the connection if nothing arrives for this long after a ping: 20 s. It also bounds a
        /// [`round_trip`](crate::Connection::round_trip).
        pong_timeout: Option<Duration>,
        /// Closes the connection if bytes wait to be written and the server takes none for this long, or for up to half
        /// as long again: 60 s. It bounds a [`send`](crate::Connection::send) that waits.
        stall_timeout: Option<Duration>,
        /// Closes the connection with 1008 if less than 4 KiB of an unfinished message arrive in this time, or in up to
        /// twice this time: 60 s. Does not apply with [`receive_fragments`](Self::receive_fragments).
        message_timeout: Option<Duration>,
        /// Bounds each wait of the closing handshake: 10 s.
        close_timeout: Option<Duration>,
        /// Gives a message to [`recv_fragment`](crate::Connection::recv_fragment) in parts, as they arrive: off. The
        /// message limit still applies; raise it for longer messages.
        receive_fragments: bool,
        /// Gives pings and pongs to [`recv_event`](crate::Connection::recv_event): off. Pings are answered in both
        /// cases.
        control_events: bool,
        /// Accepts frames of RFC 6455 that are masked: off. Read the risk at
        /// [`ConnectionConfig::accept_wrong_masking`](crate::ConnectionConfig::accept_wrong_masking).
        accept_wrong_masking: bool,
        /// Accepts lengths of RFC 6455 that are not in their shortest form: off. Read the risk at
        /// [`ConnectionConfig::accept_padded_lengths`](crate::ConnectionConfig::accept_padded_lengths).
        accept_padded_lengths: bool,
        /// Sets what becomes of a text of RFC 6455 that is not UTF-8: it closes the connection with 1007. Read the risk at
        /// [`InvalidText`](crate::InvalidText).
        invalid_text: InvalidText,
        /// Gives the reason in the close frame when this client closes because a rule was broken: off.
        close_reasons: bool,
    }

    /// Sets the `Host` header, for a server that is reached under another name; see [`ClientConfig::host`].
    #[must_use]
    pub fn host(mut self, host: impl Into<Option<Host>>) -> Self {
        self.client = self.client.host(host);
        self
    }

    /// Takes the headers of a request that was made for another library; see [`ClientConfig::headers`].
    ///
    /// # Errors
    ///
    /// Fails as [`ClientConfig::headers`] does.
    pub fn headers(mut self, headers: &HeaderMap) -> Result<Self, ConfigError> {
        self.client = self.client.headers(headers)?;
        Ok(self)
    }

    /// Sets all options of the protocol at once: the version, subprotocols, headers, limits. It replaces what the
    /// setters above have set before.
    #[must_use]
    pub fn client(mut self, client: ClientConfig) -> Self {
        self.client = client;
        self
    }

    /// Sets the overall connect timeout, from the lookup of the host name to the end of the opening handshake:
    /// 20 s. [`connect_over`](crate::connect_over) starts it at once. The
    /// [`handshake_timeout`](ClientConfig::handshake_timeout) bounds the last step separately.
    #[must_use]
    pub fn connect_timeout(mut self, connect_timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = connect_timeout.into();
        self
    }

    /// Sets a lookup of host names, instead of that of the operating system: for another source of addresses, for names
    /// that only the application knows, or for tests.
    ///
    /// It gets the host of the URL, in lower case, and the port, and returns addresses with the port to connect to, best
    /// first; an address with port 0 gets that of the URL. As with the system's own lookup the families are tried in turn (RFC 8305), at most 16 addresses, within
    /// the [`connect_timeout`](Self::connect_timeout), and the [`peer_addr`](crate::Connection::peer_addr) is the address
    /// that was reached. The `Host` header and the check of the certificate still use the host of the URL. An error, or
    /// an empty list, becomes [`ConnectError::Lookup`](crate::ConnectError::Lookup).
    ///
    /// ```
    /// use ws_driver::ConnectConfig;
    ///
    /// let options = ConnectConfig::new().resolver(|host, port| async move {
    ///     let last = if host == "eu.example.com" { 1 } else { 2 };
    ///     Ok(vec![([192, 0, 2, last], port).into()])
    /// });
    /// ```
    ///
    /// With a proxy it looks up the proxy, and the proxy looks up the server. It is not asked for an address, and not for
    /// the zone of one. [`connect_over`](crate::connect_over) ignores it.
    ///
    /// # Cancel safety
    ///
    /// The future of a lookup is dropped if the caller gives up, or if the time is over.
    #[must_use]
    pub fn resolver<F, T>(mut self, resolver: F) -> Self
    where
        F: Fn(String, u16) -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Some(Resolver::new(resolver));
        self
    }

    /// Sets the [`peer_addr`](crate::Connection::peer_addr) of a connection that [`connect_over`](crate::connect_over)
    /// opens, if you know it: unknown by default. Other connections have the address that was reached.
    #[must_use]
    pub fn peer_addr(mut self, peer_addr: impl Into<Option<SocketAddr>>) -> Self {
        self.peer_addr = peer_addr.into();
        self
    }

    /// Logs a readable line for each step on the way to the connection and for each change of its state, through `tracing` at
    /// level `DEBUG` with the target `ws`: off. It never shows payloads, queries, headers or passwords. Unlike
    /// [`ServerBuilder::debug`](crate::ServerBuilder::debug) it tells the peer nothing; see
    /// [`close_reasons`](Self::close_reasons) for that.
    #[must_use]
    pub fn debug(self, debug: bool) -> Self {
        if debug {
            self.observer(DebugLines)
        } else {
            self
        }
    }

    /// Adds an observer, which is told what happens on the way to the connection and to the connection. A
    /// [`Reconnector`](crate::Reconnector) tells it of each attempt.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers
            .get_or_insert_with(Observers::default)
            .add(observer);
        self
    }

    /// Sets histograms into which the connection counts: none by default. They can be those of a server, too.
    #[must_use]
    pub fn histograms(mut self, histograms: impl Into<Option<Histograms>>) -> Self {
        self.histograms = histograms.into();
        self
    }

    /// Sets a proxy through which the server is reached: no proxy by default. The environment is not read; see
    /// [`Proxy::from_env`]. The [`peer_addr`](crate::Connection::peer_addr) of the connection is that of the
    /// proxy. [`connect_over`](crate::connect_over) ignores it, because it has a stream already.
    #[cfg(feature = "proxy")]
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = proxy.into();
        self
    }

    /// Sets the trusted roots for a URL that begins with `wss`, and for a proxy whose URL begins with `https`:
    /// [`ClientTls::default`]. [`connect_over`](crate::connect_over) speaks TLS only if this was called.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl From<ClientConfig> for ConnectConfig {
    fn from(client: ClientConfig) -> Self {
        Self::new().client(client)
    }
}

impl From<&ClientConfig> for ConnectConfig {
    fn from(client: &ClientConfig) -> Self {
        Self::from(client.clone())
    }
}

impl From<&Self> for ConnectConfig {
    fn from(options: &Self) -> Self {
        options.clone()
    }
}

#[cfg(test)]
mod tests {
    use ws_proto::ConnectionConfig;

    use super::*;

    /// Each setter sets the option of that name, and no other. Breaks if one replaces what others have set.
    #[test]
    fn each_setter_is_that_of_the_protocol() {
        let limit = RateLimit::new().messages(ws_proto::Rate::per_second(7));
        let (second, chat) = (Duration::from_secs(1), "chat".parse::<Subprotocol>());
        let (chat, origin) = (
            chat.unwrap(),
            "https://a.example".parse::<Origin>().unwrap(),
        );
        let connection = ConnectionConfig::new()
            .message_limit(1)
            .frame_limit(2)
            .fragment_limit(3)
            .send_queue_limit(4)
            .receive_queue_limit(5)
            .receive_rate_limit(limit)
            .keepalive_interval(second)
            .pong_timeout(2 * second)
            .stall_timeout(3 * second)
            .message_timeout(4 * second)
            .close_timeout(5 * second)
            .receive_fragments(true)
            .control_events(true)
            .accept_wrong_masking(true)
            .accept_padded_lengths(true)
            .invalid_text(InvalidText::Binary)
            .close_reasons(true);
        let client = ClientConfig::new()
            .version(Version::Draft76)
            .origin(origin.clone())
            .subprotocols([chat.clone()])
            .require_subprotocol(true)
            .header("Cookie", "a=b")
            .unwrap()
            .head_limit(6)
            .header_limit(7)
            .response_body_limit(8)
            .handshake_timeout(6 * second)
            .connection(connection);
        let set = ConnectConfig::new()
            .message_limit(1)
            .frame_limit(2)
            .fragment_limit(3)
            .send_queue_limit(4)
            .receive_queue_limit(5)
            .receive_rate_limit(limit)
            .keepalive_interval(second)
            .pong_timeout(2 * second)
            .stall_timeout(3 * second)
            .message_timeout(4 * second)
            .close_timeout(5 * second)
            .receive_fragments(true)
            .control_events(true)
            .accept_wrong_masking(true)
            .accept_padded_lengths(true)
            .invalid_text(InvalidText::Binary)
            .close_reasons(true)
            .version(Version::Draft76)
            .origin(origin)
            .subprotocols([chat])
            .require_subprotocol(true)
            .header("Cookie", "a=b")
            .unwrap()
            .head_limit(6)
            .header_limit(7)
            .response_body_limit(8)
            .handshake_timeout(6 * second);
        #[cfg(feature = "deflate")]
        let (client, set) = (client.deflate(Deflate::new()), set.deflate(Deflate::new()));
        assert_eq!(set.client, client);
        // All at once replaces all of them.
        assert_eq!(set.client(ClientConfig::new()).client, ClientConfig::new());
    }

    /// The defaults are a promise. A change of a default has to change this test.
    #[test]
    fn the_defaults_are_frozen() {
        let client = format!("{:?}", ClientConfig::default());
        let proxy = if cfg!(feature = "proxy") {
            ", proxy: None"
        } else {
            ""
        };
        let tls = if cfg!(feature = "rustls") {
            ", tls: None"
        } else {
            ""
        };
        assert_eq!(
            format!("{:?}", ConnectConfig::default()),
            format!(
                "ConnectConfig {{ client: {client}, connect_timeout: Some(20s), resolver: None, \
                 peer_addr: None, observers: None, histograms: None{proxy}{tls} }}"
            )
        );
    }
}
