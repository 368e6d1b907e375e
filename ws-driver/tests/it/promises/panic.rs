//! P8: a panic in a handler ends that connection only.

use std::sync::{Arc, Mutex};

use ws_driver::{ConnectionId, ConnectionInfo, Observer};

use super::frames::{closing, texted};
use ws_testing::sim::peer::{OK_6455, RFC6455, close, frames, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, serve};

#[derive(Clone, Default)]
struct Panics(Arc<Mutex<Vec<ConnectionId>>>);

impl Observer for Panics {
    fn panicked(&self, info: &ConnectionInfo) {
        self.0.lock().unwrap().push(info.id);
    }
}

/// The peer gets what was sent before and then 1011, the observer is told once, the other connections
/// and new ones work. Breaks if the panic is not caught: then it ends the executor.
#[test]
fn p8_a_panic_in_a_handler_ends_that_connection_only() {
    Sim::run(async |sim| {
        let panics = Panics::default();
        let server = Server::builder().observer(panics.clone());
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, |mut connection| {
            if connection.request().unwrap().path() == "/now" {
                panic!("a handler panics before it has a future, as this test wants");
            }
            async move {
                while let Some(message) = connection.recv().await {
                    connection.send(message.clone()).await.unwrap();
                    if message.as_text() == Some("panic") {
                        panic!("a handler panics, as this test wants");
                    }
                }
            }
        });
        let mut other = Peer::open(&sim, server.local_addr()).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let answer = peer.ask([text("panic"), text("unread")].concat()).await;
        assert_eq!(frames(&answer), [texted("panic"), closing(1011)]);
        assert_eq!(panics.0.lock().unwrap().len(), 1);
        assert_eq!(peer.ask(close(1011)).await, b"");
        assert!(peer.has_ended());
        peer.end().await;
        sim.settle().await;

        let mut peer = Peer::connect(&sim, server.local_addr());
        let answer = peer.ask(RFC6455.replace("/chat", "/now")).await;
        assert_eq!(frames(&answer[OK_6455.len()..]), [closing(1011)]);
        peer.ask(close(1011)).await;
        peer.end().await;
        sim.settle().await;
        assert_eq!(panics.0.lock().unwrap().len(), 2);
        assert_eq!(server.clients().len(), 1);

        assert_eq!(frames(&other.ask(text("hi")).await), [texted("hi")]);
        let mut new = Peer::open(&sim, server.local_addr()).await;
        assert_eq!(frames(&new.ask(text("hi")).await), [texted("hi")]);
        assert_eq!(panics.0.lock().unwrap().len(), 2);
    });
}
