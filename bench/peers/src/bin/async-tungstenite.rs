//! async-tungstenite, on smol. In its best form with a read buffer of 16 KiB instead of 128, which it
//! fills with zeros before each read.

use std::io;
use std::net::TcpListener;

use async_tungstenite::accept_async_with_config;
use async_tungstenite::tungstenite::{Error, Message, protocol::WebSocketConfig};
use peers::{echo, echo_batches};
use smol::{Async, net::TcpStream};
use support::{LISTEN, Mode, Start, announce};

fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo], true);
    smol::block_on(async {
        let listener = Async::<TcpListener>::bind(LISTEN)?;
        announce(listener.get_ref().local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            smol::spawn(serve(TcpStream::from(stream), start.batch)).detach();
        }
    })
}

async fn serve(stream: TcpStream, is_batch: bool) {
    let config = match is_batch {
        true => WebSocketConfig::default().read_buffer_size(16 * 1024),
        false => WebSocketConfig::default(),
    };
    let Ok(socket) = accept_async_with_config(stream, Some(config)).await else {
        return;
    };
    match is_batch {
        true => echo_batches(socket, keep).await,
        false => echo(socket, keep).await,
    }
}

fn keep(received: Result<Message, Error>) -> Option<Message> {
    received.ok().filter(|one| one.is_text() || one.is_binary())
}
