//! -x, --wait and --count: what is sent without the standard input, and when the client ends.

use std::time::{Duration, Instant};

use ws_tokio::{Connection, Server};

use super::{Local, Run, run};

/// Answers each message some time later, from another task, and in order. So it answers a close before it answers
/// what came before that.
fn late() -> Local {
    let handler = |mut connection: Connection| async move {
        for number in 1.. {
            let Some(message) = connection.recv().await else {
                return;
            };
            let sender = connection.sender();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100) * number).await;
                let _ = sender.send(message).await;
            });
        }
    };
    Local::start(Server::builder(), handler)
}

/// -x sends and closes; what the server sends first is printed. The standard input is not read.
#[test]
fn a_message_is_sent_without_any_input() {
    let server = Local::echo();
    let run = Run::start(&[&server.url(), "-x", "hello", "-x", "-x"]);
    run.end()
        .says(0, "ended: 1000, closed by us")
        .printed("hello\n-x\n");
    let bytes = Run::start(&[
        &server.url(),
        "--binary=lines",
        "--output",
        "hex",
        "-x",
        "hello",
    ]);
    bytes.end().says(0, "").printed("binary 68656c6c6f\n");
}

/// --wait waits for answers, and for no longer.
#[test]
fn answers_are_waited_for() {
    let server = late();
    let url = server.url();
    let began = Instant::now();
    let waiting = Run::start(&[&url, "-x", "hello", "--wait", "0.7"]);
    waiting
        .end()
        .says(0, "ended: 1000, closed by us")
        .printed("hello\n");
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(700) && took < Duration::from_secs(5),
        "{took:?}"
    );
    // The same behind the end of the standard input.
    run(&[&url, "-w", "1"], b"one\ntwo\n")
        .says(0, "")
        .printed("one\ntwo\n");
}

/// --count ends the wait, and what is more is not printed.
#[test]
fn enough_messages_are_enough() {
    let server = late();
    let began = Instant::now();
    let waiting = Run::start(&[&server.url(), "-x", "hello", "--wait", "60", "--count", "1"]);
    waiting.end().says(0, "").printed("hello\n");
    assert!(began.elapsed() < Duration::from_secs(5));

    let server = Local::start(Server::builder(), |mut connection: Connection| async move {
        for number in 0..10 {
            let _ = connection.send(number.to_string()).await;
        }
        while connection.recv().await.is_some() {}
    });
    // The standard input is open, and stays so.
    let counting = Run::start(&[&server.url(), "--count", "3"]);
    counting
        .end()
        .says(0, "ended: 1000, closed by us")
        .printed("0\n1\n2\n");
    // Fewer than that are no error.
    run(&[&server.url(), "--count", "20"], b"").says(0, "");
}
