//! tokio-tungstenite. In its best form with a read buffer of 16 KiB instead of 128, which it fills with
//! zeros before each read.

use std::io;

use peers::{accept_all, channel, echo, echo_batches, publish};
use support::{Mode, Start};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::WebSocketConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo, Mode::Broadcast], true);
    let config = match start.batch {
        true => WebSocketConfig::default().read_buffer_size(16 * 1024),
        false => WebSocketConfig::default(),
    };
    let sender = channel();
    accept_all(move |stream| {
        let sender = sender.clone();
        async move {
            let Ok(socket) = accept_async_with_config(stream, Some(config)).await else {
                return;
            };
            match (start.mode, start.batch) {
                (Mode::Broadcast, is_batch) => publish(socket, keep, sender, is_batch).await,
                (_, true) => echo_batches(socket, keep).await,
                (_, false) => echo(socket, keep).await,
            }
        }
    })
    .await
}

fn keep(received: Result<Message, Error>) -> Option<Message> {
    received.ok().filter(|one| one.is_text() || one.is_binary())
}
