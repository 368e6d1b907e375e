//! What a node asks of the engine besides publishing: leases, and what is stored under them; logs are in `logs.rs`. Several questions are on their
//! way at a time, because each waits for one way to the engine and back.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_lock::Semaphore;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, Script};
use ws_driver::{
    Channel, LEASE_TIME, Lease, LeasedNode, PRESENCE_SETTLED, PresenceRead, PresenceStore,
    Question, Renewed, Runtime, Seat, SeatRequest, StoredPresence,
};

use crate::Redis;
use crate::io::Unfinished;
use crate::link::{REPLICA, answered, describe, is_passing, is_replica};

/// The most readings of logs on their way.
pub(crate) const LOG_READS: usize = 4;
/// The most questions on their way.
const QUESTIONS: usize = 64;
/// How long keys are kept once no node renews its lease.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/renew.lua")));
static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/release.lua")));
static STORE_PRESENCE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/store_presence.lua")));
static READ_PRESENCE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/read_presence.lua")));

/// Why a link cannot go on.
pub(crate) type Broken = String;
type Answering<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + 'a>>;

/// A connection on which questions are asked.
pub(crate) struct Asker<'a, R> {
    pub(crate) redis: &'a Redis,
    pub(crate) runtime: &'a R,
    pub(crate) seat: &'a Seat,
    pub(crate) connection: MultiplexedConnection,
    pub(crate) unfinished: Arc<Unfinished>,
    /// The readings of logs that may be on their way: each is work for the engine.
    pub(crate) log_reads: Semaphore,
    /// The id of the engine's run, if it tells.
    pub(crate) run: Option<String>,
}

impl<R: Runtime> Asker<'_, R> {
    /// Answers what the node asks; returns why it cannot go on.
    pub(crate) async fn run(&self) -> Broken {
        let mut answering = FuturesUnordered::<Answering<'_>>::new();
        loop {
            match self.next(&mut answering).await {
                Ok(SeatRequest::Reconnect) => {
                    return "what was published did not come back".to_owned();
                }
                Ok(request) => answering.push(self.answer(request)),
                Err(broken) => return broken,
            }
        }
    }

    /// Waits for the next question, and moves on those that are on their way.
    async fn next(
        &self,
        answering: &mut FuturesUnordered<Answering<'_>>,
    ) -> Result<SeatRequest, Broken> {
        loop {
            let has_place = answering.len() < QUESTIONS;
            let request = async {
                if has_place {
                    self.seat.request().await
                } else {
                    pending().await
                }
            };
            let answered = async {
                match answering.next().await {
                    Some(answered) => answered,
                    None => pending().await,
                }
            };
            match select(pin!(request), pin!(answered)).await {
                Either::Left((request, _)) => return Ok(request),
                Either::Right((answered, _)) => answered?,
            }
        }
    }

    fn answer(&self, request: SeatRequest) -> Answering<'_> {
        match request {
            SeatRequest::CountNodes => Box::pin(self.count_nodes()),
            SeatRequest::Renew(question) => Box::pin(self.renew(question)),
            SeatRequest::Release(question) => Box::pin(self.release(question)),
            SeatRequest::StorePresence(question) => Box::pin(self.store_presence(question)),
            SeatRequest::ReadPresence(question) => Box::pin(self.read_presence(question)),
            SeatRequest::AppendLog(question) => Box::pin(self.append(question)),
            SeatRequest::ReadLog(question) => Box::pin(self.read_log(question)),
            SeatRequest::ReadLogEnds(question) => Box::pin(self.read_log_ends(question)),
            // Whatever a later node asks for; it is not answered.
            SeatRequest::Reconnect | _ => Box::pin(async { Ok(()) }),
        }
    }

    async fn count_nodes(&self) -> Result<(), Broken> {
        let mut numsub = redis::cmd("PUBSUB");
        numsub
            .arg("NUMSUB")
            .arg(self.redis.channel_name(&Channel::All));
        let mut connection = self.connection.clone();
        let counting = async {
            let is_replica = is_replica(&mut connection.clone()).await;
            let counted = numsub.query_async::<(String, usize)>(&mut connection);
            (is_replica, counted.await)
        };
        let counted = answered(self.runtime, &self.unfinished, "PUBSUB NUMSUB", 0, counting);
        match counted.await? {
            // It can have become one under a link that lasts.
            (true, _) => Err(format!("{:?} {REPLICA}", self.redis.target)),
            (false, Ok((_, nodes))) => {
                self.seat.counted(nodes);
                Ok(())
            }
            (false, Err(error)) => Err(describe("PUBSUB NUMSUB", &error)),
        }
    }

    async fn renew(&self, question: Question<Lease, Renewed>) -> Result<(), Broken> {
        let lease = question.asked();
        let mut renew = RENEW.prepare_invoke();
        renew
            .key(self.redis.key("leases"))
            .key(self.redis.key("nodes"));
        renew.key(self.own_key()).arg(self.seat.node().to_string());
        renew
            .arg(millis(lease.time))
            .arg(&lease.description[..])
            .arg(millis(KEPT));
        let mut connection = self.connection.clone();
        let asking =
            renew.invoke_async::<(bool, u64, Vec<(String, Vec<u8>, u64)>)>(&mut connection);
        self.give(
            question,
            "the lease",
            0,
            asking,
            |(has_values, age, nodes)| {
                let nodes = nodes.into_iter().filter_map(|(node, description, left)| {
                    Some(LeasedNode {
                        node: node.parse().ok()?,
                        description: description.into(),
                        left: Duration::from_millis(left),
                    })
                });
                Renewed {
                    has_values,
                    age: Duration::from_millis(age),
                    nodes: nodes.collect(),
                }
            },
        )
        .await
    }

    async fn release(&self, question: Question<(), ()>) -> Result<(), Broken> {
        let mut release = RELEASE.prepare_invoke();
        release
            .key(self.redis.key("leases"))
            .key(self.redis.key("nodes"));
        release
            .key(self.own_key())
            .arg(self.seat.node().to_string());
        let mut connection = self.connection.clone();
        let asking = release.invoke_async::<()>(&mut connection);
        self.give(question, "the lease", 0, asking, |()| ()).await
    }

    async fn store_presence(&self, question: Question<PresenceStore, bool>) -> Result<(), Broken> {
        let mut store = STORE_PRESENCE.prepare_invoke();
        store.key(self.redis.key("leases")).key(self.own_key());
        // Longer than any lease. The next renewal sets the time of the lease.
        store.arg(self.seat.node().to_string()).arg(millis(KEPT));
        store.arg(question.asked().version);
        let changes = &question.asked().changes;
        let lens = changes
            .iter()
            .map(|it| it.members.as_ref().map_or(0, |it| it.len()));
        let asked_len = lens.sum();
        for change in changes.iter() {
            store.arg(topic_field(&change.topic));
            store.arg(change.members.as_deref().unwrap_or_default());
        }
        let mut connection = self.connection.clone();
        let asking = store.invoke_async::<bool>(&mut connection);
        self.give(question, "presence", asked_len, asking, |is_stored| {
            is_stored
        })
        .await
    }

    async fn read_presence(
        &self,
        question: Question<Arc<str>, PresenceRead>,
    ) -> Result<(), Broken> {
        let mut read = READ_PRESENCE.prepare_invoke();
        read.key(self.redis.key("leases"))
            .key(self.redis.key("nodes"));
        read.arg(self.redis.key("p:"))
            .arg(topic_field(question.asked()));
        read.arg(self.seat.node().to_string());
        read.arg(millis(LEASE_TIME)).arg(millis(PRESENCE_SETTLED));
        let mut connection = self.connection.clone();
        let asking = read.invoke_async::<(bool, Vec<(String, Vec<u8>)>)>(&mut connection);
        self.give(question, "presence", 0, asking, |(is_complete, stored)| {
            let stored = stored.into_iter().filter_map(|(node, members)| {
                Some(StoredPresence {
                    node: node.parse().ok()?,
                    members: members.into(),
                })
            });
            PresenceRead {
                stored: stored.collect(),
                is_complete,
            }
        })
        .await
    }

    /// Waits for an answer and gives it to the node.
    pub(crate) async fn give<Q, A, T: FromRedisValue>(
        &self,
        question: Question<Q, A>,
        what: &str,
        asked_len: usize,
        asking: impl Future<Output = RedisResult<T>>,
        convert: impl FnOnce(T) -> A,
    ) -> Result<(), Broken> {
        let answer = answered(self.runtime, &self.unfinished, what, asked_len, asking);
        match answer.await? {
            Ok(answer) => question.answer(convert(answer)),
            Err(error) if is_passing(&error) => return Err(describe(what, &error)),
            Err(error) => question.refuse(&describe(what, &error)),
        }
        Ok(())
    }

    /// The key of what this node has stored.
    fn own_key(&self) -> String {
        self.redis.key(&format!("p:{}", self.seat.node()))
    }
}

/// The field of a topic in what a node has stored. The field `.` is none.
fn topic_field(topic: &str) -> String {
    format!(":{topic}")
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
