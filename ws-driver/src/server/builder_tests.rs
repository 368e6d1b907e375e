//! The defaults of a server are frozen, and every option has one.

use std::cell::Cell;

use super::*;
use crate::observe::Observers;
use crate::registry::RegistryConfig;
use crate::runtime::BindConfig;
use crate::server::settings::HttpConfig;

/// The defaults are a promise. A change of a default, or a new option, has to change this list: a new field here
/// does not compile without it, and a new one in `ws-proto` changes the text.
///
/// The options of a client are frozen in `client/config.rs` and in `ClientConfig`.
#[test]
fn the_defaults_are_frozen() {
    let frozen = [
        "config: ServerConfig { versions: {Draft75, Draft76, Rfc6455}, origins: Any, hosts: Any, \
         subprotocols: [], require_origin: true, secure: false, head_limit: 16384, \
         header_limit: 100, handshake_timeout: Some(10s), reveal_reasons: false }",
        "connection: ConnectionConfig { message_limit: Some(1048576), frame_limit: None, \
         fragment_limit: Some(4096), send_queue_limit: Some(262144), \
         receive_queue_limit: Some(262144), receive_rate_limit: None, keepalive_interval: Some(20s), \
         pong_timeout: Some(20s), stall_timeout: Some(60s), message_timeout: Some(60s), close_timeout: Some(10s), \
         replace_invalid_utf8: false, \
         skip_unknown_frames: false, accept_wrong_masking: false, accept_padded_lengths: false, \
         invalid_text: Fail, control_events: false, receive_fragments: false, \
         close_reasons: false }",
        "connection_limit: None",
        "reuse_port: false",
        "slow_peer: Close",
        "topic_limit: Some(64)",
        "address_limits: AddressLimits { connections: None, handshakes_per_second: None }",
        "observers: 0",
        "histograms: None",
        "on_upgrade: none",
        "on_request: none",
        "body_timeout: Some(30s)",
        #[cfg(feature = "http2")]
        "http2: false",
        "keep_request_headers: true",
        #[cfg(feature = "rustls")]
        "tls: none",
        "proxy_protocol: None",
        "forwarded_for: None",
        "listener: []",
        "backplane: none",
        "cluster: ClusterConfig { queue_limit: 4194304, inbound_limit: 1048576, hold: 5s, \
         subscribe_timeout: 10s, node_name: \"\", is_required: false, logs: Logs([]) }",
    ];
    let builder = ServerBuilder::<()> {
        settings: ServerSettings::default(),
        error: None,
        sockets: Vec::new(),
        backplane: None,
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

/// Every setter has its name in the list above, or is listed here with the option that it sets. So a default that
/// is missing there is found.
#[test]
fn every_option_has_a_frozen_default() {
    let set_others = [
        ("allow_origins", "origins"),
        ("allow_subdomains_of", "origins"),
        ("debug", "reveal_reasons"),
        ("observer", "observers"),
    ];
    let builder = ServerBuilder::<()> {
        settings: ServerSettings::default(),
        error: None,
        sockets: Vec::new(),
        backplane: None,
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
        let len = name.find(|c: char| !c.is_ascii_lowercase() && !matches!(c, '_' | '2' | '8'))?;
        let is_one = method.is_some() || (len > 0 && name[len..].starts_with(": "));
        is_one.then_some(&name[..len])
    });
    let setters: Vec<_> = names.collect();
    assert_eq!(setters.len(), 49, "{setters:?}");
    let features = [
        ("deflate", cfg!(feature = "deflate")),
        ("http2", cfg!(feature = "http2")),
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
    // Exhaustive: a new option does not compile here until it is in the list.
    let ServerBuilder {
        settings,
        error: None,
        sockets,
        backplane,
        runtime: PhantomData,
    } = builder
    else {
        panic!("an option makes no sense");
    };
    let ServerSettings {
        config,
        connection,
        connection_limit,
        registry:
            RegistryConfig {
                slow_peer,
                topic_limit,
                address_limits,
                #[cfg(feature = "deflate")]
                deflate,
            },
        observers,
        histograms,
        on_upgrade,
        on_request,
        http:
            HttpConfig {
                body_timeout,
                #[cfg(feature = "http2")]
                http2,
            },
        forgets_request_headers,
        #[cfg(feature = "rustls")]
        tls,
        bind: BindConfig { reuse_port, .. },
        cluster,
        proxy_protocol,
        forwarded_for,
    } = settings;
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
        format!("address_limits: {address_limits:?}"),
        format!("observers: {}", count(observers)),
        format!("histograms: {histograms:?}"),
        format!("on_upgrade: {}", some(on_upgrade.is_some())),
        format!("on_request: {}", some(on_request.is_some())),
        format!("body_timeout: {body_timeout:?}"),
        #[cfg(feature = "http2")]
        format!("http2: {http2}"),
        format!("keep_request_headers: {}", !forgets_request_headers),
        #[cfg(feature = "rustls")]
        format!("tls: {}", some(tls.is_some())),
        format!("proxy_protocol: {proxy_protocol:?}"),
        format!("forwarded_for: {forwarded_for:?}"),
        format!("listener: {sockets:?}"),
        format!("backplane: {}", some(backplane.is_some())),
        format!("cluster: {cluster:?}"),
    ]
}

fn count(observers: &Observers) -> usize {
    let count = Cell::new(0);
    observers.tell(|_| count.set(count.get() + 1));
    count.get()
}
