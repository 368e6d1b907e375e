//! The programs of the tutorial, as its pages use them.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::time::timeout;
use ws_tokio::{
    ClientConfig, ConnectConfig, ConnectError, Connection, HandshakeError, Origin, connect,
    connect_with,
};

use super::common::{PATIENCE, Program, exchange, request};

/// Starts a part on a free port.
fn part(path: &str) -> (Program, SocketAddr) {
    let program = Program::start(path, &["127.0.0.1:0"]);
    let line = program.line();
    let addr = line.strip_prefix("listening on http://").unwrap();
    let addr = addr.strip_suffix('/').unwrap().parse().unwrap();
    (program, addr)
}

/// Logs in, and returns the cookie without its attributes, and these.
fn log_in(addr: SocketAddr, name: &str, password: &str) -> Option<(String, String)> {
    let form = json!({"name": name, "password": password}).to_string();
    let head = format!(
        "POST /login HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = String::from_utf8(exchange(addr, head.as_bytes())).unwrap();
    if !answer.starts_with("HTTP/1.1 200 ") {
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        return None;
    }
    let mut lines = answer.lines();
    let cookie = lines.find(|line| line.to_ascii_lowercase().starts_with("set-cookie: "));
    let (name_and_token, attributes) = cookie.unwrap()[12..].split_once("; ").unwrap();
    Some((name_and_token.to_owned(), attributes.to_owned()))
}

fn with(headers: &[(&str, &str)]) -> ConnectConfig {
    add(ConnectConfig::new(), headers)
}

/// What a browser sends from a page of this origin.
fn from(origin: &str, headers: &[(&str, &str)]) -> ConnectConfig {
    let origin: Origin = origin.parse().unwrap();
    add(ClientConfig::new().origin(origin).into(), headers)
}

fn add(mut config: ConnectConfig, headers: &[(&str, &str)]) -> ConnectConfig {
    for (name, value) in headers {
        config = config.header(name, value).unwrap();
    }
    config
}

async fn hear(connection: &mut Connection) -> Value {
    let message = timeout(PATIENCE, connection.recv()).await.unwrap().unwrap();
    serde_json::from_str(message.as_text().unwrap()).unwrap()
}

/// Returns the status with which an upgrade is refused.
async fn refusal(url: &str, config: &ConnectConfig) -> u16 {
    match timeout(PATIENCE, connect_with(url, config)).await.unwrap() {
        Err(ConnectError::Handshake(HandshakeError::Status { status, .. })) => status.as_u16(),
        other => panic!("{other:?}"),
    }
}

/// Proves that part 1 serves its page, echoes, and says who has come and gone.
#[tokio::test]
async fn part_1_echoes() {
    let (program, addr) = part(env!("CARGO_BIN_EXE_tutorial-echo"));
    let (head, body) = request(addr, "GET /", "Connection: close\r\n");
    assert!(head.contains("content-type: text/html"), "{head}");
    assert!(body.contains("<h1>Echo</h1>"), "{body}");
    let mut connection = connect(format!("ws://{addr}/")).await.unwrap();
    connection.send("hello").await.unwrap();
    let message = timeout(PATIENCE, connection.recv()).await.unwrap();
    assert_eq!(message.unwrap().as_text(), Some("hello"));
    connection.close().await;
    assert!(program.line().ends_with(" has come"));
    assert!(program.line().contains(" has gone: 1000"));
}

/// Proves that part 2 lets those in who have logged in, from its own page, and nobody else.
#[tokio::test]
async fn part_2_lets_nobody_in_without_a_login() {
    let (_program, addr) = part(env!("CARGO_BIN_EXE_tutorial-rooms"));
    let (_, body) = request(addr, "GET /", "Connection: close\r\n");
    assert!(body.contains("<h1>Rooms</h1>"), "{body}");
    assert!(log_in(addr, "ana", "walnut").is_none());
    assert!(log_in(addr, "cy", "tulip").is_none());
    let (cookie, attributes) = log_in(addr, "ana", "tulip").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
    let (head, _) = request(addr, "GET /me", "Connection: close\r\n");
    assert!(head.starts_with("http/1.1 401 "), "{head}");
    let with_cookie = format!("Cookie: {cookie}\r\nConnection: close\r\n");
    assert_eq!(request(addr, "GET /me", &with_cookie).1, "ana");

    let url = format!("ws://{addr}/rooms/lobby");
    assert_eq!(refusal(&url, &with(&[])).await, 401);
    assert_eq!(refusal(&url, &with(&[("Cookie", "session=0")])).await, 401);
    let elsewhere = from("http://evil.example", &[("Cookie", &cookie)]);
    assert_eq!(refusal(&url, &elsewhere).await, 403);
    let no_room = format!("ws://{addr}/rooms/");
    assert_eq!(refusal(&no_room, &with(&[("Cookie", &cookie)])).await, 404);
    let ours = format!("http://{addr}");
    let from_our_page = from(&ours, &[("Cookie", &format!("a=b; {cookie}"))]);
    let mut ana = connect_with(&url, &from_our_page).await.unwrap();
    assert_eq!(
        hear(&mut ana).await,
        json!({"type": "here", "names": ["ana"]})
    );
}

/// Proves that the people of a room see each other come, talk and go, and that other rooms do not.
#[tokio::test]
async fn part_2_shows_who_is_in_a_room() {
    let (_program, addr) = part(env!("CARGO_BIN_EXE_tutorial-rooms"));
    let (ana, _) = log_in(addr, "ana", "tulip").unwrap();
    let (bo, _) = log_in(addr, "bo", "walnut").unwrap();
    let enter = async |cookie: &str, room: &str| {
        let url = format!("ws://{addr}/rooms/{room}");
        connect_with(&url, &with(&[("Cookie", cookie)]))
            .await
            .unwrap()
    };
    let here = |names: &[&str]| json!({"type": "here", "names": names});
    let mut ana_at_home = enter(&ana, "lobby").await;
    assert_eq!(hear(&mut ana_at_home).await, here(&["ana"]));
    let mut ana_at_work = enter(&ana, "lobby").await;
    for tab in [&mut ana_at_home, &mut ana_at_work] {
        assert_eq!(hear(tab).await, here(&["ana"]));
    }
    let mut garden = enter(&bo, "garden").await;
    assert_eq!(hear(&mut garden).await, here(&["bo"]));
    let mut bo = enter(&bo, "lobby").await;
    for tab in [&mut ana_at_home, &mut ana_at_work, &mut bo] {
        assert_eq!(hear(tab).await, here(&["ana", "bo"]));
    }
    bo.send("hello").await.unwrap();
    let said = json!({"type": "said", "name": "bo", "text": "hello"});
    for tab in [&mut ana_at_home, &mut ana_at_work, &mut bo] {
        assert_eq!(hear(tab).await, said);
    }
    bo.close().await;
    for tab in [&mut ana_at_home, &mut ana_at_work] {
        assert_eq!(hear(tab).await, here(&["ana"]));
    }
    // Messages come in order: had the garden heard the lobby, that would be here first.
    garden.send("quiet").await.unwrap();
    assert_eq!(hear(&mut garden).await["text"], "quiet");
}

/// Proves that part 3 says that it stops before it does, and that those who are connected are told.
#[tokio::test]
async fn part_3_stops_after_a_notice() {
    let (mut program, addr) = part(env!("CARGO_BIN_EXE_tutorial-deployed"));
    let (cookie, attributes) = log_in(addr, "ana", "tulip").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict; Secure");
    let health = || request(addr, "GET /healthz", "Connection: close\r\n");
    let (head, body) = health();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(body, "up\n");

    let url = format!("ws://{addr}/rooms/lobby");
    // The page of a proxy that ends TLS is one of https, and one of http is not ours.
    let ours = format!("https://{addr}");
    let not_ours = from(&format!("http://{addr}"), &[("Cookie", &cookie)]);
    assert_eq!(refusal(&url, &not_ours).await, 403);
    let headers = [("Cookie", &*cookie), ("X-Forwarded-For", "192.0.2.7")];
    let config = from(&ours, &headers);
    let mut ana = connect_with(&url, &config).await.unwrap();
    assert_eq!(hear(&mut ana).await["names"], json!(["ana"]));

    let id = program.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &id])
        .status();
    assert!(killed.unwrap().success());
    let begin = std::time::Instant::now();
    while !health().0.starts_with("http/1.1 503 ") {
        assert!(begin.elapsed() < PATIENCE, "it does not say that it stops");
    }
    // It still serves.
    ana.send("still here").await.unwrap();
    assert_eq!(hear(&mut ana).await["text"], "still here");
    while timeout(PATIENCE, ana.recv()).await.unwrap().is_some() {}
    let closed = ana.closed().unwrap().to_string();
    assert!(closed.starts_with("1001"), "{closed}");
    assert_eq!(program.line(), "stopped: 1 closed, 0 lost, 0 aborted");
    assert!(program.wait().success());
}
