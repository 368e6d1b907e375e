//! What a refusal has behind its head.

use ws_proto::ServerConfig;

use ws_testing::handshake::{Outcome, RFC6455, serve, status_of, with};

/// R-H1: a HEAD request is refused by a head alone, whatever it is refused for (RFC 9110 §9.3.2).
#[test]
fn a_refused_head_request_gets_no_body() {
    for (request, status) in [
        (RFC6455.replace("GET", "HEAD"), 405),
        (with(RFC6455, "Host", "").replace("GET", "HEAD"), 400),
    ] {
        let (_, answer) = serve(&ServerConfig::new(), request.as_bytes());
        assert_eq!(status_of(&answer).0, status);
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nContent-Length: "), "{head}");
        assert_eq!(rest, "");
    }
}

/// X27: answers reflect nothing of the request, unless the server is told to.
#[test]
fn reasons_are_revealed_only_on_demand() {
    let request = with(RFC6455, "Host", "Host: <script>");
    let (_, answer) = serve(&ServerConfig::new(), request.as_bytes());
    assert!(answer.ends_with("\r\n\r\nBad Request\n"), "{answer}");
    assert!(!answer.contains("script"));
    let (outcome, answer) = serve(
        &ServerConfig::new().reveal_reasons(true),
        request.as_bytes(),
    );
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}")
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, format!("{error}\n"));
    assert!(
        head.contains(&format!("\r\nContent-Length: {}", body.len())),
        "{head}"
    );
}
