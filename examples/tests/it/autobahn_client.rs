//! The client for Autobahn's fuzzing server, on each runtime, against a server that answers as that
//! one does.

use std::sync::{Arc, Mutex};

use tokio::task::spawn_blocking;
use ws_tokio::{Connection, Message, Server};

use super::common::Program;

/// What the server saw: each path, and what came back if it sent something.
type Seen = Arc<Mutex<Vec<(String, Option<Message>)>>>;

/// Proves that the client asks for the number of cases, takes each in its order, sends back what it
/// gets, goes on when a case ends without a word, and asks for the reports in the end.
async fn goes_through_all_cases(runtime: &'static str) {
    let seen = Seen::default();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let record = Arc::clone(&seen);
    tokio::spawn(async move {
        server
            .serve(move |it| answer(it, Arc::clone(&record)))
            .await
    });

    let ended = spawn_blocking(move || {
        let options = [url.as_str(), "--runtime", runtime, "--agent", "a"];
        let mut client = Program::start(env!("CARGO_BIN_EXE_autobahn-client"), &options);
        assert_eq!(client.line(), "went through 3 cases");
        client.wait()
    });
    assert!(ended.await.unwrap().success());

    let sent = |case: &str| Some(Message::from(case));
    let expected = [
        ("/getCaseCount", None),
        ("/runCase?case=1&agent=a", sent("/runCase?case=1&agent=a")),
        ("/runCase?case=2&agent=a", None),
        ("/runCase?case=3&agent=a", sent("/runCase?case=3&agent=a")),
        ("/updateReports?agent=a", None),
    ];
    let expected = expected.map(|(path, echo)| (path.to_owned(), echo));
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Sends the number of cases or, in every case but the second, its path; then closes.
async fn answer(mut connection: Connection, seen: Seen) {
    let path = connection.request().unwrap().target().to_owned();
    let mut echo = None;
    if path == "/getCaseCount" {
        connection.send("3").await.unwrap();
    } else if path.starts_with("/runCase") && !path.contains("case=2&") {
        connection.send(path.as_str()).await.unwrap();
        echo = connection.recv().await;
    }
    // Before the close, which lets the client go on.
    seen.lock().unwrap().push((path, echo));
    connection.close().await;
}

#[tokio::test]
async fn on_tokio() {
    goes_through_all_cases("tokio").await;
}

#[tokio::test]
async fn on_smol() {
    goes_through_all_cases("smol").await;
}

#[tokio::test]
async fn on_async_std() {
    goes_through_all_cases("async-std").await;
}

/// Proves that a server that does not say how many cases it has is an error, not a run of none.
#[tokio::test]
async fn a_server_without_a_number_of_cases_is_an_error() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    tokio::spawn(async move {
        server
            .serve(|mut it: Connection| async move { drop(it.close().await) })
            .await
    });
    let ended = spawn_blocking(move || {
        let mut client = Program::start(env!("CARGO_BIN_EXE_autobahn-client"), &[&url]);
        let said = client.error_line();
        (said, client.wait())
    });
    let (said, status) = ended.await.unwrap();
    assert_eq!(said, "error: the server does not say how many cases it has");
    assert!(!status.success());
}
