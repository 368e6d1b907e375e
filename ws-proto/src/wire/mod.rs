//! What lies between frames and the transport: the queue of outgoing bytes, and the timers.

mod controls;
mod outgoing;
mod outgoing_mut;
mod queue;
mod timers;

pub(crate) use self::controls::InFlight;
pub use self::outgoing::Outgoing;
pub use self::outgoing_mut::OutgoingMut;
pub(crate) use self::queue::FramePayload;
pub(crate) use self::timers::{Moment, Timer, Timers};
