//! The end, however it comes: what is said of it, and what comes back.

use std::time::{Duration, Instant};

use bytes::Buf;
use ws_proto::{
    ABNORMAL, CloseReason, Closed, Connection, ConnectionConfig, Event, EventBatch, Role, State,
    Version, Workspace,
};

use ws_testing::connections::{Frame, all, close_frame, connect, events, seconds, written};

fn closing(role: Role, version: Version) -> Vec<u8> {
    match version {
        Version::Rfc6455 => close_frame(1000, "").to(role),
        Version::Draft75 | Version::Draft76 => vec![0xff, 0x00],
    }
}

fn closed(connection: &mut Connection, now: Instant) -> Closed {
    match events(connection, now).pop() {
        Some(Event::Closed(closed)) => (*closed).clone(),
        other => panic!("not the end: {other:?}"),
    }
}

/// Proves that an end is only clean if our close was written (RFC 6455 §7.1.4): not if the stream broke or
/// the wait ran out before, whoever began, however it was to be written. The code stays the peer's (§7.1.5).
#[test]
fn an_end_is_clean_only_if_our_close_was_written() {
    let now = Instant::now();
    let versions = all().filter(|(_, version)| *version != Version::Draft75);
    for (role, version) in versions {
        for (we_begin, message_waits) in [(false, false), (false, true), (true, false)] {
            for (takes, writes, resets) in [
                (false, false, true),
                (false, false, false),
                (true, false, true),
                (true, false, false),
                (true, true, true),
                (false, true, true),
            ] {
                let mut connection = connect(role, version, ConnectionConfig::new(), now);
                if we_begin {
                    connection.close(now, None, CloseReason::EMPTY);
                }
                if message_waits {
                    let message: &[u8] = match version {
                        Version::Rfc6455 => &Frame::new(0x81, "a").to(role),
                        Version::Draft75 | Version::Draft76 => b"\0a\xff",
                    };
                    connection.handle_read(now, message);
                }
                connection.handle_read(now, &closing(role, version));
                if message_waits && writes {
                    // The answer waits for this.
                    assert!(matches!(
                        connection.poll_event(now),
                        Some(Event::Message(_))
                    ));
                    connection.poll_events(now, &mut EventBatch::new());
                }
                let taken = match takes {
                    true => connection.take_outgoing(usize::MAX).remaining(),
                    false => 0,
                };
                if writes {
                    connection.handle_written(taken);
                    drop(written(&mut connection));
                }
                match resets {
                    true => connection.handle_reset(now),
                    false => connection.handle_timeout(now + seconds(10)),
                }
                if !connection.is_finished() {
                    connection.handle_timeout(now + seconds(20));
                }
                let seen = connection.closed().expect("it is over");
                let case = (we_begin, message_waits, takes, writes, resets);
                // A reset breaks off a close that still waits for the application; time does not.
                let is_broken = message_waits && !writes && resets;
                assert_eq!(seen.clean, writes, "{version} {role:?} {case:?}");
                let code = match version {
                    _ if is_broken => seen.code,
                    Version::Rfc6455 => 1000,
                    Version::Draft75 | Version::Draft76 => 1005,
                };
                assert_eq!(seen.code, code, "{version} {role:?} {case:?}");
                let seen = seen.clone();
                if !(message_waits && writes) {
                    assert_eq!(
                        closed(&mut connection, now),
                        seen,
                        "the event says the same"
                    );
                }
            }
        }
    }
}

/// Proves that events which were left in a batch do not keep a close waiting: they were taken before.
#[test]
fn a_batch_that_is_not_empty_does_not_keep_a_close_waiting() {
    let now = Instant::now();
    let config = ConnectionConfig::new().close_timeout(None);
    let mut connection = connect(Role::Client, Version::Rfc6455, config, now);
    connection.handle_read(now, b"\x81\x01a\x88\x00");
    let mut batch = EventBatch::new();
    connection.poll_events(now, &mut batch);
    assert_eq!(
        batch.len(),
        1,
        "the message comes first, and can be answered"
    );
    assert!(connection.has_events() && connection.is_writable());
    assert!(connection.closed().is_none(), "the end waits");
    connection.poll_events(now, &mut batch);
    assert_eq!(batch.len(), 2);
    assert!(!connection.has_events() && connection.closed().is_some());
    assert_eq!(written(&mut connection).len(), 6);
}

/// Proves that nothing more is wanted of a stream that has ended or is broken, nor when all is done; and that
/// the end of the stream is waited for until then.
#[test]
fn nothing_is_wanted_of_a_stream_that_is_gone() {
    let now = Instant::now();
    for (role, version) in all() {
        for waits in [false, true] {
            let make = || {
                let mut connection = connect(role, version, ConnectionConfig::new(), now);
                if waits {
                    let message = connect(flip(role), version, ConnectionConfig::new(), now);
                    connection.handle_read(now, &sent(message));
                }
                connection
            };
            let mut ended = make();
            ended.handle_eof(now);
            assert!(
                !ended.wants_read(),
                "{version} {role:?}: after the end of the stream"
            );
            let mut broken = make();
            broken.handle_reset(now);
            assert!(!broken.wants_read(), "{version} {role:?}: after a reset");
            assert_eq!(broken.poll_timeout(), None, "it is finished");
            let mut timed_out = make();
            timed_out.close(now, None, CloseReason::EMPTY);
            assert!(timed_out.wants_read());
            timed_out.handle_timeout(now + seconds(10));
            assert_eq!(timed_out.state(), State::Closed);
            assert!(!timed_out.wants_read(), "{version} {role:?}: finished");
            let mut closed = make();
            closed.handle_read(now, &closing(role, version));
            assert!(closed.wants_read(), "the end of the stream is to come");
        }
    }
}

fn flip(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

/// A message as it is sent.
fn sent(mut peer: Connection) -> Vec<u8> {
    peer.send("a").unwrap();
    written(&mut peer)
}

/// Proves that no message is open for fragments once nothing can be sent.
#[test]
fn no_message_is_open_after_the_end() {
    let now = Instant::now();
    for (role, version) in all() {
        let mut connection = connect(role, version, ConnectionConfig::new(), now);
        connection.send_fragment("a", false).unwrap();
        assert!(connection.is_message_open());
        connection.close(now, None, CloseReason::EMPTY);
        assert!(!connection.is_message_open() && !connection.is_writable());
    }
}

/// Proves that memory that was lent comes back after every end, whatever waits in it.
#[test]
fn lent_memory_comes_back_after_every_end() {
    let now = Instant::now();
    let ends: [fn(&mut Connection, Instant); 5] = [
        |connection, now| connection.handle_eof(now),
        |connection, now| connection.handle_reset(now),
        |connection, now| connection.close(now, None, CloseReason::EMPTY),
        |connection, now| connection.handle_read(now, b"\xf1\x80\0\0\0\0"),
        |connection, now| {
            connection.close(now, None, CloseReason::EMPTY);
            connection.handle_timeout(now + seconds(10));
        },
    ];
    for (role, version) in all() {
        for end in ends {
            let mut connection = connect(role, version, ConnectionConfig::new(), now);
            let mut workspace = used(role, version, now);
            let memory = workspace.memory();
            connection.attach(&mut workspace);
            assert_eq!(workspace.memory(), 0, "the connection has it");
            connection.send("waits").unwrap();
            end(&mut connection, now);
            connection.detach(&mut workspace);
            let back = workspace.memory();
            assert!(back >= memory, "{version} {role:?}: {back} of {memory}");
        }
    }
}

/// Memory that something went through.
fn used(role: Role, version: Version, now: Instant) -> Workspace {
    let mut workspace = Workspace::new();
    let mut connection = connect(role, version, ConnectionConfig::new(), now);
    connection.attach(&mut workspace);
    connection.send("x".repeat(3000)).unwrap();
    drop(written(&mut connection));
    connection.detach(&mut workspace);
    assert!(workspace.memory() > 3000);
    workspace
}

/// Proves that memory for events that was lent comes back as it was, also if they are taken one by one.
#[test]
fn lent_memory_for_events_comes_back_whole() {
    let now = Instant::now();
    for (role, version) in all() {
        let message = sent(connect(flip(role), version, ConnectionConfig::new(), now));
        let mut connection = connect(role, version, ConnectionConfig::new(), now);
        connection.handle_read(now, &message.repeat(100));
        let mut batch = EventBatch::new();
        connection.poll_events(now, &mut batch);
        while batch.pop().is_some() {}
        let mut workspace = Workspace::new();
        workspace.recycle_events(&mut batch);
        let memory = workspace.memory();
        assert!(memory > 1000);
        connection.attach(&mut workspace);
        connection.handle_read(now, &message.repeat(10));
        connection.handle_read(now, &closing(role, version));
        assert!(events(&mut connection, now).len() >= 10);
        connection.detach(&mut workspace);
        let back = workspace.memory();
        assert!(back >= memory, "{version} {role:?}: {back} of {memory}");
        let mut others = Workspace::new();
        connection.detach(&mut others);
        assert_eq!(others.memory(), 0);
    }
}

/// Proves that the time of an end is none once it has passed: nobody waits for ever, or for nothing.
#[test]
fn a_finished_connection_has_no_deadline() {
    let now = Instant::now();
    for (role, version) in all() {
        let mut connection = connect(role, version, ConnectionConfig::new(), now);
        connection.handle_read(now, &closing(role, version));
        drop(written(&mut connection));
        connection.handle_eof(now);
        drop(written(&mut connection));
        assert!(connection.is_finished());
        assert_eq!(connection.poll_timeout(), None, "{version} {role:?}");
    }
    let config = ConnectionConfig::new().close_timeout(Duration::MAX);
    let mut connection = connect(Role::Server, Version::Rfc6455, config, now);
    connection.handle_eof(now);
    assert_eq!(connection.closed().unwrap().code, ABNORMAL);
}
