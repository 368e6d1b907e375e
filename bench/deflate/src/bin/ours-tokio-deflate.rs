//! Ours, on tokio, with compression as it is by default where it is on; with `--contexts`, both sides keep theirs.
//! Every message is compressed, however short, as the other servers do it.

use support::{LISTEN, Mode, Start, announce};
use ws_tokio::{Deflate, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo], false);
    let deflate = Deflate::new()
        .threshold(0)
        .server_no_context_takeover(!start.contexts);
    let server = Server::builder().deflate(deflate).bind(LISTEN).await?;
    announce(server.local_addr());
    servers::echo(server).await
}
