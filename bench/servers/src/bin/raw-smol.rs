//! Sends bytes back, on smol: the ceiling there.

use std::io;
use std::net::TcpListener;
use std::pin::Pin;

use smol::io::{AsyncRead, AsyncWrite};
use smol::{Async, net::TcpStream};
use support::{LISTEN, Mode, Start, announce};

fn main() -> io::Result<()> {
    Start::new().expect(&[Mode::Echo], false);
    smol::block_on(async {
        let listener = Async::<TcpListener>::bind(LISTEN)?;
        announce(listener.get_ref().local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            smol::spawn(support::echo::<TcpStream>(
                TcpStream::from(stream),
                |stream, cx, buffer| Pin::new(stream).poll_read(cx, buffer),
                |stream, cx, bytes| Pin::new(stream).poll_write(cx, bytes),
            ))
            .detach();
        }
    })
}
