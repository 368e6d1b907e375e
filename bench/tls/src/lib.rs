//! Ours inside of TLS, as docs/tls.md shows it, with the default options, on any runtime.

use std::io;

use support::{LISTEN, Mode, Start, announce};
use ws_driver::{Runtime, Server, ServerTls};

/// Sends every message back or to all, until listening fails.
///
/// # Errors
///
/// Fails if the certificate cannot be read, or listening fails.
pub async fn serve<R: Runtime + Default>() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo, Mode::Broadcast], false);
    let pem = start.pem()?;
    let tls = ServerTls::from_files(pem.certificate, pem.key)?;
    let server = Server::<R>::builder().tls(tls).bind(LISTEN).await?;
    announce(server.local_addr());
    servers::run(server, start.mode).await
}
