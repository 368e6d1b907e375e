//! Sends bytes back, or to all, on tokio: the ceiling.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::ready;

use support::{LISTEN, Mode, Start, announce};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo, Mode::Broadcast], false);
    let listener = TcpListener::bind(LISTEN).await?;
    announce(listener.local_addr()?);
    let all = Streams::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match start.mode {
            Mode::Broadcast => tokio::spawn(broadcast(Arc::new(stream), Arc::clone(&all))),
            Mode::Echo
            | Mode::ById
            | Mode::Topics
            | Mode::ClusterTopics
            | Mode::ClusterBroadcast => tokio::spawn(echo(stream)),
        };
    }
}

/// Not async itself: a future around the future would make each task larger.
fn echo(stream: TcpStream) -> impl Future<Output = ()> {
    support::echo(
        stream,
        |stream: &mut TcpStream, cx, buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
            Ok(buffer.filled().len()).into()
        },
        |stream, cx, bytes| Pin::new(stream).poll_write(cx, bytes),
    )
}

type Streams = Arc<Mutex<Vec<Arc<TcpStream>>>>;

/// Writes what comes to every stream at once: no queue, no wake. A stream that does not take all gets no
/// more, as this is a ceiling for messages that fit every socket.
async fn broadcast(stream: Arc<TcpStream>, all: Streams) {
    let lock = || all.lock().unwrap_or_else(PoisonError::into_inner);
    lock().push(Arc::clone(&stream));
    let mut buffer = vec![0; 4096];
    while stream.readable().await.is_ok() {
        let arrived = match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => buffer.get(..len).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => break,
        };
        lock().retain(|to| to.try_write(arrived).ok() == Some(arrived.len()));
    }
}
