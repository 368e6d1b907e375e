//! Other people's servers, each in the form that its documentation shows, and in the best form that its
//! API allows (`--batch`): all messages that are ready are answered, then flushed once.
//!
//! What is here serves any of them that is a stream of messages and a sink for them.

mod corked;
mod http;

use std::io;

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use support::{LISTEN, announce};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use self::corked::Corked;
pub use self::http::{Upgrading, serve_upgrades};

/// Accepts streams on tokio, for ever.
///
/// # Errors
///
/// Fails if the port cannot be listened on.
pub async fn accept_all<F>(serve: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(LISTEN).await?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}

/// Accepts streams on tokio, for ever, and serves what is inside of their TLS.
///
/// # Errors
///
/// Fails if the port cannot be listened on.
pub async fn accept_all_tls<S, F>(acceptor: TlsAcceptor, serve: S) -> io::Result<()>
where
    S: Fn(TlsStream<TcpStream>) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    accept_all(move |stream| {
        let (accepting, serve) = (acceptor.accept(stream), serve.clone());
        async move {
            if let Ok(stream) = accepting.await {
                serve(stream).await;
            }
        }
    })
    .await
}

/// Takes what is a message; nothing for what is none, such as a pong. After an error the stream ends.
pub type Keep<T, M> = fn(T) -> Option<M>;

/// Sends messages back one by one.
pub async fn echo<S, M>(mut socket: S, keep: Keep<S::Item, M>)
where
    S: Stream + Sink<M> + Unpin,
{
    while let Some(item) = socket.next().await {
        let Some(message) = keep(item) else {
            continue;
        };
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// Sends back all messages that are ready, and flushes once.
///
/// They are taken before the first is sent back, as some flush what they hold before they read on.
pub async fn echo_batches<S, M>(mut socket: S, keep: Keep<S::Item, M>)
where
    S: Stream + Sink<M> + Unpin,
{
    let mut batch = Vec::new();
    while let Some(item) = socket.next().await {
        batch.extend(keep(item));
        while batch.len() < BATCH_LIMIT {
            match socket.next().now_or_never() {
                Some(Some(item)) => batch.extend(keep(item)),
                Some(None) | None => break,
            }
        }
        for message in batch.drain(..) {
            if socket.feed(message).await.is_err() {
                return;
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
    }
}

const BATCH_LIMIT: usize = 64;

/// Makes the channel over which every connection hears what one of them was sent.
pub fn channel<M: Clone>() -> Sender<M> {
    broadcast::channel(CHANNEL_LEN).0
}

/// More than is under way in any scenario.
const CHANNEL_LEN: usize = 1024;

/// Publishes what comes, and sends what is published: one by one, or all that is ready with one flush.
pub async fn publish<S, M>(mut socket: S, keep: Keep<S::Item, M>, sender: Sender<M>, is_batch: bool)
where
    S: Stream + Sink<M> + Unpin,
    M: Clone,
{
    let mut receiver = sender.subscribe();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(item) => drop(keep(item).map(|message| sender.send(message))),
                None => return,
            },
            message = receiver.recv() => {
                let sent = match (message, is_batch) {
                    (Ok(message), true) => send_ready(&mut socket, message, &mut receiver).await,
                    (Ok(message), false) => socket.send(message).await,
                    (Err(RecvError::Lagged(_) | RecvError::Closed), _) => return,
                };
                if sent.is_err() {
                    return;
                }
            }
        }
    }
}

async fn send_ready<S, M>(
    socket: &mut S,
    first: M,
    receiver: &mut Receiver<M>,
) -> Result<(), S::Error>
where
    S: Sink<M> + Unpin,
    M: Clone,
{
    socket.feed(first).await?;
    while let Ok(message) = receiver.try_recv() {
        socket.feed(message).await?;
    }
    socket.flush().await
}
