//! The model's terms of compression, in the types of the code under test.

use ws_proto::{Connection, Message, PreparedMessage};

use super::view::Agreement;

#[cfg(feature = "deflate")]
mod deflate {
    use http::HeaderMap;
    use ws_proto::{Deflate, DeflateTerms, Role};

    use super::Agreement;

    fn headers(line: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("sec-websocket-extensions", line.parse().unwrap());
        headers
    }

    pub(super) fn options(agreed: &Agreement) -> Deflate {
        let options = Deflate::new().threshold(agreed.threshold);
        options.level(agreed.level).unwrap()
    }

    /// As an opening handshake has it in which the peer leaves it to the server.
    pub(super) fn terms(role: Role, agreed: &Agreement) -> DeflateTerms {
        let (server, client) = match role {
            Role::Server => (agreed.sends, agreed.receives),
            Role::Client => (agreed.receives, agreed.sends),
        };
        match role {
            Role::Server => {
                let options = options(agreed)
                    .server_no_context_takeover(!server.takeover)
                    .client_no_context_takeover(!client.takeover);
                let options = options.server_max_window_bits(server.window_bits).unwrap();
                let options = options.client_max_window_bits(client.window_bits).unwrap();
                let offer = headers("permessage-deflate; client_max_window_bits");
                options.accept(&offer).unwrap()
            }
            Role::Client => {
                let mut answer = format!(
                    "permessage-deflate; server_max_window_bits={}; client_max_window_bits={}",
                    server.window_bits, client.window_bits
                );
                for (name, way) in [("server", server), ("client", client)] {
                    if !way.takeover {
                        answer += &format!("; {name}_no_context_takeover");
                    }
                }
                let options = options(agreed).server_no_context_takeover(false);
                options.confirm(&headers(&answer)).unwrap().unwrap()
            }
        }
    }
}

/// Has a connection compress as was agreed on.
#[cfg(feature = "deflate")]
pub(super) fn agree(connection: Connection, agreed: &Agreement) -> Connection {
    let terms = deflate::terms(connection.role(), agreed);
    connection.with_deflate(&terms)
}

#[cfg(not(feature = "deflate"))]
pub(super) fn agree(_: Connection, _: &Agreement) -> Connection {
    unreachable!("nobody agrees on it")
}

/// A message that is compressed once for many, in such a window, or never.
#[cfg(feature = "deflate")]
pub(super) fn prepared(
    message: Message,
    agreed: &Agreement,
    window_bits: Option<u8>,
) -> PreparedMessage {
    let Some(bits) = window_bits else {
        return PreparedMessage::plain(message);
    };
    let options = deflate::options(agreed).server_max_window_bits(bits);
    PreparedMessage::compressed(message, &options.unwrap())
}

#[cfg(not(feature = "deflate"))]
pub(super) fn prepared(_: Message, _: &Agreement, _: Option<u8>) -> PreparedMessage {
    unreachable!("nobody agrees on it")
}
