//! Ours, on tokio, with compression as it is by default where it is on.

use support::{LISTEN, Mode, Start, announce};
use ws_tokio::{Deflate, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    Start::new().expect(&[Mode::Echo], false);
    let server = Server::builder()
        .deflate(Deflate::new())
        .bind(LISTEN)
        .await?;
    announce(server.local_addr());
    servers::echo(server).await
}
