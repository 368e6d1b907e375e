//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1), in one linear pass. Knows no extension.
//!
//! A quoted value need not be a token, though RFC 6455 wants that: what RFC 9110 lets one quote is taken, as
//! the extension that has it is declined. And empty elements of the list are none (RFC 9110 §5.6.1.2).

use super::fields::is_token_byte;

/// The header that lists extensions.
pub(in crate::handshake) const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// What a line of the header says, in its order.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(test, feature = "deflate")),
    expect(dead_code, reason = "without an extension only the grammar matters")
)]
pub(in crate::handshake) enum Item<'a> {
    /// An extension begins; the parameters up to the next one are its.
    Extension(&'a [u8]),
    /// The name of a parameter, and its value if it has one.
    Parameter(&'a [u8], Option<Value<'a>>),
}

/// The value of a parameter: a token, or what was quoted, which makes no difference.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(test, feature = "deflate")),
    expect(dead_code, reason = "without an extension only the grammar matters")
)]
pub(in crate::handshake) struct Value<'a> {
    /// Without the quotes, but with the backslashes in them.
    raw: &'a [u8],
}

#[cfg(any(test, feature = "deflate"))]
impl<'a> Value<'a> {
    /// Iterates over the bytes. Of a backslash and what follows it only that counts.
    pub(in crate::handshake) fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
        let mut raw = self.raw.iter().copied();
        std::iter::from_fn(move || match raw.next() {
            Some(b'\\') => raw.next(),
            byte => byte,
        })
    }
}

/// Reads a line, or says what is wrong with it; then what was told before is void.
pub(in crate::handshake) fn read<'a>(
    line: &'a [u8],
    mut tell: impl FnMut(Item<'a>),
) -> Result<(), &'static str> {
    let mut cursor = Cursor { rest: line };
    loop {
        while cursor.eat(b',') {}
        if cursor.rest.is_empty() {
            return Ok(());
        }
        let name = cursor.token().ok_or("an extension has no name")?;
        tell(Item::Extension(name));
        while cursor.eat(b';') {
            let name = cursor.token().ok_or("a parameter has no name")?;
            let value = match cursor.eat(b'=') {
                true => Some(cursor.value()?),
                false => None,
            };
            tell(Item::Parameter(name, value));
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
    /// Takes a byte and the white space around it.
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

    /// Takes a quoted string (RFC 9110 §5.6.4), and the white space behind it. A header value has no control
    /// bytes but tabs, which may be quoted.
    fn quoted(&mut self) -> Option<&'a [u8]> {
        if !self.eat_exactly(b'"') {
            return None;
        }
        let content = self.rest;
        while !self.rest.starts_with(b"\"") {
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
    /// RFC 7692 §5.2: what is told; quotes and escapes make no difference.
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
