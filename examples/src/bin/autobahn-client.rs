//! A client for the fuzzing server of the Autobahn TestSuite. It runs the cases one by one, echoes the
//! messages of each, and requests the reports at the end. `interop/autobahn/run` calls it.
//!
//! ```text
//! wstest --mode fuzzingserver --spec fuzzingserver.json
//! cargo run --release -p examples --bin autobahn-client -- ws://127.0.0.1:9001 --runtime smol
//! ```

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use examples::DeflateOptions;
use ws_async_std::AsyncStd;
use ws_driver::ws_proto::{ClientConfig, ConnectionConfig};
use ws_driver::{Connection, Runtime, connect_with};
use ws_smol::Smol;
use ws_tokio::Tokio;

/// Goes through all cases of a fuzzing server of the Autobahn TestSuite.
#[derive(Parser)]
struct Options {
    /// Where the fuzzing server listens: `ws://host[:port]`, without a path.
    server: String,
    /// The runtime to run on.
    #[arg(long, value_enum, default_value_t = OnRuntime::Tokio)]
    runtime: OnRuntime,
    /// The name that the reports have for this client.
    #[arg(long, value_name = "NAME", default_value = "client")]
    agent: String,
    /// The longest message that is received; the longest of the suite has 16 MiB.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    max_message: usize,
    /// The most fragments of a message; the suite cuts 4 MiB into fragments of 64 bytes, and adds an
    /// empty one.
    #[arg(long, value_name = "COUNT", default_value_t = (4 << 20) / 64 + 1)]
    max_fragments: usize,
    #[command(flatten)]
    deflate: DeflateOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnRuntime {
    Tokio,
    Smol,
    AsyncStd,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> io::Result<ExitCode> {
    let options = Options::parse();
    let outcome = match options.runtime {
        OnRuntime::Tokio => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.enable_all().build()?;
            runtime.block_on(run::<Tokio>(&options))
        }
        OnRuntime::Smol => smol::block_on(run::<Smol>(&options)),
        OnRuntime::AsyncStd => async_std::task::block_on(run::<AsyncStd>(&options)),
    };
    Ok(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    })
}

async fn run<R: Runtime + Default>(options: &Options) -> Outcome<()> {
    let agent = &options.agent;
    let count = case_count::<R>(options).await?;
    for case in 1..=count {
        let path = format!("runCase?case={case}&agent={agent}");
        echo(open::<R>(options, &path).await?).await;
    }
    let path = format!("updateReports?agent={agent}");
    let mut connection = open::<R>(options, &path).await?;
    // The server closes when the reports are written.
    while connection.recv().await.is_some() {}
    println!("went through {count} cases");
    Ok(())
}

async fn case_count<R: Runtime + Default>(options: &Options) -> Outcome<u32> {
    let mut connection = open::<R>(options, "getCaseCount").await?;
    let message = connection.recv().await;
    let answer = message.ok_or("the server does not say how many cases it has")?;
    let count = answer.as_text().unwrap_or_default().parse();
    // To the end, as for a case.
    while connection.recv().await.is_some() {}
    count.map_err(|error| format!("the server does not say how many cases it has: {error}").into())
}

async fn open<R: Runtime + Default>(options: &Options, path: &str) -> Outcome<Connection> {
    let url = format!("{}/{path}", options.server.trim_end_matches('/'));
    let limits = ConnectionConfig::new()
        .message_limit(options.max_message)
        .fragment_limit(options.max_fragments);
    let config = ClientConfig::new()
        .connection(limits)
        .deflate(options.deflate.deflate()?);
    let opened = connect_with::<R>(&url, &config).await;
    opened.map_err(|error| format!("{url}: {error}").into())
}

/// Sends everything back until the connection ends. How it ends, is for the suite to judge.
async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        if connection.send(message).await.is_err() {
            break;
        }
    }
}
