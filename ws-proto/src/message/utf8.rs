//! UTF-8 checks that can stop in the middle of a character and continue later.

use crate::error::ProtocolError;

/// Checks `bytes` as the next part of a text. Returns how many bytes are checked: all but the first bytes of
/// an incomplete character at the end. The caller passes those again, at most 3, with the bytes that follow.
///
/// Fails at the first byte that no continuation can make valid (R-U3).
pub(crate) fn check(bytes: &[u8]) -> Result<usize, ProtocolError> {
    // `compat`, because only this flavor says where the text becomes invalid.
    match simdutf8::compat::from_utf8(bytes) {
        Ok(_) => Ok(bytes.len()),
        // No length of the error means that the text ends within a character that can still become valid.
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(ProtocolError::InvalidUtf8),
    }
}

/// Checks a whole text.
pub(crate) fn check_whole(bytes: &[u8]) -> Result<(), ProtocolError> {
    if is_whole(bytes) {
        Ok(())
    } else {
        Err(ProtocolError::InvalidUtf8)
    }
}

/// Tells whether this is a whole text.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    // `basic` is the faster flavor. It does not say where an error is, and nobody asks.
    simdutf8::basic::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R-U4, R-U1: valid and invalid texts, checked as a whole.
    #[test]
    fn whole_texts_are_valid_or_not() {
        let valid: [&[u8]; 8] = [
            b"",
            b"ascii\0",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
            b"\xef\xbf\xbf",
            b"\xf4\x8f\xbf\xbf",
            b"\xef\xbb\xbf",
            b"\xed\x9f\xbf\xee\x80\x80",
            b"\xc2\x80",
        ];
        for text in valid {
            assert_eq!(check_whole(text), Ok(()), "{text:x?}");
        }
        let invalid: [&[u8]; 10] = [
            b"\xc0\xaf",
            b"\xc1\x80",
            b"\xf5",
            b"\xff",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\x80",
            b"\xe1\xbd",
        ];
        for text in invalid {
            assert_eq!(
                check_whole(text),
                Err(ProtocolError::InvalidUtf8),
                "{text:x?}"
            );
        }
    }

    /// R-U3: the first impossible byte is refused at once, an incomplete character waits.
    #[test]
    fn an_impossible_byte_is_found_before_the_character_is_complete() {
        assert_eq!(check(b"a\xf4"), Ok(1));
        assert_eq!(check(b"a\xf4\x8f\xbf"), Ok(1));
        assert_eq!(check(b"a\xf4\x90"), Err(ProtocolError::InvalidUtf8));
        assert_eq!(check(b"a\xed\xa0"), Err(ProtocolError::InvalidUtf8));
        assert_eq!(check(b"a\xe0\x80"), Err(ProtocolError::InvalidUtf8));
    }
}
