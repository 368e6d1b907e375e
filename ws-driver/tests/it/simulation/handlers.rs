//! What the handlers of the simulated server do, one behaviour for each path, and the tasks that they
//! start. What they send and receive goes into the ledger.

use std::time::Duration;

use ws_driver::ws_proto::{CloseCode, Message, SendError, Version};
use ws_driver::{Connection, Sender};

use super::ledger::{self, HANDLER, Label, Ledger};
use ws_testing::sim::{Rng, random};

/// The behaviours, by their name in the path.
pub(crate) const BEHAVIOURS: &[&str] = &[
    "echo",
    "echo",
    "echo",
    "slow",
    "push",
    "fragments",
    "deaf",
    "panic",
    "drop",
    "tasks",
    "tasks",
    "close",
    "cancel",
];

/// Payload of a planned panic.
pub(crate) struct Planned;

/// What handlers are told of their server.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    pub(crate) seed: u64,
    /// The largest message that is sent, in bytes.
    pub(crate) largest: usize,
}

impl Manners {
    /// Draws the length of a message.
    pub(crate) fn len(self, rng: &mut Rng) -> usize {
        match rng.within(0..=40) {
            0 => rng.len(0..=self.largest),
            1..=8 => rng.len(0..=self.largest.min(2000)),
            _ => rng.len(0..=130),
        }
    }
}

/// Runs a connection as its path says.
pub(crate) async fn handle(ledger: Ledger, manners: Manners, connection: Connection) {
    let path = connection
        .request()
        .map_or("", |head| head.path())
        .to_owned();
    let mut parts = path.split('/').skip(1);
    let peer = parts.next().and_then(|number| number.parse().ok());
    let (Some(peer), Some(behaviour)) = (peer, parts.next()) else {
        return ledger.violation("registry (request)", format!("a handler got {path:?}"));
    };
    ledger.with(peer, |record| {
        record.id = Some(connection.id());
        record.addr = connection.peer_addr();
        record.sender = Some(connection.sender());
        record.version = Some(connection.version());
        record.behaviour = behaviour.to_owned();
    });
    let mut rng = Rng::new(random::mix(manners.seed ^ u64::from(peer)));
    if rng.once_in(2) {
        let topic = rng.pick(&["news", "sports"]);
        let joined = connection.join(topic);
        ledger.tell(|| format!("handler {peer}: joins {topic}: {joined:?}"));
    }
    let mut desk = Desk {
        ledger,
        manners,
        rng,
        peer,
        seq: 0,
        connection,
    };
    desk.work(behaviour).await;
    if behaviour == "drop" {
        let Desk {
            ledger,
            mut rng,
            connection,
            ..
        } = desk;
        drop(connection);
        ledger.sim().sleep(rng.millis(0..=40_000)).await;
    }
}

/// Where a handler works.
struct Desk {
    ledger: Ledger,
    manners: Manners,
    rng: Rng,
    peer: u32,
    seq: u32,
    connection: Connection,
}

impl Desk {
    async fn work(&mut self, behaviour: &str) {
        let count = self.rng.within(0..=12);
        match behaviour {
            "echo" => while self.receive().await && self.send().await {},
            "slow" => {
                while self.receive().await {
                    self.pause(20_000).await;
                    self.send().await;
                }
            }
            "push" => {
                for _ in 0..count * 4 {
                    self.send().await;
                    self.pause(700).await;
                }
            }
            "fragments" => {
                while self.receive().await {
                    self.send_fragments().await;
                }
            }
            "deaf" => {
                self.connection.sender().wait_closed().await;
                return;
            }
            "panic" => {
                for _ in 0..count {
                    self.receive().await;
                    self.send().await;
                }
                self.ledger
                    .tell(|| format!("handler {}: panics", self.peer));
                self.ledger.with(self.peer, |record| record.panics = true);
                std::panic::resume_unwind(Box::new(Planned));
            }
            "drop" => {
                for _ in 0..count {
                    self.receive().await;
                }
                return;
            }
            "tasks" => {
                for number in 1..=self.rng.within(1..=4) {
                    self.spawn(u32::try_from(number).expect("a few"));
                }
            }
            "close" => {
                for _ in 0..count {
                    self.receive().await;
                }
                self.send().await;
                let code = CloseCode::new(4000).expect("a code for applications");
                let closed = self.connection.close_with(code, "enough").await;
                self.ledger
                    .tell(|| format!("handler {}: closed: {closed:?}", self.peer));
                return;
            }
            "cancel" => self.cancel(count * 20).await,
            other => self.ledger.violation("registry (request)", other),
        }
        while self.receive().await {}
    }

    /// Receives a message and looks at it; tells whether there was one.
    async fn receive(&mut self) -> bool {
        let peer = self.peer;
        self.ledger.with(peer, |record| record.receives = true);
        let message = self.connection.recv().await;
        let is_end = message.is_none();
        self.ledger.with(peer, |record| {
            record.receives = false;
            record.heard_end |= is_end;
        });
        if let Some(message) = message {
            self.ledger.receive(peer, message.as_bytes(), false);
        }
        !is_end
    }

    /// Sends a message; tells whether it was taken.
    async fn send(&mut self) -> bool {
        let version = self.connection.version();
        let message = next(
            self.manners,
            &mut self.rng,
            self.peer,
            HANDLER,
            self.seq,
            version,
        );
        let sent = self.connection.send(message).await;
        self.note(&sent)
    }

    fn note(&mut self, sent: &Result<(), SendError>) -> bool {
        if sent.is_ok() {
            self.ledger.note_accepted(self.peer, HANDLER, self.seq);
        }
        check_refusal(&self.ledger, self.peer, sent, false);
        self.seq += 1;
        sent.is_ok()
    }

    async fn send_fragments(&mut self) {
        let text = next(
            self.manners,
            &mut self.rng,
            self.peer,
            HANDLER,
            self.seq,
            Version::Draft76,
        );
        let Some(text) = text.as_text().map(str::to_owned) else {
            return;
        };
        let mut rest = &text[..];
        self.ledger
            .with(self.peer, |record| record.is_message_open = true);
        let sent = loop {
            let mut len = self.rng.len(0..=rest.len());
            while !rest.is_char_boundary(len) {
                len += 1;
            }
            let (part, left) = rest.split_at(len);
            rest = left;
            let last = rest.is_empty();
            let sent = self.connection.send_fragment(part, last).await;
            if last || sent.is_err() {
                break sent;
            }
            self.pause(900).await;
        };
        // An open message that could not be ended stays open: nothing else is sent any more.
        self.ledger
            .with(self.peer, |record| record.is_message_open = sent.is_err());
        self.note(&sent);
    }

    /// Gives up waiting again and again (P7): no message is lost, none is sent twice.
    async fn cancel(&mut self, count: u64) {
        for _ in 0..count {
            let sim = self.ledger.sim().clone();
            let time = self.rng.millis(0..=300);
            if self.rng.once_in(2) {
                let received = sim.within(time, self.receive()).await;
                self.ledger
                    .with(self.peer, |record| record.receives = false);
                if received == Some(false) {
                    return;
                }
                continue;
            }
            let version = self.connection.version();
            let message = next(
                self.manners,
                &mut self.rng,
                self.peer,
                HANDLER,
                self.seq,
                version,
            );
            if let Some(sent) = sim.within(time, self.connection.send(message)).await {
                self.note(&sent);
            }
            self.seq += 1;
        }
    }

    /// Starts a task that sends on its own.
    fn spawn(&mut self, source: u32) {
        let (ledger, manners, peer) = (self.ledger.clone(), self.manners, self.peer);
        let (mut rng, sender) = (self.rng.fork(), self.connection.sender());
        let task = async move {
            for seq in 0..u32::try_from(rng.within(1..=40)).expect("a few") {
                ledger.sim().sleep(rng.millis(0..=400)).await;
                let message = next(manners, &mut rng, peer, source, seq, sender.version());
                let waits = rng.once_in(2);
                let sent = send(&sender, message, waits).await;
                check_refusal(&ledger, peer, &sent, !waits);
                match sent {
                    Ok(()) => ledger.note_accepted(peer, source, seq),
                    Err(SendError::Closed) => return,
                    Err(_) => {}
                }
            }
        };
        self.ledger.sim().spawn_task(task);
    }

    async fn pause(&mut self, most_millis: u64) {
        let time = self.rng.millis(0..=most_millis);
        self.ledger.sim().sleep(time).await;
    }
}

async fn send(sender: &Sender, message: Message, waits: bool) -> Result<(), SendError> {
    match waits {
        true => sender.send(message).await,
        false => Ok(sender.try_send(message)?),
    }
}

/// Makes a message: binary at times, where the version has that.
pub(crate) fn next(
    manners: Manners,
    rng: &mut Rng,
    to: u32,
    source: u32,
    seq: u32,
    version: Version,
) -> Message {
    let text = ledger::message(Label { to, source, seq }, manners.len(rng));
    match version == Version::Rfc6455 && rng.once_in(3) {
        true => Message::from(text.into_bytes()),
        false => Message::from(text),
    }
}

/// What waits for room is refused for no other reason than the end.
fn check_refusal(ledger: &Ledger, peer: u32, sent: &Result<(), SendError>, may_be_full: bool) {
    let is_plausible = match sent {
        Ok(()) | Err(SendError::Closed) => true,
        Err(SendError::QueueFull { .. } | SendError::MessageOpen) => may_be_full,
        Err(_) => false,
    };
    if !is_plausible {
        ledger.violation("delivery (refused)", format!("to {peer}: {sent:?}"));
    }
}

/// How long a handler can go on when its connection has ended, at most: the slow one takes up to 20 s for
/// each message that came, and one who floods sends up to 400.
pub(crate) const LONGEST_AFTERMATH: Duration = Duration::from_secs(400 * 20 + 300);
