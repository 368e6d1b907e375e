//! One open connection, from its first message to its end: sends and prints at the same time.
//!
//! It knows nothing of how the connection was made, or whether another one follows.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;
use ws_tokio::{CloseCode, Closed, Connection, Event, Message, Payload, SendError, Sender};

use crate::exit::{self, Failure};
use crate::input::Input;
use crate::output::{Output, say};
use crate::slash::{self, Line};

/// What to do on a connection.
pub struct Terms {
    /// What is sent first.
    pub first: Vec<Message>,
    /// How long to wait for messages behind the last one that was sent.
    pub wait: Option<Duration>,
    /// Whether a line can be a command.
    pub slash: bool,
}

/// How a session ended.
pub struct End {
    pub closed: Closed,
    /// Whether everything was sent, with a close behind it.
    pub is_sent: bool,
    /// Whether as many messages were printed as somebody wants.
    pub is_enough: bool,
}

impl End {
    /// Fails unless this is how it should end. Once enough is printed, it does not matter how the other side
    /// answers our close.
    pub fn check(self) -> Result<(), Failure> {
        if self.is_enough || exit::is_normal(&self.closed) {
            Ok(())
        } else {
            Err(Failure::Closed(self.closed))
        }
    }
}

/// Sends and prints until the connection has ended, and returns how. Without `input`, it sends only what the
/// terms say.
pub async fn run(
    connection: &mut Connection,
    input: Option<&mut Input>,
    output: &mut Output,
    terms: &Terms,
) -> Result<End, Failure> {
    say_connected(connection);
    let sender = connection.sender();
    // At the same time: a server that waits for us to read would otherwise wait for ever, and we for it.
    let mut sent = Ok(Sent::Part);
    let printed = {
        let mut sending = pin!(send_all(&sender, input, terms, &mut sent));
        let mut printing = pin!(print_all(connection, output));
        tokio::select! {
            printed = &mut printing => Some(printed),
            () = &mut sending => None,
        }
    };
    let printed = match printed {
        Some(printed) => printed,
        // What comes behind our last message is printed, too, up to the end.
        None => print_rest(connection, output).await,
    };
    let closed = connection.close().await;
    say(format_args!("ended: {closed}"));
    Ok(End {
        closed,
        is_sent: matches!(sent?, Sent::All),
        is_enough: matches!(printed?, Printed::Enough),
    })
}

/// Says what was agreed on.
pub fn say_connected(connection: &Connection) {
    let version = connection.version();
    match connection.subprotocol() {
        Some(name) => say(format_args!("connected: {version}, subprotocol {name}")),
        None => say(format_args!("connected: {version}, no subprotocol")),
    }
    let response = connection.response();
    if let Some(terms) = response.and_then(|head| head.header("Sec-WebSocket-Extensions")) {
        say(format_args!("compressed: {terms}"));
    }
}

enum Sent {
    /// All that there was, and a close behind it.
    All,
    /// As much as there was before the connection ended.
    Part,
}

/// Sends all that there is, waits as long as the terms say, and begins to close. A failure is in `sent` as soon as it is
/// known, because the connection can end before this does.
async fn send_all(
    sender: &Sender,
    input: Option<&mut Input>,
    terms: &Terms,
    sent: &mut Result<Sent, Failure>,
) {
    match send_messages(sender, input, terms).await {
        Ok(Next::Wait) => sleep(terms.wait.unwrap_or_default()).await,
        Ok(Next::Close) => {}
        Ok(Next::Nothing) => return,
        Err(failure) => *sent = Err(failure),
    }
    // Behind all that was sent, also if something is wrong with what follows. The deadline for the other side's close
    // begins with ours, so what waits in the queue shall not count: on a slow line it can take longer. Both do nothing
    // if the connection is closing already.
    let _ = sender.flush().await;
    let _ = sender.begin_close(CloseCode::NORMAL, "");
    if sent.is_ok() {
        *sent = Ok(Sent::All);
    }
}

/// What is to be done behind the last message.
enum Next {
    Wait,
    Close,
    Nothing,
}

async fn send_messages(
    sender: &Sender,
    input: Option<&mut Input>,
    terms: &Terms,
) -> Result<Next, Failure> {
    for message in &terms.first {
        if !send(sender, message.clone()).await? {
            return Ok(Next::Nothing);
        }
    }
    let Some(input) = input else {
        return Ok(Next::Wait);
    };
    loop {
        let peeked = input.peek().await;
        let message = peeked.map_err(|error| Failure::Stdio(error.to_string()))?;
        let Some(message) = message else {
            return Ok(Next::Wait);
        };
        let message = match message.as_text().filter(|_| terms.slash) {
            None => message.clone(),
            Some(line) => match slash::parse(line) {
                Ok(Line::Text(text)) => text.into(),
                Ok(Line::Ping(payload)) => {
                    if let Err(error) = sender.ping(payload.as_bytes()) {
                        say(format_args!("no ping was sent: {error}"));
                    }
                    input.take();
                    continue;
                }
                Ok(Line::Pong(payload)) => {
                    if let Err(error) = sender.pong(payload.as_bytes()) {
                        say(format_args!("no pong was sent: {error}"));
                    }
                    input.take();
                    continue;
                }
                Ok(Line::Close { code, reason }) => {
                    if let Err(error) = sender.begin_close(code, reason) {
                        say(format_args!("no close was sent: {error}"));
                        input.take();
                        continue;
                    }
                    input.end();
                    return Ok(Next::Close);
                }
                Err(problem) => {
                    say(problem);
                    input.take();
                    continue;
                }
            },
        };
        if !send(sender, message).await? {
            return Ok(Next::Nothing);
        }
        input.take();
    }
}

/// Sends a message. Returns whether it is queued, which it is not if the connection has ended; how, is told
/// in the end.
async fn send(sender: &Sender, message: Message) -> Result<bool, Failure> {
    match sender.send(message).await {
        Ok(()) => Ok(true),
        Err(SendError::Closed) => Ok(false),
        Err(error) => Err(Failure::Usage(format!("cannot send a message: {error}"))),
    }
}

enum Printed {
    /// All messages, to the end of the connection.
    All,
    /// As many as were asked for, or as somebody wanted to read.
    Enough,
}

/// Prints messages until there are no more, or enough. It can be dropped at any time.
async fn print_all(connection: &mut Connection, output: &mut Output) -> Result<Printed, Failure> {
    while let Some(event) = connection.recv_event().await {
        print(event, output);
        // What else is there now is written with it.
        while !output.is_full() {
            tokio::select! {
                biased;
                event = connection.recv_event() => match event {
                    Some(event) => print(event, output),
                    None => break,
                },
                () = std::future::ready(()) => break,
            }
        }
        if !flush(output).await? || output.is_done() {
            return Ok(Printed::Enough);
        }
    }
    Ok(Printed::All)
}

/// Prints the messages that come behind our close. It reads on while the standard output takes nothing, such as a
/// pager: the wait for the other side's close has a deadline, and that close comes last.
async fn print_rest(connection: &mut Connection, output: &mut Output) -> Result<Printed, Failure> {
    let mut has_ended = false;
    while !output.is_done() {
        if has_ended && output.len() == 0 {
            break;
        }
        tokio::select! {
            event = connection.recv_event(), if !has_ended && output.len() < REST_LIMIT => match event {
                Some(event) => print(event, output),
                None => has_ended = true,
            },
            written = output.write_some(), if output.len() > 0 => {
                if !is_read(written)? {
                    return Ok(Printed::Enough);
                }
            }
        }
    }
    let is_read = flush(output).await?;
    Ok(if is_read && !output.is_done() {
        Printed::All
    } else {
        Printed::Enough
    })
}

/// How many bytes wait to be printed behind our close, before no more are read: much more than the queues of both
/// sides and of the system hold, which is all that an echo can send then.
const REST_LIMIT: usize = 64 << 20;

/// Writes what was printed. Returns whether somebody still reads it: a reader that has ended, such as
/// `head`, has enough.
pub async fn flush(output: &mut Output) -> Result<bool, Failure> {
    is_read(output.flush().await)
}

fn is_read(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Stdio(format!("cannot print a message: {error}"))),
    }
}

fn print(event: Event, output: &mut Output) {
    match event {
        Event::Message(message) => output.push(&message),
        Event::Ping(payload) => say_control("ping", &payload),
        Event::Pong(payload) => say_control("pong", &payload),
        // There are no fragments without the option for them, and the end is no event here.
        _ => {}
    }
}

fn say_control(name: &str, payload: &Payload) {
    let text = String::from_utf8_lossy(payload);
    say(format_args!("{name} {text:?}"));
}
