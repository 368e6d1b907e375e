//! The scripted client on each runtime, against a server of ours: what it prints is what the checks
//! against other people's servers judge by.

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use ws_tokio::{CloseCode, Connection, Server};

use super::common::Program;

/// Starts a server that sends everything back, but closes when it is told so; returns its URL.
async fn start() -> String {
    let server = Server::builder().subprotocols(["chat"]).bind("127.0.0.1:0");
    let server = server.await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    tokio::spawn(async move { server.serve(echo).await });
    url
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        if message.as_text() == Some("close") {
            let code = CloseCode::try_from(4002).unwrap();
            connection.close_with(code, "as you like").await.unwrap();
            return;
        }
        connection.send(message).await.unwrap();
    }
}

/// Runs the client with these options and steps; returns what it printed, and whether it succeeded.
async fn run(options: Vec<String>, steps: Vec<Value>) -> (Vec<Value>, bool) {
    let ended = spawn_blocking(move || {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut client = Program::start(env!("CARGO_BIN_EXE_scripted-client"), &options);
        for step in &steps {
            client.write_line(&step.to_string());
        }
        client.end_input();
        let mut outcomes = Vec::new();
        loop {
            let outcome: Value = serde_json::from_str(&client.line()).unwrap();
            let is_last = outcome.get("closed").or(outcome.get("refused")).is_some();
            outcomes.push(outcome);
            if is_last {
                break (outcomes, client.wait().success());
            }
        }
    });
    ended.await.unwrap()
}

fn options(url: &str, more: &[&str]) -> Vec<String> {
    let all = [url].into_iter().chain(more.iter().copied());
    all.map(str::to_owned).collect()
}

fn opened(version: &str, subprotocol: Option<&str>) -> Value {
    json!({ "open": {
        "version": version, "subprotocol": subprotocol, "extensions": null, "tls": null,
    } })
}

/// Proves that each step is taken in its order and that the outcomes are printed, the end among them.
async fn goes_through_the_steps(runtime: &str) {
    let url = start().await;
    let steps = vec![
        json!({ "text": "hé" }),
        json!("recv"),
        json!({ "binary": "00ff7f" }),
        json!("recv"),
        json!({ "fragments": ["frag", "", "ment"] }),
        json!("recv"),
        json!({ "ping": "01" }),
        json!({ "close": [4001, "bye"] }),
    ];
    let options = options(&url, &["--runtime", runtime, "--subprotocol", "chat"]);
    let (outcomes, success) = run(options, steps).await;
    assert!(success);
    let expected = [
        opened("rfc6455", Some("chat")),
        json!({ "text": "hé" }),
        json!({ "binary": "00ff7f" }),
        json!({ "text": "fragment" }),
        json!({ "closed": {
            "by": "us", "clean": true, "code": 4001, "pings": 0, "reason": "",
            "said": "4001, closed by us",
        } }),
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn on_tokio() {
    goes_through_the_steps("tokio").await;
}

#[tokio::test]
async fn on_smol() {
    goes_through_the_steps("smol").await;
}

#[tokio::test]
async fn on_async_std() {
    goes_through_the_steps("async-std").await;
}

/// Proves that the end of the connection ends what waits for a message, and says who began and why; that
/// what a draft does not have is told; and that steps behind the end do nothing.
#[tokio::test]
async fn tells_how_the_peer_ended_and_what_was_not_sent() {
    let url = start().await;
    let steps = vec![json!({ "text": "one" }), json!({ "text": "close" })];
    let more = vec![json!("recv_all"), json!({ "text": "late" }), json!("recv")];
    let steps = [steps, more].concat();
    let (outcomes, _) = run(options(&url, &["--subprotocol", "chat"]), steps).await;
    let expected = [
        opened("rfc6455", Some("chat")),
        json!({ "text": "one" }),
        json!({ "closed": {
            "by": "peer", "clean": true, "code": 4002, "pings": 0, "reason": "as you like",
            "said": "4002 \"as you like\", closed by the peer",
        } }),
    ];
    assert_eq!(outcomes, expected);

    let draft = options(&url, &["--version", "draft76", "--subprotocol", "chat"]);
    let (outcomes, _) = run(draft, vec![json!({ "binary": "00" })]).await;
    assert_eq!(outcomes[0], opened("draft76", Some("chat")));
    let unsent = outcomes[1]["unsent"].as_str().unwrap();
    assert!(unsent.contains("draft76"), "{unsent}");
}

/// Proves that a refusal is told with its status, headers and body, and is not a success.
#[tokio::test]
async fn tells_what_a_refusal_says() {
    let server = Server::builder().allow_origins(["http://good.example"]);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    tokio::spawn(async move { server.serve(echo).await });
    let evil = options(&url, &["--origin", "http://evil.example"]);
    let (outcomes, success) = run(evil, vec![]).await;
    assert!(!success);
    let refused = &outcomes[0]["refused"];
    assert_eq!(refused["status"], 403);
    assert_eq!(
        refused["headers"]["content-type"],
        "text/plain; charset=utf-8"
    );
    assert_eq!(refused["body"], "Forbidden\n");
    let said = refused["said"].as_str().unwrap();
    assert!(said.contains("the server answered 403"), "{said}");
}

/// Proves that a step that is none is an error before anything is sent.
#[tokio::test]
async fn a_step_that_is_none_is_an_error() {
    let ended = spawn_blocking(|| {
        let url = "ws://127.0.0.1:9/";
        let mut client = Program::start(env!("CARGO_BIN_EXE_scripted-client"), &[url]);
        client.write_line("\"jump\"");
        client.end_input();
        let said = client.error_line();
        (said, client.wait().success())
    });
    let (said, success) = ended.await.unwrap();
    assert!(said.contains("unknown variant `jump`"), "{said}");
    assert!(!success);
}
