//! What answers requests that another server read.

use std::pin::Pin;
use std::task::Poll;

use super::ending::assert_report;
use super::polling::{at_every_poll, polled};
use ws_testing::sim::{Server, seconds, yield_now};

/// What is dropped before it answers a request that another server read leaves nothing behind; what
/// is accepted and then not given a stream, neither.
fn assert_a_dropped_answer_leaves_nothing(
    answer: impl AsyncFn(&Server, &mut http::Request<Stuck>) -> http::StatusCode + Copy,
) {
    at_every_poll(2, |sim, polls| async move {
        let decide = |upgrade: ws_driver::Upgrade| async move {
            yield_now().await;
            upgrade.accept()
        };
        let server = Server::builder().on_upgrade(decide).build().unwrap();
        let mut request = http::Request::new(Stuck(3));
        for (name, value) in [
            ("Host", "a"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        // That of a request which hyper did not read: it fails when it is asked for the stream.
        let on_upgrade = hyper::upgrade::on(http::Request::new(()));
        request.extensions_mut().insert(on_upgrade);
        let status = polled(polls, answer(&server, &mut request)).await;
        if let Some(status) = status {
            assert_eq!(status, http::StatusCode::SWITCHING_PROTOCOLS);
        }
        sim.settle().await;
        assert_eq!(sim.live_tasks(), 0);
        let report = sim.within(seconds(1), server.shutdown(seconds(2))).await;
        assert_report(report.expect("nothing is left"), 0);
        status.is_some()
    });
}

/// A body that takes some polls to say that it is empty.
struct Stuck(u8);

impl http_body::Body for Stuck {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::convert::Infallible>>> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

#[test]
fn handle_request() {
    assert_a_dropped_answer_leaves_nothing(async |server, request| {
        let handler = |_| async { panic!("it never opens") };
        server.handle_request(request, None, handler).await.status()
    });
}

#[test]
fn examine_request() {
    assert_a_dropped_answer_leaves_nothing(async |server, request| {
        let upgrade = server.examine_request(request, None).await.unwrap();
        let handler = |_| async { panic!("it never opens") };
        upgrade.accept(handler).status()
    });
}
