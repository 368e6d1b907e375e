//! The `tracing` span of a connection: what its handler logs is in it, and only that.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::future::Future;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use ws_driver::{Connection, ForwardedFor};
use ws_testing::sim::peer::text;
use ws_testing::sim::{ANY, Peer, Server, Sim, seconds, serve};
use ws_testing::subscriber::with_subscriber;

/// Writes down each event, with the span that it is in.
#[derive(Clone)]
struct Log(Arc<Mutex<Inner>>, Level);

#[derive(Default)]
struct Inner {
    spans: HashMap<u64, String>,
    made: u64,
    /// Those that are entered, the innermost last.
    entered: Vec<u64>,
    lines: Vec<String>,
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() != "ws" || *metadata.level() <= self.1
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut inner = self.0.lock().unwrap();
        inner.made += 1;
        let id = inner.made;
        let metadata = attributes.metadata();
        let mut span = format!("{} {}", metadata.target(), metadata.name());
        attributes.record(&mut Fields(&mut span));
        inner.spans.insert(id, span);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut inner = self.0.lock().unwrap();
        values.record(&mut Fields(inner.spans.get_mut(&id.into_u64()).unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut inner = self.0.lock().unwrap();
        let span = inner.entered.last().filter(|_| event.is_contextual());
        let mut line = span.map_or_else(|| "outside".to_owned(), |id| inner.spans[id].clone());
        line.push(':');
        event.record(&mut Fields(&mut line));
        inner.lines.push(line);
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        assert_eq!(self.0.lock().unwrap().entered.pop(), Some(id.into_u64()));
    }

    fn clone_span(&self, id: &Id) -> Id {
        id.clone()
    }
}

/// Returns what a future logs at this level or a more important one, with the span that each line is in.
pub(crate) fn logged<F: Future>(level: Level, future: impl FnOnce(Sim) -> F) -> Vec<String> {
    let log = Log(Arc::default(), level);
    with_subscriber(log.clone(), || Sim::run(future));
    let inner = log.0.lock().unwrap();
    assert!(inner.entered.is_empty());
    inner.lines.clone()
}

/// Logs what it receives, and when it ends.
async fn tell(mut connection: Connection) {
    tracing::info!("begins");
    while let Some(message) = connection.recv().await {
        tracing::info!("received {}", message.as_text().unwrap());
    }
    tracing::info!("ends");
}

/// Two clients in turns, a message each time; returns the lines and how many spans were made.
fn lines_of(level: Level, debug: bool) -> (Vec<String>, u64) {
    let log = Log(Arc::default(), level);
    with_subscriber(log.clone(), || {
        Sim::run(async |sim| {
            let server = Server::builder().debug(debug).bind(ANY).await.unwrap();
            serve(&sim, &server, tell);
            let mut first = Peer::open(&sim, server.local_addr()).await;
            let mut second = Peer::open_75(&sim, server.local_addr()).await;
            first.ask(text("one")).await;
            second.ask(b"\0two\xff").await;
            first.ask(text("three")).await;
            tracing::info!("the test");
            first.end().await;
            second.end().await;
            sim.settle().await;
        });
    });
    let inner = log.0.lock().unwrap();
    assert!(inner.entered.is_empty());
    (inner.lines.clone(), inner.made)
}

/// What a handler logs is in the span of its connection, with its fields, however the tasks take turns;
/// what others log is not.
#[test]
fn what_a_handler_logs_is_in_the_span_of_its_connection() {
    let (lines, made) = lines_of(Level::INFO, false);
    assert_eq!(made, 2);
    let told = |what: &str| {
        let mut found = lines
            .iter()
            .filter(|line| line.ends_with(&format!("message={what}")));
        let line = found.next().unwrap_or_else(|| panic!("{what}: {lines:#?}"));
        line.rsplit_once(": ").unwrap().0.to_owned()
    };
    assert_eq!(told("the test"), "outside");
    let (first, second) = (told("received one"), told("received two"));
    assert_eq!(told("received three"), first);
    assert!(first.starts_with("ws connection id=0.1 peer="), "{first}");
    assert!(
        first.ends_with(" version=\"rfc6455\" path=\"/chat\""),
        "{first}"
    );
    assert!(second.starts_with("ws connection id=1.2 peer="), "{second}");
    assert!(second.contains(" version=\"draft75\" "), "{second}");
    for what in ["begins", "ends"] {
        let spans = lines.iter().filter(|line| line.ends_with(what));
        let spans: Vec<_> = spans
            .map(|line| line.rsplit_once(": ").unwrap().0)
            .collect();
        assert_eq!(spans, [&*first, &*second], "{what}");
    }
}

/// Who asks for less than INFO of the target `ws` has no spans.
#[test]
fn spans_can_be_left_out() {
    let (lines, made) = lines_of(Level::WARN, false);
    assert_eq!(made, 0);
    assert!(
        lines.iter().all(|line| line.starts_with("outside: ")),
        "{lines:#?}"
    );
    assert_eq!(lines.len(), 8);
}

/// The lines of `debug(true)` are as they were: they say themselves whose they are.
#[test]
fn debug_lines_are_in_no_span() {
    let (lines, _) = lines_of(Level::DEBUG, true);
    let ours: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("message=connection "))
        .collect();
    assert!(ours.len() > 8, "{lines:#?}");
    for line in ours {
        assert!(line.starts_with("outside: message=connection "), "{line}");
    }
}

/// Requests of plain HTTP that a proxy passes on are in a span that names the client of each, though one stream has those of
/// many.
#[test]
fn a_plain_request_behind_a_proxy_is_in_the_span_of_its_client() {
    let lines = logged(Level::INFO, async |sim| {
        let server = Server::builder()
            .forwarded_for(ForwardedFor::proxies(["127.0.0.1"]).unwrap())
            .on_request(|_| async {
                tracing::info!("asked");
                http::Response::new(String::new())
            })
            .bind(ANY)
            .await
            .unwrap();
        serve(&sim, &server, tell);
        let mut peer = Peer::connect(&sim, server.local_addr());
        for client in [
            "X-Forwarded-For: 192.0.2.7\r\n",
            "X-Forwarded-For: 192.0.2.8\r\n",
        ] {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{client}\r\n");
            peer.ask(request.as_bytes()).await;
        }
        peer.end().await;
        sim.sleep(seconds(30)).await;
    });
    assert_eq!(
        lines,
        [
            "ws request peer=192.0.2.7:0: message=asked",
            "ws request peer=192.0.2.8:0: message=asked"
        ]
    );
}
