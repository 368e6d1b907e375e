//! Measures what the machines under test allocate, and nothing else: only what runs inside of
//! [`Meter::run`] counts, on the thread that runs it, so that tests can run beside each other.
//!
//! Growing a buffer counts as a new one and the end of the old one, which is the worst that an
//! allocator can do: the peak has both, and the sum has every copy.

use allocation_counter::measure;

/// What was allocated in all runs so far, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    held: i64,
    peak: i64,
    total: u64,
    count: u64,
}

impl Meter {
    /// Runs `work` and counts what it allocates and frees.
    pub(crate) fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let mut output = None;
        let info = measure(|| output = Some(work()));
        let peak = self.held + i64::try_from(info.bytes_max).unwrap();
        self.peak = self.peak.max(peak);
        self.held += info.bytes_current;
        self.total += info.bytes_total;
        self.count += info.count_total;
        output.unwrap()
    }

    /// Returns what is held now.
    pub(crate) fn held(&self) -> usize {
        usize::try_from(self.held).unwrap_or(0)
    }

    /// Returns the most that was held at any time.
    pub(crate) fn peak(&self) -> usize {
        usize::try_from(self.peak).unwrap()
    }

    /// Returns all that was ever allocated, freed or not.
    pub(crate) fn total(&self) -> usize {
        usize::try_from(self.total).unwrap()
    }

    /// Returns how often something was allocated.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Prints the figures; `cargo test -- --nocapture` shows them.
    #[expect(
        clippy::print_stdout,
        reason = "clippy spares tests, but not their helpers"
    )]
    pub(crate) fn print(&self, what: &str) {
        println!(
            "{what}: {} held, {} at the peak, {} in all, in {} allocations",
            self.held(),
            self.peak(),
            self.total(),
            self.count()
        );
    }
}
