//! Ours, on two threads, each with a current-thread runtime of tokio and a server of its own, on one port.

use std::net::SocketAddr;
use std::{io, thread};

use support::{LISTEN, Mode, Start, announce};
use tokio::runtime::Builder;
use ws_tokio::Server;

fn main() -> io::Result<()> {
    Start::new().expect(&[Mode::Echo], false);
    serve(LISTEN, |addr| {
        thread::spawn(move || serve(addr, announce));
    })
}

/// Serves on this thread.
fn serve(addr: SocketAddr, when_bound: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::builder().reuse_port(true).bind(addr).await?;
        when_bound(server.local_addr());
        servers::echo(server).await
    })
}
