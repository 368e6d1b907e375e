//! The test kit.

use ws_driver::test::Kit;
use ws_driver::ws_proto::{ClientConfig, Version};
use ws_driver::{ConnectError, Connection, RequestBody};

use super::connecting::connect_or_give_up;
use super::polling::{assert_nothing_left, at_every_poll, polled};
use ws_testing::sim::peer::{close, text};
use ws_testing::sim::{Server, Sim, echo, seconds, yield_now};

/// What a peer of the kit sends in a future that is dropped arrives in part: a prefix.
#[test]
fn send_of_a_peer() {
    at_every_poll(2, |sim, polls| async move {
        // More than the pipe and the receive queue hold.
        let message = "x".repeat(300 << 10);
        let (mut connection, mut peer) = Kit::<Sim>::scripted(Version::Rfc6455);
        let wire = text(&message);
        let sent = polled(polls, peer.send(&wire)).await.is_some();
        peer.end();
        let received = sim.within(seconds(1), connection.recv()).await.unwrap();
        assert_eq!(received.is_some(), sent, "dropped after {polls} polls");
        assert_eq!(connection.closed().is_some(), !sent);
        drop((connection, peer));
        sim.sleep(seconds(30)).await;
        assert_eq!(sim.live_tasks(), 0);
        sent
    });
}

/// What a peer of the kit had read in a future that is dropped may be lost, and nothing else: the
/// connection is as good as before.
#[test]
fn receive_of_a_peer() {
    at_every_poll(2, |sim, polls| async move {
        let (connection, mut peer) = Kit::<Sim>::scripted(Version::Rfc6455);
        let sender = connection.sender();
        sim.spawn_task(async move {
            for _ in 0..3 {
                sender.send("abc").await.unwrap();
                yield_now().await;
            }
        });
        let received = polled(polls, peer.receive(15)).await;
        let is_whole = received.is_some();
        assert!(
            received.is_none_or(|bytes| bytes.unwrap() == *b"\x81\x03abc\x81\x03abc\x81\x03abc")
        );
        sim.settle().await;
        connection.send("end").await.unwrap();
        drop(connection);
        peer.send(&close(1000)).await.unwrap();
        peer.end();
        let rest = sim.within(seconds(1), peer.receive_to_end()).await.unwrap();
        assert!(rest.unwrap().ends_with(b"\x81\x03end\x88\x02\x03\xe8"));
        sim.sleep(seconds(30)).await;
        assert_eq!(sim.live_tasks(), 0);
        is_whole
    });
}

/// The same of one that reads to the end.
#[test]
fn receive_to_end_of_a_peer() {
    at_every_poll(2, |sim, polls| async move {
        let (connection, mut peer) = Kit::<Sim>::scripted(Version::Rfc6455);
        let sender = connection.sender();
        connection.send("end").await.unwrap();
        drop(connection);
        peer.send(&close(1000)).await.unwrap();
        peer.end();
        let received = polled(polls, peer.receive_to_end()).await;
        let is_whole = received.is_some();
        let expected = b"\x81\x03end\x88\x02\x03\xe8";
        assert!(received.is_none_or(|bytes| bytes.unwrap() == *expected));
        let closed = sim.within(seconds(1), sender.wait_closed()).await.unwrap();
        assert!(
            closed.clean,
            "the connection does not need its peer to read"
        );
        sim.sleep(seconds(30)).await;
        assert_eq!(sim.live_tasks(), 0);
        is_whole
    });
}

/// A client of the kit that gives up leaves nothing behind, on either side, and the next one has a connection.
fn assert_a_dropped_connect_leaves_nothing(
    connect: impl AsyncFn(&Server) -> Result<Connection, ConnectError> + Copy,
) {
    at_every_poll(2, |sim, polls| async move {
        let server = Server::builder().build().unwrap();
        Kit::serve(&server, echo);
        let is_open =
            connect_or_give_up(&sim, polls, &server, async || connect(&server).await).await;
        server.close();
        assert_nothing_left(&sim, &server).await;
        is_open
    });
}

/// Before the server has accepted the stream, too.
#[test]
fn connect_to_a_server_in_memory() {
    assert_a_dropped_connect_leaves_nothing(async |server| Kit::connect(server, "/").await);
    assert_a_dropped_connect_leaves_nothing(async |server| Kit::client(server).connect("/").await);
    assert_a_dropped_connect_leaves_nothing(async |server| {
        let options = ClientConfig::new().version(Version::Draft76);
        Kit::client(server).connect_with("/", options).await
    });
}

/// A request that is dropped leaves no stream and no timer, and the next one is answered.
#[test]
fn request_in_memory() {
    at_every_poll(2, |sim, polls| async move {
        let builder = Server::builder().on_request(|_: http::Request<RequestBody>| async {
            http::Response::new("the page".to_owned())
        });
        let server = builder.build().unwrap();
        Kit::serve(&server, echo);
        let client = Kit::client(&server);
        let request = || client.request(http::Request::get("/").body("").unwrap());
        let answered = polled(polls, request()).await;
        let is_answered = answered.is_some();
        assert!(answered.is_none_or(|answer| answer.unwrap().body() == "the page"));
        sim.sleep(seconds(1)).await;
        assert_eq!(sim.set_timers(), 0, "dropped after {polls} polls");
        let again = sim.within(seconds(1), request()).await.unwrap();
        assert_eq!(again.unwrap().body(), "the page");
        server.close();
        assert_nothing_left(&sim, &server).await;
        assert_eq!(sim.set_timers(), 0);
        is_answered
    });
}

/// A wait that is dropped leaves no timer, and one that is not takes its time.
#[test]
fn sleep_of_the_runtime() {
    Sim::run(|sim| async move {
        for polls in 0..3 {
            let slept = polled(polls, ws_driver::sleep(&sim, seconds(1))).await;
            assert!(slept.is_none());
            assert_eq!(sim.set_timers(), 0, "dropped after {polls} polls");
        }
        let start = sim.now();
        ws_driver::sleep(&sim, seconds(1)).await;
        assert_eq!(sim.now() - start, seconds(1));
    });
}
