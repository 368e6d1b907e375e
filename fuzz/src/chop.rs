//! Cuts bytes into reads, in a way that the fuzzer chooses.

/// Cuts `bytes` into reads of 1 to `step + 1` bytes; a step of zero means byte by byte.
pub(crate) fn chop(bytes: &[u8], step: u8) -> Vec<&[u8]> {
    let mut reads = Vec::new();
    let (mut rest, mut noise) = (bytes, u32::from(step));
    while !rest.is_empty() {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = 1 + usize::from(noise.to_be_bytes()[0]) % (usize::from(step) + 1);
        let (read, left) = rest.split_at(len.min(rest.len()));
        reads.push(read);
        rest = left;
    }
    reads
}
