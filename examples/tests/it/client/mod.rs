//! The program `client`: what goes through it, each of its options, and each way in which it ends.

mod commands;
mod exit_codes;
mod listening;
mod piping;
mod reconnecting;
mod requests;
mod sending;
mod tls;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use ws_tokio::{Connection, Server, ServerBuilder};

use super::common::{PATIENCE, Program, lines};

/// An address where nobody listens, because the port is neither used nor given away by the system. One that was
/// free a moment ago may be taken, or still listen in a process that another test is about to start.
const NOBODY: &str = "127.0.0.1:1";

/// Starts the client, for a talk by lines.
fn start(options: &[&str]) -> Program {
    Program::start(env!("CARGO_BIN_EXE_client"), options)
}

/// Runs the client with this on its standard input, to its end.
fn run(options: &[&str], input: &[u8]) -> Ended {
    let mut run = Run::start(options);
    run.feed(input.to_vec());
    run.end()
}

/// The client as a process whose output is bytes. Ends with its test.
struct Run {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Receiver<String>,
}

/// How a client ended, and what it printed and said that was not read before.
struct Ended {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Run {
    fn start(options: &[&str]) -> Self {
        let (mut run, stdout) = Self::start_unread(options);
        run.stdout = Some(read_all(stdout));
        run
    }

    /// Starts the client, and leaves it to the caller to read what it prints.
    fn start_unread(options: &[&str]) -> (Self, ChildStdout) {
        let mut run = Self::start_into(options, Stdio::piped());
        let stdout = run.child.stdout.take().unwrap();
        (run, stdout)
    }

    /// Starts the client in an environment with these variables.
    fn start_in(environment: &[(&str, &str)], options: &[&str]) -> Self {
        let mut command = Self::command(options);
        command.envs(environment.iter().copied());
        let mut run = Self::spawn(command, Stdio::piped());
        run.stdout = run.child.stdout.take().map(read_all);
        run
    }

    /// Starts the client, which prints to there.
    fn start_into(options: &[&str], stdout: Stdio) -> Self {
        Self::spawn(Self::command(options), stdout)
    }

    fn command(options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
        command.args(options);
        command
    }

    fn spawn(mut command: Command, stdout: Stdio) -> Self {
        command.stdin(Stdio::piped());
        command.stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: None,
            stderr: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Closes its standard error behind the next line.
    fn stop_reading_errors(&mut self) {
        self.stderr = channel().1;
    }

    /// Writes to the standard input and ends it, while the client may print.
    fn feed(&mut self, input: Vec<u8>) {
        let mut stdin = self.stdin.take().unwrap();
        thread::spawn(move || {
            // It may end before it has read all.
            let _ = stdin.write_all(&input);
        });
    }

    /// Waits for the next line of its standard error.
    fn error_line(&self) -> String {
        let line = self.stderr.recv_timeout(PATIENCE);
        line.expect("a line of errors")
    }

    /// Waits until it has ended by itself.
    fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it still runs");
            thread::sleep(Duration::from_millis(2));
        };
        let stdout = self.stdout.take().map(|thread| thread.join().unwrap());
        let stderr: Vec<String> = self.stderr.iter().collect();
        Ended {
            code: status.code().expect("no signal ends it"),
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.join("\n"),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

impl Ended {
    /// Asserts the exit code, and that something stands on the standard error.
    #[track_caller]
    fn says(&self, code: i32, text: &str) -> &Self {
        assert!(
            self.code == code && self.stderr.contains(text),
            "{} is not {code}, or {text:?} is not in: {}",
            self.code,
            self.stderr
        );
        self
    }

    /// Asserts what it printed, and nothing else.
    #[track_caller]
    fn printed(&self, stdout: impl AsRef<[u8]>) -> &Self {
        let stdout = stdout.as_ref();
        assert!(
            self.stdout == stdout,
            "printed {} bytes, {:?}, and not {} bytes; it said: {}",
            self.stdout.len(),
            String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(200)]),
            stdout.len(),
            self.stderr
        );
        self
    }
}

/// A server in this process, which is gone when this is dropped.
struct Local {
    server: Server,
    scheme: &'static str,
    _runtime: Runtime,
}

impl Local {
    fn start<H, F>(builder: ServerBuilder, handler: H) -> Self
    where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime();
        let server = runtime.block_on(builder.bind("127.0.0.1:0")).unwrap();
        let served = server.clone();
        runtime.spawn(async move { served.serve(handler).await });
        Self {
            server,
            scheme: "ws",
            _runtime: runtime,
        }
    }

    /// Sends all messages back.
    fn echo() -> Self {
        Self::start(Server::builder(), echo)
    }

    fn url(&self) -> String {
        let scheme = self.scheme;
        format!("{scheme}://localhost:{}/", self.addr().port())
    }

    fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        if connection.send(message).await.is_err() {
            break;
        }
    }
}
