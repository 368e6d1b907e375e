//! Sends bytes back by io_uring, with monoio: what another runtime could win. One buffer for each
//! connection, as the kernel has it while it waits.

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use support::{LISTEN, Mode, Start, announce};

/// As much as one read can bring in any scenario but `large`.
const BUFFER_LEN: usize = 64 << 10;

#[monoio::main(driver = "io_uring", entries = 4096)]
async fn main() -> std::io::Result<()> {
    Start::new().expect(&[Mode::Echo], false);
    let listener = TcpListener::bind(LISTEN)?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        monoio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    loop {
        let (read, full) = stream.read(buffer).await;
        let Ok(1..) = read else {
            return;
        };
        let (written, sent) = stream.write_all(full).await;
        if written.is_err() {
            return;
        }
        buffer = sent;
        buffer.clear();
    }
}
