//! Sends every message back, on async-std. The server itself is in `../lib.rs` and is the same on
//! every runtime.
//!
//! ```text
//! cargo run --release -p examples --bin echo-async-std -- --listen 127.0.0.1:9000 --debug
//! ```

use std::io;

use async_std::task;
use clap::Parser;
use examples::{Options, serve};
use ws_async_std::AsyncStd;

fn main() -> io::Result<()> {
    let options = Options::parse();
    options.expect_threads_in("ASYNC_STD_THREAD_COUNT");
    task::block_on(serve::<AsyncStd>(options))
}
