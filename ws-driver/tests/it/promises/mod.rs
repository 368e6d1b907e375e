//! The promises of the connection task, P1 to P8, each with a test that fails without it. What breaks
//! them is said above each test. P5 is in `memory.rs`, as it counts what the whole process allocates.

mod backpressure;
mod busy_handler;
mod cancellation;
mod fairness;
mod frames;
mod limited;
mod one_task;
mod one_write;
mod panic;
mod progress;
mod spread;
mod stall;
use std::time::Duration;

const HOUR: Duration = ws_testing::sim::seconds(3600);
