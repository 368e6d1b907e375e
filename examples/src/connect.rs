//! The options of a connection, shared by all clients.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ws_driver::ws_proto::{ClientConfig, ConnectionConfig};
use ws_driver::{ClientTls, ConfigError, ConnectConfig, Origin, Subprotocol, Version};

use crate::DeflateOptions;

/// How to connect, and what to take.
#[derive(Args, Clone)]
pub struct ClientOptions {
    /// The version to speak: draft75, draft76 or rfc6455, which is also called 13.
    #[arg(long, default_value_t = Version::Rfc6455, value_parser = parse_version)]
    version: Version,
    /// A subprotocol to offer; can be given again, best first.
    #[arg(short, long, value_name = "NAME")]
    pub subprotocol: Vec<Subprotocol>,
    /// The origin to claim, as a browser would name that of the page.
    #[arg(short, long)]
    origin: Option<Origin>,
    /// A header to send, such as 'Cookie: a=b'; can be given again.
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = parse_header)]
    header: Vec<(String, String)>,
    /// A PEM file with the roots to trust, and no others, for wss and for a proxy of https; without it,
    /// those of Mozilla.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trusts the roots of this machine instead, or those that SSL_CERT_FILE and SSL_CERT_DIR name.
    #[arg(long, conflicts_with = "ca")]
    pub system_roots: bool,
    /// How long all of it may take, from the look-up of the host's name to the open connection.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    connect_timeout: u64,
    /// The longest message that is received.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    pub max_message: usize,
    #[command(flatten)]
    pub deflate: DeflateOptions,
}

impl ClientOptions {
    /// Returns what was asked for.
    ///
    /// # Errors
    ///
    /// Fails if a value makes no sense, or if there are no roots in the file.
    pub fn connect_options(&self) -> Result<ConnectConfig, Box<dyn Error>> {
        let connect = self.connect_config(self.client_config()?);
        Ok(match &self.ca {
            Some(file) => connect.tls(ClientTls::roots_from_file(file)?),
            None if self.system_roots => connect.tls(ClientTls::system_roots()?),
            None => connect,
        })
    }

    /// Returns what was asked for of the protocol.
    ///
    /// # Errors
    ///
    /// Fails if a value makes no sense.
    pub fn client_config(&self) -> Result<ClientConfig, ConfigError> {
        let config = ClientConfig::new()
            .version(self.version)
            .subprotocols(&*self.subprotocol)
            .origin(self.origin.clone())
            .connection(self.limits())
            .deflate(self.deflate.deflate()?);
        let mut headers = self.header.iter();
        headers.try_fold(config, |config, (name, value)| config.header(name, value))
    }

    /// Returns the limits of the open connection.
    pub fn limits(&self) -> ConnectionConfig {
        ConnectionConfig::new().message_limit(self.max_message)
    }

    /// Adds how long all of it may take.
    pub fn connect_config(&self, client: ClientConfig) -> ConnectConfig {
        ConnectConfig::from(client).connect_timeout(Duration::from_secs(self.connect_timeout))
    }
}

/// Reads a version by our name for it, or by one that other tools have: the name of its draft, or the
/// number in `Sec-WebSocket-Version`.
fn parse_version(text: &str) -> Result<Version, String> {
    match text {
        "draft-75" => Ok(Version::Draft75),
        "draft-76" | "hybi-00" => Ok(Version::Draft76),
        "13" => Ok(Version::Rfc6455),
        name => name
            .parse()
            .map_err(|error: ws_driver::ParseVersionError| error.to_string()),
    }
}

fn parse_header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("it has no colon")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}
