//! A connection's queue as its owner sees it: to be written from, not to be taken away. Knows nothing of
//! what is in it.

use std::io::IoSlice;

use bytes::Buf;

use super::Outgoing;

/// What a [`Connection`](crate::Connection) has to write, where it is, as a [`Buf`]: see
/// [`Connection::outgoing`](crate::Connection::outgoing).
///
/// It can be written from. It cannot be replaced, because the connection counts what leaves; what is to be written
/// elsewhere is [taken](crate::Connection::take_outgoing).
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

    /// Drops the first `count` bytes: they were written.
    ///
    /// # Panics
    ///
    /// Panics if fewer wait.
    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}
