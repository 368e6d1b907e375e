//! What the generator must tell of a server under strain: that it stood still, that it turned connections
//! away, and what it did with receivers that read nothing.

mod program;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::program::generate;

/// The messages that are due while a server stands still are late, each by what is left of that time. A
/// generator that waits for answers would have sent only a few of them.
#[test]
fn a_server_that_stands_still_shows_in_an_open_loop() {
    let options = ["--messages", "1000", "open-loop", "--rate", "1000"];
    let printed = run(4, &options, |listener, is_over| {
        let mut streams = accept(listener, 4)?;
        let mut count = 0;
        until(is_over, || {
            for stream in &mut streams {
                let len = echo(stream)?;
                let before = count;
                count += len;
                if before < STILL_AT && count >= STILL_AT {
                    thread::sleep(STILL);
                }
            }
            Ok(())
        })
    });
    assert_eq!(field(&printed, "messages"), 1000);
    assert_eq!(field(&printed, "due"), 1000);
    // 400 of 1,000 messages are due in that time, so that of every hundred some 30 wait for 100 ms.
    let p99 = Duration::from_nanos(field(&printed, "p99_ns"));
    assert!(p99 > STILL / 2, "{printed}");
    assert!(
        field(&printed, "max_ns") >= field(&printed, "p999_ns"),
        "{printed}"
    );
}

/// In bytes: a message has 22 of them, and the warm-up 250 messages.
const STILL_AT: usize = 500 * 22;
const STILL: Duration = Duration::from_millis(400);

/// A client that was turned away tries again until it is served, and that is counted.
#[test]
fn a_storm_counts_those_who_try_again() {
    let printed = run(50, &["storm"], |listener, is_over| {
        listener.set_nonblocking(true)?;
        let (mut streams, mut accepted) = (Vec::new(), 0);
        until(is_over, || {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true)?;
                accepted += 1;
                // The first of those who come again.
                if !(51..=55).contains(&accepted) {
                    streams.push(stream);
                }
            }
            streams.retain_mut(|stream| echo(stream).is_ok());
            Ok(())
        })
    });
    assert_eq!(field(&printed, "messages"), 50);
    assert_eq!(field(&printed, "retries"), 5);
    assert!(field(&printed, "peak_bytes") > 0);
}

#[test]
fn slow_receivers_of_a_server_that_keeps_everything_miss_nothing() {
    let printed = broadcast(Policy::Keep);
    assert_eq!(field(&printed, "slow_closed"), 0);
    assert_eq!(field(&printed, "slow_missed"), 0);
}

#[test]
fn slow_receivers_of_a_server_that_drops_messages_miss_them() {
    let printed = broadcast(Policy::Drop);
    assert_eq!(field(&printed, "slow_closed"), 0);
    assert!(field(&printed, "slow_missed") > 0, "{printed}");
}

#[test]
fn slow_receivers_that_a_server_closes_are_counted() {
    let printed = broadcast(Policy::Close);
    assert_eq!(field(&printed, "slow_closed"), 2);
    assert!(field(&printed, "slow_missed") > 0, "{printed}");
}

/// What a server does with a message for a connection that has not taken the last one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Keep,
    Drop,
    Close,
}

/// Broadcasts 8 messages to fill the sockets, then 10 and 40 times 2, to 18 that read and 2 that do not.
fn broadcast(policy: Policy) -> String {
    let load = ["slow-broadcast", "--rate", "100", "--burst", "2"];
    let options = [["--messages", "40"].as_slice(), &load].concat();
    let printed = run(20, &options, move |listener, is_over| {
        let mut receivers: Vec<_> = accept(listener, 20)?
            .into_iter()
            .map(|stream| (stream, Vec::new()))
            .collect();
        let mut arrived = Vec::new();
        until(is_over, || {
            if let Some((publisher, _)) = receivers.first_mut() {
                read(publisher, &mut arrived)?;
            }
            while let Some(frame) = take_frame(&mut arrived) {
                receivers.retain_mut(|(stream, unsent)| {
                    let is_behind = !unsent.is_empty();
                    if policy == Policy::Keep || !is_behind {
                        unsent.extend_from_slice(&frame);
                        write(stream, unsent);
                    }
                    policy != Policy::Close || !is_behind
                });
            }
            for (stream, unsent) in &mut receivers {
                write(stream, unsent);
            }
            Ok(())
        })
    });
    assert_eq!(field(&printed, "slow"), 2);
    assert_eq!(field(&printed, "published"), 8 + 2 * (10 + 40));
    assert_eq!(field(&printed, "messages"), 2 * 40 * 18);
    printed
}

/// Runs the generator against a server without a handshake, and returns what it printed.
fn run(
    connections: usize,
    options: &[&str],
    serve: impl FnOnce(&TcpListener, &AtomicBool) -> io::Result<()> + Send + 'static,
) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let is_over = Arc::new(AtomicBool::new(false));
    let serving = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || serve(&listener, &is_over))
    };
    let options = ["--size", "16"].into_iter().chain(options.iter().copied());
    let output = generate(addr, connections, options);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("it prints JSON");
    is_over.store(true, Ordering::Relaxed);
    let served = serving.join().expect("the server does not panic");
    served.or_else(expect_reset).expect("the server serves");
    printed
}

/// The generator ends with resets.
fn expect_reset(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    }
}

/// Reads a number out of a line of JSON without nesting.
fn field(printed: &str, name: &str) -> u64 {
    let marker = format!("\"{name}\":");
    let (_, rest) = printed.split_once(&marker).expect("the field is there");
    let end = rest.find(|one: char| !one.is_ascii_digit());
    let number = rest[..end.unwrap_or(rest.len())].parse();
    number.expect("it is a number")
}

fn accept(listener: &TcpListener, count: usize) -> io::Result<Vec<TcpStream>> {
    let accept_one = |_| {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    (0..count).map(accept_one).collect()
}

/// Repeats something until the generator is gone.
fn until(is_over: &AtomicBool, mut step: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(40);
    while !is_over.load(Ordering::Relaxed) && Instant::now() < end {
        step()?;
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Sends back what is there; returns how many bytes that was.
fn echo(stream: &mut TcpStream) -> io::Result<usize> {
    let mut arrived = Vec::new();
    read(stream, &mut arrived)?;
    stream.write_all(&arrived)?;
    Ok(arrived.len())
}

fn read(stream: &mut TcpStream, arrived: &mut Vec<u8>) -> io::Result<()> {
    let mut space = [0; 4096];
    match stream.read(&mut space) {
        Ok(0) => Err(ErrorKind::ConnectionReset.into()),
        Ok(len) => {
            arrived.extend_from_slice(&space[..len]);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes what the socket takes.
fn write(stream: &mut TcpStream, unsent: &mut Vec<u8>) {
    if let Ok(len) = stream.write(unsent) {
        unsent.drain(..len);
    }
}

/// Takes a masked frame of less than 64 KiB off the front (RFC 6455 §5.2).
fn take_frame(arrived: &mut Vec<u8>) -> Option<Vec<u8>> {
    let len = match arrived.as_slice() {
        [_, 0xfe, high, low, ..] => 8 + usize::from(u16::from_be_bytes([*high, *low])),
        [_, len, ..] if len & 0x7f < 126 => 6 + usize::from(len & 0x7f),
        _ => return None,
    };
    match arrived.len() < len {
        true => None,
        false => Some(arrived.drain(..len).collect()),
    }
}
