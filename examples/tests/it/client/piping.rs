//! What comes out of the client is what went in: whole, in order, and nothing else.

#[cfg(target_os = "linux")]
use std::fs::OpenOptions;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ws_tokio::{Connection, Server};

use super::{Local, Run, run};

/// 1 MB of lines through an echo server come back whole, empty ones and the last one without a newline too.
#[test]
fn a_megabyte_of_lines_comes_back_whole() {
    let server = Local::echo();
    let mut lines = String::new();
    for number in 0.. {
        if lines.len() > 1 << 20 {
            break;
        }
        lines += &format!("{number} {}\n", "κόσμε ".repeat(number % 40));
        if number % 100 == 0 {
            lines.push('\n');
        }
    }
    let url = server.url();
    let ended = run(&[&url], format!("{lines}the last").as_bytes());
    ended.says(0, "ended: 1000, closed by us");
    ended.printed(format!("{lines}the last\n"));
}

/// --binary: bytes that are no text come back as they were, and the server got them as binary messages.
#[test]
fn a_megabyte_of_bytes_comes_back_whole() {
    let has_text = Arc::new(Mutex::new(false));
    let seen = Arc::clone(&has_text);
    let handler = move |mut connection: Connection| {
        let seen = Arc::clone(&seen);
        async move {
            while let Some(message) = connection.recv().await {
                *seen.lock().unwrap() |= message.is_text();
                let _ = connection.send(message).await;
            }
        }
    };
    let server = Local::start(Server::builder(), handler);
    let bytes: Vec<u8> = (0..1 << 20)
        .map(|n: u32| (n.wrapping_mul(n) >> 7).to_le_bytes()[0])
        .collect();
    let ended = run(&[&server.url(), "--binary"], &bytes);
    ended.says(0, "ended: 1000").printed(&bytes);
    assert!(!*has_text.lock().unwrap());
}

/// --binary=lines: a line is a message, whatever is in it; and --output prints it in each form.
#[test]
fn lines_of_bytes_come_back() {
    let server = Local::echo();
    let url = server.url();
    let input = b"\x00\xff\n\ncr\r\nend";
    let lines = &[&*url, "--binary=lines"];
    let with = |form| run(&[lines, &["--output", form][..]].concat(), input);
    run(lines, input).printed(b"\x00\xff\n\ncr\r\nend\n");
    with("lines").printed(b"\x00\xff\n\ncr\r\nend\n");
    with("raw").printed(b"\x00\xffcr\rend");
    with("hex").printed(b"binary 00ff\nbinary \nbinary 63720d\nbinary 656e64\n");
    run(&[&url, "--output", "raw"], b"a\nb\n").printed(b"ab");
}

/// A line ends with a newline, or with a carriage return and a newline.
#[test]
fn ends_of_lines_are_not_sent() {
    let server = Local::echo();
    run(&[&server.url()], b"one\r\ntwo\r\r\n\r\nfour").printed("one\ntwo\r\n\nfour\n");
}

/// What is no text is an error that names the line and the byte, behind all lines before it.
#[test]
fn what_is_no_text_is_an_error() {
    let server = Local::echo();
    let url = server.url();
    let ended = run(&[&url], b"one\ntwo\0\nthree\n");
    ended.says(6, "line 2 of the standard input has a NUL as byte 4");
    ended.printed("one\n");
    let ended = run(&[&url], b"one\ntwo\nthr\xffe\nfour\n");
    ended.says(
        6,
        "line 3 of the standard input is not UTF-8 from byte 4 on",
    );
    ended.printed("one\ntwo\n");
}

/// --max-line: a line of that length is sent, and one more byte is an error, behind all lines before it.
#[test]
fn a_line_that_is_too_long_is_an_error() {
    let server = Local::echo();
    let url = server.url();
    for options in [
        &[&*url, "--max-line", "5"][..],
        &[&*url, "--max-line", "5", "--binary=lines"],
    ] {
        run(options, b"12345\n\n12345")
            .says(0, "ended: 1000")
            .printed("12345\n\n12345\n");
        for longer in ["123456\n", "123456", "12345678901234567890\n"] {
            let ended = run(options, format!("12345\n{longer}").as_bytes());
            ended.says(6, "line 2 of the standard input is longer than 5 bytes");
            ended.printed("12345\n");
        }
    }
    run(&[&url, "--max-line", "5"], b"12345\r\n").printed("12345\n");
}

/// A reader that has enough, such as `head`, ends the client without a word.
#[test]
fn a_broken_pipe_ends_quietly() {
    let server = Local::start(Server::builder(), |connection: Connection| async move {
        while connection.send("again").await.is_ok() {}
    });
    let (run, mut stdout) = Run::start_unread(&[&server.url()]);
    let mut first = [0; 6];
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"again\n");
    drop(stdout);
    // Its standard input is still open.
    let ended = run.end();
    ended.says(0, "");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(
        lines.len() == 2 && lines[1].starts_with("ended: "),
        "{}",
        ended.stderr
    );
}

/// A reader that pauses for longer than the close may take, such as a pager, misses nothing.
#[test]
fn a_slow_reader_misses_nothing() {
    let server = Local::echo();
    let options = [&server.url(), "--close-timeout", "1"];
    let (mut run, mut stdout) = Run::start_unread(&options);
    // More than a pipe and a receive queue hold; it is all sent while nobody reads.
    let lines = ("x".repeat(5999) + "\n").repeat(60);
    run.feed(lines.clone().into_bytes());
    thread::sleep(Duration::from_millis(2200));
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).unwrap();
    run.end().says(0, "ended: 1000, closed by us");
    assert!(printed == lines, "{} bytes", printed.len());
}

/// An output that takes nothing is an error.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let server = Local::echo();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = Run::start_into(&[&server.url(), "-x", "hello"], full.into());
    run.end().says(6, "error: cannot print a message: ");
}

/// Nobody has to read the standard error.
#[test]
fn nobody_reads_the_errors() {
    let server = Local::echo();
    let mut run = Run::start(&[&server.url()]);
    run.stop_reading_errors();
    run.feed(b"one\ntwo\n".to_vec());
    run.end().says(0, "").printed("one\ntwo\n");
}

/// At the end of the input, the client waits for the other side to close, but not for ever.
#[test]
fn the_wait_for_the_close_has_a_deadline() {
    // It takes nothing, so its answer to the close waits behind the message.
    let server = Local::start(Server::builder(), |connection: Connection| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(connection);
    });
    let began = Instant::now();
    let ended = run(&[&server.url(), "--close-timeout", "0.2"], b"hello\n");
    ended.says(5, "the peer did not answer the close in time");
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(200) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

/// What arrives between the end of the input and the answer to the close is printed; and nothing but messages
/// stands on the standard output.
#[test]
fn what_comes_late_is_printed() {
    let server = Local::start(Server::builder(), |mut connection: Connection| async move {
        while let Some(message) = connection.recv().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = connection.send(message).await;
        }
    });
    let url = server.url();
    run(&[&url], b"one\ntwo\n")
        .says(0, "ended: 1000")
        .printed("one\ntwo\n");
    run(&[&url], b"").says(0, "ended: 1000").printed("");
}
