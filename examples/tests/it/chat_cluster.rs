//! The chat on several servers, with a Redis of the test's own. `REDIS_SERVER` names another program, such as that of
//! Valkey.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ws_tokio::Version;

use super::chat::{Guest, chat};
use super::common::{PATIENCE, Program};

/// A Redis, and the option that names it.
struct Engine {
    _program: Program,
    url: String,
}

impl Engine {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let name = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let port = addr.port().to_string();
        let options = ["--bind", "127.0.0.1", "--port", &port, "--save", ""];
        let program = Program::start(&name, &options);
        let begin = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(begin.elapsed() < PATIENCE, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            _program: program,
            url: format!("redis://{addr}"),
        }
    }
}

/// Joins, and waits until the server of the guest gets what is said on others.
async fn join(guest: &mut Guest, name: &str) -> Value {
    let welcome = guest.join(name).await;
    guest.send(json!({"type": "say", "text": "here"})).await;
    assert_eq!(guest.hear().await["text"], "here");
    welcome
}

/// Proves that guests of two servers hear each other come, talk, whisper, move and go, in every version, and that one alone
/// hears what is for one.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn guests_of_two_servers_talk() {
    let engine = Engine::start();
    let servers = [1, 2].map(|_| chat(&["--redis", &engine.url]));
    let [(_, first), (_, second)] = servers;
    let mut ana = Guest::connect(first, Version::Rfc6455).await;
    let mut cy = Guest::connect(first, Version::Draft75).await;
    let mut bo = Guest::connect(second, Version::Draft76).await;
    let a = join(&mut ana, "Ana").await["id"].clone();
    join(&mut cy, "Cy").await;
    for (kind, name) in [("joined", "Cy"), ("said", "Cy")] {
        let event = ana.hear().await;
        assert_eq!(
            (&event["type"], &event["name"]),
            (&json!(kind), &json!(name))
        );
    }

    let b = join(&mut bo, "Bo").await["id"].clone();
    let joined = json!({"type": "joined", "id": b, "name": "Bo", "version": "draft76"});
    for guest in [&mut ana, &mut cy] {
        assert_eq!(guest.hear().await, joined);
        assert_eq!(guest.hear().await["text"], "here");
    }
    for number in 0..100 {
        bo.send(json!({"type": "say", "text": format!("{number} \u{1f44b}")}))
            .await;
    }
    for guest in [&mut ana, &mut bo, &mut cy] {
        for number in 0..100 {
            let said = guest.hear().await;
            assert_eq!((&said["from"], &said["name"]), (&b, &json!("Bo")));
            assert_eq!(said["text"], format!("{number} \u{1f44b}"));
        }
    }

    // What is whispered goes to one, in whatever room.
    bo.enter("Garden").await;
    let left = json!({"type": "left", "id": b, "name": "Bo"});
    for guest in [&mut ana, &mut cy] {
        assert_eq!(guest.hear().await, left);
    }
    ana.send(json!({"type": "tell", "to": b, "text": "psst"}))
        .await;
    let told = json!({"type": "told", "from": a, "name": "Ana", "to": b, "text": "psst"});
    for guest in [&mut ana, &mut bo] {
        assert_eq!(guest.hear().await, told);
    }
    bo.send(json!({"type": "tell", "to": a, "text": "what?"}))
        .await;
    assert_eq!(bo.hear().await["text"], "what?");
    assert_eq!(ana.hear().await["text"], "what?");
    ana.send(json!({"type": "say", "text": "Bo is gone"})).await;
    assert_eq!(cy.hear().await["text"], "Bo is gone");

    bo.enter("lobby").await;
    for guest in [&mut ana, &mut cy] {
        let event = guest.hear().await;
        let event = match event["text"].as_str() {
            Some("Bo is gone") => guest.hear().await,
            _ => event,
        };
        assert_eq!(event, joined);
    }
    bo.connection.close().await;
    assert_eq!(ana.hear().await, left);
}

/// Proves that a server without its engine is a chat of its own, and says so.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn without_an_engine_a_server_is_a_chat_of_its_own() {
    let engine = Engine::start();
    let url = engine.url.clone();
    drop(engine);
    let (_chat, addr) = chat(&["--redis", &url]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    let mut bo = Guest::connect(addr, Version::Rfc6455).await;
    ana.join("Ana").await;
    let error = ana.hear_error().await;
    assert!(error.contains("Only this server is here"), "{error}");
    bo.join("Bo").await;
    assert!(bo.hear_error().await.contains("Only this server"));
    assert_eq!(ana.hear().await["type"], "joined");
    bo.send(json!({"type": "say", "text": "hello"})).await;
    for guest in [&mut ana, &mut bo] {
        assert_eq!(guest.hear().await["text"], "hello");
    }
}
