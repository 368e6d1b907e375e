//! --slash and -P: control frames by hand, and told of.

use std::sync::mpsc::{Receiver, channel};

use ws_tokio::{Closed, Connection, Event, Server};

use super::{Local, start};
use crate::common::PATIENCE;

/// Sends all messages back, and tells how its connections ended.
fn telling() -> (Local, Receiver<Closed>) {
    let (tell, told) = channel();
    let handler = move |mut connection: Connection| {
        let tell = tell.clone();
        async move {
            while let Some(message) = connection.recv().await {
                let _ = connection.send(message).await;
            }
            let _ = tell.send(connection.close().await);
        }
    };
    (Local::start(Server::builder(), handler), told)
}

/// /ping sends one, with its payload, and -P tells of the answer.
#[test]
fn a_ping_is_answered() {
    let server = Local::echo();
    let mut client = start(&[&server.url(), "--slash", "-P"]);
    assert_eq!(client.error_line(), "connected: rfc6455, no subprotocol");
    client.write_line("/ping");
    assert_eq!(client.error_line(), "pong \"\"");
    client.write_line("/ping are you there");
    assert_eq!(client.error_line(), "pong \"are you there\"");
    client.write_line(&format!("/ping {}", "x".repeat(126)));
    let refused = client.error_line();
    assert!(
        refused.starts_with("no ping was sent: ") && refused.contains("126"),
        "{refused}"
    );
    client.write_line("still open");
    assert_eq!(client.line(), "still open");
    client.end_input();
    assert!(client.wait().success());
}

/// /pong sends one that answers nothing, with its payload.
#[test]
fn a_pong_is_sent_unasked() {
    let (tell, told) = channel();
    let builder = Server::builder().control_events(true);
    let server = Local::start(builder, move |mut connection: Connection| {
        let tell = tell.clone();
        async move {
            while let Some(event) = connection.recv_event().await {
                let _ = tell.send(event);
            }
        }
    });
    let mut client = start(&[&server.url(), "--slash"]);
    client.error_line();
    client.write_line("/pong still here");
    let event = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(event, Event::Pong(b"still here".into()));
    client.write_line(&format!("/pong {}", "x".repeat(126)));
    let refused = client.error_line();
    assert!(refused.starts_with("no pong was sent: "), "{refused}");
    client.end_input();
    assert!(client.wait().success());
}

/// -P tells of the pings of the server, too.
#[test]
fn a_ping_of_the_server_is_shown() {
    let server = Local::start(Server::builder(), |mut connection: Connection| async move {
        let _ = connection.ping(b"who");
        while connection.recv().await.is_some() {}
    });
    let mut client = start(&[&server.url(), "-P"]);
    client.error_line();
    assert_eq!(client.error_line(), "ping \"who\"");
    client.end_input();
    assert!(client.wait().success());
}

/// /close closes, with the code and the reason that it has, and ends the client, which has no error then.
#[test]
fn a_close_has_a_code_and_a_reason() {
    let (server, told) = telling();
    for (line, code, reason) in [
        ("/close", 1000, ""),
        ("/close 4001", 4001, ""),
        ("/close 4001 so  long", 4001, "so  long"),
    ] {
        let mut client = start(&[&server.url(), "--slash"]);
        client.error_line();
        client.write_line("first");
        client.write_line(line);
        assert_eq!(client.line(), "first");
        // Its standard input is still open.
        assert!(client.wait().success(), "{line}");
        let closed = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(
            (closed.code, closed.reason.as_str()),
            (code, reason),
            "{line}"
        );
    }
}

/// A command that cannot be done is said, and nothing else happens. With a second slash it is a message.
#[test]
fn an_unknown_command_is_no_message() {
    let server = Local::echo();
    let mut client = start(&[&server.url(), "--slash"]);
    client.error_line();
    for (line, said) in [
        ("/join room", "unknown command \"join\"".to_owned()),
        ("/", "unknown command \"\"".to_owned()),
        ("/close 1005", "\"1005\" is not a close code".to_owned()),
        ("/close now", "\"now\" is not a close code".to_owned()),
        (
            &*format!("/close 1000 {}", "x".repeat(124)),
            "no close was sent: ".to_owned(),
        ),
    ] {
        client.write_line(line);
        let told = client.error_line();
        assert!(told.contains(&said), "{line}: {told}");
    }
    client.write_line("//join room");
    assert_eq!(client.line(), "/join room");
    client.end_input();
    assert!(client.wait().success());
}

/// Without --slash, every line is a message.
#[test]
fn commands_are_off_by_default() {
    let server = Local::echo();
    let mut client = start(&[&server.url()]);
    client.write_line("/close");
    assert_eq!(client.line(), "/close");
    client.end_input();
    assert!(client.wait().success());
}

/// A version without pings says so.
#[test]
fn a_draft_has_no_ping() {
    let server = Local::echo();
    let mut client = start(&[&server.url(), "--slash", "--version", "draft-76"]);
    assert_eq!(client.error_line(), "connected: draft76, no subprotocol");
    client.write_line("/ping");
    let said = client.error_line();
    assert!(
        said.starts_with("no ping was sent: draft76 has no ping"),
        "{said}"
    );
    client.write_line("/close 4000");
    assert!(client.wait().success());
}
