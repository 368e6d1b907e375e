//! Sends every message back, on tokio. The server itself is in `../lib.rs` and is the same on every
//! runtime.
//!
//! ```text
//! cargo run --release -p examples --bin echo -- --listen 127.0.0.1:9000 --debug
//! ```

use std::io;

use clap::Parser;
use examples::{Options, serve};
use tokio::runtime::Builder;
use ws_tokio::Tokio;

fn main() -> io::Result<()> {
    let options = Options::parse();
    let mut runtime = match options.threads() {
        // The thread that is there.
        Some(1) => Builder::new_current_thread(),
        Some(_) | None => Builder::new_multi_thread(),
    };
    if let Some(threads) = options.threads() {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(serve::<Tokio>(options))
}
