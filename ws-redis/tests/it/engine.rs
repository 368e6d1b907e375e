//! A Redis of the test's own, on a free port, which can be killed, stopped and started again.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) struct Engine {
    folder: TempDir,
    pub(crate) port: u16,
    /// The one that speaks TLS, if there is one.
    pub(crate) tls_port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl Engine {
    pub(crate) fn start() -> Self {
        Self::with_options(&[])
    }

    pub(crate) fn with_options(options: &[&str]) -> Self {
        Self::in_folder(TempDir::new().unwrap(), options)
    }

    /// Starts one that speaks TLS as well, with a certificate.
    pub(crate) fn with_tls(certificate: &str, key: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let write = |name, content| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (certificate, key) = (write("cert.pem", certificate), write("key.pem", key));
        let tls_port = free_port();
        let port = tls_port.to_string();
        let options = [
            "--tls-port",
            &port,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            &certificate,
        ];
        let mut engine = Self::in_folder(folder, &options);
        engine.tls_port = tls_port;
        engine
    }

    fn in_folder(folder: TempDir, options: &[&str]) -> Self {
        let mut engine = Self {
            folder,
            port: free_port(),
            tls_port: 0,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            child: None,
        };
        engine.run();
        engine
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut command = Command::new(program);
        command.args([
            "--port",
            &self.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ]);
        command
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.options);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed"));
        let begin = Instant::now();
        while self.ask("PING").is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "redis-server does not answer"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it: all that it knew is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it stand still.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn thaw_pid(pid: u32) {
        send_signal(pid, "-CONT");
    }

    fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Sends a command of words without spaces, and returns the beginning of the answer.
    pub(crate) fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 4096];
        let len = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
    }

    /// Publishes any bytes.
    pub(crate) fn publish(&self, channel: &str, bytes: &[u8]) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let head = format!(
            "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n",
            channel.len(),
            bytes.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.write_all(b"\r\n").unwrap();
        let mut answer = [0; 64];
        assert!(stream.read(&mut answer).unwrap() > 0);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process that was started here.
pub(crate) fn signal(child: &Child, name: &str) {
    send_signal(child.id(), name);
}

fn send_signal(pid: u32, signal: &str) {
    let mut kill = Command::new("kill");
    let status = kill.args([signal, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
