//! What a server checks in a request, in which order, and with which status it refuses.

mod head;
mod hosts;
mod order;
mod origins;
mod refusal;
mod rules;
mod tolerant;
mod versions;
