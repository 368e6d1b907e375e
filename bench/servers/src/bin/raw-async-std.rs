//! Sends bytes back, on async-std: the ceiling there.

use std::io;
use std::pin::Pin;

use async_std::io::{Read, Write};
use async_std::net::{TcpListener, TcpStream};
use support::{LISTEN, Mode, Start, announce};

fn main() -> io::Result<()> {
    Start::new().expect(&[Mode::Echo], false);
    async_std::task::block_on(async {
        let listener = TcpListener::bind(LISTEN).await?;
        announce(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            async_std::task::spawn(support::echo::<TcpStream>(
                stream,
                |stream, cx, buffer| Pin::new(stream).poll_read(cx, buffer),
                |stream, cx, bytes| Pin::new(stream).poll_write(cx, bytes),
            ));
        }
    })
}
