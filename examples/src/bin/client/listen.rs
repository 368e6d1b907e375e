//! `--listen`: a server between its clients and the standard input and output.
//!
//! What is read goes to all clients, and what comes from any of them is printed. With `--oneshot` there is
//! one client, and everything is as if we had connected to it.

use std::pin::pin;
use std::time::Duration;

use examples::ClientOptions;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use ws_tokio::{Clients, Connection, Message, Server, ServerTls};

use crate::exit::Failure;
use crate::input::{Framing, Input};
use crate::output::{Output, say};
use crate::session::{self, Terms};

/// Where to listen, and how.
pub struct Listening<'a> {
    pub addr: &'a str,
    pub tls: Option<ServerTls>,
    pub options: &'a ClientOptions,
    pub close_timeout: Duration,
    pub show_control: bool,
}

impl Listening<'_> {
    async fn bind(self) -> Result<Server, Failure> {
        let options = self.options;
        let deflate = options.deflate.deflate();
        let deflate = deflate.map_err(|error| Failure::Usage(error.to_string()))?;
        let mut builder = Server::builder()
            .deflate(deflate)
            .subprotocols(&options.subprotocol)
            .message_limit(options.max_message)
            .control_events(self.show_control)
            .close_timeout(self.close_timeout);
        let mut scheme = "ws";
        if let Some(tls) = self.tls {
            builder = builder.tls(tls);
            scheme = "wss";
        }
        let server = builder.bind(self.addr).await;
        let server = server
            .map_err(|error| Failure::Listen(format!("cannot listen on {}: {error}", self.addr)))?;
        say(format_args!(
            "listening on {scheme}://{}/",
            server.local_addr()
        ));
        Ok(server)
    }
}

/// Serves the first client, and no other.
pub async fn one(
    listening: Listening<'_>,
    framing: Framing,
    output: &mut Output,
    terms: &Terms,
) -> Result<(), Failure> {
    let server = listening.bind().await?;
    let accepted = server.accept().await.map_err(listening_failed)?;
    let mut connection = accepted.expect("nothing else closes the server");
    // Whoever comes later is refused by the system.
    drop(server);
    let mut input = start(framing)?;
    let ended = session::run(&mut connection, Some(&mut input), output, terms).await;
    ended?.check()
}

/// Serves all clients, until the standard input has ended or enough is printed.
pub async fn each(
    listening: Listening<'_>,
    framing: Framing,
    output: &mut Output,
    terms: &Terms,
) -> Result<(), Failure> {
    // Each step of a closing handshake has its own deadline; this is for both.
    let grace = listening.close_timeout.saturating_mul(2);
    let server = listening.bind().await?;
    let (messages, received) = mpsc::channel(QUEUE_LEN);
    let (count, open) = watch::channel(0_usize);
    let handler = move |connection| serve(connection, messages.clone(), count.clone());
    let mut serving = pin!(server.serve(handler));
    let mut printing = pin!(print_all(received, output));
    let clients = server.clients();
    let mut sending = pin!(send_all(&clients, open, framing, terms.wait));
    // What our end still brings is printed; then the last handler is gone, and with it the last message.
    tokio::select! {
        served = &mut serving => served.map_err(listening_failed),
        printed = &mut printing => {
            server.shutdown(grace).await;
            printed
        }
        sent = &mut sending => {
            let closing = async {
                tokio::join!(server.shutdown(grace), serving.as_mut()).1.map_err(listening_failed)
            };
            let (closed, printed) = tokio::join!(closing, printing.as_mut());
            sent.and(closed).and(printed)
        }
    }
}

fn start(framing: Framing) -> Result<Input, Failure> {
    Input::start(framing).map_err(|error| Failure::Stdio(error.to_string()))
}

fn listening_failed(error: std::io::Error) -> Failure {
    Failure::Listen(format!("cannot accept connections: {error}"))
}

/// How many messages of all clients wait to be printed.
const QUEUE_LEN: usize = 16;

/// Takes the messages of one client.
async fn serve(
    mut connection: Connection,
    messages: mpsc::Sender<Message>,
    count: watch::Sender<usize>,
) {
    session::say_connected(&connection);
    count.send_modify(|count| *count += 1);
    while let Some(message) = connection.recv().await {
        if messages.send(message).await.is_err() {
            // Enough is printed.
            break;
        }
    }
    count.send_modify(|count| *count -= 1);
    let closed = connection.close().await;
    say(format_args!("ended: {closed}"));
}

/// Sends what is read to all clients that are there. While there are none, nothing is sent.
async fn send_all(
    clients: &Clients,
    mut open: watch::Receiver<usize>,
    framing: Framing,
    wait: Option<Duration>,
) -> Result<(), Failure> {
    let mut input = None;
    loop {
        // Again for each message: the last client may have gone while it was read.
        wait_for_client(&mut open).await;
        let input = match &mut input {
            Some(input) => input,
            None => input.insert(start(framing)?),
        };
        let peeked = input.peek().await;
        let Some(message) = peeked.map_err(|error| Failure::Stdio(error.to_string()))? else {
            break;
        };
        wait_for_client(&mut open).await;
        clients.broadcast_wait(message.clone()).await;
        input.take();
    }
    sleep(wait.unwrap_or_default()).await;
    Ok(())
}

async fn wait_for_client(open: &mut watch::Receiver<usize>) {
    // An error means that the server accepts nobody any more, and that the end is near.
    let _ = open.wait_for(|count| *count > 0).await;
}

/// Prints the messages of all clients, in the order in which they arrive.
async fn print_all(
    mut received: mpsc::Receiver<Message>,
    output: &mut Output,
) -> Result<(), Failure> {
    while let Some(message) = received.recv().await {
        output.push(&message);
        while !output.is_full() {
            match received.try_recv() {
                Ok(message) => output.push(&message),
                Err(_) => break,
            }
        }
        if !session::flush(output).await? || output.is_done() {
            break;
        }
    }
    Ok(())
}
