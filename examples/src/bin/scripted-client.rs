//! A client that runs a list of steps and prints the outcome of each, for checks against other
//! people's servers. `interop/python/servers.py` calls it.
//!
//! The steps are read from the standard input, a line of JSON for each; the outcomes are printed in the
//! same way, and the last one says how the connection ended. Binary payloads are hexadecimal.
//!
//! ```text
//! $ printf '%s\n' '{"text":"hello"}' '"recv"' '{"close":[4001,"bye"]}' |
//!       cargo run --release -p examples --bin scripted-client -- ws://127.0.0.1:9000/ --runtime smol
//! {"open":{"extensions":null,"subprotocol":null,"tls":null,"version":"rfc6455"}}
//! {"text":"hello"}
//! {"closed":{"by":"us","clean":true,"code":4001,"pings":0,"reason":"","said":"4001, closed by us"}}
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use examples::{ClientOptions, from_hex, hex};
use serde::Deserialize;
use serde_json::{Value, json};
use ws_async_std::AsyncStd;
use ws_driver::{
    CloseCode, Closed, ConnectError, Connection, HandshakeError, Initiator, Message, Runtime,
    SendError, connect_with,
};
use ws_smol::Smol;
use ws_tokio::Tokio;

/// Goes through the steps on the standard input, a line of JSON for each.
#[derive(Parser)]
struct Options {
    /// Where to connect: `ws://host[:port]/path` or `wss://…`.
    url: String,
    /// The runtime to run on.
    #[arg(long, value_enum, default_value_t = OnRuntime::Tokio)]
    runtime: OnRuntime,
    #[command(flatten)]
    connect: ClientOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnRuntime {
    Tokio,
    Smol,
    AsyncStd,
}

/// What is done on an open connection. Behind the last step it is closed, if no step did that.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// Sends a text message.
    Text(String),
    /// Sends a binary message.
    Binary(String),
    /// Sends a text message in these fragments.
    Fragments(Vec<String>),
    /// Sends a ping.
    Ping(String),
    /// Waits for the next message and prints it.
    Recv,
    /// Prints all messages up to the end of the connection.
    RecvAll,
    /// Begins to close, with a code and a reason.
    Close(u16, String),
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    let options = Options::parse();
    let mut script = String::new();
    io::stdin().read_to_string(&mut script)?;
    let steps: Result<Vec<Step>, _> = script.lines().map(serde_json::from_str).collect();
    let steps = steps?;
    match options.runtime {
        OnRuntime::Tokio => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.enable_all().build()?;
            runtime.block_on(run::<Tokio>(&options, steps))
        }
        OnRuntime::Smol => smol::block_on(run::<Smol>(&options, steps)),
        OnRuntime::AsyncStd => async_std::task::block_on(run::<AsyncStd>(&options, steps)),
    }
}

/// Fails only if a step makes no sense or nothing can be printed; what became of the connection is for
/// the checks to judge.
async fn run<R: Runtime + Default>(options: &Options, steps: Vec<Step>) -> Outcome<ExitCode> {
    let connect = options.connect.connect_options()?;
    let mut connection = match connect_with::<R>(&options.url, connect).await {
        Ok(connection) => connection,
        Err(error) => {
            print(&refused(&error))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    print(&opened(&connection))?;
    for step in steps {
        take(step, &mut connection).await?;
    }
    let end = connection.close().await;
    print(&closed(&end, connection.counters().pings_received))?;
    Ok(ExitCode::SUCCESS)
}

/// Takes a step; on a connection that has ended it does nothing, as the end is told by itself.
async fn take(step: Step, connection: &mut Connection) -> Outcome<()> {
    match step {
        Step::Text(text) => told(connection.send(text).await),
        Step::Binary(digits) => told(connection.send(bytes(&digits)?).await),
        Step::Fragments(texts) => {
            let count = texts.len();
            for (at, text) in texts.into_iter().enumerate() {
                told(connection.send_fragment(text, at + 1 == count).await)?;
            }
            Ok(())
        }
        Step::Ping(digits) => told(connection.ping(&bytes(&digits)?)),
        Step::Recv => match connection.recv().await {
            Some(message) => print(&received(&message)),
            None => Ok(()),
        },
        Step::RecvAll => {
            while let Some(message) = connection.recv().await {
                print(&received(&message))?;
            }
            Ok(())
        }
        Step::Close(code, reason) => {
            let code = CloseCode::try_from(code)?;
            told(connection.close_with(code, &reason).await.map(drop))
        }
    }
}

/// Prints why something was not sent, unless the end of the connection will say so.
fn told(sent: Result<(), SendError>) -> Outcome<()> {
    match sent {
        Ok(()) | Err(SendError::Closed) => Ok(()),
        Err(error) => print(&json!({ "unsent": error.to_string() })),
    }
}

fn opened(connection: &Connection) -> Value {
    let response = connection.response();
    json!({ "open": {
        "version": connection.version().to_string(),
        "subprotocol": connection.subprotocol(),
        "extensions": response.and_then(|head| head.header("Sec-WebSocket-Extensions")),
        "tls": connection.tls().map(|tls| tls.version.to_string()),
    } })
}

fn received(message: &Message) -> Value {
    match message.as_text() {
        Some(text) => json!({ "text": text }),
        None => json!({ "binary": hex(message.as_bytes()) }),
    }
}

fn closed(end: &Closed, pings: u64) -> Value {
    let by = match end.by {
        Initiator::Local => "us",
        Initiator::Peer => "peer",
    };
    json!({ "closed": {
        "code": end.code,
        "reason": end.reason.as_str(),
        "clean": end.clean,
        "by": by,
        "pings": pings,
        "said": end.to_string(),
    } })
}

/// What a server that refuses sent with it is told apart from what the error says.
fn refused(error: &ConnectError) -> Value {
    let said = error.to_string();
    let ConnectError::Handshake(HandshakeError::Status { status, response }) = error else {
        return json!({ "refused": { "said": said } });
    };
    let headers = response.head().headers().iter();
    let headers = headers.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), Value::from(value))
    });
    json!({ "refused": {
        "said": said,
        "status": status.as_u16(),
        "headers": headers.collect::<serde_json::Map<_, _>>(),
        "body": String::from_utf8_lossy(response.body()),
    } })
}

fn bytes(digits: &str) -> Outcome<Vec<u8>> {
    from_hex(digits).ok_or_else(|| format!("{digits:?} is not hexadecimal").into())
}

fn print(outcome: &Value) -> Outcome<()> {
    Ok(writeln!(io::stdout(), "{outcome}")?)
}
