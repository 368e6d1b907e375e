//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1), in one linear pass. This file knows no extension.
//!
//! A quoted value can be any quoted string of RFC 9110, although RFC 6455 demands a token. This does no harm,
//! because an extension with such a value is declined. Empty elements of the list are skipped (RFC 9110
//! §5.6.1.2).

use super::fields::is_token_byte;

/// The header that lists extensions.
pub(in crate::handshake) const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// A part of a header line. The parts come in the order of the line.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(test, feature = "deflate")),
    expect(dead_code, reason = "without an extension only the grammar matters")
)]
pub(in crate::handshake) enum Item<'a> {
    /// The name of an extension. The parameters up to the next extension belong to it.
    Extension(&'a [u8]),
    /// The name of a parameter, and its value if it has one.
    Parameter(&'a [u8], Option<Value<'a>>),
}

/// The value of a parameter: a token, or the content of a quoted string. Both mean the same.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(test, feature = "deflate")),
    expect(dead_code, reason = "without an extension only the grammar matters")
)]
pub(in crate::handshake) struct Value<'a> {
    /// Without the quotes, but still with backslashes. They are removed by [`bytes`](Self::bytes), so reading needs
    /// no allocation.
    raw: &'a [u8],
}

#[cfg(any(test, feature = "deflate"))]
impl<'a> Value<'a> {
    /// Iterates over the bytes, without the backslash of each quoted pair.
    pub(in crate::handshake) fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
        let mut raw = self.raw.iter().copied();
        std::iter::from_fn(move || match raw.next() {
            Some(b'\\') => raw.next(),
            byte => byte,
        })
    }
}

/// Reads a line and calls `visit` for each part. The error says what is wrong with the line; then the caller must
/// discard all parts of it.
pub(in crate::handshake) fn read<'a>(
    line: &'a [u8],
    mut visit: impl FnMut(Item<'a>),
) -> Result<(), &'static str> {
    let mut cursor = Cursor { rest: line };
    loop {
        while cursor.eat(b',') {}
        if cursor.rest.is_empty() {
            return Ok(());
        }
        let name = cursor.token().ok_or("an extension has no name")?;
        visit(Item::Extension(name));
        while cursor.eat(b';') {
            let name = cursor.token().ok_or("a parameter has no name")?;
            let value = if cursor.eat(b'=') {
                Some(cursor.value()?)
            } else {
                None
            };
            visit(Item::Parameter(name, value));
        }
        if cursor.rest.is_empty() {
            return Ok(());
        }
        if !cursor.eat(b',') {
            return Err("a character is not allowed");
        }
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Takes this byte, if it is next, and the white space around it.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let Some((&first, rest)) = self.rest.split_first() else {
            return false;
        };
        if first == byte {
            self.rest = rest;
            self.skip_space();
        }
        first == byte
    }

    /// Takes a token and the white space around it.
    fn token(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let end = self.rest.iter().position(|byte| !is_token_byte(*byte));
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        self.skip_space();
        (!token.is_empty()).then_some(token)
    }

    /// Takes a value and the white space behind it.
    fn value(&mut self) -> Result<Value<'a>, &'static str> {
        let token = self.token().or_else(|| self.quoted());
        token
            .map(|raw| Value { raw })
            .ok_or("the value of a parameter is neither a token nor a quoted string")
    }

    /// Takes a quoted string (RFC 9110 §5.6.4), and the white space behind it.
    fn quoted(&mut self) -> Option<&'a [u8]> {
        if !self.eat_exactly(b'"') {
            return None;
        }
        let content = self.rest;
        // Any byte is taken: the parser of the head has refused all control bytes but tabs, which can be quoted.
        while !self.rest.starts_with(b"\"") {
            // The byte behind a backslash is content, even if it is a quote.
            self.eat_exactly(b'\\');
            (_, self.rest) = self.rest.split_first()?;
        }
        let content = &content[..content.len() - self.rest.len()];
        self.eat_exactly(b'"');
        self.skip_space();
        Some(content)
    }

    fn eat_exactly(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R-H12: the grammar of extensions.
    #[test]
    fn extensions_follow_their_grammar() {
        for line in [
            "permessage-deflate",
            "a, b",
            "a;b",
            "a;b=c",
            "a ; b = \"c\" , d",
            "a;b=\"\\c\\d\"",
            "a; b; c=1; d",
            "x-webkit-deflate-frame",
            "permessage-deflate; client_max_window_bits, deflate-stream",
            "",
            " ",
            ",",
            "a,",
            ",a",
            "a,,b",
            " , \t,, a , ,",
            "bbf-usp-protocol; eid=\"os::00256D-0123456789\"",
            "a;b=\"\"",
            "a;b=\"c d\"",
            "a;b=\"c,d;e=f\", g",
            "a;b=\"c\\\"d\\\\\"",
            "a;b=\"\tc\\\t\"",
            "a;b=\"\u{e9}\"",
        ] {
            assert_eq!(read(line.as_bytes(), |_| ()), Ok(()), "{line}");
        }
        for line in [
            "a;",
            "a;,b",
            "a;;b",
            ";a",
            "a;b=",
            "a;b=\"c",
            "a;b=\"c\\\"",
            "a;b=\"c\"d",
            "a b",
            "a=b",
            "a;=b",
            "a;b==c",
            "a;b=\"\\",
            "a/b",
            "\"a\"",
        ] {
            assert!(read(line.as_bytes(), |_| ()).is_err(), "{line}");
        }
    }

    /// RFC 7692 §5.2: names and values are visited in their order; quotes and escapes make no difference.
    #[test]
    fn names_and_values_are_told_in_their_order() {
        let mut told = Vec::new();
        let line = b"a; b = \"c\\d\\\\\" ;e=f;g ,, h";
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        read(line, |item| {
            told.push(match item {
                Item::Extension(name) => text(name),
                Item::Parameter(name, None) => format!("{}?", text(name)),
                Item::Parameter(name, Some(value)) => {
                    let value: Vec<u8> = value.bytes().collect();
                    format!("{}={}", text(name), text(&value))
                }
            });
        })
        .unwrap();
        assert_eq!(told, ["a", "b=cd\\", "e=f", "g?", "h"]);
    }
}
