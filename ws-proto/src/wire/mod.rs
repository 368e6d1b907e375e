//! What lies between frames and the transport: the queue of outgoing bytes, and the timers.

mod outgoing;
mod queue;
mod timers;

pub use self::outgoing::Outgoing;
pub(crate) use self::queue::FramePayload;
pub(crate) use self::timers::{Timer, Timers};
