//! soketto, on tokio, buffered as its example does it. In its best form it flushes when nothing is ready.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use futures_util::io::{BufReader, BufWriter};
use peers::accept_all;
use soketto::handshake::server::{Response, Server};
use soketto::{BoxedError, Data};
use support::{Mode, Start};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncReadCompatExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo], true);
    accept_all(move |stream| async move {
        // Clients end with a reset, which is an error here.
        let _ = serve(stream, start.batch).await;
    })
    .await
}

async fn serve(stream: TcpStream, is_batch: bool) -> Result<(), BoxedError> {
    let mut server = Server::new(BufReader::new(BufWriter::new(stream.compat())));
    let key = server.receive_request().await?.key();
    let accept = Response::Accept {
        key,
        protocol: None,
    };
    server.send_response(&accept).await?;
    let (mut sender, mut receiver) = server.into_builder().finish();
    let mut message = Vec::new();
    loop {
        message.clear();
        let received = {
            let mut receiving = pin!(receiver.receive_data(&mut message));
            let ready = poll_fn(|cx| match receiving.as_mut().poll(cx) {
                Poll::Ready(received) => Poll::Ready(Some(received)),
                Poll::Pending => Poll::Ready(None),
            });
            match ready.await {
                Some(received) => received?,
                None => {
                    if is_batch {
                        sender.flush().await?;
                    }
                    receiving.await?
                }
            }
        };
        match received {
            Data::Binary(_) => sender.send_binary_mut(&mut message).await?,
            Data::Text(_) => sender.send_text(std::str::from_utf8(&message)?).await?,
        }
        if !is_batch {
            sender.flush().await?;
        }
    }
}
