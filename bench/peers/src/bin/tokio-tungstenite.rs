//! tokio-tungstenite. In its best form with a read buffer of 16 KiB instead of 128, which it fills with
//! zeros before each read.

use std::io;

use peers::{accept_all, accept_all_tls, channel, echo, echo_batches, publish};
use support::{Mode, Start};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast::Sender;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::WebSocketConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo, Mode::Broadcast], true);
    let config = match start.batch {
        true => WebSocketConfig::default().read_buffer_size(16 * 1024),
        false => WebSocketConfig::default(),
    };
    let server = Server {
        mode: start.mode,
        batch: start.batch,
        config,
        sender: channel(),
    };
    match start.is_tls() {
        true => {
            accept_all_tls(start.acceptor()?, move |stream| {
                server.clone().serve(stream)
            })
            .await
        }
        false => accept_all(|stream| server.clone().serve(stream)).await,
    }
}

#[derive(Clone)]
struct Server {
    mode: Mode,
    batch: bool,
    config: WebSocketConfig,
    sender: Sender<Message>,
}

impl Server {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) {
        let Ok(socket) = accept_async_with_config(stream, Some(self.config)).await else {
            return;
        };
        match (self.mode, self.batch) {
            (Mode::Broadcast, is_batch) => publish(socket, keep, self.sender, is_batch).await,
            (_, true) => echo_batches(socket, keep).await,
            (_, false) => echo(socket, keep).await,
        }
    }
}

fn keep(received: Result<Message, Error>) -> Option<Message> {
    received.ok().filter(|one| one.is_text() || one.is_binary())
}
