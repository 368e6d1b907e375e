//! The headers of a request that an application made for another library: each becomes the option that it means, and
//! those that the handshake writes itself only have to agree with it.

use std::str::FromStr;

use http::header::{HeaderMap, HeaderName};

use super::config::ClientConfig;
use crate::error::ConfigError;
use crate::handshake::http::extensions::EXTENSIONS;
use crate::handshake::http::fields::list_contains;
use crate::handshake::rfc6455;
use crate::version::Version;

/// Takes all headers of a map into the options.
pub(super) fn take(
    mut config: ClientConfig,
    headers: &HeaderMap,
) -> Result<ClientConfig, ConfigError> {
    for (name, value) in headers {
        let value = value
            .to_str()
            .map_err(|_| invalid(name, "its value is not printable ASCII"))?;
        match name.as_str() {
            "host" => {
                config.host = Some(single(
                    headers,
                    name,
                    value,
                    "it must be host or host:port",
                )?)
            }
            "origin" => {
                config.origin = Some(single(
                    headers,
                    name,
                    value,
                    "it must be an origin, scheme://host[:port] or null",
                )?)
            }
            "sec-websocket-protocol" => {
                let offered = value.split(',').map(|name| name.trim_matches([' ', '\t']));
                for subprotocol in offered.filter(|name| !name.is_empty()) {
                    config.subprotocols.push(subprotocol.parse()?);
                }
            }
            "upgrade" | "connection" | "sec-websocket-key" | "sec-websocket-version" => {
                check_own(config.version, headers, name, value)?;
            }
            name if name.eq_ignore_ascii_case(EXTENSIONS) => {
                return Err(invalid(
                    name,
                    "compression is offered by the option deflate",
                ));
            }
            name => config = config.header(name, value)?,
        }
    }
    Ok(config)
}

/// Checks that a header which the handshake writes itself says what the handshake will write. The key is drawn anew for
/// each handshake, because a key that the application repeats proves nothing (R-C3).
fn check_own(
    version: Version,
    headers: &HeaderMap,
    name: &HeaderName,
    value: &str,
) -> Result<(), ConfigError> {
    let agrees = match name.as_str() {
        // And nothing else, because no other protocol is offered.
        "upgrade" => value.eq_ignore_ascii_case("websocket"),
        "connection" => list_contains(headers, "connection", "upgrade"),
        "sec-websocket-key" => version == Version::Rfc6455 && rfc6455::is_key(value.as_bytes()),
        _ => version == Version::Rfc6455 && value == "13",
    };
    if agrees {
        return Ok(());
    }
    Err(invalid(
        name,
        "it contradicts the opening handshake, which sets it by itself (option version)",
    ))
}

/// Reads a header that a request has once. The error does not repeat the value, which may hold a password.
fn single<T: FromStr>(
    headers: &HeaderMap,
    name: &HeaderName,
    value: &str,
    problem: &'static str,
) -> Result<T, ConfigError> {
    if headers.get_all(name).iter().nth(1).is_some() {
        return Err(invalid(name, "it must not appear twice"));
    }
    value.parse().map_err(|_| invalid(name, problem))
}

fn invalid(name: impl AsRef<str>, problem: &'static str) -> ConfigError {
    ConfigError::InvalidHeader {
        name: name.as_ref().to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    fn taken(
        config: ClientConfig,
        headers: &[(&'static str, &'static str)],
    ) -> Result<ClientConfig, ConfigError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        config.headers(&map)
    }

    /// R-C3 to R-C5: each header becomes the option that it means.
    #[test]
    fn headers_become_options() {
        let header = |config: ClientConfig, name, value| config.header(name, value).unwrap();
        let new = ClientConfig::new;
        let subprotocols =
            |names: &[&str]| -> Vec<_> { names.iter().map(|name| name.parse().unwrap()).collect() };
        let own: &[_] = &[
            ("host", "localhost"),
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ];
        for (headers, expected) in [
            (&[][..], new()),
            (own, new().host("localhost".parse::<crate::Host>().unwrap())),
            (
                &[
                    ("authorization", "Bearer a"),
                    ("cookie", "a=b"),
                    ("cookie", "c=d"),
                ],
                header(
                    header(header(new(), "authorization", "Bearer a"), "cookie", "a=b"),
                    "cookie",
                    "c=d",
                ),
            ),
            (
                &[("origin", "http://A:80")],
                new().origin("http://a".parse::<crate::Origin>().unwrap()),
            ),
            (
                &[
                    ("sec-websocket-protocol", "a, b,"),
                    ("sec-websocket-protocol", "c"),
                ],
                new().subprotocols(subprotocols(&["a", "b", "c"])),
            ),
        ] {
            assert_eq!(taken(new(), headers), Ok(expected), "{headers:?}");
        }
        let config = new().subprotocols(subprotocols(&["a"]));
        let both = taken(config, &[("sec-websocket-protocol", "b")]);
        assert_eq!(both, Ok(new().subprotocols(subprotocols(&["a", "b"]))));
    }

    /// R-C3: a header that contradicts the handshake, or would break it, is an error that names it.
    #[test]
    fn headers_that_contradict_the_handshake_are_refused() {
        let (draft76, rfc6455) = (Version::Draft76, Version::Rfc6455);
        for (version, name, value) in [
            (rfc6455, "upgrade", "h2c"),
            (rfc6455, "upgrade", "websocket, h2c"),
            (rfc6455, "connection", "close"),
            (rfc6455, "sec-websocket-version", "8"),
            (rfc6455, "sec-websocket-key", "short"),
            (draft76, "sec-websocket-version", "13"),
            (draft76, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            (rfc6455, "sec-websocket-extensions", "permessage-deflate"),
            (rfc6455, "sec-websocket-accept", "a"),
            (rfc6455, "content-length", "0"),
            (rfc6455, "host", "user:secret@a"),
            (rfc6455, "host", ""),
            (rfc6455, "origin", "a"),
        ] {
            let config = ClientConfig::new().version(version);
            let error = taken(config, &[(name, value)]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(name) && !text.contains("secret"), "{text}");
            let is_it = matches!(error, ConfigError::InvalidHeader { .. });
            assert!(is_it, "{error:?}");
        }
        let twice = taken(ClientConfig::new(), &[("host", "a"), ("host", "b")]);
        assert!(twice.is_err());
        let token = taken(ClientConfig::new(), &[("sec-websocket-protocol", "a b")]);
        assert!(matches!(token, Err(ConfigError::InvalidSubprotocol { .. })));
        let mut map = HeaderMap::new();
        map.insert("x", HeaderValue::from_bytes(b"\xe9").unwrap());
        assert!(ClientConfig::new().headers(&map).is_err());
    }
}
