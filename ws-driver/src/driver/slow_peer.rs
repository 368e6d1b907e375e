//! What happens when somebody sends to a peer that reads too slowly and cannot wait for it.

/// What a send that does not wait does when the send queue of its peer is at the `send_queue_limit`.
///
/// It holds for sends by id and for broadcasts, to all or to a topic: what many peers are to get must
/// not wait for the slowest of them. It does not hold where the sender has the connection in its hands:
/// [`Connection::send`](crate::Connection::send) waits, and
/// [`try_send`](crate::Connection::try_send) says that the queue is full. Pings, pongs and the close
/// are exempt, too.
///
/// While a message is sent to a peer in fragments, which nothing can go between, what is sent to it by id
/// or in a broadcast is kept until that ends, up to the same limit, under every policy. A connection that
/// begins to close drops what is kept for it, and counts it.
///
/// Set with [`ServerBuilder::slow_peer`](crate::ServerBuilder::slow_peer). Whatever it is, a message
/// goes out whole or not at all, and one peer's slowness does not touch the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowPeer {
    /// Leaves the peer alone: the message is not queued, and the caller is told, by an error or by a
    /// smaller count. [`Clients::send_wait`](crate::Clients::send_wait) and
    /// [`Clients::broadcast_wait`](crate::Clients::broadcast_wait) wait for room instead (under every
    /// policy). For applications that can slow down what they send.
    Wait,
    /// Drops the message for that peer, and counts it. For what is of use complete or not at all, such
    /// as a stream of samples of which some can be missed.
    DropNewest,
    /// Keeps the message in a backlog for that peer, also limited by the `send_queue_limit`, where the
    /// oldest messages make way and are counted. For what is outdated by what comes after it, such as
    /// positions or prices.
    ///
    /// The backlog moves into the send queue, in order, as that gets room. What is sent otherwise goes
    /// behind it: [`Connection::send`](crate::Connection::send) waits until it is empty.
    DropOldest,
    /// Closes the connection with 1013 and the reason `too slow`, and takes nothing more for it: the
    /// peer gets everything up to a point and is told that there was more. The default, as no gap
    /// passes silently.
    #[default]
    Close,
}
