//! The chat, as its page and other clients see it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::time::timeout;
use ws_tokio::{ClientConfig, Connection, Version, connect_with};

use super::common::{PATIENCE, Program, UPGRADE, request, serve};

pub fn chat(options: &[&str]) -> (Program, SocketAddr) {
    serve(env!("CARGO_BIN_EXE_chat"), "http", options)
}

/// Somebody with a connection to the chat.
pub struct Guest {
    pub connection: Connection,
}

impl Guest {
    pub async fn connect(addr: SocketAddr, version: Version) -> Self {
        let config = ClientConfig::new().version(version);
        let connecting = connect_with(&format!("ws://{addr}/chat"), &config).await;
        Self {
            connection: connecting.unwrap(),
        }
    }

    pub async fn send(&self, value: Value) {
        self.connection.send(value.to_string()).await.unwrap();
    }

    pub async fn hear(&mut self) -> Value {
        let message = timeout(PATIENCE, self.connection.recv()).await.unwrap();
        serde_json::from_str(message.unwrap().as_text().unwrap()).unwrap()
    }

    pub async fn hear_error(&mut self) -> String {
        let event = self.hear().await;
        assert_eq!(event["type"], "error", "{event}");
        event["text"].as_str().unwrap().to_owned()
    }

    /// Joins and returns the welcome.
    pub async fn join(&mut self, name: &str) -> Value {
        self.send(json!({"type": "join", "name": name})).await;
        let welcome = self.hear().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        welcome
    }

    /// Enters a room and returns the welcome.
    pub async fn enter(&mut self, room: &str) -> Value {
        self.send(json!({"type": "enter", "room": room})).await;
        let welcome = self.hear().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        welcome
    }
}

/// Proves the whole talk of two: join, say, tell, leave, between RFC 6455 and draft-76.
#[tokio::test]
async fn clients_of_two_versions_talk() {
    let (_chat, addr) = chat(&[]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    let welcome = ana.join("  Ana ").await;
    let a = welcome["id"].clone();
    let expected = json!({"type": "welcome", "id": a, "name": "Ana", "room": "lobby", "here": []});
    assert_eq!(welcome, expected);

    let mut bo = Guest::connect(addr, Version::Draft76).await;
    let welcome = bo.join("Bo").await;
    let b = welcome["id"].clone();
    assert_ne!(a, b);
    let here = json!([{"id": a, "name": "Ana", "version": "rfc6455"}]);
    assert_eq!(welcome["here"], here);
    let joined = json!({"type": "joined", "id": b, "name": "Bo", "version": "draft76"});
    assert_eq!(ana.hear().await, joined);

    bo.send(json!({"type": "say", "text": "gr\u{fc}\u{df}e \u{1f44b}\n"}))
        .await;
    let said =
        json!({"type": "said", "from": b, "name": "Bo", "text": "gr\u{fc}\u{df}e \u{1f44b}\n"});
    assert_eq!(ana.hear().await, said);
    assert_eq!(bo.hear().await, said);

    ana.send(json!({"type": "tell", "to": b, "text": "psst"}))
        .await;
    let told = json!({"type": "told", "from": a, "name": "Ana", "to": b, "text": "psst"});
    assert_eq!(ana.hear().await, told);
    assert_eq!(bo.hear().await, told);

    bo.connection.close().await;
    let left = json!({"type": "left", "id": b, "name": "Bo"});
    assert_eq!(ana.hear().await, left);
    ana.send(json!({"type": "tell", "to": b, "text": "still there?"}))
        .await;
    let error = ana.hear_error().await;
    assert!(error.contains("Nobody here has the id"), "{error}");
}

/// Proves that what is whispered reaches nobody else, and that who has not joined hears nothing.
#[tokio::test]
async fn only_those_who_are_meant_hear() {
    let (_chat, addr) = chat(&[]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    let mut bo = Guest::connect(addr, Version::Rfc6455).await;
    let mut cy = Guest::connect(addr, Version::Draft75).await;
    let mut lurker = Guest::connect(addr, Version::Rfc6455).await;
    ana.join("Ana").await;
    let b = bo.join("Bo").await["id"].clone();
    let here = cy.join("Cy").await["here"].clone();
    assert_eq!(here.as_array().unwrap().len(), 2, "{here}");

    ana.send(json!({"type": "tell", "to": b, "text": "for Bo"}))
        .await;
    ana.send(json!({"type": "say", "text": "for all"})).await;
    assert_eq!(cy.hear().await["text"], "for all");

    // Messages come in order: had it heard anything, that would be here before the error.
    lurker
        .send(json!({"type": "say", "text": "let me in"}))
        .await;
    let error = lurker.hear_error().await;
    assert!(error.contains("join first"), "{error}");
}

/// Proves that who enters a room leaves the one they were in, and that in each only its members are
/// heard of and heard.
#[tokio::test]
async fn rooms_do_not_hear_each_other() {
    let (_chat, addr) = chat(&[]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    let mut bo = Guest::connect(addr, Version::Draft76).await;
    let a = ana.join("Ana").await["id"].clone();
    let b = bo.join("Bo").await["id"].clone();
    assert_eq!(ana.hear().await["type"], "joined");

    let welcome = bo.enter(" Garden ").await;
    let expected = json!({"type": "welcome", "id": b, "name": "Bo", "room": "Garden", "here": []});
    assert_eq!(welcome, expected);
    let left = json!({"type": "left", "id": b, "name": "Bo"});
    assert_eq!(ana.hear().await, left);

    // Messages come in order: had one heard the other, that would be here before what is theirs.
    ana.send(json!({"type": "say", "text": "in the lobby"}))
        .await;
    assert_eq!(ana.hear().await["text"], "in the lobby");
    bo.send(json!({"type": "say", "text": "in the garden"}))
        .await;
    assert_eq!(bo.hear().await["text"], "in the garden");

    // A name is for one in all rooms, and what is told goes across.
    let mut cy = Guest::connect(addr, Version::Draft75).await;
    let join = json!({"type": "join", "name": "bo", "room": "Garden"});
    cy.send(join).await;
    assert!(cy.hear_error().await.contains("Bo already"));
    let join = json!({"type": "join", "name": "Cy", "room": "Garden"});
    cy.send(join).await;
    let here = json!([{"id": b, "name": "Bo", "version": "draft76"}]);
    assert_eq!(cy.hear().await["here"], here);
    assert_eq!(bo.hear().await["name"], "Cy");
    cy.send(json!({"type": "tell", "to": a, "text": "across"}))
        .await;
    for guest in [&mut cy, &mut ana] {
        assert_eq!(guest.hear().await["text"], "across");
    }

    // Entering the room one is in is no news to others.
    assert_eq!(bo.enter("Garden").await["here"][0]["name"], "Cy");
    let welcome = ana.enter("Garden").await;
    assert_eq!(welcome["here"].as_array().unwrap().len(), 2, "{welcome}");
    let joined = json!({"type": "joined", "id": a, "name": "Ana", "version": "rfc6455"});
    for guest in [&mut cy, &mut bo] {
        assert_eq!(guest.hear().await, joined);
    }
    bo.connection.close().await;
    for guest in [&mut cy, &mut ana] {
        assert_eq!(guest.hear().await, left);
    }
}

/// Proves that who asks is told the rooms, the fullest first, again when they change, and who leaves the chat, from
/// whatever room; and that nobody else is.
#[tokio::test]
async fn who_asks_is_told_the_rooms() {
    let (_chat, addr) = chat(&[]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    let mut bo = Guest::connect(addr, Version::Draft76).await;
    let mut cy = Guest::connect(addr, Version::Draft75).await;
    ana.send(json!({"type": "rooms"})).await;
    assert!(ana.hear_error().await.contains("join first"));
    ana.join("Ana").await;
    cy.send(json!({"type": "join", "name": "Cy", "room": "attic"}))
        .await;
    let c = cy.hear().await["id"].clone();
    bo.send(json!({"type": "join", "name": "Bo", "room": "attic"}))
        .await;
    assert_eq!(bo.hear().await["type"], "welcome");

    let rooms = |rooms: &[(&str, usize)]| {
        let listed = rooms.iter();
        let listed: Vec<_> = listed
            .map(|(name, people)| json!({"name": name, "people": people}))
            .collect();
        json!({"type": "rooms", "rooms": listed})
    };
    ana.send(json!({"type": "rooms"})).await;
    let full = rooms(&[("attic", 2), ("lobby", 1)]);
    assert_eq!(ana.hear().await, full);
    // The list may be announced once more, as nobody had been told it.
    bo.enter("cellar").await;
    let mut event = ana.hear().await;
    if event == full {
        event = ana.hear().await;
    }
    let moved = rooms(&[("attic", 1), ("cellar", 1), ("lobby", 1)]);
    assert_eq!(event, moved);
    cy.connection.close().await;
    assert_eq!(ana.hear().await, json!({"type": "gone", "id": c}));
    let left = rooms(&[("cellar", 1), ("lobby", 1)]);
    assert_eq!(ana.hear().await, left);

    // Bo, who has not asked, hears none of it.
    bo.send(json!({"type": "say", "text": "alone"})).await;
    assert_eq!(bo.hear().await["text"], "alone");
}

/// Proves that a member can move more often than a connection may have topics.
#[tokio::test]
async fn one_can_move_on_and_on() {
    let (_chat, addr) = chat(&[]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    ana.join("Ana").await;
    for number in 0..100 {
        ana.enter(&format!("room {number}")).await;
    }
}

/// Proves that a name is for one, whatever its case, and free again when they have left.
#[tokio::test]
async fn a_name_is_taken_until_its_owner_leaves() {
    let (_chat, addr) = chat(&[]);
    let mut first = Guest::connect(addr, Version::Rfc6455).await;
    let mut second = Guest::connect(addr, Version::Draft76).await;
    let mut witness = Guest::connect(addr, Version::Rfc6455).await;
    first.join("J\u{fc}rgen").await;
    second
        .send(json!({"type": "join", "name": "J\u{dc}RGEN"}))
        .await;
    let error = second.hear_error().await;
    assert!(error.contains("J\u{fc}rgen already"), "{error}");

    witness.join("Witness").await;
    drop(first);
    assert_eq!(witness.hear().await["type"], "left");
    second.join("J\u{dc}RGEN").await;
    assert_eq!(witness.hear().await["name"], "J\u{dc}RGEN");
}

/// Proves that every mistake is answered with an error in words, and does no harm.
#[tokio::test]
async fn mistakes_are_answered_in_words() {
    let (_chat, addr) = chat(&[]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    ana.connection.send("{not json").await.unwrap();
    assert!(ana.hear_error().await.contains("not understood"));
    ana.connection.send(b"binary").await.unwrap();
    assert!(ana.hear_error().await.contains("text messages"));
    for name in ["", " \t ", "a\u{7}b", &"x".repeat(33)] {
        ana.send(json!({"type": "join", "name": name})).await;
        assert!(ana.hear_error().await.contains("A name has"), "{name:?}");
    }

    ana.send(json!({"type": "enter", "room": "garden"})).await;
    assert!(ana.hear_error().await.contains("join first"));
    ana.send(json!({"type": "join", "name": "Ana", "room": " "}))
        .await;
    assert!(ana.hear_error().await.contains("The name of a room has"));

    let name = "\u{1f44b}".repeat(32);
    assert_eq!(ana.join(&name).await["name"], name);
    assert_eq!(ana.enter(&name).await["room"], name);
    for room in ["", " \t ", "a\u{7}b", &"x".repeat(33)] {
        ana.send(json!({"type": "enter", "room": room})).await;
        let error = ana.hear_error().await;
        assert!(error.contains("The name of a room has"), "{room:?}");
    }
    ana.send(json!({"type": "enter"})).await;
    assert!(ana.hear_error().await.contains("not understood"));
    ana.send(json!({"type": "join", "name": "Ana"})).await;
    assert!(ana.hear_error().await.contains("joined already"));
    ana.send(json!({"type": "shout", "text": "x"})).await;
    assert!(ana.hear_error().await.contains("not understood"));
    for text in ["", &"x".repeat(2001)] {
        ana.send(json!({"type": "say", "text": text})).await;
        assert!(ana.hear_error().await.contains("A message has"));
    }
    for id in ["", "Bo", "7.7"] {
        ana.send(json!({"type": "tell", "to": id, "text": "x"}))
            .await;
        assert!(ana.hear_error().await.contains("Nobody"), "{id:?}");
    }

    // The longest text is taken however it is escaped.
    let escaped = "\\ud83d\\udc4b".repeat(2000);
    let request = format!(r#"{{"type":"say","text":"{escaped}"}}"#);
    ana.connection.send(request).await.unwrap();
    assert_eq!(ana.hear().await["text"], "\u{1f44b}".repeat(2000));
}

/// Proves that a client that floods the chat is slowed down, and drives nobody away.
#[tokio::test]
async fn a_flood_drives_nobody_away() {
    let (_chat, addr) = chat(&[]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    let mut flood = Guest::connect(addr, Version::Rfc6455).await;
    ana.join("Ana").await;
    flood.join("Flood").await;
    let text = "x".repeat(2000);
    // Four times what a send queue takes.
    for _ in 0..500 {
        flood.send(json!({"type": "say", "text": text})).await;
    }
    assert_eq!(ana.hear().await["type"], "joined");
    for guest in [&mut ana, &mut flood] {
        for _ in 0..500 {
            assert_eq!(guest.hear().await["type"], "said");
        }
    }
}

/// Proves that the example client can take part, in every version.
#[test]
fn the_client_example_can_take_part() {
    let (_chat, addr) = chat(&[]);
    for version in ["draft75", "draft76", "rfc6455"] {
        let url = format!("ws://{addr}/chat");
        let options = [url.as_str(), "--version", version];
        let mut client = Program::start(env!("CARGO_BIN_EXE_client"), &options);
        client.write_line(&json!({"type": "join", "name": version}).to_string());
        let welcome = client.line();
        assert!(welcome.starts_with(r#"{"type":"welcome","#), "{welcome}");
        client.end_input();
        assert!(client.wait().success());
        assert!(client.error_line().contains(version));
    }
}

/// Proves that the files of the page are served, each as what it is, and nothing else.
#[test]
fn the_page_is_served() {
    let (_chat, addr) = chat(&[]);
    let files = [
        (
            "/",
            "text/html",
            include_str!("../../src/bin/chat/page/index.html"),
        ),
        (
            "/?name=Ana",
            "text/html",
            include_str!("../../src/bin/chat/page/index.html"),
        ),
        (
            "/style.css",
            "text/css",
            include_str!("../../src/bin/chat/page/style.css"),
        ),
        (
            "/chat.js",
            "text/javascript",
            include_str!("../../src/bin/chat/page/chat.js"),
        ),
        (
            "/log.js",
            "text/javascript",
            include_str!("../../src/bin/chat/page/log.js"),
        ),
    ];
    for (path, media_type, content) in files {
        let (head, body) = request(addr, &format!("GET {path}"), "Connection: close\r\n");
        assert!(head.starts_with("http/1.1 200 "), "{path}: {head}");
        assert!(head.contains(&format!("\r\ncontent-type: {media_type}; charset=utf-8")));
        assert!(head.contains("\r\ncache-control: no-cache"), "{head}");
        assert!(
            head.contains("\r\nx-content-type-options: nosniff"),
            "{head}"
        );
        assert_eq!(body, content, "{path}");
        let (head, body) = request(addr, &format!("HEAD {path}"), "Connection: close\r\n");
        assert!(
            head.contains(&format!("\r\ncontent-length: {}", content.len())),
            "{head}"
        );
        assert_eq!(body, "");
    }
    for (line, status) in [("GET /page/index.html", "404"), ("POST /", "405")] {
        let (head, body) = request(addr, line, "Connection: close\r\n");
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{line}: {head}"
        );
        assert!(head.contains("\r\ncontent-type: text/plain"), "{head}");
        assert!(body.starts_with(status), "{body}");
        assert_eq!(head.contains("\r\nallow: get, head"), status == "405");
    }
}

/// Proves that the WebSocket is at /chat only, and there for the origins that were named only.
#[test]
fn an_upgrade_elsewhere_or_from_elsewhere_is_rejected() {
    let (_chat, addr) = chat(&["--origin", "http://good.example"]);
    let cases = [
        ("GET /", "", "404"),
        ("GET /chat/", "Origin: http://good.example\r\n", "404"),
        ("GET /chat", "Origin: http://bad.example\r\n", "403"),
    ];
    for (line, origin, status) in cases {
        let headers = format!("{UPGRADE}Sec-WebSocket-Version: 13\r\n{origin}");
        let (head, _) = request(addr, line, &headers);
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{line}: {head}"
        );
    }
}

/// Joins by hand, and reads nothing.
fn join_unread(addr: SocketAddr, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    let head =
        format!("GET /chat HTTP/1.1\r\nHost: h\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n");
    let join = json!({"type": "join", "name": name}).to_string();
    let len = u8::try_from(join.len()).unwrap();
    let frame = [&[0x81, 0x80 | len, 0, 0, 0, 0], join.as_bytes()].concat();
    stream
        .write_all(&[head.as_bytes(), &frame].concat())
        .unwrap();
    stream
}

/// Proves that guests that send garbage, reset their stream or never read have left soon, that the
/// others hear so and talk on meanwhile, and that new ones come in (X18).
#[tokio::test]
async fn bad_guests_leave_and_the_others_talk_on() {
    let (_chat, addr) = chat(&[]);
    let mut ana = Guest::connect(addr, Version::Rfc6455).await;
    ana.join("Ana").await;

    let mut noise = join_unread(addr, "Noise");
    assert_eq!(ana.hear().await["type"], "joined");
    noise.write_all(&[0xff; 1000]).unwrap();
    assert_eq!(ana.hear().await["type"], "left");

    // What it has not read when it is closed makes a reset of the close.
    let reset = join_unread(addr, "Reset");
    assert_eq!(ana.hear().await["type"], "joined");
    drop(reset);
    assert_eq!(ana.hear().await["type"], "left");

    let _deaf = join_unread(addr, "Deaf");
    assert_eq!(ana.hear().await["type"], "joined");
    let text = "\u{1f44b}".repeat(2000);
    let begin = Instant::now();
    let mut has_left = false;
    while !has_left {
        // Sooner than after 40 s, when it would be taken for dead.
        let took = begin.elapsed();
        assert!(took < PATIENCE * 3 / 2, "who never reads is still there");
        ana.send(json!({"type": "say", "text": text})).await;
        loop {
            let event = ana.hear().await;
            if event["type"] == "said" {
                assert_eq!(event["text"], text);
                break;
            }
            assert_eq!(
                (&event["type"], &event["name"]),
                (&json!("left"), &json!("Deaf"))
            );
            has_left = true;
        }
    }

    for version in [Version::Draft75, Version::Draft76, Version::Rfc6455] {
        let mut guest = Guest::connect(addr, version).await;
        guest.join("Bo").await;
        assert_eq!(ana.hear().await["name"], "Bo");
        guest.send(json!({"type": "say", "text": "hello"})).await;
        assert_eq!(guest.hear().await["text"], "hello");
        assert_eq!(ana.hear().await["text"], "hello");
        guest.connection.close().await;
        assert_eq!(ana.hear().await["type"], "left");
    }
}
