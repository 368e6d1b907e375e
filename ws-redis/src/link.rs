//! A link to an engine: a connection for commands and one for subscriptions, and what is done over them until one of them
//! breaks. Every wait for the engine has a deadline.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_lock::Semaphore;
use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::{Either, select};
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::{
    AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, Value,
};
use ws_driver::{Batch, Channel, Gate, Runtime, Seat, Settled, Timer};

use crate::Redis;
use crate::io::{RedisIo, Unfinished, Valve};
use crate::questions::{Asker, LOG_READS};

/// The wait for a link: the address, TLS, the greeting of both connections.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait for the answer to a batch or to a question, in which too little arrives. An engine answers in less than a millisecond,
/// or it stands still.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The bytes a second that the way to an engine takes at least: for each so many of what is asked, the wait is a second longer,
/// and while so many arrive it goes on. Fewer do not count, because an answer that does not end can take those behind it in.
const LEAST_RATE: usize = 64 << 10;
/// The wait for the answer to up to 512 subscriptions, while the node reads.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Link {
    commands: Connected,
    subscriptions: Connected,
    valve: Arc<Valve>,
    /// The id of the engine's run, if it tells.
    run: Option<String>,
}

/// A connection, and the future that moves its bytes.
struct Connected {
    connection: MultiplexedConnection,
    unfinished: Arc<Unfinished>,
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Link {
    /// Opens both connections. The error says what was tried, without a secret.
    pub(crate) async fn open<R: Runtime>(
        redis: &Redis,
        runtime: &R,
        seat: &Arc<Seat>,
    ) -> Result<Self, String> {
        let opening = async {
            let valve = Arc::<Valve>::default();
            // The one for commands has no messages to stop.
            let commands = connect(redis, runtime, Arc::default(), None).await?;
            let (commands, run) = examine(redis, commands).await?;
            let pushes = Pushes {
                seat: Arc::clone(seat),
                prefix: format!("{}:", redis.channel_prefix),
                valve: Arc::clone(&valve),
                unfinished: Arc::default(),
            };
            let subscriptions = connect(redis, runtime, Arc::clone(&valve), Some(pushes)).await?;
            Ok(Self {
                commands,
                subscriptions,
                valve,
                run,
            })
        };
        let opened = within(runtime, CONNECT_TIMEOUT, opening).await;
        opened.unwrap_or_else(|| {
            Err(format!(
                "{:?} did not answer within {CONNECT_TIMEOUT:?}",
                redis.target
            ))
        })
    }

    /// Moves messages until the link breaks; returns why it did.
    pub(crate) async fn serve<R: Runtime>(
        self,
        redis: &Redis,
        runtime: &R,
        seat: &Arc<Seat>,
    ) -> String {
        let Self {
            commands,
            subscriptions,
            valve,
            run,
        } = self;
        let asker = Asker {
            redis,
            runtime,
            seat,
            connection: commands.connection.clone(),
            unfinished: Arc::clone(&commands.unfinished),
            log_reads: Semaphore::new(LOG_READS),
            run,
        };
        let publishing = pin!(publish(&asker));
        let subscribing = pin!(subscribe(
            redis,
            runtime,
            seat,
            subscriptions.connection.clone(),
            &valve
        ));
        let answering = pin!(asker.run());
        let opening = pin!(async {
            loop {
                valve.closed().await;
                seat.gate().await;
                valve.open();
            }
        });
        let closed = |name| format!("{:?} closed the connection for {name}", redis.target);
        let commands = pin!(async {
            commands.driver.await;
            closed("commands")
        });
        let subscriptions = pin!(async {
            subscriptions.driver.await;
            closed("subscriptions")
        });
        // What the connections move comes first, because all else waits for it.
        let connections = select(commands, subscriptions);
        let work = select(select(publishing, subscribing), select(answering, opening));
        match select(connections, pin!(work)).await {
            Either::Left((ended, _)) => ended.factor_first().0,
            Either::Right((ended, _)) => match ended {
                Either::Left((ended, _)) => ended.factor_first().0,
                Either::Right((Either::Left((error, _)), _)) => error,
                Either::Right((Either::Right((never, _)), _)) => never,
            },
        }
    }
}

/// Opens a connection, and greets the engine.
async fn connect<R: Runtime>(
    redis: &Redis,
    runtime: &R,
    valve: Arc<Valve>,
    pushes: Option<Pushes>,
) -> Result<Connected, String> {
    let unfinished = pushes.as_ref().map(|pushes| Arc::clone(&pushes.unfinished));
    let unfinished = unfinished.unwrap_or_default();
    let target = &redis.target;
    let cannot =
        |what: &str, error: &dyn std::fmt::Display| format!("{what} {target:?} failed: {error}");
    let stream =
        ws_driver::connect_stream(runtime, &target.host, target.port, CONNECT_TIMEOUT).await;
    let stream = stream.map_err(|error| cannot("a connection to", &error))?;
    let prepared = runtime.prepare(&stream);
    prepared.map_err(|error| cannot("a connection to", &error))?;
    #[cfg(feature = "rustls")]
    if target.is_tls {
        let tls = redis.tls.clone().unwrap_or_default();
        let stream = tls.connect(stream, &target.host).await;
        let stream = stream.map_err(|error| cannot("TLS with", &error))?;
        let stream = RedisIo::new(stream, valve, Arc::clone(&unfinished));
        return greet(redis, stream, pushes, unfinished).await;
    }
    let stream = RedisIo::new(stream, valve, Arc::clone(&unfinished));
    greet(redis, stream, pushes, unfinished).await
}

/// Checks that the engine is no replica: messages that are published there reach nobody at its primary, and nothing can be
/// stored. Returns the id of its run as well. An engine that does not say what it is counts as a primary.
async fn examine(
    redis: &Redis,
    connected: Connected,
) -> Result<(Connected, Option<String>), String> {
    let Connected {
        connection,
        unfinished,
        mut driver,
    } = connected;
    let mut asking = connection.clone();
    let questions = async {
        let role = is_replica(&mut asking).await;
        let mut info = redis::cmd("INFO");
        let info = info.arg("server").query_async::<String>(&mut asking).await;
        (role, info)
    };
    let (is_replica, info) = match select(pin!(questions), driver.as_mut()).await {
        Either::Left((answers, _)) => answers,
        Either::Right(((), _)) => return Err(format!("{:?} closed the connection", redis.target)),
    };
    if is_replica {
        return Err(format!("{:?} {REPLICA}", redis.target));
    }
    let info = info.unwrap_or_default();
    let mut lines = info.lines();
    let run = lines.find_map(|line| line.strip_prefix("run_id:"));
    let run = run.map(|run| run.trim().to_owned());
    let connected = Connected {
        connection,
        unfinished,
        driver,
    };
    Ok((connected, run))
}

pub(crate) const REPLICA: &str = "is a replica, and a node needs its primary";

/// Asks whether the engine follows another one. One that does not say is none.
pub(crate) async fn is_replica(connection: &mut MultiplexedConnection) -> bool {
    let role = redis::cmd("ROLE");
    let role = role.query_async::<Vec<Value>>(connection).await;
    let role = role.ok().and_then(|role| role.into_iter().next());
    matches!(role, Some(Value::BulkString(role)) if role == b"slave")
}

async fn greet<S>(
    redis: &Redis,
    stream: RedisIo<S>,
    pushes: Option<Pushes>,
    unfinished: Arc<Unfinished>,
) -> Result<Connected, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let target = &redis.target;
    let mut info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(target.database)
        // The command for it is newer than Redis 7.0, and one more permission.
        .set_skip_set_lib_name();
    if let Some(user) = &target.user {
        info = info.set_username(user);
    }
    if let Some(password) = &target.password {
        info = info.set_password(password);
    }
    // Without a timeout of its own the crate asks for no runtime; ours bound every wait.
    let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
    if let Some(pushes) = pushes {
        config = config.set_push_sender(pushes);
    }
    let greeted = MultiplexedConnection::new_with_config(&info, stream, config).await;
    let (connection, driver) = greeted.map_err(|error| describe("the greeting", &error))?;
    unfinished.note_greeted();
    Ok(Connected {
        connection,
        driver: Box::pin(driver),
        unfinished,
    })
}

/// Publishes batches; returns why it cannot go on.
async fn publish<R: Runtime>(asker: &Asker<'_, R>) -> String {
    let Asker {
        redis,
        runtime,
        seat,
        connection,
        unfinished,
        ..
    } = asker;
    loop {
        let batch = seat.outgoing().await;
        let sending = publish_batch(redis, connection.clone(), &batch);
        let lens = batch
            .messages()
            .iter()
            .map(|message| message.envelope.len());
        let sent = answered(*runtime, unfinished, "a batch", lens.sum(), sending).await;
        match sent.and_then(|sent| sent) {
            Ok(settled) => seat.settled(&batch, settled),
            Err(error) => return error,
        }
    }
}

async fn publish_batch(
    redis: &Redis,
    mut connection: MultiplexedConnection,
    batch: &Batch,
) -> Result<Settled, String> {
    let mut pipeline = redis::Pipeline::with_capacity(batch.messages().len());
    for message in batch.messages() {
        let channel = redis.channel_name(&message.channel);
        pipeline.cmd("PUBLISH").arg(channel).arg(&*message.envelope);
    }
    let sent = connection
        .send_packed_commands(&pipeline, 0, batch.messages().len())
        .await;
    let answers = match sent {
        Ok(answers) => answers,
        Err(error) => return Err(describe("PUBLISH", &error)),
    };
    let answers = answers.into_iter().enumerate();
    let refusals =
        answers.filter_map(|(place, answer)| Some((place, answer.extract_error().err()?)));
    let (mut places, mut why) = (Vec::new(), None);
    for (place, error) in refusals {
        if is_passing(&error) {
            return Err(describe("PUBLISH", &error));
        }
        places.push(place);
        why.get_or_insert(error);
    }
    Ok(match why {
        Some(error) => Settled::Refused {
            places,
            error: describe("PUBLISH", &error),
        },
        None => Settled::Published,
    })
}

/// Subscribes to what the node wants; returns why it cannot go on.
async fn subscribe<R: Runtime>(
    redis: &Redis,
    runtime: &R,
    seat: &Seat,
    mut connection: MultiplexedConnection,
    valve: &Valve,
) -> String {
    loop {
        let change = seat.interest().await;
        let names = |channels: &[Channel]| {
            let names = channels.iter().map(|channel| redis.channel_name(channel));
            names.collect::<Vec<_>>()
        };
        let one_by_one = connection.clone();
        let asking = async {
            if !change.unsubscribe.is_empty() {
                connection.unsubscribe(names(&change.unsubscribe)).await?;
            }
            if !change.subscribe.is_empty() {
                connection.subscribe(names(&change.subscribe)).await?;
            }
            Ok::<_, redis::RedisError>(())
        };
        let mut asking = pin!(asking);
        let asked = loop {
            let closings = valve.closings();
            let asked = within(runtime, SUBSCRIBE_TIMEOUT, asking.as_mut()).await;
            // The answer is behind all that the node had no room for, and that is not the engine's delay.
            if asked.is_some() || closings == valve.closings() && !valve.is_closed() {
                break asked;
            }
        };
        match asked {
            Some(Ok(())) => seat.subscribed(&change.subscribe),
            Some(Err(error)) if is_passing(&error) => return describe("SUBSCRIBE", &error),
            // One of the topics is refused, and the others are not.
            Some(Err(_)) => {
                let each = subscribe_each(redis, runtime, seat, one_by_one, &change.subscribe);
                if let Err(error) = each.await {
                    return error;
                }
            }
            None => return format!("the engine did not subscribe within {SUBSCRIBE_TIMEOUT:?}"),
        }
    }
}

/// Subscribes to channels one by one, and tells which topics the engine refuses. A node without its own channels is of no use.
async fn subscribe_each<R: Runtime>(
    redis: &Redis,
    runtime: &R,
    seat: &Seat,
    mut connection: MultiplexedConnection,
    channels: &[Channel],
) -> Result<(), String> {
    for channel in channels {
        let asking = connection.subscribe(redis.channel_name(channel));
        match (within(runtime, SUBSCRIBE_TIMEOUT, asking).await, channel) {
            (Some(Ok(())), _) => seat.subscribed(std::slice::from_ref(channel)),
            (Some(Err(error)), Channel::Topic(topic)) if !is_passing(&error) => {
                seat.refused(topic, &describe("SUBSCRIBE", &error));
            }
            (Some(Err(error)), _) => return Err(describe("SUBSCRIBE", &error)),
            (None, _) => {
                return Err(format!(
                    "the engine did not subscribe within {SUBSCRIBE_TIMEOUT:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Gives the messages of the engine to the node. It is called while the connection is read.
struct Pushes {
    seat: Arc<Seat>,
    /// What channels begin with, with the colon.
    prefix: String,
    valve: Arc<Valve>,
    unfinished: Arc<Unfinished>,
}

impl AsyncPushSender for Pushes {
    fn send(&self, info: PushInfo) -> Result<(), SendError> {
        self.unfinished.note_complete();
        if info.kind != PushKind::Message {
            return Ok(());
        }
        let mut data = info.data.into_iter();
        let (Some(Value::BulkString(name)), Some(Value::BulkString(envelope))) =
            (data.next(), data.next())
        else {
            return Ok(());
        };
        let name = std::str::from_utf8(&name).ok();
        let name = name.and_then(|name| name.strip_prefix(&*self.prefix));
        let Some(channel) = name.and_then(|name| name.parse().ok()) else {
            return Ok(());
        };
        if self.seat.deliver(channel, Bytes::from(envelope)) == Gate::Closed {
            self.valve.close();
        }
        Ok(())
    }
}

/// Tells whether an error passes with the link: the engine is not reached, loads its data, waits for its master, or is none
/// any more. What it refuses otherwise it would refuse again.
pub(crate) fn is_passing(error: &redis::RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_cluster_error()
        || matches!(
            error.code(),
            Some("LOADING" | "MASTERDOWN" | "BUSY" | "TRYAGAIN" | "READONLY")
        )
        // Redis 6 says so of a command in a script.
        || error.detail().is_some_and(|detail| detail.contains("READONLY"))
}

/// Says what the engine refused. Its words name commands, users and channels, and no password.
pub(crate) fn describe(what: &str, error: &redis::RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{what}: {code} {detail}"),
        (Some(code), None) => format!("{what}: {code}"),
        (None, _) => format!("{what}: {}", error.category()),
    }
}

/// Waits for the answer to what has `asked_len` bytes, while much arrives. The error says what was waited for.
pub(crate) async fn answered<R: Runtime, T>(
    runtime: &R,
    unfinished: &Arc<Unfinished>,
    what: &str,
    asked_len: usize,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    let (_asked, asked_len) = unfinished.begin(asked_len);
    let seconds = u64::try_from(asked_len / LEAST_RATE).unwrap_or(u64::MAX);
    let time = ANSWER_TIMEOUT.saturating_add(Duration::from_secs(seconds));
    let mut work = pin!(work);
    loop {
        let before = unfinished.arrived();
        let answer = within(runtime, time, work.as_mut()).await;
        if let Some(answer) = answer {
            unfinished.note_complete();
            return Ok(answer);
        }
        if unfinished.arrived().wrapping_sub(before) < LEAST_RATE {
            return Err(format!("the engine did not answer {what} within {time:?}"));
        }
    }
}

/// Waits for `work`, but no longer than `time`.
pub(crate) async fn within<R: Runtime, T>(
    runtime: &R,
    time: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(work), pin!(sleep(runtime, time))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

pub(crate) async fn sleep<R: Runtime>(runtime: &R, time: Duration) {
    let mut timer = runtime.timer();
    timer.set(runtime.now() + time);
    poll_fn(|cx| timer.poll(cx)).await;
}
