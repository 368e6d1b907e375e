//! The names that every adapter re-exports: everything that is not generic over a runtime.

/// The TLS library, for custom configurations.
#[cfg(feature = "rustls")]
pub use rustls;
pub use ws_proto::{
    self, ABNORMAL, ClientConfig, ClientUrl, CloseCause, CloseCode, CloseReason, Closed,
    ConfigError, ConnectionConfig, Event, Fragment, HandshakeError, Host, HostPolicy, Initiator,
    InvalidCloseCode, InvalidText, Message, NO_STATUS, Origin, OriginPolicy, OriginRule,
    ParseVersionError, Payload, PreparedMessage, ProtocolError, Rate, RateExcess, RateLimit,
    Redacted, RequestHead, ResponseHead, Role, SendError, State, Subprotocol, UnexpectedResponse,
    Utf8Bytes, Version, Versions,
};

#[cfg(feature = "deflate")]
pub use ws_proto::Deflate;

pub use crate::client::attempts::{Attempts, FailedAttempt};
pub use crate::client::config::ConnectConfig;
pub use crate::client::error::{ConnectError, ConnectStage};
#[cfg(feature = "proxy")]
pub use crate::client::proxy::{Proxy, ProxyError};
pub use crate::client::request::{ClientRequest, IntoClientRequest};
pub use crate::cluster::channel::{Channel, ParseChannelError};
pub use crate::cluster::config::ClusterConfig;
pub use crate::cluster::counters::ClusterCounters;
pub use crate::cluster::direct::{ClusterSendError, Sent};
pub use crate::cluster::error::{BackplaneError, JoinError};
pub use crate::cluster::inbound::Gate;
pub use crate::cluster::leases::{LEASE_TIME, Lease, LeasedNode, Renewed};
pub use crate::cluster::link::ClusterHealth;
pub use crate::cluster::listing::Listing;
pub use crate::cluster::log::config::LogConfig;
pub use crate::cluster::log::position::{
    AppendError, LOG_KEY_LEN, LogAppend, LogEntry, LogEvent, LogRange, LogRead, ParsePositionError,
    Position, ResumeError, ResumeFrom, Resumed,
};
pub use crate::cluster::memory::MemoryBackplane;
pub use crate::cluster::node::Node;
pub use crate::cluster::outbox::{Batch, OutgoingMessage};
pub use crate::cluster::presence::{
    PRESENCE_SETTLED, Presence, PresenceChange, PresenceRead, PresenceStore, StoredPresence,
};
pub use crate::cluster::question::Question;
pub use crate::cluster::seat::{Backplane, InterestChange, Seat, SeatRequest, Settled};
pub use crate::cluster::store::{Answered, MemoryStore};
pub use crate::driver::round_trip::RoundTripError;
pub use crate::driver::slow_peer::SlowPeer;
pub use crate::driver::try_send::TrySendError;
pub use crate::front::forwarded::ForwardedFor;
pub use crate::front::networks::InvalidNetwork;
pub use crate::front::proxy_protocol::{ProxyProtocol, ProxyProtocolError};
pub use crate::handle::clients::{Clients, SendToError, Topic};
pub use crate::handle::cluster::{Cluster, ClusterTopic, Published};
pub use crate::handle::connection::{Connection, RecvFuture, SendFuture};
pub use crate::handle::sender::Sender;
pub use crate::handle::upgraded::Upgraded;
pub use crate::id::cluster::{ClusterId, NodeId, ParseClusterIdError};
pub use crate::id::{ConnectionId, ParseConnectionIdError};
pub use crate::observe::connecting::ConnectEvent;
pub use crate::observe::counters::{
    CloseCounts, ConnectionCounters, RejectionCounts, ServerCounters, VersionCounts,
};
pub use crate::observe::histograms::{Histogram, HistogramValues, Histograms};
pub use crate::observe::rejected::Rejected;
pub use crate::observe::{ConnectionInfo, Observer};
pub use crate::registry::addresses::AddressLimits;
pub use crate::registry::presence::{PRESENCE_DATA_LIMIT, PRESENCE_LIMIT, TrackError};
pub use crate::registry::topics::{TOPIC_NAME_LIMIT, TopicError};
pub use crate::runtime::ListeningSocket;
pub use crate::server::ShutdownReport;
pub use crate::server::http::service::{HttpService, RequestBody};
#[cfg(feature = "upgrade")]
pub use crate::server::upgrade::asked::{asks_for_websocket, is_websocket};
#[cfg(feature = "upgrade")]
pub use crate::server::upgrade::foreign::AnswerBody;
pub use crate::server::upgrade::{Answer, Upgrade};
#[cfg(feature = "rustls")]
pub use crate::tls::{CertificateProblem, ClientTls, ServerTls, TlsConfigError, TlsError};
pub use crate::tls::{TlsInfo, TlsVersion};
pub use crate::util::backoff::Backoff;
#[cfg(feature = "upgrade")]
pub use ws_proto::is_upgrade;
