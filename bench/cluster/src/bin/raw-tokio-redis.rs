//! A node of a cluster without WebSockets and without promises, on the crate that ours is on: the floor. What a client
//! sends goes to the clients here at once, and is published in batches; what other nodes publish goes to the clients here.
//!
//! It has one channel, numbers nothing, waits for nobody, and sends nothing more to a socket that did not take all.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, Value};
use support::{LISTEN, Mode, Start, announce};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::ClusterTopics], false);
    // Ids of processes differ on one machine.
    let node = Arc::new(Node::new(std::process::id().to_le_bytes()));
    let client = open_client(start.redis()?).map_err(io::Error::other)?;
    let config = config();
    let commands = client.get_multiplexed_async_connection_with_config(&config);
    let commands = commands.await.map_err(io::Error::other)?;
    let _subscription = subscribe(&client, &node).await.map_err(io::Error::other)?;
    tokio::spawn(publish(commands, Arc::clone(&node)));
    let listener = TcpListener::bind(LISTEN).await?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (reading, writing) = stream.into_split();
        tokio::spawn(serve(reading, writing, Arc::clone(&node)));
    }
}

struct Node {
    id: [u8; NODE_LEN],
    members: Mutex<Vec<OwnedWriteHalf>>,
    waiting: Mutex<VecDeque<Vec<u8>>>,
    published: Notify,
}

const CHANNEL: &str = "raw";

/// As ours: the most messages of a batch.
const BATCH_MESSAGES: usize = 512;

/// The node that published stands before a message, because Redis delivers it to that node, too.
const NODE_LEN: usize = 4;

impl Node {
    fn new(id: [u8; NODE_LEN]) -> Self {
        Self {
            id,
            members: Mutex::default(),
            waiting: Mutex::default(),
            published: Notify::new(),
        }
    }

    fn members(&self) -> MutexGuard<'_, Vec<OwnedWriteHalf>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, frame: &[u8]) {
        self.members()
            .retain(|to| to.try_write(frame).ok() == Some(frame.len()));
    }
}

fn open_client(url: &str) -> redis::RedisResult<Client> {
    let info = redis::IntoConnectionInfo::into_connection_info(url)?;
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings))
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(None)
}

/// Subscribes; the subscription ends with the connection.
async fn subscribe(client: &Client, node: &Arc<Node>) -> redis::RedisResult<MultiplexedConnection> {
    let node = Arc::clone(node);
    let on_push = move |info: PushInfo| {
        if let Some((from, frame)) = message(&info).and_then(<[u8]>::split_first_chunk)
            && *from != node.id
        {
            node.deliver(frame);
        }
        Ok::<_, std::convert::Infallible>(())
    };
    let config = config().set_push_sender(on_push);
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    connection.subscribe(CHANNEL).await?;
    Ok(connection)
}

fn message(info: &PushInfo) -> Option<&[u8]> {
    match (&info.kind, info.data.get(1)) {
        (PushKind::Message, Some(Value::BulkString(message))) => Some(message),
        _ => None,
    }
}

/// Publishes what waits, a batch at a time.
async fn publish(mut connection: MultiplexedConnection, node: Arc<Node>) {
    loop {
        let batch: Vec<_> = {
            let mut waiting = node.waiting();
            let count = waiting.len().min(BATCH_MESSAGES);
            waiting.drain(..count).collect()
        };
        if batch.is_empty() {
            node.published.notified().await;
            continue;
        }
        let mut pipeline = redis::Pipeline::with_capacity(batch.len());
        for message in &batch {
            pipeline.cmd("PUBLISH").arg(CHANNEL).arg(message);
        }
        let sent = connection.send_packed_commands(&pipeline, 0, batch.len());
        if let Err(error) = sent.await {
            eprintln!("PUBLISH: {error}");
            std::process::exit(1);
        }
    }
}

/// The first frame of a client joins, and comes back. All others are for all.
async fn serve(mut reading: OwnedReadHalf, writing: OwnedWriteHalf, node: Arc<Node>) {
    let mut joining = Some(writing);
    let (mut buffer, mut filled) = (vec![0; 64 << 10], 0);
    loop {
        let space = buffer.get_mut(filled..).unwrap_or_default();
        match reading.read(space).await {
            Ok(0) | Err(_) => return,
            Ok(len) => filled += len,
        }
        let mut taken = 0;
        while let Some(frame) = first_frame(buffer.get(taken..filled).unwrap_or_default()) {
            taken += frame.len();
            if let Some(member) = joining.take() {
                let _ = member.try_write(frame);
                node.members().push(member);
                continue;
            }
            node.deliver(frame);
            node.waiting().push_back([&node.id, frame].concat());
            node.published.notify_one();
        }
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

/// Returns the first frame of a client, if it is complete: short ones, as the loads have.
fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    const MASKING_KEY_LEN: usize = 4;
    let len = match *bytes.get(1)? & 0x7f {
        126 => 4 + usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        len => 2 + usize::from(len),
    };
    bytes.get(..len + MASKING_KEY_LEN)
}
