//! Which version a request asks for.

use ws_proto::{ServerConfig, Version, Versions};

use ws_testing::handshake::{Outcome, serve, status_of};

fn with_headers(headers: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         {headers}\r\n12345678"
    )
}

/// PROTOCOL.md §4: every row, with every version on and with each of them off.
#[test]
fn the_version_is_chosen_as_the_table_says() {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const K1: &str = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n";
    const K2: &str = "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
    const D0: &str = "Sec-WebSocket-Draft: 0\r\n";
    const ORIGIN: &str = "Origin: http://a\r\n";
    let v = |value: &str| format!("Sec-WebSocket-Version: {value}\r\n");
    let d = |value: &str| format!("Sec-WebSocket-Draft: {value}\r\n");
    let (rfc, draft76, draft75) = (
        Ok(Version::Rfc6455),
        Ok(Version::Draft76),
        Ok(Version::Draft75),
    );
    // The row, the headers, what becomes of it, and the version that must be on for that; without
    // that version it is 426.
    let rows: Vec<(u8, String, Result<Version, u16>)> = vec![
        (1, [&v("13"), KEY].concat(), rfc),
        (1, [&v("13"), KEY, K1, K2, &d("9"), ORIGIN].concat(), rfc),
        (1, v("13"), Err(400)),
        (1, [&v("13"), K1, K2, ORIGIN].concat(), Err(400)),
        (2, [&v("8"), KEY].concat(), rfc),
        (2, [&v("7"), KEY].concat(), rfc),
        (2, v("7"), Err(400)),
        (3, [&v("0"), KEY].concat(), Err(426)),
        (3, [&v("9"), KEY].concat(), Err(426)),
        (3, [&v("12"), KEY].concat(), Err(426)),
        (3, [&v("14"), KEY].concat(), Err(426)),
        (3, [&v("255"), KEY, K1, K2, ORIGIN].concat(), Err(426)),
        (4, [&v("13"), &v("13"), KEY].concat(), Err(400)),
        (4, [&v("13"), &v("8"), KEY].concat(), Err(400)),
        (4, [&v(""), KEY].concat(), Err(400)),
        (4, [&v("013"), KEY].concat(), Err(400)),
        (4, [&v("256"), KEY].concat(), Err(400)),
        (4, [&v("13, 8"), KEY].concat(), Err(400)),
        (4, [&v("thirteen"), KEY].concat(), Err(400)),
        (5, KEY.to_owned(), Err(400)),
        (5, [KEY, K1, K2, ORIGIN].concat(), Err(400)),
        (6, [K1, K2, ORIGIN].concat(), draft76),
        (6, [K2, ORIGIN, D0, K1].concat(), draft76),
        (7, [K1, K2, ORIGIN, &d("1")].concat(), Err(400)),
        (7, [K1, K2, ORIGIN, &d("2")].concat(), Err(400)),
        (7, [K1, K2, ORIGIN, &d("3")].concat(), Err(400)),
        (7, [K1, K2, ORIGIN, D0, D0].concat(), Err(400)),
        (8, [K1, ORIGIN].concat(), Err(400)),
        (8, [K2, ORIGIN].concat(), Err(400)),
        (8, [K1, K1, K2, ORIGIN].concat(), Err(400)),
        (8, [K1, K2, K2, ORIGIN].concat(), Err(400)),
        (8, [K1, K1, ORIGIN].concat(), Err(400)),
        (9, ORIGIN.to_owned(), draft75),
        (9, String::new(), Err(426)),
        (10, [D0, ORIGIN].concat(), Err(400)),
        (10, d("1"), Err(400)),
    ];
    for (row, headers, expected) in rows {
        for off in [
            None,
            Some(Version::Draft75),
            Some(Version::Draft76),
            Some(Version::Rfc6455),
        ] {
            let versions: Versions = Versions::ALL.iter().filter(|on| Some(*on) != off).collect();
            let config = ServerConfig::new().versions(versions);
            let (outcome, answer) = serve(&config, with_headers(&headers).as_bytes());
            let case = format!("row {row} without {off:?}: {headers:?} got {outcome:?}");
            let is_number = |number: &str| headers.contains(&format!("Version: {number}\r\n"));
            let speaks_6455 = ["13", "8", "7"].into_iter().any(is_number);
            let expected = match expected {
                Ok(version) if off == Some(version) => Err(426),
                Err(400) if row <= 2 && speaks_6455 && off == Some(Version::Rfc6455) => Err(426),
                other => other,
            };
            let list = Some("13, 8, 7").filter(|_| off != Some(Version::Rfc6455));
            match expected {
                Ok(version) => {
                    assert_eq!(
                        (outcome, status_of(&answer).0),
                        (Outcome::Open, 101),
                        "{case}"
                    );
                    let digest = (version == Version::Draft76).then_some(16);
                    let behind_head = answer.split_once("\r\n\r\n").unwrap().1;
                    assert_eq!(digest.is_some(), !behind_head.is_empty(), "{case}");
                }
                Err(status) => {
                    // A missing key is no question of the version.
                    let list = list.filter(|_| row > 2 || status == 426);
                    assert_eq!(status_of(&answer), (status, list), "{case}");
                }
            }
        }
    }
}
