//! The chat of one page: it joins where it was, and what it writes is appended to the log that all nodes share.
//!
//! Messages are JSON. A page sends `join` first, with the last position that it has, and then `say`. It gets `start`, `said`
//! and `gap` from the log, each with its position; `here` once it misses nothing any more; `cluster` when the overview of the
//! nodes changes; and `failed` for what was not appended.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use ws_tokio::{
    CloseCode, CloseReason, ClusterTopic, Connection, LogEvent, Message, Position, ResumeFrom,
};

/// The topic that all pages join. Its log is the chat.
pub const TOPIC: &str = "chat";

/// The longest name, in bytes.
const NAME_LIMIT: usize = 64;

/// How long a page may take to say who it is.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The least time between two messages of one page.
const PACE: Duration = Duration::from_millis(10);

/// What a page asks for.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Request {
    /// Enters the chat, behind a position if the page was here before.
    Join { name: String, after: Option<String> },
    /// Says something to all. The page made up the id, and gets it back.
    Say { id: String, text: String },
}

/// Makes the message that pages get of an event in the log.
pub fn frame(_topic: &str, event: &LogEvent) -> Message {
    let json = match event {
        LogEvent::Start { position } => {
            json!({ "type": "start", "position": position.to_string() }).to_string()
        }
        // What was appended is JSON already.
        LogEvent::Message { position, message } => {
            let entry = message.as_text().unwrap_or("null");
            format!(r#"{{"type":"said","position":"{position}","entry":{entry}}}"#)
        }
        LogEvent::Gap { position, missed } => {
            let position = position.to_string();
            json!({ "type": "gap", "position": position, "missed": missed }).to_string()
        }
        _ => json!({ "type": "unknown" }).to_string(),
    };
    json.into()
}

/// Serves one page until it leaves.
pub async fn attend(
    mut connection: Connection,
    room: ClusterTopic,
    node: Arc<str>,
    overview: watch::Receiver<Message>,
) {
    let name = match enter(&mut connection, &room, &node).await {
        Ok(name) => name,
        Err((code, reason)) => {
            // The page goes to another node, or says why.
            let reason = CloseReason::truncated(&reason).as_str();
            let _ = connection.close_with(code, reason).await;
            return;
        }
    };
    talk(&mut connection, &room, &node, &name, overview).await;
}

/// Waits for the name of a page, sends what the page has missed, and shows it in the room. Returns the name.
async fn enter(
    connection: &mut Connection,
    room: &ClusterTopic,
    node: &str,
) -> Result<String, (CloseCode, String)> {
    let refuse = |why: &str| (CloseCode::POLICY, why.to_owned());
    let first = timeout(JOIN_TIMEOUT, connection.recv()).await;
    let Some(Request::Join { name, after }) = first.ok().flatten().as_ref().and_then(parse) else {
        return Err(refuse("the first message is a join"));
    };
    if name.trim().is_empty() || name.len() > NAME_LIMIT {
        return Err(refuse("a name has 1 to 64 bytes"));
    }
    let after = after.map(|text| text.parse::<Position>());
    let after = after
        .transpose()
        .map_err(|error| refuse(&error.to_string()))?;
    let later = |why: String| (CloseCode::TRY_AGAIN, why);
    // Who comes for the first time gets what the log has.
    let from = after.map_or(ResumeFrom::Oldest, ResumeFrom::After);
    // This joins, so it comes before `track`: a member cannot resume.
    let resumed = room.resume(connection.cluster_id(), from).await;
    resumed.map_err(|error| later(error.to_string()))?;
    let shown = connection.track(TOPIC, &name);
    shown.map_err(|error| later(error.to_string()))?;
    let id = connection.cluster_id().to_string();
    let here = json!({ "type": "here", "id": id, "node": node });
    let sent = connection.send(here.to_string()).await;
    sent.map_err(|error| later(error.to_string()))?;
    Ok(name)
}

/// Appends what the page says, and tells it how the cluster looks.
async fn talk(
    connection: &mut Connection,
    room: &ClusterTopic,
    node: &str,
    name: &str,
    mut overview: watch::Receiver<Message>,
) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    overview.mark_changed();
    loop {
        let answer = tokio::select! {
            message = connection.recv() => {
                let Some(message) = message else { return };
                pace.tick().await;
                let Some(Request::Say { id, text }) = parse(&message) else { continue };
                let entry = json!({ "id": id, "name": name, "node": node, "text": text });
                // The page gets what it said from the log, like all others.
                let Err(error) = room.append(entry.to_string()).await else { continue };
                let why = error.to_string();
                json!({ "type": "failed", "id": id, "why": why }).to_string().into()
            }
            Ok(()) = overview.changed() => overview.borrow_and_update().clone(),
        };
        if connection.send(answer).await.is_err() {
            return;
        }
    }
}

fn parse(message: &Message) -> Option<Request> {
    serde_json::from_str(message.as_text()?).ok()
}
