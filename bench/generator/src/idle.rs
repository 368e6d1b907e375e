//! What an idle connection holds of the server's memory.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::Options;
use crate::link;
use crate::meter::{Measured, Meter};
use crate::protocol::Protocol;
use crate::ring::Ring;

/// Opens the connections, one message each, and looks at the server before and after.
///
/// The first connections are opened before the first look: what is made once for all is not theirs.
pub(crate) fn measure(options: &Options, meter: &Meter) -> io::Result<Measured> {
    let ring = Ring::new(options.protocol, options.script, options.size, 1);
    let mut open = Vec::with_capacity(options.connections + FIRST);
    let mut open_next = || -> io::Result<()> {
        let mut stream = link::open(options, open.len())?;
        exchange(
            &mut stream,
            options.protocol,
            &ring,
            ring.first_of(open.len()),
        )?;
        open.push(stream);
        Ok(())
    };
    (0..FIRST).try_for_each(|_| open_next())?;
    std::thread::sleep(REST);
    let (before, cpu_before, begin) = (meter.rss()?, meter.cpu()?, Instant::now());
    (0..options.connections).try_for_each(|_| open_next())?;
    let wall_ns = u64::try_from(begin.elapsed().as_nanos()).map_err(io::Error::other)?;
    std::thread::sleep(REST);
    Ok(Measured {
        messages: u64::try_from(options.connections).map_err(io::Error::other)?,
        cpu_ns: meter.cpu()?.saturating_sub(cpu_before),
        wall_ns,
        rss_bytes: Some(meter.rss()?.saturating_sub(before)),
        ..Measured::default()
    })
}

const FIRST: usize = 16;

/// Time for the server to put its buffers away.
const REST: Duration = Duration::from_millis(300);

/// Sends one message and waits for it.
pub(crate) fn exchange(
    stream: &mut (impl Read + Write),
    protocol: Protocol,
    ring: &Ring,
    message: usize,
) -> io::Result<()> {
    stream.write_all(ring.sent(ring.sent_window(message, 1)))?;
    let mut inflating = protocol.inflating();
    let mut missing = ring.returned_window(message, 1);
    let mut space = vec![0; missing.len()];
    while !missing.is_empty() {
        let len = stream.read(&mut space)?;
        let mut returned = space.get(..len).unwrap_or_default();
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(inflating) = &mut inflating {
            returned = inflating.inflate(returned)?;
        }
        ring.verify(missing.start, returned)?;
        missing.start += returned.len();
    }
    Ok(())
}
