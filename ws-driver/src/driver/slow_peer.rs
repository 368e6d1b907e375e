//! The policies for sends that do not wait, to a peer that reads too slowly.

/// Says what a send that does not wait does when the send queue of its peer is at the `send_queue_limit`.
///
/// A policy applies to sends by id and to broadcasts, to all or to a topic, because a message for many peers must not
/// wait for the slowest one. It does not apply to senders that hold the connection:
/// [`Connection::send`](crate::Connection::send) waits, and [`try_send`](crate::Connection::try_send) fails because
/// the queue is full. Pings, pongs and the close are exempt, too.
///
/// No message can go between the fragments of another one. While a message is sent to a peer in fragments, sends by
/// id and broadcasts to it are kept until that message ends, up to the same limit, under every policy. A connection
/// that begins to close drops the messages that are kept for it, and counts them.
///
/// Set with [`ServerBuilder::slow_peer`](crate::ServerBuilder::slow_peer). Under every policy a message goes out
/// whole or not at all, and a slow peer does not delay the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowPeer {
    /// Does not queue the message. The caller learns of it by an error or by a smaller count.
    /// [`Clients::send_wait`](crate::Clients::send_wait) and
    /// [`Clients::broadcast_wait`](crate::Clients::broadcast_wait) wait for capacity instead, under every policy. For
    /// applications that can slow down their own sending.
    Wait,
    /// Drops the message for that peer, and counts it. For messages that can be missed one by one, such as samples of a
    /// measurement.
    DropNewest,
    /// Keeps the message in a backlog for that peer, which is limited by the `send_queue_limit`, too. At the limit the
    /// oldest messages are dropped and counted. For messages that later ones replace, such as positions or prices.
    ///
    /// The backlog moves into the send queue, in order, as that gets capacity. Other sends go behind it:
    /// [`Connection::send`](crate::Connection::send) waits until it is empty.
    DropOldest,
    /// Closes the connection with 1013 and the reason `too slow`, and takes no more messages for it. The peer gets
    /// everything up to some message and learns that there was more. The default, because the peer knows of the gap.
    #[default]
    Close,
}
