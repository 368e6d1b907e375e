//! Sends every message back, on smol. The server itself is in `../lib.rs` and is the same on every
//! runtime.
//!
//! ```text
//! SMOL_THREADS=2 cargo run --release -p examples --bin echo-smol -- --listen 127.0.0.1:9000 --debug
//! ```

use std::io;

use clap::Parser;
use examples::{Options, serve};
use ws_smol::Smol;

fn main() -> io::Result<()> {
    let options = Options::parse();
    options.expect_threads_in("SMOL_THREADS");
    smol::block_on(serve::<Smol>(options))
}
