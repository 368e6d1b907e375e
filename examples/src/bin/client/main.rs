//! A command-line client: sends what it reads, prints what arrives, in any version; or a server that does.
//! `docs/client.md` describes it.
//!
//! ```text
//! cargo run --release -p examples --bin client -- ws://127.0.0.1:9000/ --version draft76
//! cargo run --release -p examples --bin client -- wss://localhost:9000/ --ca root.pem
//! cargo run --release -p examples --bin client -- --listen 127.0.0.1:9000
//! ```

mod exit;
mod input;
mod listen;
mod options;
mod output;
mod reconnect;
mod session;
mod slash;
mod tls;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::exit::Failure;
use crate::listen::Listening;
use crate::options::Options;
use crate::output::{Output, say};

fn main() -> io::Result<ExitCode> {
    let options = Options::parse();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    // In a task, where a send only queues: the task of the connection then writes many messages at once.
    let ended = runtime.block_on(async { tokio::spawn(run(options)).await });
    // A write to a terminal that was stopped cannot be interrupted; it shall not keep us from ending.
    runtime.shutdown_background();
    Ok(
        match ended.expect("nothing aborts the task, and it does not panic") {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                // How a connection ended was said already.
                if !matches!(failure, Failure::Closed(_)) {
                    say(format_args!("error: {failure}"));
                }
                failure.code().into()
            }
        },
    )
}

async fn run(options: Options) -> Result<(), Failure> {
    options.check()?;
    let (form, count) = options.output();
    let mut output = Output::new(form, count);
    let terms = options.terms();
    if let Some(addr) = &options.listen {
        let is_port = addr.bytes().all(|byte| byte.is_ascii_digit());
        let addr = if is_port {
            format!("127.0.0.1:{addr}")
        } else {
            addr.clone()
        };
        let listening = Listening {
            addr: &addr,
            tls: options.server_tls()?,
            options: &options.connect,
            close_timeout: options.close_timeout(),
            show_control: options.show_ping_pong(),
        };
        let framing = options.stdin_framing();
        return if options.oneshot {
            listen::one(listening, framing, &mut output, &terms).await
        } else {
            listen::each(listening, framing, &mut output, &terms).await
        };
    }
    let target = options.target()?;
    if options.is_insecure() {
        say("warning: certificates are not checked (option --insecure)");
    }
    let (framing, retries) = (options.framing(), options.retries());
    reconnect::run(&target, framing, &mut output, &terms, retries.as_ref()).await
}
