//! permessage-deflate, as servers, clients and raw peers make it up. Without the feature servers decline what
//! is offered.

#[cfg(feature = "deflate")]
use ws_driver::ws_proto::Deflate;
use ws_driver::{ClientConfig, ServerBuilder};

use ws_testing::sim::{Rng, Sim};
use ws_testing::zlib::{Deflater, Inflater};

/// What a side of ours wants.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "deflate"),
    expect(dead_code, reason = "without the feature nobody asks")
)]
pub(crate) struct Wish {
    threshold: usize,
    level: u8,
    keeps_server_context: bool,
    keeps_client_context: bool,
    server_bits: u8,
    client_bits: u8,
}

impl Wish {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            threshold: rng.pick(&[0, 100, 1024]),
            level: rng.pick(&[1, 1, 6]),
            keeps_server_context: rng.once_in(2),
            keeps_client_context: !rng.once_in(3),
            server_bits: rng.pick(&[15, 15, 12, 9]),
            client_bits: rng.pick(&[15, 15, 12, 9]),
        }
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn options(self) -> Deflate {
        let options = Deflate::new()
            .threshold(self.threshold)
            .server_no_context_takeover(!self.keeps_server_context)
            .client_no_context_takeover(!self.keeps_client_context)
            .level(self.level)
            .and_then(|options| options.server_max_window_bits(self.server_bits))
            .and_then(|options| options.client_max_window_bits(self.client_bits));
        options.expect("they are in range")
    }
}

#[cfg(feature = "deflate")]
pub(crate) fn wish_of_server(builder: ServerBuilder<Sim>, wish: Wish) -> ServerBuilder<Sim> {
    builder.deflate(wish.options())
}

#[cfg(feature = "deflate")]
pub(crate) fn wish_of_client(config: ClientConfig, wish: Option<Wish>) -> ClientConfig {
    config.deflate(wish.map(Wish::options))
}

#[cfg(not(feature = "deflate"))]
pub(crate) fn wish_of_client(config: ClientConfig, wish: Option<Wish>) -> ClientConfig {
    let _ = wish;
    config
}

#[cfg(not(feature = "deflate"))]
pub(crate) fn wish_of_server(builder: ServerBuilder<Sim>, wish: Wish) -> ServerBuilder<Sim> {
    let _ = wish;
    builder
}

/// What raw peers offer (RFC 7692 §7.1).
pub(crate) const OFFERS: &[&str] = &[
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=12",
    "x-unknown; a=1, permessage-deflate; server_max_window_bits=9, permessage-deflate",
];

/// What a server agreed to, as a raw peer does it.
pub(crate) struct Agreement {
    pub(crate) deflater: Deflater,
    pub(crate) inflater: Inflater,
}

impl Agreement {
    /// Reads the value of the header of an answer.
    pub(crate) fn of(answer: &str) -> Self {
        let bits = |name: &str| {
            let value = answer.split("; ").find_map(|word| word.strip_prefix(name));
            value.map_or(15, |bits| bits.parse().expect("a number of bits"))
        };
        let keeps = |name: &str| !answer.split("; ").any(|word| word == name);
        Self {
            deflater: Deflater::new(
                bits("client_max_window_bits="),
                keeps("client_no_context_takeover"),
            ),
            inflater: Inflater::new(
                bits("server_max_window_bits="),
                keeps("server_no_context_takeover"),
            ),
        }
    }
}
