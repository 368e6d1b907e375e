//! Connections over TLS: of a client, and of a server.

use std::pin::pin;
use std::time::Duration;

use ws_driver::{
    ClientConfig, ClientTls, ConnectConfig, ConnectError, Connection, Runtime, ServerTls,
    connect_over, connect_with,
};
use ws_testing::certificates::Authority;

use super::connecting::connect_or_give_up;
use super::polling::{DROPS, assert_nothing_left, at_every_poll, numbered, polled, spawned};
use ws_testing::sim::{ANY, Server, Sim, echo, seconds, serve};

/// What a server is certified by, and its clients trust.
pub(super) struct Trust {
    pub(super) tls: ServerTls,
    root: String,
}

impl Trust {
    /// Certifies servers by their names or their addresses.
    pub(super) fn new(hosts: &[&str]) -> Self {
        let authority = Authority::new("an authority");
        let pems = authority.certify(hosts);
        let tls = ServerTls::from_pem(pems.certificate.as_bytes(), pems.key.as_bytes());
        Self {
            tls: tls.unwrap(),
            root: authority.root(),
        }
    }

    /// Makes the options of a client that has not met the server yet: the handshake with one that it
    /// has is shorter.
    pub(super) fn options(&self) -> ConnectConfig {
        ConnectConfig::new().tls(ClientTls::roots_from_pem(self.root.as_bytes()).unwrap())
    }
}

/// Bytes that are on their way at once: the flights of TLS are longer, so they take many polls.
pub(super) const NARROW: usize = 30;

/// A client that gives up in the handshake of TLS, or before or behind it, leaves nothing behind.
fn assert_a_dropped_connect_leaves_nothing(
    connect: impl AsyncFn(&str, &ConnectConfig) -> Result<Connection, ConnectError> + Copy,
) {
    let trust = &Trust::new(&["127.0.0.1"]);
    at_every_poll(20, |sim, polls| async move {
        let builder = Server::builder().tls(trust.tls.clone());
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        sim.narrow(NARROW);
        let (url, options) = (url(&server), trust.options());
        let connect = async || connect(&url, &options).await;
        let is_open = connect_or_give_up(&sim, polls, &server, connect).await;
        server.close();
        assert_nothing_left(&sim, &server).await;
        is_open
    });
}

fn url(server: &Server) -> String {
    format!("wss://{}/", server.local_addr())
}

#[test]
fn connect_with_tls() {
    assert_a_dropped_connect_leaves_nothing(async |url, options| {
        connect_with::<Sim>(url, options).await
    });
}

#[test]
fn connect_over_with_tls() {
    assert_a_dropped_connect_leaves_nothing(async |url, options| {
        let (_, addr) = url.trim_end_matches('/').split_once("://").unwrap();
        let stream = Sim::default().connect(addr.parse().unwrap()).await?;
        connect_over::<Sim, _>(stream, url, options).await
    });
}

/// An `accept` that is dropped while clients are in the handshake of TLS loses none of them: each is
/// handed out later, once, with what came early.
#[test]
fn accept_over_tls() {
    let trust = &Trust::new(&["127.0.0.1"]);
    at_every_poll(20, |sim, polls| async move {
        let builder = Server::builder().tls(trust.tls.clone());
        let server = builder.bind(ANY).await.unwrap();
        sim.narrow(NARROW);
        let clients = [0, 1].map(|number| {
            let (url, options) = (url(&server), trust.options());
            spawned(&sim, async move {
                let mut connection = connect_with::<Sim>(&url, options).await.unwrap();
                connection.send(numbered(number)).await.unwrap();
                connection.recv().await;
                connection.closed().unwrap()
            })
        });
        let (mut connections, mut was_dropped) = (Vec::new(), false);
        for _ in 0..DROPS {
            match polled(polls, server.accept()).await {
                Some(connection) => connections.push(connection.unwrap().unwrap()),
                None => was_dropped = true,
            }
            if connections.len() == clients.len() {
                break;
            }
        }
        while connections.len() < clients.len() {
            let accepted = sim.within(seconds(1), server.accept()).await;
            connections.push(accepted.unwrap().unwrap().unwrap());
        }
        let mut messages = Vec::new();
        for connection in &mut connections {
            let message = sim.within(seconds(1), connection.recv()).await;
            messages.push(message.unwrap().unwrap().as_text().unwrap().to_owned());
        }
        messages.sort();
        assert_eq!(messages, [numbered(0), numbered(1)], "after {polls} polls");
        drop(connections);
        assert_nothing_left(&sim, &server).await;
        assert_eq!(sim.set_timers(), 0, "after {polls} polls");
        for client in clients {
            let closed = client.lock().unwrap().take().unwrap();
            assert_eq!((closed.code, closed.clean), (1000, true));
        }
        !was_dropped
    });
}

/// A shutdown waits for no handshake of TLS, however far it is: nothing of it is left, though the client
/// does not move any more, and the client sees the end when it does. Who is open by then is told to go.
#[test]
fn shutdown_in_the_handshake_of_tls() {
    let trust = &Trust::new(&["127.0.0.1"]);
    at_every_poll(20, |sim, polls| async move {
        let builder = Server::builder().tls(trust.tls.clone());
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        sim.narrow(NARROW);
        let options = trust.options().connect_timeout(None);
        let (url, options) = (url(&server), options.client(without_timeout()));
        let mut client = pin!(async {
            let mut connection = connect_with::<Sim>(&url, options).await?;
            assert_eq!(connection.recv().await, None);
            Ok::<_, ConnectError>(connection.closed().unwrap())
        });
        assert!(polled(polls, client.as_mut()).await.is_none());
        let is_open = server.clients().len() == 1;
        let shutting = server.clone();
        let report = spawned(&sim, async move { shutting.shutdown(seconds(1)).await });
        sim.settle().await;
        // What arrived with the shutdown can still open.
        if server.clients().is_empty() {
            assert_eq!(sim.live_tasks(), 0, "after {polls} polls");
            assert_eq!(sim.set_timers(), 0, "after {polls} polls");
        }
        // Who was not even accepted hears of the end when nobody listens any more.
        drop(server);
        let told = sim.within(Duration::from_millis(1), client).await;
        let told = told.expect("it is told at once");
        assert!(!is_open || told.is_ok(), "after {polls} polls: {told:?}");
        if let Ok(closed) = told {
            assert_eq!((closed.code, closed.clean), (1001, true));
        }
        sim.settle().await;
        let report = report.lock().unwrap().take().expect("it is over");
        assert_eq!((report.closed, report.aborted), (usize::from(is_open), 0));
        assert_eq!(sim.live_tasks(), 0, "after {polls} polls");
        assert_eq!(sim.set_timers(), 0, "after {polls} polls");
        is_open
    });
}

fn without_timeout() -> ClientConfig {
    ClientConfig::new().handshake_timeout(None)
}

/// A client of something else that gives up closes its stream.
#[test]
fn tls_for_something_else() {
    let trust = &Trust::new(&["127.0.0.1"]);
    at_every_poll(10, |sim, polls| async move {
        let builder = Server::builder().tls(trust.tls.clone());
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        sim.narrow(NARROW);
        let stream = sim.connect(server.local_addr()).await.unwrap();
        let tls = ClientTls::roots_from_pem(trust.root.as_bytes()).unwrap();
        let opened = polled(polls, tls.connect(stream, "127.0.0.1")).await;
        let is_open = opened.is_some_and(|opened| opened.is_ok());
        server.close();
        assert_nothing_left(&sim, &server).await;
        is_open
    });
}
