//! The answer of draft-75: its fixed lines, and those behind them.

use ws_proto::{ClientConfig, Version};

use ws_testing::handshake::{answer, offering};

/// D75-R1 to D75-R8: every rule of a draft-75 answer.
#[test]
fn a_draft75_answer_is_checked() {
    const GOOD: &str = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
        Connection: Upgrade\r\nWebSocket-Origin: http://example.com\r\n\
        WebSocket-Location: ws://example.com/demo\r\nWebSocket-Protocol: sample\r\n\r\n";
    const FIXED: &str = "malformed HTTP head: it does not begin with the fixed lines of draft-75";
    let asking = offering(ClientConfig::new().version(Version::Draft75), &["sample"]);
    let silent = ClientConfig::new().version(Version::Draft75);
    let edit = |from: &str, to: &str| GOOD.replacen(from, to, 1);
    let more = |line: &str| GOOD.replace("sample\r\n", &["sample\r\n", line].concat());
    for (rule, config, text, expected) in [
        ("good", &asking, GOOD.to_owned(), "open"),
        (
            "R1 more headers",
            &asking,
            more("Set-Cookie: a=b\r\n"),
            "open",
        ),
        ("R4 not asked for", &silent, GOOD.to_owned(), "open"),
        (
            "R4 not asked for",
            &silent,
            edit("WebSocket-Protocol: sample\r\n", ""),
            "open",
        ),
        (
            "R5 case",
            &asking,
            edit("WebSocket-Origin", "websocket-ORIGIN"),
            "open",
        ),
        ("R1", &asking, edit("Web Socket", "WebSocket"), FIXED),
        (
            "R1",
            &asking,
            edit("Upgrade: WebSocket\r\n", "Upgrade: websocket\r\n"),
            FIXED,
        ),
        (
            "R1",
            &asking,
            edit(
                "Upgrade: WebSocket\r\n",
                "Server: x\r\nUpgrade: WebSocket\r\n",
            ),
            FIXED,
        ),
        (
            "R1",
            &asking,
            edit("Connection: Upgrade", "connection: Upgrade"),
            FIXED,
        ),
        (
            "R2",
            &asking,
            edit("http://e", "http://E"),
            "header WebSocket-Origin with value \"http://Example.com\"; it must be \
             \"http://example.com\"",
        ),
        (
            "R3",
            &asking,
            edit("/demo", "/"),
            "header WebSocket-Location with value \"ws://example.com/\"; it must be \
             \"ws://example.com/demo\"",
        ),
        (
            "R3",
            &asking,
            edit("example.com/demo", "example.com:80/demo"),
            "header WebSocket-Location with value \"ws://example.com:80/demo\"; it must be \
             \"ws://example.com/demo\"",
        ),
        (
            "R4",
            &asking,
            edit("WebSocket-Protocol: sample\r\n", ""),
            "header WebSocket-Protocol is missing",
        ),
        (
            "R4",
            &asking,
            edit("sample", "sampler"),
            "header WebSocket-Protocol with value \"sampler\"; it must be \"sample\"",
        ),
        (
            "R4",
            &asking,
            more("WebSocket-Protocol: sample\r\n"),
            "header WebSocket-Protocol appears more than once; once is allowed",
        ),
        (
            "R5",
            &asking,
            more("WebSocket-Origin: http://example.com\r\n"),
            "header WebSocket-Origin appears more than once; once is allowed",
        ),
        (
            "R5",
            &asking,
            edit("WebSocket-Location: ws://example.com/demo\r\n", ""),
            "header WebSocket-Location is missing",
        ),
        (
            "R1 empty name",
            &asking,
            more(": x\r\n"),
            "malformed HTTP head: a header name is not a token",
        ),
        (
            "R6",
            &asking,
            more("A: b\n"),
            "malformed HTTP head: an LF does not follow a CR",
        ),
        (
            "R6",
            &asking,
            more("A\rB: c\r\n"),
            "malformed HTTP head: a CR is not followed by an LF",
        ),
        (
            "R7",
            &asking,
            edit("101 Web Socket Protocol Handshake", "407 No"),
            "the server answered 407 Proxy Authentication Required; 101 was expected",
        ),
        ("R7", &asking, edit("HTTP/1.1", "HTTP/1.0"), FIXED),
    ] {
        let (_, outcome) = answer(config, &text);
        let outcome = match outcome {
            Some(Ok(())) => "open".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "nothing".to_owned(),
        };
        assert_eq!(outcome, expected, "{rule}: {text:?}");
    }
}
