//! fastwebsockets: behind hyper, as its example does it; or in its best form, on the stream itself, with
//! a buffer below it that is written before the next read.

use std::io;

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocket,
    WebSocketError, upgrade,
};
use peers::{Corked, accept_all, accept_all_tls, channel, serve_upgrades};
use support::{Mode, Start};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast::Sender;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo, Mode::Broadcast], true);
    match (start.mode, start.batch) {
        (mode, true) => {
            let sender = (mode == Mode::Broadcast).then(channel);
            // Clients end with a reset, which is an error here.
            if start.is_tls() {
                let serve = |stream| async { drop(serve_raw(stream, None).await) };
                return accept_all_tls(start.acceptor()?, serve).await;
            }
            accept_all(move |stream| {
                let sender = sender.clone();
                async { drop(serve_raw(stream, sender).await) }
            })
            .await
        }
        (mode, false) => {
            let sender = channel();
            serve_upgrades(&start, move |request| {
                let (response, upgrade) = upgrade::upgrade(request).ok()?;
                let sender = sender.clone();
                let life = tokio::task::unconstrained(async move {
                    let Ok(socket) = upgrade.await else {
                        return;
                    };
                    let _ = match mode {
                        Mode::Broadcast => publish(socket, sender, false).await,
                        Mode::Echo
                        | Mode::ById
                        | Mode::Topics
                        | Mode::ClusterTopics
                        | Mode::ClusterBroadcast => echo(FragmentCollector::new(socket)).await,
                    };
                });
                Some((response, life))
            })
            .await
        }
    }
}

async fn echo<S>(mut socket: FragmentCollector<S>) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            OpCode::Ping | OpCode::Pong | OpCode::Continuation => {}
        }
    }
}

/// Publishes what comes; a second task sends what is published, as a read cannot be given up for it.
async fn publish<S>(
    socket: WebSocket<S>,
    sender: Sender<Bytes>,
    batch: bool,
) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut receiver = sender.subscribe();
    let (reading, mut writing) = socket.split(tokio::io::split);
    tokio::spawn(async move {
        while let Ok(message) = receiver.recv().await {
            let frame = Frame::text(Payload::Borrowed(&message));
            if writing.write_frame(frame).await.is_err() {
                break;
            }
            // In its best form all that is there is written at once.
            if batch && receiver.is_empty() && writing.flush().await.is_err() {
                break;
            }
        }
    });
    let mut reading = FragmentCollectorRead::new(reading);
    loop {
        // Nobody pings or closes here, so there is nothing to answer.
        let frame = reading
            .read_frame(&mut async |_| Ok::<_, io::Error>(()))
            .await?;
        match frame.opcode {
            OpCode::Text => drop(sender.send(Bytes::copy_from_slice(&frame.payload))),
            OpCode::Close => return Ok(()),
            OpCode::Binary | OpCode::Ping | OpCode::Pong | OpCode::Continuation => {}
        }
    }
}

async fn serve_raw<S>(mut stream: S, sender: Option<Sender<Bytes>>) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut head = Vec::with_capacity(1024);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let field = |line: &str| line.strip_prefix("Sec-WebSocket-Key: ").map(str::to_owned);
    let key = head.lines().find_map(field).unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\
         \r\n"
    );
    stream.write_all(response.as_bytes()).await?;
    let mut socket = WebSocket::after_handshake(Corked::new(stream), Role::Server);
    match sender {
        Some(sender) => {
            socket.set_writev(false);
            tokio::task::unconstrained(publish(socket, sender, true)).await
        }
        None => tokio::task::unconstrained(echo(FragmentCollector::new(socket))).await,
    }
}
