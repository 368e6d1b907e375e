//! Sends bytes back inside of TLS, on tokio, by the usual crate for it.

use std::io;
use std::pin::Pin;
use std::task::ready;

use support::{LISTEN, Mode, Start, announce};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let acceptor = Start::new().expect(&[Mode::Echo], false).acceptor()?;
    let listener = TcpListener::bind(LISTEN).await?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let accepting = acceptor.accept(stream);
        tokio::spawn(async move {
            if let Ok(stream) = accepting.await {
                echo(stream).await;
            }
        });
    }
}

fn echo(stream: TlsStream<TcpStream>) -> impl Future<Output = ()> {
    support::echo(
        stream,
        |stream: &mut TlsStream<TcpStream>, cx, buffer| {
            // Records that the socket has not taken: nothing else would write them.
            let _ = Pin::new(&mut *stream).poll_flush(cx)?;
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
            Ok(buffer.filled().len()).into()
        },
        |stream, cx, bytes| Pin::new(stream).poll_write(cx, bytes),
    )
}
