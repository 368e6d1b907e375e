//! Generates requests: good ones of every version, with some of their lines changed, moved, doubled
//! or missing.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use ws_testing::model::decision::{ACCEPTS, Head, KEYS, Policy};

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let enabled = prop_oneof![2 => Just([true; 3]), 1 => any::<[bool; 3]>()];
    let subprotocols = select(vec![vec![], vec!["sample"], vec!["chat", "sample"]]);
    let header_limit = prop_oneof![4 => Just(100_usize), 1 => 3_usize..12];
    (enabled, any::<[bool; 3]>(), subprotocols, header_limit).prop_map(
        |(enabled, [checks_origin, require_origin, secure], subprotocols, header_limit)| Policy {
            enabled,
            checks_origin,
            require_origin,
            secure,
            subprotocols,
            header_limit,
        },
    )
}

pub(crate) fn head() -> impl Strategy<Value = Head> {
    let changes = vec(change(), 0..5);
    (0_usize..5, changes).prop_map(|(good, changes)| {
        let mut head = good_head(good);
        for change in changes {
            change.apply(&mut head);
        }
        head
    })
}

#[derive(Clone, Debug)]
enum Change {
    Method(&'static str),
    Target(&'static str),
    HttpVersion(&'static str),
    Remove(Index),
    Double(Index),
    Move(Index, Index),
    UpperName(Index),
    /// Another value for a line, with white space.
    Value(Index, String),
    Insert(Index, &'static str, String),
    /// A value for a header, which is there once if it was there at all.
    Replace(&'static str, String),
}

impl Change {
    fn apply(self, head: &mut Head) {
        let lines = &mut head.lines;
        match self {
            Self::Method(method) => head.method = method.to_owned(),
            Self::Target(target) => head.target = target.to_owned(),
            Self::HttpVersion(version) => head.http_version = version.to_owned(),
            Self::Insert(at, name, value) => {
                lines.insert(at.index(lines.len() + 1), (name.to_owned(), value));
            }
            Self::Replace(name, value) => match lines.iter_mut().find(|line| line.0 == name) {
                Some(line) => line.1 = value,
                None => lines.push((name.to_owned(), value)),
            },
            _ if lines.is_empty() => {}
            Self::Remove(at) => drop(lines.remove(at.index(lines.len()))),
            Self::Double(at) => lines.push(lines[at.index(lines.len())].clone()),
            Self::Move(from, to) => {
                let line = lines.remove(from.index(lines.len()));
                lines.insert(to.index(lines.len() + 1), line);
            }
            Self::UpperName(at) => at.get_mut(lines).0.make_ascii_uppercase(),
            Self::Value(at, value) => at.get_mut(lines).1 = value,
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        1 => select(vec!["POST", "get", "HEAD", "OPTIONS"]).prop_map(Change::Method),
        1 => select(vec![
            "*", "/", "/a#b", "http://example.com/a", "HTTPS://example.com:1?a", "http://",
            "ftp://a/b", "http://a:0/", "a/b", "http://[::1]/", "/a?b=http://c",
        ]).prop_map(Change::Target),
        1 => select(vec!["HTTP/1.0", "HTTP/2.0", "HTTP/1.1"]).prop_map(Change::HttpVersion),
        3 => index().prop_map(Change::Remove),
        2 => index().prop_map(Change::Double),
        2 => (index(), index()).prop_map(|(from, to)| Change::Move(from, to)),
        2 => index().prop_map(Change::UpperName),
        4 => (index(), value()).prop_map(|(at, value)| Change::Value(at, value)),
        6 => (index(), select(NAMES), value())
            .prop_map(|(at, name, value)| Change::Insert(at, name, value)),
        8 => fitting().prop_map(|(name, value)| Change::Replace(name, value)),
        2 => (index(), fitting()).prop_map(|(at, (name, value))| Change::Insert(at, name, value)),
    ]
}

/// The last ones are no names: continued lines, white space before the colon.
const NAMES: &[&str] = &[
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Key1",
    "Sec-WebSocket-Key2",
    "Sec-WebSocket-Draft",
    "Origin",
    "Sec-WebSocket-Origin",
    "Sec-WebSocket-Protocol",
    "WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Content-Length",
    "Transfer-Encoding",
    "X-Other",
    "sec-websocket-VERSION",
    "Upgrade ",
    " Folded",
    "\tFolded",
    "",
    "Na me",
];

const VALUES: &[&str] = &[
    "websocket",
    "WebSocket",
    "h2c, websocket",
    "websocket/1",
    "h2c",
    "Upgrade",
    "keep-alive, UPGRADE",
    "close",
    "Upgradex",
    "example.com",
    "example.com:8080",
    "example.com:0x50",
    "example.com:65536",
    "[::1]:080",
    "example.com:",
    "",
    "a b",
    "13",
    "8",
    "7",
    "0",
    "6",
    "14",
    "255",
    "256",
    "013",
    "+13",
    "13, 8",
    "1",
    "2",
    "3",
    "chat",
    "sample",
    "sample, chat",
    "sample, sample",
    "chat,,sample,",
    "a/b",
    "null",
    "http://example.com",
    "HTTP://Example.com:80",
    "http://evil.example",
    "http://example.com/",
    "é",
    "\u{7f}",
    "a\u{1}b",
    "a\tb",
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits; a=\"b\", c; d = e",
    "a;",
    "a; b=",
    "a; b=\"\"",
    "a; b=\"c, d;e=f\",",
    "a; b=\"\\\"\\\\\"",
    "a; b=\"c\\\"",
    "a b",
    "a; =c",
    "AQIDBAUGBwgJCgsMDQ4PEC=",
    "AQIDBAUGBwgJCgsMDQ4PEC===",
    "AQIDBAUGBwgJCgsMDQ4PECEA",
    "AQIDBAUGBwgJ-gsMDQ4PEA==",
    "////////////////////++==",
    "dGhlIHNhbXBsZSBub25jZQ==",
    "4@146546xW%0l15",
    "4 @1   46546xW%0l 1 5",
    "a b c",
    "4294967296 x",
    "4294967295 x",
    "18446744073709551618 2",
    "340282366920938463463374607431768211456 x",
    "5  1  5 3 9 6 0 7 5 4 0",
    "0 x",
    "8\t0",
    "chunked",
];

fn padded(value: String) -> impl Strategy<Value = String> {
    let space = || select(vec![" ", " ", " ", "", "  ", "\t", " \t"]);
    (space(), space()).prop_map(move |(before, after)| format!("{before}{value}{after}"))
}

fn value() -> impl Strategy<Value = String> {
    let value = prop_oneof![9 => select(VALUES).prop_map(str::to_owned), 1 => "[ -~]{0,30}"];
    value.prop_flat_map(padded)
}

/// A header with a value that means something there.
fn fitting() -> impl Strategy<Value = (&'static str, String)> {
    let lists = select(VALUES[45..55].to_vec());
    let pair = prop_oneof![
        (
            Just("Sec-WebSocket-Version"),
            select(VALUES[17..31].to_vec())
        ),
        (
            Just("Sec-WebSocket-Key"),
            select(ACCEPTS.map(|(key, _)| key).to_vec())
        ),
        (Just("Sec-WebSocket-Key"), select(VALUES[55..60].to_vec())),
        (
            select(&["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"][..]),
            select(VALUES[61..].to_vec())
        ),
        (
            select(&["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"][..]),
            select(KEYS.to_vec())
        ),
        (
            Just("Sec-WebSocket-Draft"),
            select(vec!["0", "1", "2", "3", "4", "00", ""])
        ),
        (
            select(&["Origin", "Sec-WebSocket-Origin"][..]),
            select(VALUES[37..42].to_vec())
        ),
        (
            select(&["Sec-WebSocket-Protocol", "WebSocket-Protocol"][..]),
            select(VALUES[31..37].to_vec())
        ),
        (Just("Sec-WebSocket-Extensions"), lists),
        (Just("Host"), select(VALUES[9..17].to_vec())),
        (Just("Upgrade"), select(VALUES[..5].to_vec())),
        (Just("Connection"), select(VALUES[5..9].to_vec())),
        (
            select(&["Content-Length", "Transfer-Encoding"][..]),
            select(vec!["0", "8", "5", "00", "", "chunked"])
        ),
    ];
    pair.prop_flat_map(|(name, value)| (Just(name), padded(value.to_owned())))
}

fn good_head(which: usize) -> Head {
    let upgrade = if which < 4 { "websocket" } else { "WebSocket" };
    let common = [
        ("Host", "example.com"),
        ("Connection", "Upgrade"),
        ("Upgrade", upgrade),
    ];
    let own: &[(&str, &str)] = match which {
        0 => &[
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", ACCEPTS[0].0),
            ("Sec-WebSocket-Protocol", "chat, sample"),
            ("Origin", "http://example.com"),
            (
                "Sec-WebSocket-Extensions",
                "permessage-deflate; client_max_window_bits",
            ),
        ],
        1 => &[
            ("Sec-WebSocket-Version", "8"),
            ("Sec-WebSocket-Key", ACCEPTS[1].0),
            ("Sec-WebSocket-Origin", "http://example.com"),
        ],
        2 => &[
            ("Sec-WebSocket-Draft", "0"),
            ("Sec-WebSocket-Key1", KEYS[0]),
            ("Sec-WebSocket-Key2", KEYS[1]),
            ("Origin", "http://example.com"),
        ],
        3 => &[
            ("Sec-WebSocket-Key1", KEYS[0]),
            ("Sec-WebSocket-Key2", KEYS[1]),
            ("Origin", "http://example.com"),
            ("Sec-WebSocket-Protocol", "sample"),
        ],
        _ => &[
            ("Origin", "http://example.com"),
            ("WebSocket-Protocol", "sample"),
        ],
    };
    let lines = common.iter().chain(own);
    Head {
        method: "GET".to_owned(),
        target: "/demo?e=mc2".to_owned(),
        http_version: "HTTP/1.1".to_owned(),
        lines: lines
            .map(|(name, value)| ((*name).to_owned(), format!(" {value}")))
            .collect(),
    }
}
