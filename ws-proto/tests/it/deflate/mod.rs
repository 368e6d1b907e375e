//! permessage-deflate on open connections (PROTOCOL.md §6.3 to §6.5): what compressed bytes mean, what is
//! sent, and what it costs.

mod advisories;
mod bombs;
mod handshake;
mod lending;
mod peer;
mod prepared;
mod receiving;
mod round_trip;
mod sending;
mod vectors;

use std::time::Instant;

use http::HeaderMap;
use ws_proto::{Connection, ConnectionConfig, Deflate, DeflateTerms, Role, Version};
use ws_testing::connections::connect;

/// Options that compress everything.
fn eager() -> Deflate {
    Deflate::new().threshold(0)
}

/// Lists one line as a head does.
fn headers(line: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("sec-websocket-extensions", line.parse().unwrap());
    headers
}

/// What a server and a client with the same options agree on: the terms of each.
fn terms(options: &Deflate) -> (DeflateTerms, DeflateTerms) {
    let server = options.accept(&headers(&options.offer())).unwrap();
    let client = options.confirm(&headers(&server.to_string())).unwrap();
    (server, client.unwrap())
}

/// An open connection of one role.
fn open(role: Role, options: &Deflate, config: ConnectionConfig, now: Instant) -> Connection {
    let (server, client) = terms(options);
    let connection = connect(role, Version::Rfc6455, config, now);
    connection.with_deflate(match role {
        Role::Server => &server,
        Role::Client => &client,
    })
}

/// All terms that differ in what they mean: each context kept or not, windows large, small and uneven.
fn all_terms() -> impl Iterator<Item = Deflate> {
    let flags = [(true, true), (true, false), (false, true), (false, false)];
    let windows = [(15, 15), (9, 9), (9, 15), (15, 10), (12, 13)];
    flags.into_iter().flat_map(move |(server, client)| {
        windows.into_iter().map(move |(ours, theirs)| {
            let options = eager()
                .server_no_context_takeover(server)
                .client_no_context_takeover(client);
            let options = options.server_max_window_bits(ours).unwrap();
            options.client_max_window_bits(theirs).unwrap()
        })
    })
}

/// A text that repeats itself near and far, without being the same twice.
fn prose(len: usize, seed: u32) -> String {
    let words = [
        "the",
        "server",
        "κόσμε",
        "sends",
        "a",
        "message",
        "to",
        "{\"id\":",
        "},",
        "\n",
    ];
    let mut text = String::new();
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let index = usize::try_from(state >> 16).unwrap() % (words.len() + 1);
        match words.get(index) {
            Some(word) => text.push_str(word),
            None => text.push_str(&(state >> 12).to_string()),
        }
        text.push(' ');
    }
    while text.len() > len {
        text.pop();
    }
    text
}

/// Bytes that cannot be compressed.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    bytes.take(len).collect()
}
