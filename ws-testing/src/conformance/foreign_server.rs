//! An HTTP server built on hyper, which passes upgrades to one of our servers.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::net::SocketAddr;

use ::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use ws_proto::{ClientConfig, Version};

use super::support::{ANY, Host, Peer, echo};
use ws_driver::internals::hyper_io;
use ws_driver::{
    AnswerBody, BindConfig, ConnectError, Connection, Runtime, Server, ServerBuilder, connect_with,
};

/// What the other server answers requests with.
pub(super) type Answered = Response<AnswerBody>;

/// Another server, which answers every request by a closure, until its case is over.
pub(super) struct Foreign<R: Runtime> {
    pub(super) addr: SocketAddr,
    /// Ours, which is asked for upgrades.
    pub(super) server: Host<R>,
    runtime: PhantomData<R>,
}

/// How the other server is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As most are.
    Usual,
    /// With the header names that clients of draft-75 want.
    TitleCase,
    /// Without upgrades.
    NoUpgrades,
    /// In HTTP/2, with the extended CONNECT of RFC 8441.
    #[cfg(feature = "conformance-all")]
    Http2,
}

impl<R: Runtime + Default> Foreign<R> {
    /// Starts one whose answers are made by `answer`.
    pub(super) async fn start<F>(
        server: Host<R>,
        style: Style,
        answer: impl Fn(Server<R>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answered> + Send + 'static,
    {
        let runtime = R::default();
        let options = BindConfig::default();
        let listener = runtime.bind(ANY.parse().unwrap(), &options).await.unwrap();
        let addr = runtime.local_addr(&listener).unwrap();
        let ours = server.clone();
        runtime.clone().spawn(async move {
            // Ends with the process; there are few cases.
            while let Ok((stream, _)) = runtime.accept(&listener).await {
                let io = hyper_io(runtime.clone(), stream);
                answer_on(ours.clone(), io, style, answer.clone());
            }
        });
        Self {
            addr,
            server,
            runtime: PhantomData,
        }
    }

    /// Starts one that hands all requests to a server of ours, whose handler is the echo.
    pub(super) async fn echo(builder: ServerBuilder<R>, style: Style) -> Self {
        Self::start(Host(builder.build().unwrap()), style, hand_over(echo)).await
    }

    pub(super) async fn open(&self, version: Version) -> Result<Connection, ConnectError> {
        let url = format!("ws://{}/demo", self.addr);
        connect_with::<R>(&url, &ClientConfig::new().version(version)).await
    }

    pub(super) async fn peer(&self) -> Peer<R> {
        Peer::connect_to(self.addr).await
    }
}

/// Has hyper answer the requests on a stream, in a task.
pub(super) fn answer_on<R, I, F>(
    ours: Server<R>,
    io: I,
    style: Style,
    answer: impl Fn(Server<R>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    R: Runtime + Default,
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    F: Future<Output = Answered> + Send + 'static,
{
    let runtime = R::default();
    let service = service_fn(move |request| {
        let answered = answer(ours.clone(), request);
        Box::pin(async move { Ok::<_, Infallible>(answered.await) })
    });
    #[cfg(feature = "conformance-all")]
    if style == Style::Http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(Spawner(runtime.clone()));
        let connection = builder
            .enable_connect_protocol()
            .serve_connection(io, service);
        return runtime.spawn(async move { drop(connection.await) });
    }
    let mut builder = http1::Builder::new();
    builder.title_case_headers(style == Style::TitleCase);
    let connection = builder.serve_connection(io, service);
    if style == Style::NoUpgrades {
        runtime.spawn(async move { drop(connection.await) });
    } else {
        let connection = connection.with_upgrades();
        runtime.spawn(async move { drop(connection.await) });
    }
}

/// Spawns the tasks of a session.
#[cfg(feature = "conformance-all")]
#[derive(Clone)]
struct Spawner<R>(R);

#[cfg(feature = "conformance-all")]
impl<R: Runtime, F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner<R> {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// Hands requests over to a server of ours, with a handler.
pub(super) fn hand_over<R, H, F>(
    handler: H,
) -> impl Fn(Server<R>, Request<Incoming>) -> std::pin::Pin<Box<dyn Future<Output = Answered> + Send>>
+ Clone
+ Send
+ Sync
+ 'static
where
    R: Runtime,
    H: Fn(Connection) -> F + Clone + Send + Sync + 'static,
    F: Future + Send + 'static,
{
    move |server, mut request| {
        let handler = handler.clone();
        Box::pin(async move { server.handle_request(&mut request, None, handler).await })
    }
}
