//! --reconnect: when the client connects again, how often, and what is not lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ws_tokio::{CloseCode, Connection, Server};

use super::{Ended, Local, NOBODY, Run, echo, run, start};
use crate::common::{Program, serve};

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

const QUICKLY: [&str; 3] = ["--reconnect", "--reconnect-max-delay", "0.05"];

/// How often it connected again, and none of the waits was longer than the option allows.
fn attempts(ended: &Ended) -> usize {
    let lines = ended.stderr.lines();
    let waits: Vec<f64> = lines
        .filter_map(|line| line.strip_prefix("connecting again in "))
        .map(|rest| rest.split_once(" s").unwrap().0.parse().unwrap())
        .collect();
    assert!(waits.iter().all(|wait| *wait <= 0.05), "{waits:?}");
    waits.len()
}

/// A server that is killed and comes back: the lines that no connection took go to the new one.
#[test]
fn a_server_comes_back() {
    let (server, addr) = serve(ECHO, "ws", &[]);
    let url = format!("ws://{addr}/");
    let options = [&[&*url], &QUICKLY[..], &["--reconnect-attempts", "1000"]].concat();
    let mut client = start(&options);
    client.write_line("before");
    assert_eq!(client.line(), "before");
    drop(server);
    while !client.error_line().starts_with("connecting again in ") {}
    client.write_line("while it is gone");
    let _server = Program::start(ECHO, &["--listen", &addr.to_string()]);
    assert_eq!(client.line(), "while it is gone");
    client.write_line("after");
    client.end_input();
    assert_eq!(client.line(), "after");
    assert_eq!(client.wait().code(), Some(0));
}

/// The attempts in a row are counted, and at their end the last failure is that of the client.
#[test]
fn the_attempts_have_an_end() {
    let url = format!("ws://{NOBODY}/");
    let options = [&[&*url], &QUICKLY[..], &["--reconnect-attempts", "3"]].concat();
    let ended = Run::start(&options).end();
    ended.says(1, "not connecting again after 3 attempts");
    ended.says(1, "attempt 3 of 3");
    assert_eq!(attempts(&ended), 3);
}

/// Closes each connection with this code, and counts them.
fn closing(code: u16) -> (Local, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let handler = move |mut connection: Connection| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let code = CloseCode::new(code).unwrap();
            let _ = connection.close_with(code, "").await;
        }
    };
    (Local::start(Server::builder(), handler), count)
}

/// A server that closes at once is not asked for ever; one that closes with 1000 is not asked again.
#[test]
fn the_code_decides() {
    for (code, times, exit) in [(1000, 1, 0), (1001, 4, 0), (1012, 4, 5), (4000, 4, 5)] {
        let (server, count) = closing(code);
        let url = server.url();
        let options = [&[&*url], &QUICKLY[..], &["--reconnect-attempts", "3"]].concat();
        let ended = Run::start(&options).end();
        ended.says(exit, &format!("ended: {code}, closed by the peer"));
        assert_eq!(count.load(Ordering::Relaxed), times, "{code}");
        assert_eq!(attempts(&ended), times - 1, "{code}");
    }
}

/// Where another attempt cannot help, there is none.
#[test]
fn some_failures_are_final() {
    let builder = Server::builder().allow_origins(["http://good.example"]);
    let server = Local::start(builder, echo);
    let url = server.url();
    let secure = url.replace("ws://", "wss://");
    for (options, exit) in [
        (&[&*url, "--origin", "http://bad.example"][..], 3),
        (&[&secure], 4),
        (&["http://localhost/"], 2),
    ] {
        let ended = Run::start(&[options, &QUICKLY].concat()).end();
        ended.says(exit, "error: ");
        assert_eq!(attempts(&ended), 0);
    }
    // Nor behind the end of the standard input.
    let (server, count) = closing(1012);
    let url = server.url();
    let ended = run(&[&[&*url], &QUICKLY[..]].concat(), b"");
    assert!(ended.code == 0 || ended.code == 5, "{}", ended.stderr);
    assert!(count.load(Ordering::Relaxed) <= 2);
}

/// -x is sent on each connection, such as a subscription; --count counts over all of them.
#[test]
fn a_message_is_sent_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let handler = move |mut connection: Connection| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            let asked = connection.recv().await.unwrap();
            let text = asked.as_text().unwrap_or_default();
            let _ = connection.send(format!("{text} {number}")).await;
            let restart = CloseCode::RESTART;
            let _ = connection.close_with(restart, "").await;
        }
    };
    let server = Local::start(Server::builder(), handler);
    let url = server.url();
    let options = ["-x", "subscribe", "--wait", "60", "--count", "3"];
    let ended = Run::start(&[&[&*url], &QUICKLY[..], &options].concat()).end();
    ended
        .says(0, "")
        .printed("subscribe 0\nsubscribe 1\nsubscribe 2\n");
    assert_eq!(attempts(&ended), 2);
}
