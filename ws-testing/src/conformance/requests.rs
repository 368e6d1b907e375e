//! What a client can be told to connect to, and how it finds the addresses.

use std::net::SocketAddr;

use ::http::Request;
use ws_proto::ClientUrl;

use super::support::{echo, ms, serve, text, url};
use ws_driver::{
    Answer, ConnectConfig, ConnectError, Connection, Runtime, Server, Upgrade, connect,
    connect_with,
};

/// Sends a message to and fro, and closes.
async fn talk(mut connection: Connection) {
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
    connection.close().await;
}

/// Answers with a 403 unless the request has these headers.
fn demanding(
    headers: &'static [(&'static str, &'static str)],
) -> impl Fn(Upgrade) -> std::future::Ready<Answer> {
    move |upgrade| {
        let head = upgrade.head();
        let has = |(name, value): &(&str, &str)| head.header(name) == Some(*value);
        let answer = if headers.iter().all(has) {
            upgrade.accept()
        } else {
            upgrade.reject(403)
        };
        std::future::ready(answer)
    }
}

/// A URL as text or parsed, and a request of the crate `http` with the headers that other libraries demand.
pub async fn a_client_takes_urls_and_requests<R: Runtime + Default>() {
    let builder = Server::<R>::builder()
        .subprotocols(["chat"])
        .on_upgrade(demanding(&[
            // me:pw
            ("authorization", "Basic bWU6cHc="),
            ("host", "example.com"),
        ]));
    let server = serve(builder, echo).await;
    let plain = url(&server);
    assert!(connect::<R>(&plain).await.is_err());
    let with_user = plain.replace("ws://", "ws://me:pw@");
    let parsed: ClientUrl = with_user.parse().unwrap();
    let request = |url: &str| {
        let request = Request::builder()
            .uri(url)
            .header("Host", "example.com")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Protocol", "chat");
        request.body(()).unwrap()
    };
    let connection = connect::<R>(request(&with_user)).await.unwrap();
    assert_eq!(connection.subprotocol(), Some("chat"));
    talk(connection).await;
    let host: ws_proto::Host = "example.com".parse().unwrap();
    let named = ws_proto::ClientConfig::new().host(host);
    talk(connect_with::<R>(parsed, &named).await.unwrap()).await;
    talk(connect_with::<R>(&with_user, &named).await.unwrap()).await;
    let named = named.header("Authorization", "Basic bWU6cHc=").unwrap();
    talk(connect_with::<R>(plain, &named).await.unwrap()).await;
}

/// A function of the application finds the address, which the connection knows.
pub async fn a_client_looks_names_up_by_a_function<R: Runtime + Default>() {
    let builder = Server::<R>::builder().on_upgrade(demanding(&[("host", "tenant.invalid")]));
    let server = serve(builder, echo).await;
    let addr = server.local_addr();
    let options = ConnectConfig::new().resolver(move |host, port| async move {
        assert_eq!((&*host, port), ("tenant.invalid", 80));
        Ok(vec![addr])
    });
    let connection = connect_with::<R>("ws://tenant.invalid/", options).await;
    let connection = connection.unwrap();
    assert_eq!(connection.peer_addr(), Some(addr));
    talk(connection).await;
}

/// R-C16: the name of an interface in a URL is its number in the address of the socket. Nobody has this address, so only
/// the error tells.
pub async fn a_zone_reaches_the_socket<R: Runtime + Default>() {
    let Ok(number) = std::fs::read_to_string("/sys/class/net/lo/ifindex") else {
        // Another system than Linux calls its interfaces otherwise.
        return;
    };
    let number = number.trim();
    let options = ConnectConfig::new().connect_timeout(ms(5000));
    for zone in ["lo", number] {
        let url = format!("ws://[fe80::5afe:1%25{zone}]:9/");
        let error = connect_with::<R>(&url, &options).await.unwrap_err();
        let (ConnectError::Unreachable { attempts, .. } | ConnectError::Timeout { attempts, .. }) =
            error
        else {
            panic!("{error:?}");
        };
        let tried: Vec<_> = attempts.tried().iter().map(|failed| failed.addr).collect();
        let expected = format!("[fe80::5afe:1%{number}]:9");
        assert_eq!(tried, [expected.parse::<SocketAddr>().unwrap()], "{zone}");
    }
}
