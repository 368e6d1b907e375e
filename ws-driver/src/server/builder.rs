//! The builder of a server: a setter for each option, and the checks of all options together.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use ws_proto::{
    ConfigError, HostPolicy, InvalidText, OriginPolicy, RateLimit, Subprotocol, Versions,
};

use super::Server;
use super::http::service::{HttpService, RequestService};
use super::settings::{ServerSettings, StartBackplane};
use super::upgrade::{Answer, Upgrade};
use crate::cluster;
use crate::cluster::config::ClusterConfig;
use crate::cluster::memory::MemoryBackplane;
use crate::cluster::seat::Backplane;
use crate::driver::slow_peer::SlowPeer;
use crate::front::forwarded::ForwardedFor;
use crate::front::proxy_protocol::ProxyProtocol;
use crate::observe::Observer;
use crate::observe::debug_lines::DebugLines;
use crate::observe::histograms::Histograms;
use crate::registry::addresses::AddressLimits;
use crate::runtime::{ListeningSocket, Runtime};
#[cfg(feature = "rustls")]
use crate::tls::ServerTls;

/// Sets the options of a [`Server`]. [`bind`](Self::bind) makes a server that listens, [`build`](Self::build)
/// one that listens on no address.
///
/// `None` means unlimited for a limit and never for a wait. Zero means zero.
#[must_use]
pub struct ServerBuilder<R> {
    settings: ServerSettings,
    /// The error of the first invalid option. Kept until `bind` or `build`, so that setters can be chained.
    error: Option<ConfigError>,
    /// The sockets that exist already.
    sockets: Vec<ListeningSocket>,
    /// Starts the backplane of the cluster, if there is one.
    backplane: Option<StartBackplane<R>>,
    runtime: PhantomData<fn() -> R>,
}

// Many options belong to a type of `ws-proto`, which has a setter of the same name.
macro_rules! setters {
    ($field:ident: $($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            self.settings.$field = self.settings.$field.$name($name);
            self
        })+
    };
}

impl<R: Runtime + Default> ServerBuilder<R> {
    pub(super) fn new() -> Self {
        Self {
            settings: ServerSettings::default(),
            error: None,
            sockets: Vec::new(),
            backplane: None,
            runtime: PhantomData,
        }
    }

    setters! { config:
        /// Limits the header lines of a request: 100.
        header_limit: usize,
        /// Rejects draft-76 requests without an `Origin`: on.
        require_origin: bool,
        /// Declares that clients reach this server over TLS: off. The location in an answer of the drafts then
        /// begins with `wss`.
        secure: bool,
    }

    setters! { connection:
        /// Limits a received message, in bytes: 1 MiB. A larger message closes the connection with 1009.
        message_limit: Option<usize>,
        /// Limits one received frame, in bytes: unlimited, because the message limit holds anyway.
        frame_limit: Option<usize>,
        /// Limits the fragments of a received message: 4096.
        fragment_limit: Option<usize>,
        /// Limits the bytes that wait to be written on a connection: 256 KiB. At the limit a
        /// [`send`](crate::Connection::send) waits. A send by id or a broadcast follows
        /// [`slow_peer`](Self::slow_peer).
        send_queue_limit: Option<usize>,
        /// Limits the bytes of received messages that wait for the handler: 256 KiB. At the limit the
        /// server stops reading, so that the peer has to wait.
        receive_queue_limit: Option<usize>,
        /// Limits the messages, control frames and bytes that a client sends in a second: unlimited. Beyond the limit the
        /// server stops reading from it, or closes with 1008; see [`RateLimit`](crate::RateLimit).
        receive_rate_limit: Option<RateLimit>,
        /// Pings a peer that has been silent for this long: 20 s. RFC 6455 only. Each connection subtracts a random
        /// part of up to a quarter, so that the pings of many connections are spread.
        keepalive_interval: Option<Duration>,
        /// Closes a connection if nothing arrives for this long after a ping: 20 s.
        pong_timeout: Option<Duration>,
        /// Closes a connection if bytes wait to be written and the peer takes none for this long, or for
        /// up to half as long again: 60 s. It bounds a [`send`](crate::Connection::send) that waits.
        stall_timeout: Option<Duration>,
        /// Closes a connection with 1008 if less than 4 KiB of an unfinished message arrive in this time, or in up to
        /// twice this time: 60 s. Does not apply with [`receive_fragments`](Self::receive_fragments).
        message_timeout: Option<Duration>,
        /// Bounds each wait of the closing handshake: 10 s.
        close_timeout: Option<Duration>,
        /// Gives a message to [`recv_fragment`](crate::Connection::recv_fragment) in parts, as they
        /// arrive: off. The message limit still applies; raise it for longer messages.
        receive_fragments: bool,
        /// Gives pings and pongs to [`recv_event`](crate::Connection::recv_event): off. Pings are answered
        /// in both cases.
        control_events: bool,
        /// Replaces invalid UTF-8 in texts of the drafts by U+FFFD instead of closing the connection: off.
        replace_invalid_utf8: bool,
        /// Skips frames of the drafts that no client may send, instead of closing the connection: off.
        skip_unknown_frames: bool,
        /// Accepts frames of RFC 6455 that are not masked: off. Meant for devices that do not mask. Read the risk at
        /// [`ConnectionConfig::accept_wrong_masking`](crate::ConnectionConfig::accept_wrong_masking).
        accept_wrong_masking: bool,
        /// Accepts lengths of RFC 6455 that are not in their shortest form: off. Read the risk at
        /// [`ConnectionConfig::accept_padded_lengths`](crate::ConnectionConfig::accept_padded_lengths).
        accept_padded_lengths: bool,
        /// Sets what becomes of a text of RFC 6455 that is not UTF-8: it closes the connection with 1007. Read the risk at
        /// [`InvalidText`](crate::InvalidText).
        invalid_text: InvalidText,
    }

    /// Sets the versions that the server speaks: all by default. A request in another version is refused.
    pub fn versions(mut self, versions: impl Into<Versions>) -> Self {
        self.settings.config = self.settings.config.versions(versions);
        self
    }

    /// Bounds the whole opening handshake, including `on_upgrade`: 10 s. For plain HTTP it bounds the wait
    /// for each request, and each wait for the client to take a byte of the answer.
    pub fn handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.config = self.settings.config.handshake_timeout(timeout);
        self
    }

    /// Compresses messages if the client offers permessage-deflate (RFC 7692), as browsers do: off. A
    /// broadcast is compressed once for all connections. See docs/compression.md for the costs, and for when
    /// to leave it off. [`Answer::deflate`](crate::Answer::deflate) overrides it for one upgrade.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: impl Into<Option<ws_proto::Deflate>>) -> Self {
        let deflate = deflate.into();
        self.settings.config = self.settings.config.deflate(deflate.clone());
        self.settings.registry.deflate = deflate;
        self
    }

    /// Limits the request head, in bytes: 16 KiB.
    pub fn head_limit(mut self, limit: usize) -> Self {
        self.settings.config = self.settings.config.head_limit(limit);
        self
    }

    /// Sets the origins that may open a connection: any by default. A browser sends the origin of the page.
    /// List your origins if you trust a connection because of its cookies or its network.
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.settings.config = self.settings.config.origins(policy);
        self
    }

    /// Allows these origins to open a connection, such as `["https://example.com"]`, and refuses others.
    /// Adds to the origins that were listed before; it replaces [`SameHost`](OriginPolicy::SameHost), which is
    /// not a list. Opaque origins such as `file://` and `null` are compared as a whole.
    /// [`bind`](Self::bind) fails if an origin is malformed, could never match, or has a path, even `/`.
    pub fn allow_origins<T: AsRef<str>>(self, origins: impl IntoIterator<Item = T>) -> Self {
        self.allow(OriginPolicy::list(origins))
    }

    /// Allows the origins of all subdomains of these to open a connection. Adds to the origins that were
    /// listed before. `["https://example.com"]` allows `https://www.example.com`, but not
    /// `https://example.com`, which [`allow_origins`](Self::allow_origins) can add. See
    /// [`OriginRule::Subdomains`](crate::ws_proto::OriginRule::Subdomains). [`bind`](Self::bind) fails if an
    /// origin cannot have subdomains.
    pub fn allow_subdomains_of<T: AsRef<str>>(self, origins: impl IntoIterator<Item = T>) -> Self {
        self.allow(OriginPolicy::List(Vec::new()).and_subdomains_of(origins))
    }

    /// Sets the hosts that an upgrade may name, such as `["example.com", "localhost:9000"]`: any by default.
    /// A request for another host is answered with 421, in every version and through every integration. A
    /// host without a port stands for all ports. The list protects against DNS rebinding: a page whose name
    /// was made to point to this server passes [`SameHost`](OriginPolicy::SameHost).
    ///
    /// [`bind`](Self::bind) fails if a host is malformed. A second call replaces the list; an empty list allows
    /// no host. Plain HTTP is not checked; `on_request` can do that.
    pub fn hosts<T: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = T>) -> Self {
        match HostPolicy::list(hosts) {
            Ok(policy) => self.settings.config = self.settings.config.hosts(policy),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Sets the subprotocols that the server speaks, in its order of preference, which decides: none by
    /// default. [`bind`](Self::bind) fails if a subprotocol is malformed.
    pub fn subprotocols<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        let parse = |name: T| name.as_ref().parse::<Subprotocol>();
        match names.into_iter().map(parse).collect::<Result<Vec<_>, _>>() {
            Ok(names) => self.settings.config = self.settings.config.subprotocols(names),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Logs all events as readable lines through `tracing` (level `DEBUG`, target `ws`), and tells clients the reasons
    /// of errors: off. The body of a rejection has the reason. So has the close frame on a connection that breaks a
    /// rule (RFC 6455, `close_reasons` of a [`ConnectionConfig`](crate::ConnectionConfig)).
    pub fn debug(mut self, debug: bool) -> Self {
        self.settings.config = self.settings.config.reveal_reasons(debug);
        self.settings.connection = self.settings.connection.close_reasons(debug);
        if debug {
            self.settings.observers.add(DebugLines);
        }
        self
    }

    /// Adds an observer, which is told what happens on the server.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.settings.observers.add(observer);
        self
    }

    /// Sets histograms into which the connections of the server count, for exporters: none by default. Read them by
    /// [`Histograms::values`](crate::Histograms::values).
    pub fn histograms(mut self, histograms: impl Into<Option<Histograms>>) -> Self {
        self.settings.histograms = histograms.into();
        self
    }

    /// Speaks only TLS on the port, for all versions and plain HTTP: off by default. Needs the feature
    /// `rustls`. It sets [`secure`](Self::secure), too. The [`handshake_timeout`](Self::handshake_timeout)
    /// includes the TLS handshake. It does not apply to streams that are [handed
    /// in](crate::Server::handle_stream), nor to requests that another HTTP server has read.
    #[cfg(feature = "rustls")]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// Limits the streams that are open or in the opening handshake: unlimited by default. At the limit the
    /// server accepts no stream until another has ended.
    pub fn connection_limit(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.connection_limit = limit.into();
        self
    }

    /// Lets several servers listen on the same address if all of them set it: off. The system distributes the
    /// streams among them (`SO_REUSEPORT`). With a server and a runtime for each thread, all cores are used.
    /// Each server has connections, ids, topics, counters and a
    /// [`connection_limit`](Self::connection_limit) of its own.
    ///
    /// [`bind`](Self::bind) fails on systems without it, such as Windows.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.settings.bind.reuse_port = reuse_port;
        self
    }

    /// Sets what a send by id or a broadcast does if the send queue of a peer is at the
    /// [`send_queue_limit`](Self::send_queue_limit). By default it closes the connection with 1013.
    pub fn slow_peer(mut self, policy: SlowPeer) -> Self {
        self.settings.registry.slow_peer = policy;
        self
    }

    /// Limits the topics that one connection can [join](crate::Connection::join): 64.
    pub fn topic_limit(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.registry.topic_limit = limit.into();
        self
    }

    /// Sets a function that accepts or rejects each upgrade request. It can inspect cookies, or wait for a
    /// database. Without it the server accepts every request that passes the checks.
    pub fn on_upgrade<F, A>(mut self, decide: F) -> Self
    where
        F: Fn(Upgrade) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        self.settings.on_upgrade = Some(Arc::new(move |upgrade| Box::pin(decide(upgrade))));
        self
    }

    /// Sets the service that answers plain HTTP requests on the same port: a closure from request to
    /// response, or a tower service such as an axum `Router`. Without it the answer is a 426.
    ///
    /// ```ignore
    /// .on_request(|request: http::Request<RequestBody>| async move {
    ///     http::Response::new(format!("you asked for {}", request.uri()))
    /// })
    /// ```
    pub fn on_request<M>(mut self, service: impl HttpService<M>) -> Self {
        self.settings.on_request = Some(RequestService::new(service));
        self
    }

    /// Bounds the waits for the body of a plain HTTP request, and for the client to take the answer: 30 s.
    /// In this much waiting time, summed over all waits, 16 KiB or the rest have to pass. Then the sum
    /// restarts. Time in which `on_request` does not read its body, or has nothing to write, does not count.
    ///
    /// A [`RequestBody`](crate::RequestBody) that arrives too slowly fails. A stream that takes the answer too
    /// slowly is dropped; one that takes no byte at all is dropped after the
    /// [`handshake_timeout`](Self::handshake_timeout). Set `None` for bodies that are slow on purpose.
    pub fn body_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.http.body_timeout = timeout.into();
        self
    }

    /// Speaks HTTP/2 on the port, too: off. Then a browser opens its WebSockets in the session that it has for the pages of
    /// [`on_request`](Self::on_request) (RFC 8441). Needs the feature `http2`.
    ///
    /// With TLS, ALPN offers `h2` before `http/1.1`, unless the configuration is one of
    /// `ServerTls::from_config`, whose ALPN is the application's. Without TLS a client begins with the preface
    /// of HTTP/2, as a proxy that was told to does.
    ///
    /// A session counts as one stream in the [`connection_limit`](Self::connection_limit) and in the
    /// [`address_limits`](Self::address_limits), and each of its sockets as one more. At the limit a socket is refused with 503.
    /// It does not apply to streams that are [handed in](crate::Server::handle_stream).
    #[cfg(feature = "http2")]
    pub fn http2(mut self, http2: bool) -> Self {
        self.settings.http.http2 = http2;
        self
    }

    /// Keeps the headers of the request in each open connection, for
    /// [`Connection::request`](crate::Connection::request). The default is on. A browser sends half a kilobyte of
    /// headers, and cookies besides, so switch this off for very many connections that are mostly idle. Then only
    /// method and target are kept, and what a handler needs of the headers has to come from `on_upgrade`, as an
    /// [`extension`](crate::Answer::extension).
    pub fn keep_request_headers(mut self, keep: bool) -> Self {
        self.settings.forgets_request_headers = !keep;
        self
    }

    /// Makes the server a node of a cluster, by an engine that all nodes share: none by default. Then
    /// [`Server::cluster`] sends to the connections of all nodes. The calls of [`Clients`](crate::Clients) and
    /// [`Topic`](crate::Topic) stay as they are, for this node alone.
    ///
    /// A second call replaces the first. The backplane connects in a task of its own, so [`bind`](Self::bind) does not wait for the engine; see
    /// [`Cluster::health`](crate::Cluster::health).
    pub fn backplane(mut self, backplane: impl Backplane<R>) -> Self {
        self.backplane = Some(Box::new(|runtime, shared| {
            cluster::start(runtime, shared, backplane);
        }));
        self
    }

    /// Sets the options of the server as a node of a cluster. They matter only with a
    /// [`backplane`](Self::backplane).
    pub fn cluster(mut self, config: ClusterConfig) -> Self {
        self.settings.cluster = config;
        self
    }

    /// Takes the client's address from a header of the PROXY protocol, version 1 or 2, which proxies of TCP send before all
    /// else: off. It is the [`peer_addr`](crate::Connection::peer_addr) everywhere then, also in log lines, in spans and for
    /// observers. The header comes before TLS, and the [`handshake_timeout`](Self::handshake_timeout) includes it.
    ///
    /// A stream that breaks the rules of the option is dropped without an answer, as
    /// [`Rejected::ProxyProtocol`](crate::Rejected::ProxyProtocol). The option does not apply to streams that are [handed
    /// in](crate::Server::handle_stream).
    ///
    /// ```ignore
    /// .proxy_protocol(ProxyProtocol::required(["10.0.0.0/8"])?)
    /// ```
    pub fn proxy_protocol(mut self, proxies: impl Into<Option<ProxyProtocol>>) -> Self {
        self.settings.proxy_protocol = proxies.into().map(Arc::new);
        self
    }

    /// Takes the client's address from a header of its request, such as `X-Forwarded-For`, which proxies of HTTP write: off.
    /// It is the [`peer_addr`](crate::Connection::peer_addr) from there on, with port 0 if the header names no port. Before the
    /// request is read, it is that of the proxy.
    ///
    /// ```ignore
    /// .forwarded_for(ForwardedFor::proxies(["127.0.0.1", "::1"])?)
    /// ```
    pub fn forwarded_for(mut self, proxies: impl Into<Option<ForwardedFor>>) -> Self {
        self.settings.forwarded_for = proxies.into().map(Arc::new);
        self
    }

    /// Limits what one address can take of the server: nothing by default. A stream beyond a limit is answered with 429, or dropped if it
    /// would speak TLS, before anything of it is read. Behind a proxy the address is that of the client if
    /// [`proxy_protocol`](Self::proxy_protocol) or [`forwarded_for`](Self::forwarded_for) names it; in the latter case it is known,
    /// and the answer is given, once the request is read. Streams without an address are not limited.
    ///
    /// ```ignore
    /// .address_limits(AddressLimits::new().connections(100).handshakes_per_second(20))
    /// ```
    pub fn address_limits(mut self, limits: AddressLimits) -> Self {
        self.settings.registry.address_limits = limits;
        self
    }

    /// Adds a listening socket that exists: a `TcpListener` or, on Unix, a `UnixListener` of the standard library, such as one
    /// that systemd has passed on. Further calls add more. [`listen`](Self::listen) makes a server with these alone, and
    /// [`bind`](Self::bind) one that listens on an address as well. TLS and all other options apply to each.
    ///
    /// Streams of a Unix socket have no [`peer_addr`](crate::Connection::peer_addr), and the operating system is not asked to
    /// probe their peers. The file of a Unix socket stays when the server ends.
    pub fn listener(mut self, socket: impl Into<ListeningSocket>) -> Self {
        self.sockets.push(socket.into());
        self
    }

    /// Makes a server that listens on the sockets that were [given](Self::listener).
    ///
    /// # Errors
    ///
    /// Fails if none was given, a socket cannot be used, or an option is invalid.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing listens.
    pub async fn listen(self) -> io::Result<Server<R>> {
        self.start(Vec::new()).await
    }

    /// Makes a server that listens on no address. It gets streams from
    /// [`handle_stream`](crate::Server::handle_stream), or requests from another HTTP server.
    /// [`serve`](crate::Server::serve) and [`accept`](crate::Server::accept) only wait until it closes.
    ///
    /// # Errors
    ///
    /// Fails if an option is invalid, and if there is a [`listener`](Self::listener): this server would not listen on it.
    pub fn build(mut self) -> Result<Server<R>, ConfigError> {
        if !self.sockets.is_empty() {
            let (option, reason) = (
                "listener",
                "a server of build does not listen; use listen or bind",
            );
            return Err(ConfigError::Unused { option, reason });
        }
        let backplane = self.take_backplane();
        let settings = self.finish()?;
        Ok(Server::new(
            R::default(),
            settings,
            None,
            Vec::new(),
            backplane,
        ))
    }

    /// Makes a server and listens on an address. Port 0 means any free port.
    ///
    /// A name such as `localhost`, or a list, can have several addresses. The server listens on all of them,
    /// with one common port if the port is 0. It skips addresses that this machine does not have, with a line
    /// in the log, as long as one is left. [`Server::local_addrs`] returns the result.
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be resolved, the server cannot listen on it, or an option is invalid. With
    /// several addresses it fails if one of them is in use or not permitted, because clients that try this
    /// address would reach another program.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing listens.
    pub async fn bind(self, addr: impl ToSocketAddrs) -> io::Result<Server<R>> {
        // The lookup blocks. That is acceptable, because it happens once, before the server has a client.
        let addrs = addr.to_socket_addrs().map(Iterator::collect);
        self.start(addrs?).await
    }

    async fn start(mut self, addrs: Vec<SocketAddr>) -> io::Result<Server<R>> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let backplane = self.take_backplane();
        let sockets = std::mem::take(&mut self.sockets);
        let settings = self.finish().map_err(invalid)?;
        let is_required = settings.cluster.is_required && backplane.is_some();
        let server = Server::listen(R::default(), settings, sockets, addrs, backplane).await?;
        if is_required {
            server.require_cluster().await?;
        }
        Ok(server)
    }

    /// A server alone keeps its logs in its own memory.
    fn take_backplane(&mut self) -> Option<StartBackplane<R>> {
        let has_logs = !self.settings.cluster.logs.is_empty();
        let backplane = self.backplane.take();
        backplane.or_else(|| {
            has_logs.then(|| -> StartBackplane<R> {
                Box::new(|runtime, shared| cluster::start(runtime, shared, MemoryBackplane::new()))
            })
        })
    }

    /// Adds to the list of origins.
    fn allow(mut self, more: Result<OriginPolicy, ConfigError>) -> Self {
        match more {
            Ok(more) => {
                let policy = self.settings.config.get_origins().clone().and(more);
                self.origins(policy)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Checks all options.
    ///
    /// # Errors
    ///
    /// Returns the error of the first invalid option.
    fn finish(self) -> Result<ServerSettings, ConfigError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.settings.connection.check()?;
        // Zero would fail every body that does not arrive with its head.
        if self.settings.http.body_timeout == Some(Duration::ZERO) {
            let option = "body_timeout";
            return Err(ConfigError::ZeroWait { option });
        }
        let mut settings = self.settings;
        // The options of connections are set beside the others and joined once here, because a setter of
        // `ServerConfig` would replace all of them.
        settings.config = settings.config.connection(settings.connection.clone());
        #[cfg(all(feature = "http2", feature = "rustls"))]
        if settings.http.http2 {
            settings.tls = settings.tls.map(ServerTls::with_http2);
        }
        #[cfg(feature = "rustls")]
        if settings.tls.is_some() {
            settings.config = settings.config.secure(true);
        }
        Ok(settings)
    }
}

impl<R> std::fmt::Debug for ServerBuilder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.settings.config)
            .field("connection", &self.settings.connection)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
