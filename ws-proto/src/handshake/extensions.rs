//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1), in one linear pass. Knows no extension.

use super::head::is_token_byte;

/// Checks one line of a `Sec-WebSocket-Extensions` header against the grammar (RFC 6455 §9.1), or
/// says what is wrong with it. No extension is understood so far.
pub(super) fn check_extensions(line: &[u8]) -> Result<(), &'static str> {
    let mut cursor = Cursor { rest: line };
    loop {
        cursor.token().ok_or("an extension has no name")?;
        while cursor.eat(b';') {
            cursor.token().ok_or("a parameter has no name")?;
            if cursor.eat(b'=') && cursor.token().is_none() && !cursor.quoted_token() {
                return Err("the value of a parameter is not a token");
            }
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

    /// Takes a quoted string whose content is a token, and the white space behind it.
    fn quoted_token(&mut self) -> bool {
        if !self.eat_exactly(b'"') {
            return false;
        }
        let mut len = 0;
        while !self.eat_exactly(b'"') {
            self.eat_exactly(b'\\');
            let Some((&byte, rest)) = self.rest.split_first() else {
                return false;
            };
            if !is_token_byte(byte) {
                return false;
            }
            self.rest = rest;
            len += 1;
        }
        self.skip_space();
        len > 0
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
        ] {
            assert_eq!(check_extensions(line.as_bytes()), Ok(()), "{line}");
        }
        for line in [
            "",
            " ",
            ",",
            "a,",
            ",a",
            "a,,b",
            "a;",
            "a;;b",
            ";a",
            "a;b=",
            "a;b=\"\"",
            "a;b=\"c d\"",
            "a;b=\"c",
            "a;b=\"c\"d",
            "a b",
            "a=b",
            "a;=b",
            "a;b==c",
            "a;b=\"\\",
            "a/b",
            "\"a\"",
        ] {
            assert!(check_extensions(line.as_bytes()).is_err(), "{line}");
        }
    }
}
