//! Sends bytes back by io_uring, with tokio-uring: what another runtime could win. One buffer for each
//! connection, as the kernel has it while it waits.

use support::{LISTEN, Mode, Start, announce};
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

/// Entries of the ring: more than the connections of a scenario that has both ways open.
const ENTRIES: u32 = 4096;

/// As much as one read can bring in any scenario but `large`.
const BUFFER_LEN: usize = 64 << 10;

fn main() -> std::io::Result<()> {
    Start::new().expect(&[Mode::Echo], false);
    tokio_uring::builder().entries(ENTRIES).start(serve())
}

async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind(LISTEN)?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio_uring::spawn(echo(stream));
    }
}

async fn echo(stream: TcpStream) {
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    loop {
        let (read, full) = stream.read(buffer).await;
        let Ok(len @ 1..) = read else {
            return;
        };
        let (written, sent) = stream.write_all(full.slice(..len)).await;
        if written.is_err() {
            return;
        }
        buffer = sent.into_inner();
        buffer.clear();
    }
}
