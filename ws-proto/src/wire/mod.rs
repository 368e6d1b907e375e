//! What lies between frames and the transport: the queue of outgoing bytes, and the timers.

mod outgoing;
mod timers;

pub(crate) use self::outgoing::FramePayload;
pub use self::outgoing::Outgoing;
pub(crate) use self::timers::{Timer, Timers};
