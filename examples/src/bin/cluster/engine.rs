//! The engine of the cluster: a redis-server of the system, on a free port, which ends with this process. It knows
//! nothing of nodes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// What to say if the system has no engine.
pub const MISSING: &str = "There is no redis-server or valkey-server on the PATH.
To see nodes that are processes of their own, install one:
  Debian, Ubuntu   sudo apt-get install redis-server
  Fedora           sudo dnf install valkey
  macOS            brew install redis
or name an engine with --redis URL. Until then the nodes share the memory of this process, and end with it.";

/// A redis-server that ends when this is dropped.
pub struct Engine {
    program: &'static str,
    url: String,
    // The shell ends the engine when this closes, also if this process is killed.
    _shell: Child,
}

const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// Ends the engine with the standard input of the shell.
const SCRIPT: &str = r#""$0" "$@" </dev/null >/dev/null & cat; kill $! 2>/dev/null"#;

/// How long the engine may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Starts an engine; `None` if the system has none.
    pub async fn start() -> io::Result<Option<Self>> {
        let mut programs = PROGRAMS.into_iter();
        let is_there = |name: &&str| std::process::Command::new(name).arg("-v").output().is_ok();
        let Some(program) = programs.find(is_there) else {
            return Ok(None);
        };
        let addr = free_addr("127.0.0.1")?;
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, program, "--bind", "127.0.0.1"]);
        command.args(["--port", &addr.port().to_string(), "--save", ""]);
        command.args(["--maxmemory-policy", "noeviction"]);
        command.stdin(Stdio::piped());
        // Ctrl-C is for the nodes, which publish what they have while the engine is there.
        #[cfg(unix)]
        command.process_group(0);
        let shell = command.spawn()?;
        let listens = async {
            while TcpStream::connect(addr).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, listens).await.map_err(|_| {
            io::Error::other(format!("{program} does not listen within {PATIENCE:?}"))
        })?;
        Ok(Some(Self {
            program,
            url: format!("redis://{addr}"),
            _shell: shell,
        }))
    }

    /// Returns the name of the program.
    pub fn program(&self) -> &str {
        self.program
    }

    /// Returns the URL for the nodes.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Returns an address that is free now.
pub fn free_addr(host: &str) -> io::Result<SocketAddr> {
    TcpListener::bind((host, 0))?.local_addr()
}
