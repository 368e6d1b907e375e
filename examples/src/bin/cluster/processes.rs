//! The nodes as processes of their own, so that one can be killed while the others serve.

use std::env;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinSet;

use crate::node::GRACE;

/// How long the nodes may take to end: their grace, and a second in which the engine takes what they have queued.
const PATIENCE: Duration = Duration::from_secs(GRACE.as_secs() + 2);

/// Runs nodes until Ctrl-C, or until all have ended.
pub async fn run(host: &str, nodes: u8, url: &str) -> io::Result<()> {
    let mut running = JoinSet::new();
    let mut inputs = Vec::new();
    for number in 1..=nodes {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--host", host, "--redis", url]);
        command.args(["--number", &number.to_string()]);
        // Ctrl-C is for this process, which tells them.
        #[cfg(unix)]
        command.process_group(0);
        let mut node = command.stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
        inputs.push(node.stdin.take());
        running.spawn(async move { (number, node.wait().await) });
    }
    tokio::select! {
        () = ended(&mut running) => return Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    // A node ends with its standard input, so also if this process is killed.
    drop(inputs);
    let _ = tokio::time::timeout(PATIENCE, ended(&mut running)).await;
    Ok(())
}

/// Waits until all nodes have ended, and says how each did.
async fn ended(running: &mut JoinSet<(u8, io::Result<ExitStatus>)>) {
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((number, Ok(status))) => println!("node {number} has ended: {status}"),
            Ok((number, Err(error))) => println!("node {number} is lost: {error}"),
            Err(error) => println!("a node is lost: {error}"),
        }
    }
}
