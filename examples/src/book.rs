//! Compiles and runs the programs of the pages in the folders of docs/. The pages beside these folders are documentation of
//! the crates, which compile their programs themselves.

#[doc = include_str!("../../docs/tutorial/1-echo.md")]
pub struct TutorialEcho;

#[doc = include_str!("../../docs/how-to/authentication.md")]
pub struct Authentication;

#[doc = include_str!("../../docs/how-to/graceful-shutdown.md")]
pub struct GracefulShutdown;

#[doc = include_str!("../../docs/how-to/health-checks.md")]
pub struct HealthChecks;

#[doc = include_str!("../../docs/how-to/memory.md")]
pub struct Memory;

#[doc = include_str!("../../docs/how-to/reading-and-writing.md")]
pub struct ReadingAndWriting;

#[doc = include_str!("../../docs/how-to/reconnecting.md")]
pub struct Reconnecting;

#[doc = include_str!("../../docs/how-to/user-topics.md")]
pub struct UserTopics;

#[doc = include_str!("../../docs/migration/axum.md")]
pub struct Axum;

#[doc = include_str!("../../docs/migration/fastwebsockets.md")]
pub struct Fastwebsockets;

#[doc = include_str!("../../docs/migration/node-ws.md")]
pub struct NodeWs;

#[doc = include_str!("../../docs/migration/socket-io.md")]
pub struct SocketIo;

#[doc = include_str!("../../docs/migration/tungstenite.md")]
pub struct Tungstenite;
