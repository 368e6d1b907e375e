//! What the tests of the examples share: programs that end with their test, and HTTP by hand.
//! Every wait is bounded.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A program that runs until it is dropped.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Program {
    pub fn start(path: &str, options: &[&str]) -> Self {
        let mut command = Command::new(path);
        command.args(options).stdin(Stdio::piped());
        // The runtimes that are not told their number of threads otherwise have two.
        command.env("SMOL_THREADS", "2");
        command.env("ASYNC_STD_THREAD_COUNT", "2");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take().unwrap()),
            stderr: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Returns its process id.
    #[allow(dead_code, reason = "one test uses it")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn write_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for the next line of its standard output.
    pub fn line(&self) -> String {
        self.stdout
            .recv_timeout(PATIENCE)
            .expect("a line of output")
    }

    /// Waits for the next line of its standard error.
    pub fn error_line(&self) -> String {
        self.stderr
            .recv_timeout(PATIENCE)
            .expect("a line of errors")
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it still runs");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the lines of a pipe as they come.
pub fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
        lines.all(|line| sender.send(line).is_ok());
    });
    receiver
}

/// Starts a server on a free port; its first line says where, as `listening on SCHEME://ADDR/`.
pub fn serve(path: &str, scheme: &str, options: &[&str]) -> (Program, SocketAddr) {
    let options = [&["--listen", "127.0.0.1:0"], options].concat();
    let program = Program::start(path, &options);
    let line = program.line();
    let addr = line
        .strip_prefix(&format!("listening on {scheme}://"))
        .and_then(|rest| rest.strip_suffix('/'))
        .unwrap_or_else(|| panic!("the first line is {line:?}"));
    (program, addr.parse().unwrap())
}

/// Sends bytes and returns what comes back until the server closes the stream.
pub fn exchange(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Sends a request with these header lines, without a body, and returns the answer in lower case
/// up to the body, and the body as it is.
pub fn request(addr: SocketAddr, line: &str, headers: &str) -> (String, String) {
    let request = format!("{line} HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n");
    let answer = String::from_utf8(exchange(addr, request.as_bytes())).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

/// What makes a request an upgrade to RFC 6455.
pub const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
