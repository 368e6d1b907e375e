//! What the request has, which way it takes, and which version is spoken.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use ws_tokio::{Connection, Server};

use super::{Local, run};

/// Sends the headers of its request, one in each message.
fn telling() -> Local {
    let builder = Server::builder().subprotocols(["second", "third"]);
    Local::start(builder, |connection: Connection| async move {
        for name in ["Authorization", "Cookie", "X-Twice", "Origin"] {
            let request = connection.request().unwrap();
            let value = request.header(name).unwrap_or("none");
            let _ = connection.send(format!("{name}: {value}")).await;
        }
        let subprotocol = connection.subprotocol().unwrap_or("none");
        let _ = connection.send(subprotocol).await;
    })
}

/// -H, --auth, --origin and --subprotocol are in the request; without them it has none of that.
#[test]
fn the_request_has_what_was_asked_for() {
    let server = telling();
    let url = server.url();
    let options = [
        &*url,
        "-H",
        "Cookie: a=b",
        "-H",
        "X-Twice:  c ",
        "--auth",
        "Aladdin:open sesame",
        "--origin",
        "http://page.example",
        "-s",
        "first",
        "--subprotocol",
        "second",
    ];
    let ended = run(&options, b"");
    ended.says(0, "connected: rfc6455, subprotocol second");
    // The login is that of RFC 7617 §2.
    ended.printed(
        "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\nCookie: a=b\nX-Twice: c\n\
         Origin: http://page.example\nsecond\n",
    );
    run(&[&url], b"")
        .says(0, "no subprotocol")
        .printed("Authorization: none\nCookie: none\nX-Twice: none\nOrigin: none\nnone\n");
}

/// --version takes the names that other tools have, too.
#[test]
fn a_version_has_several_names() {
    let server = Local::echo();
    for (name, version) in [
        ("draft-75", "draft75"),
        ("draft-76", "draft76"),
        ("hybi-00", "draft76"),
        ("13", "rfc6455"),
    ] {
        let ended = run(&[&server.url(), "--version", name], b"hello\n");
        ended
            .says(0, &format!("connected: {version},"))
            .printed("hello\n");
    }
}

/// --proxy goes through a proxy, with the user and the password in its URL.
#[test]
fn a_proxy_is_gone_through() {
    let server = Local::echo();
    let (proxy, request) = proxy(server.addr());
    let url = format!("http://me:secret@{proxy}");
    let ended = run(&["ws://far.example:81/", "--proxy", &url], b"hello\n");
    ended.says(0, "ended: 1000").printed("hello\n");
    let request = request.join().unwrap().to_ascii_lowercase();
    assert!(
        request.starts_with("connect far.example:81 http/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("proxy-authorization: basic bwu6c2vjcmv0\r\n"),
        "{request}"
    );
}

/// A proxy for one tunnel, which leads to this address whatever it is asked for. Returns its request.
fn proxy(to: SocketAddr) -> (SocketAddr, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(client.try_clone().unwrap());
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut request).unwrap() > 0);
        }
        let server = TcpStream::connect(to).unwrap();
        (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (to_server, from_server) = (server.try_clone().unwrap(), server);
        thread::spawn(move || copy(reader, to_server));
        thread::spawn(move || copy(from_server, client));
        request
    });
    (addr, asked)
}

fn copy(mut from: impl io::Read, mut to: TcpStream) {
    // A stream that breaks ends as one that is closed.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
