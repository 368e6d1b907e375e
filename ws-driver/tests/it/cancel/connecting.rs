//! What opens a connection of a client.

use ws_driver::ws_proto::{ClientConfig, Version};
use ws_driver::{ConnectConfig, ConnectError, Connection, Reconnector, Runtime};

use super::polling::{assert_nothing_left, at_every_poll, polled};
use ws_testing::sim::{ANY, Server, Sim, echo, seconds, serve, yield_now};

/// A client that gives up leaves nothing behind, on either side, and the next one has a connection.
fn assert_a_dropped_connect_leaves_nothing(
    connect: impl AsyncFn(&str) -> Result<Connection, ConnectError> + Copy,
) {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        sim.chop(7);
        let url = format!("ws://{}/", server.local_addr());
        let is_open = connect_or_give_up(&sim, polls, &server, async || connect(&url).await).await;
        server.close();
        assert_nothing_left(&sim, &server).await;
        is_open
    });
}

/// Connects to an echo server and gives up after some polls, then connects again. Asserts that both
/// leave nothing: their streams are let go at once, so that who served them has ended long before a
/// timeout would have it, and no timer is left. Tells whether the first was open.
pub(super) async fn connect_or_give_up(
    sim: &Sim,
    polls: usize,
    server: &Server,
    connect: impl AsyncFn() -> Result<Connection, ConnectError>,
) -> bool {
    let others = sim.live_tasks();
    let connected = polled(polls, connect()).await;
    let is_open = connected.is_some();
    let end = async |connected: Option<Result<Connection, ConnectError>>| {
        if let Some(connection) = connected {
            let mut connection = connection.unwrap();
            connection.send("hi").await.unwrap();
            let message = sim.within(seconds(1), connection.recv()).await;
            assert_eq!(message.unwrap().unwrap().as_text(), Some("hi"));
            connection.close().await;
        }
        sim.sleep(seconds(1)).await;
        assert_eq!(server.clients().len(), 0, "dropped after {polls} polls");
        assert_eq!(sim.live_tasks(), others, "dropped after {polls} polls");
        assert_eq!(sim.set_timers(), 0, "dropped after {polls} polls");
    };
    end(connected).await;
    let again = sim.within(seconds(1), connect()).await;
    end(Some(again.expect("it opens in time"))).await;
    is_open
}

/// Between its pauses, too.
#[test]
fn reconnect() {
    assert_a_dropped_connect_leaves_nothing(async |url| {
        let mut reconnector = Reconnector::<Sim>::new(url, ConnectConfig::new())?;
        reconnector.connect().await
    });
}

#[test]
fn connect() {
    assert_a_dropped_connect_leaves_nothing(async |url| ws_driver::connect::<Sim>(url).await);
}

#[test]
fn connect_with() {
    for version in Version::ALL {
        assert_a_dropped_connect_leaves_nothing(async |url| {
            let config = ClientConfig::new().version(version);
            ws_driver::connect_with::<Sim>(url, &config).await
        });
    }
}

/// The lookup of the application, which takes a while, is dropped with the client.
#[test]
fn connect_with_a_resolver() {
    assert_a_dropped_connect_leaves_nothing(async |url| {
        let options = ConnectConfig::new().resolver(|_, port| async move {
            for _ in 0..3 {
                yield_now().await;
            }
            Ok(vec![([127, 0, 0, 1], port).into()])
        });
        let url = url.replace("127.0.0.1", "host.test");
        ws_driver::connect_with::<Sim>(&url, options).await
    });
}

#[test]
fn connect_over() {
    assert_a_dropped_connect_leaves_nothing(async |url| {
        let (_, addr) = url.trim_end_matches('/').split_once("://").unwrap();
        let stream = Sim::default().connect(addr.parse().unwrap()).await?;
        ws_driver::connect_over::<Sim, _>(stream, url, &ClientConfig::new()).await
    });
}

/// A stream for something else: who gives up leaves no attempt behind.
#[test]
fn connect_stream() {
    at_every_poll(1, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let (addr, timeout) = (server.local_addr(), seconds(5));
        let host = addr.ip().to_string();
        let stream = ws_driver::connect_stream(&sim, &host, addr.port(), timeout);
        let is_open = polled(polls, stream)
            .await
            .is_some_and(|stream| stream.is_ok());
        assert_eq!(sim.set_timers(), 0, "dropped after {polls} polls");
        server.close();
        assert_nothing_left(&sim, &server).await;
        is_open
    });
}
