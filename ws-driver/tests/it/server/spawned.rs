//! What tasks leave.

use std::future::Future;
use std::sync::{Arc, Mutex};

use ws_testing::sim::Sim;

/// Runs a future as a task and returns where its result will be.
pub(crate) fn spawned<T: Send + 'static>(
    sim: &Sim,
    future: impl Future<Output = T> + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let slot = Arc::new(Mutex::new(None));
    let result = Arc::clone(&slot);
    sim.spawn_task(async move {
        let output = future.await;
        *result.lock().unwrap() = Some(output);
    });
    slot
}

pub(crate) fn taken<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap().take()
}
