//! Ours inside of TLS, as docs/tls.md shows it, with the default options, on any runtime.

use std::io;

use support::{LISTEN, Mode, Start, announce};
use ws_driver::{Runtime, Server, ServerTls};

/// Sends every message back, until listening fails.
///
/// # Errors
///
/// Fails if the certificate cannot be read, or listening fails.
pub async fn serve<R: Runtime + Default>() -> io::Result<()> {
    let pem = Start::new().expect(&[Mode::Echo], false).pem()?;
    let tls = ServerTls::from_files(pem.certificate, pem.key)?;
    let server = Server::<R>::builder().tls(tls).bind(LISTEN).await?;
    announce(server.local_addr());
    servers::echo(server).await
}
