//! The registry of a server: connections come and go, join and leave topics and get what is sent to
//! those, as a plain set of pairs says. The server runs on the simulated runtime.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use ws_driver::{Connection, ConnectionId, SendToError, Sender, TOPIC_NAME_LIMIT, TopicError};

use ws_testing::sim::peer::{close, frames};
use ws_testing::sim::{ANY, Peer, Server, Sim, seconds, serve};

/// Steps of one run.
const STEP_LIMIT: usize = 48;

/// Connections in one run, in all.
const CONNECTION_LIMIT: usize = 8;

/// Topics that one connection may join.
const TOPIC_LIMIT: usize = 3;

/// Names to choose from.
const NAMES: usize = 6;

/// A connection from both ends, and what it must have got since its peer last read.
struct Client {
    peer: Peer,
    sender: Sender,
    expected: Vec<String>,
}

/// The server and what must be true of it.
struct World {
    sim: Sim,
    server: Server,
    /// Those that are open.
    clients: BTreeMap<ConnectionId, Client>,
    /// Those that ever were.
    seen: BTreeSet<ConnectionId>,
    /// Handles of those that are gone.
    gone: Vec<Sender>,
    members: BTreeMap<String, BTreeSet<ConnectionId>>,
    sent: usize,
}

/// Choices: a byte or more for each step.
pub(crate) fn exercise(u: &mut Unstructured<'_>) -> Result<()> {
    Sim::run(|sim| async move {
        let server = Server::builder()
            .topic_limit(TOPIC_LIMIT)
            .keepalive_interval(None)
            .bind(ANY);
        let server = server.await.expect("the network is simulated");
        serve(&sim, &server, hold);
        let mut world = World {
            sim,
            server,
            clients: BTreeMap::new(),
            seen: BTreeSet::new(),
            gone: Vec::new(),
            members: BTreeMap::new(),
            sent: 0,
        };
        for _ in 0..STEP_LIMIT {
            if u.is_empty() {
                break;
            }
            world.step(u).await?;
            world.check();
        }
        while let Some(id) = world.clients.keys().next().copied() {
            world.disconnect(id, false).await;
        }
        world.check();
        Ok(())
    })
}

/// Keeps a connection to its end.
async fn hold(mut connection: Connection) {
    while connection.recv().await.is_some() {}
}

impl World {
    async fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=9)? {
            0 | 1 => self.connect(u.int_in_range(0..=2)?).await,
            2 => {
                if let Some(id) = self.any(u)? {
                    self.disconnect(id, u.arbitrary()?).await;
                }
            }
            3..=5 => {
                if let Some(id) = self.any(u)? {
                    self.join(id, name(u)?);
                }
            }
            6 => {
                if let Some(id) = self.any(u)? {
                    let name = name(u)?;
                    let was_in = self
                        .members
                        .get_mut(&name)
                        .is_some_and(|ids| ids.remove(&id));
                    assert_eq!(self.clients[&id].sender.leave(&name), was_in);
                }
            }
            7 => {
                let (name, except) = (name(u)?, u.arbitrary()?);
                let except = if except { self.any(u)? } else { None };
                self.publish(&name, except).await;
            }
            8 => self.broadcast().await,
            _ => match self.gone.len() {
                0 => {}
                len => self.use_gone(u.choose_index(len)?, name(u)?),
            },
        }
        Ok(())
    }

    /// Chooses one of the open connections, if there is one.
    fn any(&self, u: &mut Unstructured<'_>) -> Result<Option<ConnectionId>> {
        Ok(match self.clients.len() {
            0 => None,
            len => self.clients.keys().nth(u.choose_index(len)?).copied(),
        })
    }

    async fn connect(&mut self, version: usize) {
        if self.seen.len() == CONNECTION_LIMIT {
            return;
        }
        let (sim, addr) = (&self.sim, self.server.local_addr());
        let peer = match version {
            0 => Peer::open(sim, addr).await,
            1 => Peer::open_76(sim, addr).await,
            _ => Peer::open_75(sim, addr).await,
        };
        let mut new = self.server.clients().iter();
        let sender = new.find(|sender| !self.clients.contains_key(&sender.id()));
        let sender = sender.expect("it is in the registry");
        assert!(
            self.seen.insert(sender.id()),
            "the id {} was used before",
            sender.id()
        );
        let client = Client {
            peer,
            sender: sender.clone(),
            expected: Vec::new(),
        };
        self.clients.insert(sender.id(), client);
    }

    /// Ends a connection from its peer: with a close where there is one, or by a reset.
    async fn disconnect(&mut self, id: ConnectionId, is_reset: bool) {
        let mut client = self.clients.remove(&id).expect("it is open");
        if is_reset {
            client.peer.link().reset();
        } else {
            if client.sender.version() == ws_driver::Version::Rfc6455 {
                client.peer.write(&close(1000)).await;
            }
            client.peer.end().await;
        }
        // Longer than the wait for the end of the stream.
        self.sim.sleep(seconds(11)).await;
        self.members.values_mut().for_each(|ids| {
            ids.remove(&id);
        });
        self.gone.push(client.sender);
    }

    fn join(&mut self, id: ConnectionId, name: String) {
        let joined = self.clients[&id].sender.join(&name);
        let count = self
            .members
            .values()
            .filter(|ids| ids.contains(&id))
            .count();
        let ids = self.members.entry(name.clone()).or_default();
        let expected = if name.len() > TOPIC_NAME_LIMIT {
            Err(TopicError::NameTooLong {
                len: name.len(),
                limit: TOPIC_NAME_LIMIT,
            })
        } else if ids.contains(&id) {
            Ok(false)
        } else if count == TOPIC_LIMIT {
            Err(TopicError::TooManyTopics {
                joined: count,
                limit: TOPIC_LIMIT,
            })
        } else {
            Ok(ids.insert(id))
        };
        assert_eq!(joined, expected);
    }

    async fn publish(&mut self, name: &str, except: Option<ConnectionId>) {
        let message = self.message();
        let topic = self.server.clients().topic(name);
        let count = match except {
            Some(id) => topic.broadcast_except(id, message.clone()),
            None => topic.broadcast(message.clone()),
        };
        let ids = self.members.get(name).into_iter().flatten().copied();
        let ids: Vec<_> = ids.filter(|id| Some(*id) != except).collect();
        assert_eq!(count, ids.len(), "receivers of {name:?}");
        self.expect(&ids, &message);
        self.sim.settle().await;
    }

    async fn broadcast(&mut self) {
        let message = self.message();
        let ids: Vec<_> = self.clients.keys().copied().collect();
        assert_eq!(self.server.broadcast(message.clone()), ids.len());
        self.expect(&ids, &message);
        self.sim.settle().await;
    }

    /// What is done by the handle or the id of a connection that has ended reaches nobody, though
    /// another one may have its place.
    fn use_gone(&mut self, index: usize, name: String) {
        let sender = &self.gone[index];
        let id = sender.id();
        if name.len() <= TOPIC_NAME_LIMIT {
            assert_eq!(sender.join(&name), Err(TopicError::Closed));
        }
        assert!(!sender.leave(&name));
        assert!(sender.try_send("nobody").is_err());
        let clients = self.server.clients();
        assert!(!clients.topic(name).contains(id) && clients.get(id).is_none());
        let sent = clients.send(id, "nobody");
        assert_eq!(sent, Err(SendToError::NoSuchClient { id }));
    }

    /// A message that no other is equal to.
    fn message(&mut self) -> String {
        self.sent += 1;
        format!("message {}", self.sent)
    }

    fn expect(&mut self, ids: &[ConnectionId], message: &str) {
        for id in ids {
            let client = self.clients.get_mut(id).expect("members are open");
            client.expected.push(message.to_owned());
        }
    }

    /// The server says what the model says, and every peer got what it should, and nothing else.
    fn check(&mut self) {
        let clients = self.server.clients();
        let open: BTreeSet<_> = clients.iter().map(|sender| sender.id()).collect();
        assert!(open.iter().eq(self.clients.keys()), "{open:?}");
        assert_eq!(clients.len(), self.clients.len());
        self.members.retain(|_, ids| !ids.is_empty());
        let topics = clients.topics().map(|topic| {
            let ids: BTreeSet<_> = topic.iter().map(|sender| sender.id()).collect();
            assert_eq!(topic.len(), ids.len(), "each member once");
            assert!(ids.iter().all(|id| topic.contains(*id)));
            (topic.name().to_owned(), ids)
        });
        let topics: Vec<_> = topics.collect();
        let names = topics.len();
        let topics: BTreeMap<_, _> = topics.into_iter().collect();
        assert_eq!(names, topics.len(), "each topic once");
        assert_eq!(topics, self.members);
        for client in self.clients.values_mut() {
            let bytes = client.peer.read();
            let got = texts(client.sender.version(), &bytes);
            assert_eq!(got, std::mem::take(&mut client.expected));
        }
    }
}

/// One of a few names: empty, short, as long as they may be, longer.
fn name(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.choose_index(NAMES)? {
        0 => String::new(),
        1 => "x".repeat(TOPIC_NAME_LIMIT),
        2 => "x".repeat(TOPIC_NAME_LIMIT + 1),
        other => format!("topic {other}"),
    })
}

/// The texts in what a server wrote; anything else is a mistake.
fn texts(version: ws_driver::Version, bytes: &[u8]) -> Vec<String> {
    let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).expect("text is UTF-8");
    if version == ws_driver::Version::Rfc6455 {
        return frames(bytes)
            .into_iter()
            .map(|(first_byte, payload)| {
                assert_eq!(first_byte, 0x81);
                text(&payload)
            })
            .collect();
    }
    let frames = bytes.split_inclusive(|byte| *byte == 0xff);
    frames
        .map(|frame| match frame {
            [0, payload @ .., 0xff] => text(payload),
            frame => panic!("not a text: {frame:x?}"),
        })
        .collect()
}
