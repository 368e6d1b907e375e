//! A process that stood still (a debugger, a frozen container, a laptop that slept) finds deadlines that have
//! passed and bytes that came in time: healthy peers stay, on each runtime.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::common::{PATIENCE, Program, UPGRADE, serve};

/// Makes of each function that takes the program of an echo server one test for each runtime.
macro_rules! on_each_runtime {
    ($($test:ident)+) => {
        on_runtime! { on_tokio, env!("CARGO_BIN_EXE_echo"), $($test)+ }
        on_runtime! { on_smol, env!("CARGO_BIN_EXE_echo-smol"), $($test)+ }
        on_runtime! { on_async_std, env!("CARGO_BIN_EXE_echo-async-std"), $($test)+ }
    };
}

macro_rules! on_runtime {
    ($runtime:ident, $program:expr, $($test:ident)+) => {
        mod $runtime {
            $(
                #[test]
                fn $test() {
                    super::$test($program);
                }
            )+
        }
    };
}

on_each_runtime! {
    a_pong_that_came_while_the_process_stood_still_counts
    a_request_that_came_while_the_process_stood_still_is_answered
    a_peer_that_said_nothing_while_the_process_stood_still_is_closed
}

/// Times that each test stops the process: whether the timers or the sockets are looked at first is chance.
const STOPS: usize = 2;

/// Longer than what is left of the deadlines, which are a second.
const STOP: Duration = Duration::from_millis(1300);

const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const CLOSE: u8 = 0x88;

fn signal(program: &Program, name: &str) {
    let id = program.id().to_string();
    let status = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(status.success());
}

/// Lets the process stand still while `meanwhile` happens.
fn stop_for(program: &Program, meanwhile: impl FnOnce()) {
    signal(program, "-STOP");
    // The signal is on its way to every thread.
    sleep(Duration::from_millis(50));
    meanwhile();
    sleep(STOP);
    signal(program, "-CONT");
}

fn keepalive_server(program: &str) -> (Program, TcpStream) {
    let options = ["--keepalive-interval", "1", "--pong-timeout", "1"];
    let (program, addr) = serve(program, "ws", &options);
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: a\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(read(&mut stream, 1)[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    (program, stream)
}

fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Reads a short frame of a server: its first byte and its payload.
fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let header = read(stream, 2);
    let payload = read(stream, header[1].into());
    (header[0], payload)
}

/// Masked with zeros.
fn pong(payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap();
    [&[PONG, 0x80 | len, 0, 0, 0, 0], payload].concat()
}

/// K4: the pong was in the socket before its timeout had passed. Breaks if the deadline is judged before the
/// socket is read.
fn a_pong_that_came_while_the_process_stood_still_counts(program: &str) {
    let (program, mut stream) = keepalive_server(program);
    for _ in 0..STOPS {
        let (first_byte, payload) = read_frame(&mut stream);
        assert_eq!(first_byte, PING);
        stop_for(&program, || stream.write_all(&pong(&payload)).unwrap());
    }
    let (first_byte, payload) = read_frame(&mut stream);
    assert_eq!(first_byte, PING, "{}", payload.escape_ascii());
}

/// H2: so was the request.
fn a_request_that_came_while_the_process_stood_still_is_answered(program: &str) {
    let (program, addr) = serve(program, "ws", &["--handshake-timeout", "1"]);
    for _ in 0..STOPS {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        // It is accepted, and its second has begun.
        sleep(Duration::from_millis(100));
        stop_for(&program, || {
            let rest = format!("Host: a\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n");
            stream.write_all(rest.as_bytes()).unwrap();
        });
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer.escape_ascii().to_string(), "HTTP/1.1 101");
    }
}

/// Doubt has an end: without a pong the peer is closed with 1011 all the same.
fn a_peer_that_said_nothing_while_the_process_stood_still_is_closed(program: &str) {
    let (program, mut stream) = keepalive_server(program);
    let (first_byte, _) = read_frame(&mut stream);
    assert_eq!(first_byte, PING);
    stop_for(&program, || ());
    let (first_byte, payload) = read_frame(&mut stream);
    assert_eq!(first_byte, CLOSE);
    assert_eq!(payload[..2], 1011_u16.to_be_bytes());
}
