//! The beginning of a connection, after an opening handshake of this crate or another one.

use std::sync::Arc;
use std::time::Instant;

use super::Connection;
use super::assembler::Assembler;
use super::closing::Phase;
use super::event_queue::EventQueue;
use super::rate_limit::RateLimiter;
use super::round_trip::Latency;
use super::stall::Stall;
use super::timers::Timers;
use crate::config::ConnectionConfig;
use crate::deflate::{Compression, DeflateTerms};
use crate::frame::Codec;
use crate::outgoing::{InFlight, Outgoing};
use crate::randomness::Randomness;
use crate::state::Role;
use crate::version::Version;

/// The outcome of an opening handshake, for its connection.
pub(crate) struct Opened<'a> {
    pub(crate) role: Role,
    pub(crate) version: Version,
    pub(crate) config: Arc<ConnectionConfig>,
    /// The end of the handshake, which is written before anything else.
    pub(crate) outgoing: Outgoing,
    /// The source of masking keys, if this side masks.
    pub(crate) masks: Option<Box<dyn Randomness>>,
    /// The terms of compression, if it was agreed on.
    pub(crate) deflate: Option<&'a DeflateTerms>,
    /// The bytes that came after the handshake.
    pub(crate) early: &'a [u8],
    /// Whether the peer may use the close codes of versions 7 and 8.
    pub(crate) legacy_close_codes: bool,
}

impl Opened<'_> {
    /// Makes an outcome with what each handshake has. The rest is empty.
    fn new(role: Role, version: Version, config: ConnectionConfig) -> Self {
        Self {
            role,
            version,
            config: Arc::new(config),
            outgoing: Outgoing::new(),
            masks: None,
            deflate: None,
            early: b"",
            legacy_close_codes: false,
        }
    }
}

impl Connection {
    /// Makes a server's connection on a stream whose opening handshake was done elsewhere.
    pub fn server(version: Version, config: ConnectionConfig, now: Instant) -> Self {
        Self::after_handshake(Opened::new(Role::Server, version, config), now)
    }

    /// Makes a client's connection on a stream whose opening handshake was done elsewhere.
    pub fn client(
        version: Version,
        config: ConnectionConfig,
        now: Instant,
        masks: Box<dyn Randomness>,
    ) -> Self {
        let opened = Opened {
            masks: Some(masks),
            ..Opened::new(Role::Client, version, config)
        };
        Self::after_handshake(opened, now)
    }

    /// Makes the connection that follows an opening handshake.
    pub(crate) fn after_handshake(opened: Opened<'_>, now: Instant) -> Self {
        let Opened {
            role,
            version,
            config,
            outgoing,
            masks,
            deflate,
            early,
            legacy_close_codes,
        } = opened;
        let limiter = config
            .receive_rate_limit
            .map(|_| Box::new(RateLimiter::new()));
        let masks = masks.filter(|_| version.features().masking && role == Role::Client);
        let timers = Timers::new(now);
        let begun = timers.moment(now);
        let mut connection = Self {
            role,
            version,
            codec: Codec::new(version, role, &config, masks),
            assembler: Assembler::default(),
            compression: Compression::new(None),
            phase: Phase::Open(limiter),
            legacy_close_codes,
            events: EventQueue::default(),
            outgoing,
            in_flight: InFlight::default(),
            ping_end: 0,
            pings: None,
            latency: Latency::UNKNOWN,
            timers,
            last_read: begun,
            keepalive_steps: 0,
            paused: false,
            drains: false,
            stall: Stall::new(begun),
            watches_writing: false,
            open_message: None,
            stream_ended: false,
            stream_broken: false,
            closed: None,
            messages_received: 0,
            bytes_received: 0,
            pings_sent: 0,
            pings_received: 0,
            control_queued: 0,
            config,
        };
        connection.start_keepalive(now);
        connection.set_compression(deflate);
        // Last, because these bytes can be compressed messages.
        connection.handle_read(now, early);
        connection
    }
}
