//! The generator as a program.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

/// Runs the generator with raw messages and these options until it ends.
pub(crate) fn generate<'a>(
    addr: SocketAddr,
    connections: usize,
    options: impl IntoIterator<Item = &'a str>,
) -> Output {
    // What is measured is a program whose threads do not come and go, as those of a test do.
    let mut measured = Command::new("sleep")
        .arg("60")
        .spawn()
        .expect("there is a program that sleeps");
    let output = Command::new(env!("CARGO_BIN_EXE_generate"))
        .args(["--connect", &addr.to_string()])
        .args(["--pid", &measured.id().to_string()])
        .args(["--connections", &connections.to_string()])
        .args(["--protocol", "raw"])
        .args(options)
        .stdin(Stdio::null())
        .output();
    let _ = measured.kill();
    let _ = measured.wait();
    output.expect("the generator runs")
}
