//! Builds what a peer sends out of a few choices: frames that are right but for what was chosen to be
//! wrong, mixed with raw bytes. So an input of few bytes gets past the headers.

use arbitrary::{Result, Unstructured};
use ws_proto::{Role, Version};

/// First bytes of frames of RFC 6455, the right ones first and more often than others.
const FIRST_BYTES: [u8; 16] = [
    0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8a, 0x81, 0x80, 0x00, 0x83, 0xc1, 0x09, 0x8b,
];

/// Lengths on both sides of each boundary.
const LENGTHS: [usize; 8] = [0, 1, 2, 7, 125, 126, 127, 300];

/// Close codes on both sides of each boundary (PROTOCOL.md §5.6).
const CODES: [u16; 16] = [
    1000, 999, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 2999, 3000, 4999, 5000, 0,
];

/// Text that is cut, wrong or right (R-U4); most of it is right when it follows the part before it.
const TEXTS: [&[u8]; 10] = [
    b"hello",
    "κόσμε".as_bytes(),
    b"\xce",
    b"\xba",
    b"\xf4\x8f\xbf",
    b"\xbf",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90",
    b"\0",
];

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Builds what the peer of `role` sends: pieces until the choices or the room are used up.
pub(crate) fn stream(
    u: &mut Unstructured<'_>,
    role: Role,
    version: Version,
    limit: usize,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !u.is_empty() && bytes.len() < limit {
        bytes.extend(piece(u, role, version)?);
    }
    bytes.truncate(limit);
    Ok(bytes)
}

/// Builds one piece of it: a frame, or raw bytes.
pub(crate) fn piece(u: &mut Unstructured<'_>, role: Role, version: Version) -> Result<Vec<u8>> {
    let shape = u.int_in_range(0..=15)?;
    match version {
        _ if shape == 15 => raw(u, 16),
        Version::Rfc6455 => rfc6455(u, shape, role),
        Version::Draft75 | Version::Draft76 => hixie(u, shape),
    }
}

/// At most `limit` bytes as they are.
pub(crate) fn raw(u: &mut Unstructured<'_>, limit: usize) -> Result<Vec<u8>> {
    let len = u.int_in_range(0..=limit)?.min(u.len());
    Ok(u.bytes(len)?.to_vec())
}

/// Shapes: 0 to 9 right as far as the first byte is, 10 to 14 wrong in one thing.
fn rfc6455(u: &mut Unstructured<'_>, shape: u8, role: Role) -> Result<Vec<u8>> {
    let first_byte = match shape {
        10 => u.arbitrary()?,
        _ => *u.choose(&FIRST_BYTES)?,
    };
    let payload = match first_byte & 0x0f {
        8 => close_payload(u)?,
        _ => payload(u)?,
    };
    let len = payload.len();
    let is_masked = (role == Role::Server) != (shape == 11);
    let mask_bit = if is_masked { 0x80 } else { 0 };
    let mut frame = vec![first_byte];
    let short = u8::try_from(len).ok().filter(|len| *len < 126);
    let medium = u16::try_from(len).unwrap_or(u16::MAX);
    match (short, shape) {
        (_, 12) => {
            frame.push(mask_bit | 127);
            frame.extend(u64::from(medium).to_be_bytes());
        }
        (Some(len), 0..=12 | 14..) => frame.push(mask_bit | len),
        (..) => {
            frame.push(mask_bit | 126);
            frame.extend(medium.to_be_bytes());
        }
    }
    if shape == 14 {
        // A length that the peer declares and does not keep to.
        frame.truncate(1);
        frame.push(mask_bit | 127);
        frame.extend(u.arbitrary::<u64>()?.to_be_bytes());
    }
    if !is_masked {
        frame.extend(payload);
        return Ok(frame);
    }
    frame.extend(KEY);
    let masked = payload.iter().zip(KEY.iter().cycle());
    frame.extend(masked.map(|(byte, key)| byte ^ key));
    Ok(frame)
}

fn hixie(u: &mut Unstructured<'_>, shape: u8) -> Result<Vec<u8>> {
    let payload = payload(u)?;
    Ok(match shape {
        0..=8 => [b"\x00", &*payload, b"\xff"].concat(),
        9 => [b"\x00", &*payload].concat(),
        10 | 11 => b"\xff\x00".to_vec(),
        12 => [&[u.arbitrary()?], &*payload, b"\xff"].concat(),
        13 => {
            let len = u8::try_from(payload.len().min(127)).unwrap_or(127);
            [&[0x80 | u.arbitrary::<u8>()?, len], &*payload].concat()
        }
        _ => [&[0x80, 0x81, u.arbitrary()?], &*payload].concat(),
    })
}

fn payload(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=3)? {
        0 => u.choose(&TEXTS)?.to_vec(),
        1 => vec![b'a'; *u.choose(&LENGTHS)?],
        2 => raw(u, 8)?,
        _ => Vec::new(),
    })
}

fn close_payload(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=4)? {
        0 => Vec::new(),
        1 => vec![u.arbitrary()?],
        2 => u.choose(&CODES)?.to_be_bytes().to_vec(),
        3 => u.arbitrary::<u16>()?.to_be_bytes().to_vec(),
        _ => [&u.choose(&CODES)?.to_be_bytes(), &**u.choose(&TEXTS)?].concat(),
    })
}
