//! tokio-websockets. In its best form it flushes at 128 KiB instead of 8.

use std::io;

use peers::{accept_all, channel, echo, echo_batches, publish};
use support::{Mode, Start};
use tokio_websockets::{Config, Error, Message, ServerBuilder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo, Mode::Broadcast], true);
    let config = match start.batch {
        true => Config::default().flush_threshold(128 * 1024),
        false => Config::default(),
    };
    let sender = channel();
    accept_all(move |stream| {
        let sender = sender.clone();
        async move {
            let builder = ServerBuilder::new().config(config);
            let Ok((_, socket)) = builder.accept(stream).await else {
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
