//! The names that every adapter gives to its users: what is not generic over a runtime.

/// The TLS library, for configurations of one's own.
#[cfg(feature = "rustls")]
pub use rustls;
pub use ws_proto::{
    self, ABNORMAL, ClientConfig, CloseCause, CloseCode, Closed, ConfigError, ConnectionConfig,
    Event, Fragment, HandshakeError, Host, HostPolicy, Initiator, InvalidCloseCode, Message,
    NO_STATUS, Origin, OriginPolicy, OriginRule, ParseVersionError, Payload, PreparedMessage,
    ProtocolError, Redacted, Refusal, RequestHead, ResponseHead, SendError, State, Subprotocol,
    Utf8Bytes, Version, Versions,
};

#[cfg(feature = "deflate")]
pub use ws_proto::Deflate;

pub use crate::client::{ConnectError, ConnectStage};
pub use crate::clients::{ClientError, Clients, Topic};
pub use crate::connect_options::ConnectOptions;
pub use crate::connection::{Connection, RecvFuture, SendFuture};
pub use crate::counters::{
    CloseCounts, ConnectionCounters, RejectionCounts, ServerCounters, VersionCounts,
};
pub use crate::http::service::{HttpService, RequestBody};
pub use crate::id::{ConnectionId, ParseConnectionIdError};
pub use crate::observer::{ConnectionInfo, Observer};
#[cfg(feature = "proxy")]
pub use crate::proxy::{Proxy, ProxyError};
pub use crate::reach::{Attempts, FailedAttempt};
pub use crate::rejected::Rejected;
pub use crate::sender::Sender;
pub use crate::server::ShutdownReport;
#[cfg(feature = "hyper")]
pub use crate::server::door::{AnswerBody, is_extended_connect};
pub use crate::server::upgrade::{Answer, Upgrade};
pub use crate::slow_peer::SlowPeer;
#[cfg(feature = "rustls")]
pub use crate::tls::{CertificateProblem, ClientTls, ServerTls, TlsConfigError, TlsError};
pub use crate::tls::{TlsInfo, TlsVersion};
pub use crate::topics::{TOPIC_NAME_LIMIT, TopicError};
pub use crate::try_send::TrySendError;
#[cfg(feature = "hyper")]
pub use ws_proto::is_upgrade;
