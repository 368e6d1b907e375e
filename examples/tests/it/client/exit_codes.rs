//! Each exit code, and what is said with it.

use std::net::TcpListener;

use ws_tokio::{CloseCode, Connection, Server, Version};

use super::{Local, NOBODY, Run, echo, run, start};
use crate::common::serve;

/// 0 for a server that closes as it should, and 5 with its code for another one; the standard input is open.
#[test]
fn the_code_of_a_close_decides() {
    for (code, reason, exit, said) in [
        (1000, "", 0, "ended: 1000, closed by the peer"),
        (1001, "bye", 0, "ended: 1001 \"bye\", closed by the peer"),
        (1008, "", 5, "ended: 1008, closed by the peer"),
        (1011, "", 5, "ended: 1011, closed by the peer"),
        (
            4000,
            "enough",
            5,
            "ended: 4000 \"enough\", closed by the peer",
        ),
    ] {
        let server = Local::start(
            Server::builder(),
            move |mut connection: Connection| async move {
                let code = CloseCode::new(code).unwrap();
                let _ = connection.close_with(code, reason).await;
            },
        );
        let run = Run::start(&[&server.url()]);
        run.end().says(exit, said).printed("");
    }
}

/// 0 for a server of a draft that closes: it has no code.
#[test]
fn a_draft_closes_without_a_code() {
    for version in ["draft75", "draft76"] {
        let server = Local::start(Server::builder(), |connection: Connection| async move {
            drop(connection);
        });
        let run = Run::start(&[&server.url(), "--version", version]);
        run.end().says(0, "ended: 1005, closed by the peer");
    }
}

/// 5 for a server that is gone without a word, and for one that sends what is not allowed.
#[test]
fn a_broken_connection_is_not_closed_normally() {
    let (echo, addr) = serve(env!("CARGO_BIN_EXE_echo"), "ws", &[]);
    let mut client = start(&[&format!("ws://{addr}/")]);
    client.write_line("hello");
    assert_eq!(client.line(), "hello");
    client.error_line();
    drop(echo);
    assert_eq!(
        client.error_line(),
        "ended: 1006, the stream ended without a close"
    );
    assert_eq!(client.wait().code(), Some(5));

    let server = Local::echo();
    let ended = run(&[&server.url(), "--max-message", "4"], b"four\nfives\n");
    ended.says(5, "message_limit").printed("four\n");
}

/// 1 if nobody listens, at the server or at the proxy; or if the address to listen on is taken.
#[test]
fn nobody_is_there() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    run(&["--listen", &addr.to_string()], b"").says(1, "error: cannot listen on 127.0.0.1:");
    let url = format!("ws://{NOBODY}/");
    run(&[&url], b"hello\n")
        .says(1, "error: ")
        .says(1, "cannot connect to \"127.0.0.1\"");
    let server = Local::echo();
    let proxy = format!("http://me:secret@{NOBODY}");
    let ended = run(&[&server.url(), "--proxy", &proxy], b"");
    ended.says(1, "cannot connect to \"127.0.0.1\"");
    assert!(!ended.stderr.contains("secret"));
    // It takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", silent.local_addr().unwrap());
    run(&[&url, "--connect-timeout", "0"], b"").says(1, "option connect_timeout");
}

/// 2 for options that make no sense, before anything is sent.
#[test]
fn options_can_make_no_sense() {
    let server = Local::echo();
    let url = server.url();
    for (options, said) in [
        (&["--nonsense"][..], "--nonsense"),
        (&[], "URL"),
        (&["http://localhost/"], "ws"),
        (&[&url, "--listen", "0"], "--listen"),
        (&[&url, "--oneshot"], "--oneshot"),
        (&["--oneshot"], "--listen"),
        (
            &["--listen", "0", "--origin", "http://a.example"],
            "--origin",
        ),
        (&["--listen", "0", "-x", "hello"], "--execute"),
        (&[&url, "--cert", "cert.pem"], "--key"),
        (&[&url, "--ca", "/no/such/file"], "/no/such/file"),
        (
            &[&url, "--cert", "/no/such/file", "--key", "/no/such/file"],
            "/no/such/file",
        ),
        (
            &[
                "--listen",
                "0",
                "--cert",
                "/no/such/file",
                "--key",
                "/no/such/file",
            ],
            "/no/such/file",
        ),
        (&[&url, "--ca", "root.pem", "--insecure"], "--insecure"),
        (&[&url, "--header", "Upgrade: mine"], "Upgrade"),
        (&[&url, "--auth", "me"], "it has no colon"),
        (
            &[&url, "--version", "draft-77"],
            "draft75, draft76 and rfc6455",
        ),
        (&[&url, "--count", "0"], "--count"),
        (&[&url, "--wait", "-1"], "-1"),
        (&[&url, "--reconnect-attempts", "2"], "--reconnect"),
        (&[&url, "--slash", "--binary"], "--binary"),
        (&["--listen", "0", "--slash"], "--oneshot"),
        (&["--listen", "0", "-P"], "--oneshot"),
    ] {
        run(options, b"").says(2, said).printed("");
    }
    // It has no binary messages, which is seen as soon as there is one.
    let ended = run(&[&url, "--version", "draft76", "--binary"], b"bytes");
    ended
        .says(2, "error: cannot send a message: draft76 has no binary")
        .printed("");
}

/// 3 for a server that refuses, with its status and what it says.
#[test]
fn a_refusal_has_a_status() {
    let builder = Server::builder().allow_origins(["http://good.example"]);
    let server = Local::start(builder, echo);
    let ended = run(&[&server.url(), "--origin", "http://bad.example"], b"");
    ended.says(3, "the server answered 403 Forbidden");
    let refusing = Server::builder().versions(Version::Draft76);
    let server = Local::start(refusing, echo);
    run(&[&server.url()], b"").says(3, "the server answered 426 Upgrade Required");
}

/// --help lists the codes.
#[test]
fn the_help_lists_the_codes() {
    let help = run(&["--help"], b"");
    let text = String::from_utf8(help.stdout).unwrap();
    for code in 0..=6 {
        assert!(text.contains(&format!("\n  {code}  ")), "{code}: {text}");
    }
}
