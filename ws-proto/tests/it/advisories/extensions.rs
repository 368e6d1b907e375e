//! Offers of extensions, and the reserved bits of those that were not negotiated.

use std::time::{Duration, Instant};

use ws_proto::{ClientConfig, Role, ServerConfig, Version};

use super::limits::unlimited;
use ws_testing::connections::{Frame, connect, told};
use ws_testing::handshake::{self, RFC6455, client, rfc6455_answer, serve, status_of, with};

#[test]
fn pysec_2026_3547_no_extension_is_agreed_to_and_no_reserved_bit_passes() {
    // A client that took RSV1 though nothing was negotiated; undici, ws, websocket-extensions: crashes
    // and endless matching on parameters. Here no offer is answered, however it looks, reading it
    // takes no longer than it is, and no reserved bit passes in any frame.
    let now = Instant::now();
    for offer in [
        "permessage-deflate; server_max_window_bits=99999999999999999999",
        "permessage-deflate; client_max_window_bits; a=\"\\\"\", x-webkit-deflate-frame",
        "a; b=\"",
        ",,;;==",
        &format!("a; b=\"{}", "\\\"".repeat(7000)),
        &"a;b=c,".repeat(2500),
    ] {
        let head = with(RFC6455, "X", &format!("Sec-WebSocket-Extensions: {offer}"));
        let begun = Instant::now();
        let (_, answer) = serve(&ServerConfig::new(), head.as_bytes());
        assert!(begun.elapsed() < Duration::from_secs(5), "{offer:.40}");
        assert!(!answer.to_lowercase().contains("extensions"), "{answer}");
        assert!([101, 400].contains(&status_of(&answer).0), "{answer}");
    }
    let lines = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut handshake = client(&ClientConfig::new());
    let answer = rfc6455_answer(&(handshake::ACCEPT_LINE.to_owned() + lines));
    handshake.handle_read(now, answer.as_bytes());
    assert!(handshake.is_finished(), "what was not offered is refused");
    for first_byte in (0..=u8::MAX).filter(|byte| byte & 0x70 != 0) {
        for role in [Role::Server, Role::Client] {
            for begun in [false, true] {
                let mut connection = connect(role, Version::Rfc6455, unlimited(), now);
                if begun {
                    connection.handle_read(now, &Frame::new(0x01, "a").to(role));
                }
                connection.handle_read(now, &Frame::new(first_byte, "a").to(role));
                let said = told(&mut connection, now);
                assert!(said[0].contains("ReservedBits"), "{first_byte:x}: {said:?}");
            }
        }
    }
}
