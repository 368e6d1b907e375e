//! A backplane that gives its seat to the test, which then plays the engine.

use std::sync::{Arc, Mutex};

use ws_driver::{Backplane, Seat};

use super::{Sim, lock};

/// The seat of a node, once its backplane runs and until its server stops.
#[derive(Clone, Default)]
pub struct Lent(Arc<Mutex<Option<Arc<Seat>>>>);

impl Lent {
    pub fn seat(&self) -> Arc<Seat> {
        lock(&self.0).clone().expect("the backplane runs")
    }
}

impl Backplane<Sim> for Lent {
    async fn run(self, _: Sim, seat: Seat) {
        let seat = Arc::new(seat);
        *lock(&self.0) = Some(Arc::clone(&seat));
        seat.stopped().await;
        *lock(&self.0) = None;
    }
}
