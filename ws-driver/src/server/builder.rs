//! Gathers the options of a server.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use ws_proto::{ConfigError, HostPolicy, OriginPolicy, Subprotocol, Versions};

use super::Server;
use super::http::service::{HttpService, RequestService};
use super::options::Options;
use super::upgrade::{Answer, Upgrade};
use crate::driver::slow_peer::SlowPeer;
use crate::observe::Observer;
use crate::observe::debug_lines::DebugLines;
use crate::runtime::Runtime;
#[cfg(feature = "rustls")]
use crate::tls::ServerTls;

/// Sets the options of a [`Server`]; [`bind`](Self::bind) makes it, or [`build`](Self::build) one that
/// listens on nothing.
///
/// `None` means unlimited, or never, for a wait; zero means zero.
#[must_use]
pub struct ServerBuilder<R> {
    options: Options,
    /// The first option that makes no sense; `bind` tells.
    error: Option<ConfigError>,
    runtime: PhantomData<fn() -> R>,
}

macro_rules! setters {
    ($field:ident: $($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            self.options.$field = self.options.$field.$name($name);
            self
        })+
    };
}

impl<R: Runtime + Default> ServerBuilder<R> {
    pub(super) fn new() -> Self {
        Self {
            options: Options::default(),
            error: None,
            runtime: PhantomData,
        }
    }

    setters! { config:
        /// Limits the header lines of a request: 100.
        header_limit: usize,
        /// Rejects draft-76 requests without an `Origin`: on.
        require_origin: bool,
        /// Says that clients reach this server over TLS, so that locations in the drafts' answers
        /// begin with `wss`: off.
        secure: bool,
    }

    setters! { connection:
        /// Limits a received message, in bytes: 1 MiB. A larger one closes the connection with 1009.
        message_limit: Option<usize>,
        /// Limits one received frame, in bytes: unlimited, as the message limit holds anyway.
        frame_limit: Option<usize>,
        /// Limits the fragments of a received message: 4096.
        fragment_limit: Option<usize>,
        /// Limits the bytes that wait to be written on a connection: 256 KiB. A
        /// [`send`](crate::Connection::send) waits at it; what a send by id or a broadcast does is
        /// up to [`slow_peer`](Self::slow_peer).
        send_queue_limit: Option<usize>,
        /// Limits the bytes of received messages that wait for the handler: 256 KiB. Reading stops
        /// at it, so that the peer has to wait.
        receive_queue_limit: Option<usize>,
        /// Pings a peer that has been silent for so long: 20 s. RFC 6455 only. Each connection takes a random part of up
        /// to a quarter off it, so that the pings of many are spread.
        keepalive_interval: Option<Duration>,
        /// Closes a connection on which nothing arrives for so long after a ping: 20 s.
        pong_timeout: Option<Duration>,
        /// Closes a connection on which bytes wait to be written and the peer takes none for so long, or
        /// up to half as long again: 60 s. It bounds a [`send`](crate::Connection::send) that waits.
        stall_timeout: Option<Duration>,
        /// Closes a connection with 1008 if less than 4 KiB of a message that began arrive in so long, or up to twice as
        /// long: 60 s. With [`receive_fragments`](Self::receive_fragments) a message may take for ever.
        message_timeout: Option<Duration>,
        /// Bounds each wait of the closing handshake: 10 s.
        close_timeout: Option<Duration>,
        /// Gives a message to [`recv_fragment`](crate::Connection::recv_fragment) in parts, as they
        /// arrive: off. The message limit still holds; lift it if it is to.
        receive_fragments: bool,
        /// Gives pings and pongs to [`recv_event`](crate::Connection::recv_event): off. Pings are answered
        /// either way.
        control_events: bool,
        /// Replaces invalid UTF-8 in text of the drafts by U+FFFD instead of closing: off.
        replace_invalid_utf8: bool,
        /// Skips frames of the drafts that no client may send instead of closing: off.
        skip_unknown_frames: bool,
    }

    /// Sets the versions that are spoken: all of them by default. A version that is off is refused.
    pub fn versions(mut self, versions: impl Into<Versions>) -> Self {
        self.options.config = self.options.config.versions(versions);
        self
    }

    /// Bounds the whole opening handshake, the answer of `on_upgrade` included, the wait for each
    /// plain request, and each wait for a client to take some of an answer to one: 10 s.
    pub fn handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.config = self.options.config.handshake_timeout(timeout);
        self
    }

    /// Compresses messages where the client offers permessage-deflate (RFC 7692), which browsers do: off.
    /// A broadcast is compressed once for all. What it costs, and when it should stay off, is in
    /// docs/compression.md. For one upgrade [`Answer::deflate`](crate::Answer::deflate) can say otherwise.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: impl Into<Option<ws_proto::Deflate>>) -> Self {
        let deflate = deflate.into();
        self.options.config = self.options.config.deflate(deflate.clone());
        self.options.registry.deflate = deflate;
        self
    }

    /// Limits the request head, in bytes: 16 KiB.
    pub fn head_limit(mut self, limit: usize) -> Self {
        self.options.config = self.options.config.head_limit(limit);
        self
    }

    /// Sets which origins may open a connection: any by default. A browser names the page's origin;
    /// list yours if connections are trusted because of cookies or of where they come from.
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.options.config = self.options.config.origins(policy);
        self
    }

    /// Lets only these origins open a connection, for instance `["https://example.com"]`, besides those that
    /// a list allowed before. [`SameHost`](OriginPolicy::SameHost) is not a list and gives way to these. Opaque
    /// ones such as `file://` and `null` are compared as a whole. An origin that is malformed, or could never
    /// match, makes [`bind`](Self::bind) fail; so does one with a path, even `/`.
    pub fn allow_origins<T: AsRef<str>>(self, origins: impl IntoIterator<Item = T>) -> Self {
        self.allow(OriginPolicy::list(origins))
    }

    /// Lets the origins of all hosts below these open a connection, besides those that were allowed before:
    /// `["https://example.com"]` allows `https://www.example.com`, but not `https://example.com`, which
    /// [`allow_origins`](Self::allow_origins) can add. See
    /// [`OriginRule::Subdomains`](crate::ws_proto::OriginRule::Subdomains). One that has no subdomains makes
    /// [`bind`](Self::bind) fail.
    pub fn allow_subdomains_of<T: AsRef<str>>(self, origins: impl IntoIterator<Item = T>) -> Self {
        self.allow(OriginPolicy::List(Vec::new()).and_subdomains_of(origins))
    }

    /// Lets upgrades be asked of these hosts only, for instance `["example.com", "localhost:9000"]`: any by
    /// default. Another one is answered with 421, in every version and through every integration. One
    /// without a port stands for all ports. It keeps pages out whose name was made to point here (DNS
    /// rebinding), which pass [`SameHost`](OriginPolicy::SameHost). A host that is malformed makes
    /// [`bind`](Self::bind) fail. A second call replaces the list; an empty list allows no host. Plain HTTP is for
    /// `on_request` to check.
    pub fn hosts<T: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = T>) -> Self {
        match HostPolicy::list(hosts) {
            Ok(policy) => self.options.config = self.options.config.hosts(policy),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Sets the subprotocols that are spoken, best first: none by default. The server's order
    /// decides. One that is malformed makes [`bind`](Self::bind) fail.
    pub fn subprotocols<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        let parse = |name: T| name.as_ref().parse::<Subprotocol>();
        match names.into_iter().map(parse).collect::<Result<Vec<_>, _>>() {
            Ok(names) => self.options.config = self.options.config.subprotocols(names),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Says what happens, in readable lines through `tracing` (level `DEBUG`, target `ws`), and tells clients why:
    /// a rejected one in the body of the answer, and one whose connection breaks a rule in the reason of the close
    /// frame (RFC 6455, `close_reasons` of a [`ConnectionConfig`](crate::ConnectionConfig)). Off.
    pub fn debug(mut self, debug: bool) -> Self {
        self.options.config = self.options.config.reveal_reasons(debug);
        self.options.connection = self.options.connection.close_reasons(debug);
        if debug {
            self.options.observers.add(DebugLines);
        }
        self
    }

    /// Adds an observer.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.options.observers.add(observer);
        self
    }

    /// Speaks TLS on the port, and nothing else: every version and plain HTTP are inside of it. Off by
    /// default; needs the feature `rustls`. It sets [`secure`](Self::secure), too, and its handshake
    /// counts to the [`handshake_timeout`](Self::handshake_timeout). Streams that are [handed
    /// in](crate::Server::handle_stream), and requests that another HTTP server read, come as they are.
    #[cfg(feature = "rustls")]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.options.tls = Some(tls);
        self
    }

    /// Limits the streams that are open or being opened: unlimited by default. At the limit no
    /// stream is accepted until one has gone.
    pub fn connection_limit(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.options.connection_limit = limit.into();
        self
    }

    /// Lets several servers listen on the same address, if all of them say so: off. The system shares
    /// the streams that arrive between them (`SO_REUSEPORT`), so a server for each thread, on a runtime
    /// of its own, keeps all cores busy. Each knows its own connections only: its ids, topics,
    /// [`connection_limit`](Self::connection_limit) and counters are not those of the others.
    ///
    /// Where the system has nothing of the kind, as Windows, [`bind`](Self::bind) fails.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.options.bind.reuse_port = reuse_port;
        self
    }

    /// Sets what a send by id or a broadcast does when the send queue of a peer is at the
    /// [`send_queue_limit`](Self::send_queue_limit): closes the connection with 1013 by default.
    pub fn slow_peer(mut self, policy: SlowPeer) -> Self {
        self.options.registry.slow_peer = policy;
        self
    }

    /// Limits the topics that one connection can have [joined](crate::Connection::join): 64.
    pub fn topic_limit(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.options.registry.topic_limit = limit.into();
        self
    }

    /// Decides on each upgrade request, and may wait for it: looks at cookies, asks a database.
    /// Without it every request that passes the checks is accepted.
    pub fn on_upgrade<F, A>(mut self, decide: F) -> Self
    where
        F: Fn(Upgrade) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        self.options.on_upgrade = Some(Arc::new(move |upgrade| Box::pin(decide(upgrade))));
        self
    }

    /// Answers plain HTTP requests on the same port: a closure from request to response, or a tower
    /// service such as an axum `Router`. Without it they are answered with 426.
    ///
    /// ```ignore
    /// .on_request(|request: http::Request<RequestBody>| async move {
    ///     http::Response::new(format!("you asked for {}", request.uri()))
    /// })
    /// ```
    pub fn on_request<M>(mut self, service: impl HttpService<M>) -> Self {
        self.options.on_request = Some(RequestService::new(service));
        self
    }

    /// Bounds the waits for the body of a plain HTTP request, and for a client to take the answer: 30 s.
    /// In so much time of waiting, all waits together, 16 KiB have to pass, or what is left; then it
    /// begins anew. A [`RequestBody`](crate::RequestBody) that comes too slowly fails, and a stream that
    /// takes an answer too slowly is dropped; one that takes nothing at all, after the
    /// [`handshake_timeout`](Self::handshake_timeout). Time in which `on_request` does not read its
    /// body, or has nothing to write, does not count. `None` is for bodies that trickle by intent.
    pub fn body_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.http.body_timeout = timeout.into();
        self
    }

    /// Makes a server that listens on nothing: streams are [handed to
    /// it](crate::Server::handle_stream), or requests that another HTTP server read.
    /// [`serve`](crate::Server::serve) and [`accept`](crate::Server::accept) only wait until it closes.
    ///
    /// # Errors
    ///
    /// Fails if an option makes no sense.
    pub fn build(self) -> Result<Server<R>, ConfigError> {
        let options = self.finish()?;
        Ok(Server::new(R::default(), options, None, Vec::new()))
    }

    /// Listens on an address; port 0 means any free port.
    ///
    /// A name such as `localhost` can have several addresses, and a list can, too: the server listens on
    /// all of them, on the same port where that is 0. Addresses that this machine does not have are left
    /// out with a line in the log, as long as there is another one.
    /// [`Server::local_addrs`] tells what came of it.
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be resolved or listened on, or an option makes no sense. If there are
    /// several, one that is in use or that may not be listened on is enough: its clients would find
    /// somebody else there.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing listens.
    pub async fn bind(self, addr: impl ToSocketAddrs) -> io::Result<Server<R>> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let options = self.finish().map_err(invalid)?;
        // Names are looked up before the server serves anybody, so this may block.
        let addrs: Vec<_> = addr.to_socket_addrs()?.collect();
        Server::listen(R::default(), options, addrs).await
    }

    /// Adds to the list of origins.
    fn allow(mut self, more: Result<OriginPolicy, ConfigError>) -> Self {
        match more {
            Ok(more) => {
                let policy = self.options.config.get_origins().clone().and(more);
                self.origins(policy)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Tells the first option that makes no sense.
    fn finish(self) -> Result<Options, ConfigError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.options.connection.check()?;
        if self.options.http.body_timeout == Some(Duration::ZERO) {
            let option = "body_timeout";
            return Err(ConfigError::ZeroWait { option });
        }
        let mut options = self.options;
        options.config = options.config.connection(options.connection.clone());
        #[cfg(feature = "rustls")]
        if options.tls.is_some() {
            options.config = options.config.secure(true);
        }
        Ok(options)
    }
}

impl<R> std::fmt::Debug for ServerBuilder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.options.config)
            .field("connection", &self.options.connection)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::observe::Observers;
    use crate::registry::RegistryConfig;
    use crate::runtime::BindConfig;
    use crate::server::options::HttpConfig;

    /// The defaults are a promise. Whoever changes one, or adds an option, changes this list: without
    /// it, a field that is new here does not compile, and one in `ws-proto` makes the text another.
    ///
    /// A client has no options but those of `ClientConfig`, which freezes its own.
    #[test]
    fn the_defaults_are_frozen() {
        let frozen = [
            "config: ServerConfig { versions: {Draft75, Draft76, Rfc6455}, origins: Any, hosts: Any, \
             subprotocols: [], require_origin: true, secure: false, head_limit: 16384, \
             header_limit: 100, handshake_timeout: Some(10s), reveal_reasons: false }",
            "connection: ConnectionConfig { message_limit: Some(1048576), frame_limit: None, \
             fragment_limit: Some(4096), send_queue_limit: Some(262144), \
             receive_queue_limit: Some(262144), keepalive_interval: Some(20s), \
             pong_timeout: Some(20s), stall_timeout: Some(60s), message_timeout: Some(60s), close_timeout: Some(10s), \
             replace_invalid_utf8: false, \
             skip_unknown_frames: false, control_events: false, receive_fragments: false, \
             close_reasons: false }",
            "connection_limit: None",
            "reuse_port: false",
            "slow_peer: Close",
            "topic_limit: Some(64)",
            "observers: 0",
            "on_upgrade: none",
            "on_request: none",
            "body_timeout: Some(30s)",
            #[cfg(feature = "rustls")]
            "tls: none",
        ];
        let builder = ServerBuilder::<()> {
            options: Options::default(),
            error: None,
            runtime: PhantomData,
        };
        let is_compiled = if cfg!(feature = "deflate") {
            ", deflate: None"
        } else {
            ""
        };
        let list = list(&builder).into_iter();
        let list: Vec<_> = list.map(|line| line.replace(is_compiled, "")).collect();
        assert_eq!(list, frozen);
    }

    /// Every setter is a name in the list above, or stands here for those that it sets: so a default
    /// that was forgotten there is missed.
    #[test]
    fn every_option_has_a_frozen_default() {
        let set_others = [
            ("allow_origins", "origins"),
            ("allow_subdomains_of", "origins"),
            ("debug", "reveal_reasons"),
            ("observer", "observers"),
        ];
        let builder = ServerBuilder::<()> {
            options: Options::default(),
            error: None,
            runtime: PhantomData,
        };
        let list = list(&builder).join("\n");
        let source = include_str!("builder.rs");
        let (_, source) = source.split_once("fn new()").unwrap();
        let (source, _) = source.split_once("pub fn build").unwrap();
        // As rustfmt leaves them: a method, or a line of `setters!`.
        let names = source.lines().filter_map(|line| {
            let method = line.strip_prefix("    pub fn ");
            let name = method.or_else(|| line.strip_prefix("        "))?;
            let len = name.find(|c: char| !c.is_ascii_lowercase() && c != '_' && c != '8')?;
            let is_one = method.is_some() || (len > 0 && name[len..].starts_with(": "));
            is_one.then_some(&name[..len])
        });
        let setters: Vec<_> = names.collect();
        assert_eq!(setters.len(), 36, "{setters:?}");
        let features = [
            ("deflate", cfg!(feature = "deflate")),
            ("tls", cfg!(feature = "rustls")),
        ];
        let is_compiled = |setter: &&str| {
            features
                .iter()
                .all(|(name, is_on)| name != setter || *is_on)
        };
        for setter in setters.into_iter().filter(is_compiled) {
            let other = set_others.iter().find(|(name, _)| *name == setter);
            let name = other.map_or(setter, |(_, name)| name);
            let found = list
                .split(['\n', ' '])
                .any(|word| word == format!("{name}:"));
            assert!(found, "{setter} is not in the list");
        }
    }

    /// Each option with its value, by name.
    fn list<R>(builder: &ServerBuilder<R>) -> Vec<String> {
        // Exhaustive: a new option is an error here until it is in the list.
        let ServerBuilder {
            options,
            error: None,
            runtime: PhantomData,
        } = builder
        else {
            panic!("an option makes no sense");
        };
        let Options {
            config,
            connection,
            connection_limit,
            registry:
                RegistryConfig {
                    slow_peer,
                    topic_limit,
                    #[cfg(feature = "deflate")]
                    deflate,
                },
            observers,
            on_upgrade,
            on_request,
            http: HttpConfig { body_timeout },
            #[cfg(feature = "rustls")]
            tls,
            bind: BindConfig { reuse_port, .. },
        } = options;
        // `bind` replaces the connection's options in it by those beside it.
        let inner = format!(", connection: {connection:?}");
        #[cfg(feature = "deflate")]
        assert_eq!(*deflate, None, "it is that of `config`");
        let some = |is_some| if is_some { "some" } else { "none" };
        vec![
            format!("config: {}", format!("{config:?}").replace(&inner, "")),
            format!("connection: {connection:?}"),
            format!("connection_limit: {connection_limit:?}"),
            format!("reuse_port: {reuse_port}"),
            format!("slow_peer: {slow_peer:?}"),
            format!("topic_limit: {topic_limit:?}"),
            format!("observers: {}", count(observers)),
            format!("on_upgrade: {}", some(on_upgrade.is_some())),
            format!("on_request: {}", some(on_request.is_some())),
            format!("body_timeout: {body_timeout:?}"),
            #[cfg(feature = "rustls")]
            format!("tls: {}", some(tls.is_some())),
        ]
    }

    fn count(observers: &Observers) -> usize {
        let count = Cell::new(0);
        observers.tell(|_| count.set(count.get() + 1));
        count.get()
    }
}
