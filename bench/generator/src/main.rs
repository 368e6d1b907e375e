//! Puts one load on one server and prints what it cost the server, as a line of JSON. Runs on one thread.
//!
//! Any byte that differs from what a correct server sends, and any silence of some seconds, is an error.

mod addressed;
mod cluster;
mod deflate;
mod end;
mod flow;
mod frame;
mod handshakes;
mod idle;
mod link;
mod meter;
mod open_loop;
mod paced;
mod pacer;
mod protocol;
mod ring;
mod slow;
mod socket_io;
mod storm;
mod tls;
mod windows;

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

use crate::cluster::Members;
use crate::meter::{Goal, Load, Measured, Meter};
use crate::protocol::Protocol;
use crate::ring::Script;
use crate::tls::Tls;

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
    /// Speak it inside of TLS, and trust the certificate in this file.
    #[arg(long, value_name = "FILE", value_parser = Tls::trusting)]
    tls: Option<Tls>,
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
    /// Print "mark" and wait for a line, too, when a time is measured.
    #[arg(long)]
    marks: bool,
}

impl Phases {
    /// The goal of the warm-up, which begins now.
    fn warm_up(&self) -> Goal {
        match self.messages {
            Some(count) => Goal::Messages(count / 4),
            None => Goal::for_millis(self.warm_up),
        }
    }

    /// Lets the program that started this one look at the servers, if it wants to.
    fn mark(&self) -> io::Result<()> {
        if self.marks || self.messages.is_some() {
            println!("mark");
            io::stdin().lock().read_line(&mut String::new())?;
        }
        Ok(())
    }

    /// The goal of the measurement, which begins now.
    fn window(&self) -> Goal {
        match self.messages {
            Some(count) => Goal::Messages(count),
            None => Goal::for_millis(self.window),
        }
    }
}

#[derive(Clone, Subcommand)]
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
    Handshakes {
        /// Those of TLS resume earlier ones.
        #[arg(long)]
        resume: bool,
    },
    /// Connections that sent one message each and then nothing.
    Idle,
    /// 64 messages under way, each from a connection to a random other one.
    ById,
    /// 64 messages under way, each to a random topic. There is a topic for each connection, and each
    /// connection is in several.
    Topics {
        /// How many connections a topic has.
        #[arg(long, default_value_t = 10)]
        members: usize,
    },
    /// This many messages a second, whatever the number of connections; one that still waits is left out.
    Paced {
        #[arg(long)]
        rate: u64,
    },
    /// This many messages a second, whatever comes back; the time of each counts from when it was due.
    OpenLoop {
        #[arg(long)]
        rate: u64,
    },
    /// All connections are reset, and connect anew as fast as they can.
    Storm,
    /// The first connection publishes at a fixed rate, and every tenth connection reads nothing.
    SlowBroadcast {
        /// How many times a second it publishes.
        #[arg(long)]
        rate: u64,
        /// How many messages it publishes then.
        #[arg(long, default_value_t = 1)]
        burst: usize,
    },
    /// A client of the first node of a cluster publishes at a fixed rate to the members of topics on all nodes.
    Cluster(Members),
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
    let mut load = match course(options, &meter)? {
        Course::Phases(load) => load,
        Course::Whole(measured) => return print(&*measured),
    };
    let phases = &options.phases;
    load.run(phases.warm_up())?;
    settle();
    load.verify_silence()?;
    phases.mark()?;
    let before = meter.cpu()?;
    let begin = Instant::now();
    let tally = load.run(phases.window())?;
    let wall = begin.elapsed();
    settle();
    let cpu = meter.cpu()?.saturating_sub(before);
    load.verify_silence()?;
    phases.mark()?;
    print(&tally.measured(cpu, wall))
}

/// How a load is measured.
enum Course {
    /// It runs to warm up, and again to be measured.
    Phases(Box<dyn Load>),
    /// It has a course of its own, and this came of it.
    Whole(Box<Measured>),
}

impl Course {
    fn whole(measured: Measured) -> Self {
        Self::Whole(Box::new(measured))
    }
}

fn course(options: &Options, meter: &Meter) -> io::Result<Course> {
    Ok(Course::Phases(match options.load {
        Kind::Echo { in_flight } => Box::new(windows::Windows::echo(options, in_flight)?),
        Kind::Broadcast { in_flight } => Box::new(windows::Windows::broadcast(options, in_flight)?),
        Kind::Handshakes { resume } => Box::new(handshakes::Handshakes::new(options, resume)?),
        Kind::ById => Box::new(addressed::Addressed::by_id(options)?),
        Kind::Topics { members } => Box::new(addressed::Addressed::by_topic(options, members)?),
        Kind::Paced { rate } => Box::new(paced::Paced::new(options, rate)?),
        Kind::OpenLoop { rate } => Box::new(open_loop::OpenLoop::new(options, rate)?),
        Kind::Cluster(ref members) => Box::new(cluster::Cluster::new(options, members)?),
        Kind::Idle => return Ok(Course::whole(idle::measure(options, meter)?)),
        Kind::Storm => return Ok(Course::whole(storm::measure(options, meter)?)),
        Kind::SlowBroadcast { rate, burst } => {
            let measured = slow::measure(options, meter, rate, burst)?;
            return Ok(Course::whole(measured));
        }
    }))
}

/// Lets the server go to sleep: the time of a thread that runs is known only to the last tick.
fn settle() {
    std::thread::sleep(Duration::from_millis(10));
}

fn print(measured: &impl serde::Serialize) -> io::Result<()> {
    println!("{}", serde_json::to_string(measured)?);
    Ok(())
}
