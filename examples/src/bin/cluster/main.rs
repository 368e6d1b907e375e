//! A chat over several nodes, with one command: each node is a server in a process of its own, and Redis carries what is
//! written to all of them.
//!
//! ```text
//! cargo run --release -p examples --bin cluster                                  # starts redis-server and three nodes
//! cargo run --release -p examples --bin cluster -- --redis redis://127.0.0.1     # the nodes use this engine
//! ```
//!
//! Open the addresses that it prints, each in a tab, and end a node with `kill -9` and the number that it prints: its
//! page goes to another node, resumes from the last position in the log that it has, and misses nothing. The page shows
//! the nodes, and who is on which. `/metrics` of a node has its counters for Prometheus, and
//! `/dashboard` shows them. With `--redis` the nodes of all
//! commands with the same URL are one cluster. Without an engine the nodes share the memory of one process.

mod chat;
mod engine;
mod node;
mod overview;
mod page;
mod processes;

use std::error::Error;

use clap::Parser;
use tokio::io::AsyncReadExt;
use ws_tokio::{MemoryBackplane, Redis};

use crate::engine::Engine;
use crate::node::Node;

/// A chat over several nodes.
#[derive(Parser)]
struct Options {
    /// The host to listen on; each node takes a free port.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// How many nodes to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    nodes: u8,
    /// The engine of the cluster, a Redis or a Valkey. Without it the command starts one.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Is this node, and ends with its standard input: how the command starts its nodes.
    #[arg(long, hide = true, requires = "redis")]
    number: Option<u8>,
}

/// In front of all keys and channels in the engine.
const PREFIX: &str = "cluster-example";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    // Checked before anything is started.
    let redis = options.redis.as_deref().map(Redis::new).transpose()?;
    if let (Some(number), Some(redis)) = (options.number, redis) {
        let node = Node::start(&options.host, number, redis.prefix(PREFIX)).await?;
        // The command that started this node closes it, or has ended.
        let _ = tokio::io::stdin().read_u8().await;
        node.stop().await;
        return Ok(());
    }
    if let Some(url) = &options.redis {
        return Ok(processes::run(&options.host, options.nodes, url).await?);
    }
    if let Some(engine) = Engine::start().await? {
        println!("{} at {}", engine.program(), engine.url());
        return Ok(processes::run(&options.host, options.nodes, engine.url()).await?);
    }
    println!("{}", engine::MISSING);
    in_this_process(&options).await
}

/// Runs the nodes in this process, with its memory as their engine.
async fn in_this_process(options: &Options) -> Result<(), Box<dyn Error>> {
    let memory = MemoryBackplane::new();
    let mut nodes = Vec::new();
    for number in 1..=options.nodes {
        nodes.push(Node::start(&options.host, number, memory.clone()).await?);
    }
    tokio::signal::ctrl_c().await?;
    for node in nodes {
        node.stop().await;
    }
    Ok(())
}
