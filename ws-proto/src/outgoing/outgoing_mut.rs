//! The view of a connection's queue for its owner, who can write from it but not replace it. Knows nothing of
//! the content.

use std::io::IoSlice;

use bytes::Buf;

use super::Outgoing;

/// The bytes that a [`Connection`](crate::Connection) has to write, in place, as a [`Buf`]: see
/// [`Connection::outgoing`](crate::Connection::outgoing).
///
/// The caller writes from it and advances it. The queue itself cannot be replaced, because the connection
/// counts the bytes that leave. To write the bytes elsewhere,
/// [take](crate::Connection::take_outgoing) them.
///
/// ```compile_fail
/// # let now = std::time::Instant::now();
/// # let config = ws_proto::ConnectionConfig::new();
/// # let mut connection = ws_proto::Connection::server(ws_proto::Version::Rfc6455, config, now);
/// let taken = std::mem::take(connection.outgoing());
/// ```
#[derive(Debug)]
pub struct OutgoingMut<'a>(&'a mut Outgoing);

impl<'a> OutgoingMut<'a> {
    pub(crate) fn new(outgoing: &'a mut Outgoing) -> Self {
        Self(outgoing)
    }

    /// Returns how many bytes wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Buf for OutgoingMut<'_> {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.0.chunks_vectored(slices)
    }

    /// Drops the first `count` bytes, which were written.
    ///
    /// # Panics
    ///
    /// Panics if fewer bytes wait.
    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}
