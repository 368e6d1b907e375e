//! The wait of the test kit.

use std::future::pending;
use std::io;

use ws_driver::RequestBody;
use ws_driver::test::Kit;

use ws_testing::sim::{Server, Sim, echo, seconds};

/// A request of the test kit whose answer does not come is given up after the `REQUEST_TIMEOUT`, and then the server has no stream.
#[test]
fn an_answer_that_does_not_come_is_given_up_after_the_request_timeout() {
    Sim::run(async |sim| {
        let builder = Server::builder().on_request(async |_: http::Request<RequestBody>| {
            pending::<http::Response<String>>().await
        });
        let server = builder.build().unwrap();
        Kit::serve(&server, echo);
        let request = http::Request::get("/").body("").unwrap();
        let error = Kit::client(&server).request(request).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "no whole response after 60s");
        assert_eq!(sim.elapsed(), seconds(60));
        server.close();
        sim.sleep(seconds(10)).await;
        assert_eq!(sim.live_tasks(), 0);
    });
}
