//! What the observer of a client is told, and what its log lines and its span say.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Waker};

use ws_driver::ws_proto::{Closed, State};
use ws_driver::{
    CloseCode, ConnectConfig, ConnectError, ConnectEvent, ConnectionInfo, Observer, Reconnector,
    Role, Upgrade, connect_over, connect_with,
};
use ws_testing::sim::{ANY, Server, Sim, echo, seconds, serve};

use super::log::{Log, version};
use crate::spans::logged;

/// Writes down what a client tells. Ports are left out, because they differ.
#[derive(Clone, Default)]
struct ClientLog(Log);

impl ClientLog {
    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

impl Observer for ClientLog {
    fn connecting(&self, info: &ConnectionInfo, event: &ConnectEvent<'_>) {
        assert_eq!(info.role, Role::Client);
        if let ConnectEvent::Failed(error) = event {
            assert!(error.downcast_ref::<ConnectError>().is_some());
        }
        self.0.add(event.to_string());
    }

    fn stream(&self, info: &ConnectionInfo) {
        self.0.add(format!("stream {}", info.peer_addr.is_some()));
    }

    fn connection(&self, info: &ConnectionInfo) {
        self.0.add(format!("connection {}", version(info)));
    }

    fn state_change(&self, _: &ConnectionInfo, state: State, previous: State) {
        self.0.add(format!("{previous} -> {state}"));
    }

    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        self.0.add(format!("close {}: {closed}", version(info)));
    }
}

/// A client that writes down, and looks names up by a list.
fn client(addrs: &[&str]) -> (ConnectConfig, ClientLog) {
    let log = ClientLog::default();
    let addrs: Vec<SocketAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    let options = ConnectConfig::new().observer(log.clone());
    let options = options.resolver(move |_, _| std::future::ready(Ok(addrs.clone())));
    (options, log)
}

const OPENED: [&str; 5] = [
    "stream true",
    "unknown -> opening",
    "opening -> connected",
    "connection rfc6455",
    "",
];

/// An observer is told of each step to a connection and of its life, in order, and of one end.
#[test]
fn an_observer_sees_the_life_of_a_client() {
    Sim::run(async |sim| {
        let addr: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let server = Server::bind(addr).await.unwrap();
        serve(&sim, &server, echo);
        let (options, log) = client(&["[::1]:8080", "127.0.0.1:8080"]);
        let mut connection = connect_with::<Sim>("ws://host.test:81/?token", &options)
            .await
            .unwrap();
        let mut lines = log.take();
        let opened = lines.split_off(5);
        assert_eq!(lines[0], "connects to host.test:81");
        assert_eq!(lines[1], "\"host.test\" has the addresses ::1, 127.0.0.1");
        assert_eq!(lines[2], "tries [::1]:8080");
        assert!(lines[3].starts_with("[::1]:8080 failed: "), "{lines:?}");
        assert_eq!(lines[4], "tries 127.0.0.1:8080");
        assert_eq!(opened, OPENED[..4]);
        connection.send("hi").await.unwrap();
        assert!(connection.recv().await.is_some());
        assert_eq!(log.take(), [""; 0]);
        connection
            .begin_close(CloseCode::new(4000).unwrap(), "")
            .unwrap();
        sim.settle().await;
        assert_eq!(
            log.take(),
            [
                "connected -> closing",
                "closing -> closed",
                "close rfc6455: 4000, closed by us",
            ]
        );
    });
}

/// A failure is told as a step. If there was a stream by then, its end is told, too, and once.
#[test]
fn an_observer_sees_why_no_connection_opened() {
    Sim::run(async |sim| {
        let refuse = |upgrade: Upgrade| async move { upgrade.reject(403) };
        let server = Server::builder().on_upgrade(refuse);
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let (options, log) = client(&[]);
        let error = connect_with::<Sim>("ws://host.test/", &options).await;
        let failed = format!("not opened: {}", error.unwrap_err());
        assert_eq!(log.take(), ["connects to host.test:80", &*failed]);

        let url = format!("ws://{}/", server.local_addr());
        let error = connect_with::<Sim>(&url, &options).await.unwrap_err();
        let lines = log.take();
        let [_, _, stream, _, failed, state, close] = &lines[..] else {
            panic!("{lines:#?}");
        };
        assert_eq!(stream, "stream true");
        assert_eq!(*failed, format!("not opened: {error}"));
        assert!(failed.contains("403"), "{failed}");
        assert_eq!(state, "opening -> closed");
        assert_eq!(close, "close ?: 1006, the upgrade was rejected");
    });
}

/// A future that is dropped, and one whose stream is the application's: the end of each stream is told once.
#[test]
fn an_observer_sees_the_end_of_an_attempt_that_is_dropped() {
    Sim::run(async |sim| {
        let server = Server::builder().on_upgrade(|_: Upgrade| pending::<ws_driver::Answer>());
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let (options, log) = client(&[]);
        let url = format!("ws://{}/", server.local_addr());
        {
            let mut opening = pin!(connect_with::<Sim>(&url, &options));
            for _ in 0..3 {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(opening.as_mut().poll(&mut cx).is_pending());
                sim.settle().await;
            }
        }
        let lines = log.take();
        let [.., stream, opening, closed, close] = &lines[..] else {
            panic!("{lines:#?}");
        };
        assert_eq!(stream, "stream true");
        assert_eq!(opening, "unknown -> opening");
        assert_eq!(closed, "opening -> closed");
        assert_eq!(close, "close ?: 1006, the stream ended without a close");

        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let stream = ws_driver::Runtime::connect(&sim, server.local_addr()).await;
        let opened = connect_over::<Sim, _>(stream.unwrap(), "ws://host.test/", &options).await;
        let lines = log.take();
        assert_eq!(lines[..2], ["connects to host.test:80", "stream false"]);
        assert_eq!(lines[2..], OPENED[1..4]);
        // The application drops it, and the driver closes it.
        drop(opened.unwrap());
        sim.sleep(seconds(1)).await;
        let lines = log.take();
        let ends = lines.iter().filter(|line| line.starts_with("close "));
        assert_eq!(
            ends.collect::<Vec<_>>(),
            ["close rfc6455: 1000, closed by us"]
        );
    });
}

/// `debug(true)` logs the same steps, outside of any span. What runs on the way, such as a lookup, is in the span of the
/// client, which names the host and never the query.
#[test]
fn the_lines_and_the_span_of_a_client_name_its_connection() {
    let lines = logged(tracing::Level::DEBUG, async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let addr = server.local_addr();
        let options = ConnectConfig::new().debug(true).resolver(move |_, _| {
            tracing::info!("looks up");
            async move { Ok(vec![addr]) }
        });
        let url = "ws://host.test/chat?token=s3cr3t";
        let mut connection = connect_with::<Sim>(url, options).await.unwrap();
        connection.close().await;
        sim.settle().await;
    });
    let text = lines.join("\n");
    assert!(!text.contains("s3cr3t"), "{text}");
    let found = lines.iter().find(|line| line.ends_with("looks up"));
    let found = found.unwrap_or_else(|| panic!("{text}"));
    assert!(found.starts_with("ws connection id=0."), "{found}");
    assert!(found.contains(" host=\"host.test\""), "{found}");
    let ours = lines
        .iter()
        .filter(|line| line.contains("message=connection "));
    let ours: Vec<_> = ours.collect();
    for part in [
        ": connects to host.test:80",
        ": \"host.test\" has the addresses ",
        ": tries ",
        ": reached",
        ": opening -> connected",
        ": open",
        ": closed: 1000, closed by us",
    ] {
        let found = ours.iter().filter(|line| line.contains(part)).count();
        assert!(found > 0, "{part}: {text}");
    }
    for line in &ours {
        assert!(line.starts_with("outside: "), "{line}");
    }
    assert!(text.contains(" to 127.0.0.1:"), "{text}");
}

/// A client that connects again says each attempt, each failure and each pause, and that it is back.
#[test]
fn a_client_that_connects_again_says_so() {
    let lines = logged(tracing::Level::DEBUG, async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let addr = server.local_addr();
        let is_first = std::sync::atomic::AtomicBool::new(true);
        let options = ConnectConfig::new().resolver(move |_, _| {
            let is_first = is_first.swap(false, std::sync::atomic::Ordering::Relaxed);
            async move { Ok(if is_first { vec![] } else { vec![addr] }) }
        });
        let url = "ws://user:s3cr3t@host.test/?token=s3cr3t";
        let mut reconnector = Reconnector::<Sim>::new(url, options).unwrap();
        reconnector.connect().await.unwrap();
    });
    let expected = [
        "attempt 1 to connect to host.test",
        "attempt 1 to connect to host.test failed: ",
        "waits ",
        "attempt 2 to connect to host.test",
        "connected to host.test again, at attempt 2",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(expected) {
        let start = format!("outside: message={start}");
        assert!(line.starts_with(&start), "{start}: {lines:#?}");
    }
    assert!(!lines.join("\n").contains("s3cr3t"), "{lines:#?}");
}
