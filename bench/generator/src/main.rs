//! Puts one load on one server and prints what it cost the server, as a line of JSON. Runs on one thread.
//!
//! Any byte that differs from what a correct server sends, and any silence of some seconds, is an error.

mod by_id;
mod deflate;
mod frame;
mod handshakes;
mod idle;
mod link;
mod meter;
mod paced;
mod protocol;
mod ring;
mod windows;

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

use crate::meter::{Goal, Load, Meter};
use crate::protocol::Protocol;
use crate::ring::Script;

#[derive(Parser)]
struct Options {
    /// Where the server listens.
    #[arg(long)]
    connect: SocketAddr,
    /// The server's process id.
    #[arg(long)]
    pid: u32,
    /// What to speak.
    #[arg(long, value_enum, default_value = "rfc6455")]
    protocol: Protocol,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// The length of a message.
    #[arg(long, default_value_t = 16)]
    size: usize,
    /// What a message is written in.
    #[arg(long, value_enum, default_value = "ascii")]
    script: Script,
    #[command(flatten)]
    phases: Phases,
    #[command(subcommand)]
    load: Kind,
}

#[derive(Args)]
struct Phases {
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 300)]
    warm_up: u64,
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    window: u64,
    /// Measure this many messages instead of a time, warm up with a quarter of them, and before and after
    /// the measurement print "mark" and wait for a line.
    #[arg(long)]
    messages: Option<u64>,
}

#[derive(Clone, Copy, Subcommand)]
enum Kind {
    /// Each connection sends a window of messages, and the next when all are back.
    Echo {
        #[arg(long, default_value_t = 1)]
        in_flight: usize,
    },
    /// The first connection sends a window, and the next when all connections have all of it.
    Broadcast {
        #[arg(long, default_value_t = 1)]
        in_flight: usize,
    },
    /// Connections open and are reset; each counts as a message.
    Handshakes,
    /// Connections that sent one message each and then nothing.
    Idle,
    /// 64 messages under way, each from a connection to a random other one.
    ById,
    /// This many messages a second, whatever the number of connections.
    Paced {
        #[arg(long)]
        rate: u64,
    },
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let meter = Meter::new(options.pid);
    let Some(mut load) = load(options)? else {
        let measured = idle::measure(options, &meter)?;
        return print(&measured);
    };
    let phases = &options.phases;
    let (warm_up, window) = match phases.messages {
        Some(count) => (Goal::Messages(count / 4), None),
        None => (Goal::for_millis(phases.warm_up), Some(phases.window)),
    };
    load.run(warm_up)?;
    settle();
    load.verify_silence()?;
    if phases.messages.is_some() {
        mark()?;
    }
    let before = meter.cpu()?;
    let begin = Instant::now();
    let goal = match (window, phases.messages) {
        (None, Some(count)) => Goal::Messages(count),
        (window, _) => Goal::for_millis(window.unwrap_or_default()),
    };
    let tally = load.run(goal)?;
    let wall = begin.elapsed();
    settle();
    let cpu = meter.cpu()?.saturating_sub(before);
    load.verify_silence()?;
    if phases.messages.is_some() {
        mark()?;
    }
    print(&tally.measured(cpu, wall))
}

fn load(options: &Options) -> io::Result<Option<Box<dyn Load>>> {
    Ok(Some(match options.load {
        Kind::Echo { in_flight } => Box::new(windows::Windows::echo(options, in_flight)?),
        Kind::Broadcast { in_flight } => Box::new(windows::Windows::broadcast(options, in_flight)?),
        Kind::Handshakes => Box::new(handshakes::Handshakes::new(options)?),
        Kind::ById => Box::new(by_id::ById::new(options)?),
        Kind::Paced { rate } => Box::new(paced::Paced::new(options, rate)?),
        Kind::Idle => return Ok(None),
    }))
}

/// Lets the server go to sleep: the time of a thread that runs is known only to the last tick.
fn settle() {
    std::thread::sleep(Duration::from_millis(10));
}

fn mark() -> io::Result<()> {
    println!("mark");
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

fn print(measured: &impl serde::Serialize) -> io::Result<()> {
    println!("{}", serde_json::to_string(measured)?);
    Ok(())
}
