//! The options of the program, and what they mean together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Parser, ValueEnum};
use examples::{ClientOptions, seconds};
use ws_tokio::{ConnectConfig, Message, Proxy, ServerTls};

use crate::exit::{self, Failure};
use crate::input::Framing;
use crate::output::Form;
use crate::reconnect::{Retries, Target};
use crate::session::Terms;
use crate::tls::TlsFiles;

/// A pipe to a WebSocket server, or from WebSocket clients: lines of the standard input go out as messages,
/// and messages that come in are printed.
///
/// The standard output has nothing but messages. At the end of the standard input the connection is closed
/// behind the last message, and what the other side sends until then is printed.
#[derive(Parser)]
#[command(name = "client", after_help = exit::HELP)]
pub struct Options {
    /// Where to connect: `ws://host[:port]/path` or `wss://…`.
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    url: Option<String>,
    /// Listens, on ADDRESS:PORT or on a port of 127.0.0.1, and connects nowhere. What is read goes to all
    /// clients. While there is no client, nothing is read.
    #[arg(
        short,
        long,
        value_name = "ADDR",
        conflicts_with_all = [
            "version", "origin", "header", "ca", "system_roots", "connect_timeout", "proxy", "auth", "insecure",
            "execute", "reconnect",
        ]
    )]
    pub listen: Option<String>,
    /// With --listen: takes the first client and no other, and ends with it.
    #[arg(long, requires = "listen", conflicts_with = "url")]
    pub oneshot: bool,
    /// Sends bytes, as binary messages: each chunk as it is read, of at most 64 KiB, or with
    /// --binary=lines each line.
    #[arg(
        short,
        long,
        value_name = "FRAMING",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "chunks"
    )]
    binary: Option<Binary>,
    /// How messages are printed: by default hex, with --binary raw, with --binary=lines lines.
    #[arg(long, value_name = "FORM", value_enum)]
    output: Option<Form>,
    /// The longest line that is sent.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    max_line: usize,
    /// Sends this message, and does not read the standard input; can be given again. After --reconnect it
    /// is sent on each connection.
    #[arg(short = 'x', long, value_name = "MESSAGE", allow_hyphen_values = true)]
    execute: Vec<String>,
    /// How long to wait for more messages behind the last one that was sent, before the connection is
    /// closed.
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    wait: Option<Duration>,
    /// Ends as soon as so many messages are printed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Takes lines that begin with / as commands: `/ping [DATA]`, `/pong [DATA]` and `/close [CODE [REASON]]`.
    /// A line that begins with // is sent, without the first of them.
    #[arg(long, conflicts_with_all = ["binary", "execute"])]
    slash: bool,
    /// Tells of pings and pongs on the standard error.
    #[arg(short = 'P', long)]
    show_ping_pong: bool,
    /// How long the other side may take for its part of each step of the closing handshake.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    close_timeout: Duration,
    /// Connects again if there is no connection, or if it ends in another way than it should. What was sent
    /// and had not arrived is lost.
    #[arg(long)]
    reconnect: bool,
    /// How many attempts are made in a row. A connection of 5 seconds ends the row.
    #[arg(long, value_name = "N", default_value_t = 10, requires = "reconnect")]
    reconnect_attempts: u32,
    /// The longest wait before an attempt. Each is drawn, at first below 0.25 seconds, then below twice as
    /// much as before, up to this.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds,
        requires = "reconnect"
    )]
    reconnect_max_delay: Duration,
    /// A user and a password for the server, USER:PASSWORD, in the header Authorization (RFC 7617).
    #[arg(long, value_name = "LOGIN", value_parser = parse_login)]
    auth: Option<Login>,
    /// A proxy to go through: `http://[user:password@]host:port`, `https://…` or `socks5h://…`.
    #[arg(long, value_name = "URL")]
    proxy: Option<Proxy>,
    /// A PEM file with our certificate, and those that lead to its root. With --listen: speaks TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// A PEM file with the private key of the certificate; it can be the same.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Does not check the certificate of the server, nor that of a proxy. Whoever is between can read and
    /// change everything.
    #[arg(short = 'k', long, conflicts_with_all = ["ca", "system_roots"])]
    insecure: bool,
    #[command(flatten)]
    pub connect: ClientOptions,
}

/// What of the standard input is a binary message.
#[derive(Clone, Copy, ValueEnum)]
enum Binary {
    Chunks,
    Lines,
}

/// What stands behind `Basic` in the header Authorization. It has no `Debug`, because it is a secret.
#[derive(Clone)]
struct Login(String);

fn parse_login(text: &str) -> Result<Login, &'static str> {
    if !text.contains(':') {
        return Err("it has no colon");
    }
    Ok(Login(format!("Basic {}", STANDARD.encode(text))))
}

impl Options {
    /// Fails if options make no sense together that clap cannot compare.
    pub fn check(&self) -> Result<(), Failure> {
        let is_for_all = self.listen.is_some() && !self.oneshot;
        if is_for_all && (self.slash || self.show_ping_pong) {
            return Err(usage(
                "--slash and --show-ping-pong are for one connection: with --listen they need --oneshot",
            ));
        }
        Ok(())
    }

    /// Returns where to connect to.
    pub fn target(&self) -> Result<Target, Failure> {
        let mut config = self.connect.client_config().map_err(usage)?.connection(
            self.connect
                .limits()
                .control_events(self.show_ping_pong)
                .close_timeout(self.close_timeout),
        );
        if let Some(Login(login)) = &self.auth {
            config = config.header("Authorization", login).map_err(usage)?;
        }
        let connect = self.connect.connect_config(config);
        let connect = connect.proxy(self.proxy.clone());
        Ok(Target {
            url: self.url.clone().unwrap_or_default(),
            connect: self.with_tls(connect)?,
        })
    }

    fn with_tls(&self, connect: ConnectConfig) -> Result<ConnectConfig, Failure> {
        let files = TlsFiles {
            ca: self.connect.ca.as_deref(),
            system_roots: self.connect.system_roots,
            identity: self.identity(),
            insecure: self.insecure,
        };
        Ok(match files.client_tls().map_err(usage)? {
            Some(tls) => connect.tls(tls),
            None => connect,
        })
    }

    /// Returns whether nobody checks the certificate of the server.
    pub fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// Returns the certificate of a server.
    pub fn server_tls(&self) -> Result<Option<ServerTls>, Failure> {
        let files = self.identity();
        let tls = files.map(|(cert, key)| ServerTls::from_files(cert, key));
        tls.transpose().map_err(usage)
    }

    fn identity(&self) -> Option<(&Path, &Path)> {
        Some((self.cert.as_deref()?, self.key.as_deref()?))
    }

    /// Returns how the standard input is read; `None` if it is not.
    pub fn framing(&self) -> Option<Framing> {
        if self.execute.is_empty() {
            Some(self.stdin_framing())
        } else {
            None
        }
    }

    /// Returns how the standard input is read.
    pub fn stdin_framing(&self) -> Framing {
        let limit = self.max_line;
        match self.binary {
            None => Framing::Text { limit },
            Some(Binary::Lines) => Framing::Lines { limit },
            Some(Binary::Chunks) => Framing::Chunks,
        }
    }

    /// Returns how messages are printed, and how many.
    pub fn output(&self) -> (Form, Option<u64>) {
        let default = match self.binary {
            None => Form::Hex,
            Some(Binary::Lines) => Form::Lines,
            Some(Binary::Chunks) => Form::Raw,
        };
        (self.output.unwrap_or(default), self.count)
    }

    /// Returns what to do on a connection.
    pub fn terms(&self) -> Terms {
        let first = self.execute.iter().map(|text| match self.binary {
            None => Message::from(text),
            Some(_) => Message::from(text.as_bytes()),
        });
        Terms {
            first: first.collect(),
            wait: self.wait,
            slash: self.slash,
        }
    }

    /// Returns how to connect again, if that was asked for.
    pub fn retries(&self) -> Option<Retries> {
        self.reconnect.then_some(Retries {
            attempts: self.reconnect_attempts,
            longest: self.reconnect_max_delay,
        })
    }

    pub fn close_timeout(&self) -> Duration {
        self.close_timeout
    }

    pub fn show_ping_pong(&self) -> bool {
        self.show_ping_pong
    }
}

fn usage(error: impl ToString) -> Failure {
    Failure::Usage(error.to_string())
}
